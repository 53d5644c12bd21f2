"""One class per kind of failure; the command line turns each into its exit code.

Every message says what happened, what was given and what to do next. Settings, arguments and calls stand between
backticks, as Python knows them (`data.path`, `mien.resume(run)`): mien.cli.wording makes flags and commands of them.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

TRAINING = ("torch", "lightning", "torchmetrics", "kornia", "safetensors", "matplotlib", "jinja2")
FULL = (errno.ENOSPC, errno.EDQUOT)  # of a disk, or of what a user may have of it
AFTERWARDS = ("onnx", "onnxscript", "captum")
SERVING = ("fastapi", "starlette", "uvicorn", "httptools", "python_multipart", "prometheus_client")
EXTRAS = {
    "tensorboard": "tensorboard",
    "mlflow": "mlflow",
    "wandb": "wandb",
    "optuna": "tune",
    "ray": "scale",
    "pyarrow": "parquet",
    "sklearn": "map",
    "timm": "timm",
    "torchvision": "timm",
    "transformers": "transformers",
    **dict.fromkeys((*TRAINING, *AFTERWARDS), "train"),
    **dict.fromkeys(SERVING, "serve"),
}  # a package that may not be installed -> the extra that brings it


class MienError(Exception):
    """Something failed that is nobody's mistake (a full disk, say). Exit code 1."""

    exit_code = 1


class UsageError(MienError):
    """The request itself is wrong: an unknown recipe, key, model or size. Exit code 2."""

    exit_code = 2


class SettingError(UsageError):
    """Settings that are refused. problems: each one's name ('' where the text says it) and what is wrong with it."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"{name}: {text}" if name else text for name, text in problems))
        self.problems = list(problems)


class MissingError(MienError):
    """Something needed is not there: a file, a folder, an extra, a device. Exit code 3."""

    exit_code = 3


class DataError(MienError):
    """The data is bad: unreadable, foreign, mislabelled or empty. Exit code 4."""

    exit_code = 4


def unwritable(path: Path, error: OSError, elsewhere: str = "write elsewhere") -> MienError:
    """Return what to raise where `path` could not be written: why, the file that is in its way if any, what to do.

    elsewhere: the way out. To free space is one only where the disk is full.
    """
    way_out = f"Free some space, or {elsewhere}." if error.errno in FULL else f"{elsewhere[0].upper()}{elsewhere[1:]}."
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        in_the_way = (parent for parent in path.parents if parent.exists() and not parent.is_dir())
        way_out = "".join(f"{file} is no folder. " for file in in_the_way) + way_out
    return MienError(f"Writing {path} failed: {error.strerror or error}. {way_out}")


def missing_extra(error: ModuleNotFoundError) -> MissingError | None:
    """What to install where a package of an extra is not there; None when it is another package."""
    extra = EXTRAS.get((error.name or "").partition(".")[0])
    return MissingError(f"this needs the '{extra}' extra: pip install 'mien[{extra}]'") if extra else None


def require(what: str, *packages: str) -> None:
    """Raise MissingError where packages of an extra are not installed: before the work that `what` needs them for."""
    for package in packages:
        if sys.modules.get(package, find_spec) is None or find_spec(package) is None:
            extra = EXTRAS[package]
            raise MissingError(f"{what} needs the '{extra}' extra: pip install 'mien[{extra}]'")


def nearest(name: str, choices: Iterable[str], scheme: str = "") -> str:
    """' Did you mean 'x'?' for the choice closest to `name`, or '' when none is close. scheme: 'mien:', before it."""
    import difflib

    found = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f" Did you mean '{scheme}{found[0]}'?" if found else ""
