"""Whether a run, a store of images or a single file is as mien wrote it."""

from __future__ import annotations

from pathlib import Path

from mien.assets import OWN
from mien.atomic import is_whole_zip
from mien.data import store_folder
from mien.errors import DataError, MissingError
from mien.hub import HUB
from mien.runs import is_run, layout, manifest
from mien.runtime.network import Network, locate

ZIPS = (".ckpt", ".npz", ".pt", ".pth")


def verify(path: Path) -> list[str]:
    """Read everything of a run, a store or a file; return a sentence for each thing that is not whole, [] where all is.

    [] also for a run of mien 0.1 in which nothing damaged is found, of whose files `has_checksums` is False: a note
    says that nothing more can be told.
    Raises MissingError when there is nothing at `path`, DataError for what carries no checksums to compare with.
    """
    if str(path).startswith((OWN, HUB)):
        return _export(locate(path))
    if is_run(path):
        return [*_files(path), *_checkpoints(path), *_export(path / "model.onnx")]
    if (path / "store.json").is_file():
        return store_folder.verify(path)
    if path.suffix == ".onnx" and path.is_file():
        return _export(path)
    if path.suffix in ZIPS and path.is_file():
        return [] if is_whole_zip(path) else [f"{path} is damaged."]
    if not path.exists():
        raise MissingError(f"{path}: there is nothing of this name.")
    raise DataError(f"{path} is no run, no store and no file with checksums of its own (.onnx, {', '.join(ZIPS)}).")


def has_checksums(path: Path) -> bool:
    """Whether `verify` can tell that all is whole: a run of mien 0.1 has no manifest to compare its files with."""
    return not is_run(path) or (path / layout.MANIFEST).is_file()


def _checkpoints(run: Path) -> list[str]:
    files = sorted((run / layout.CHECKPOINTS).glob("*.ckpt"))
    return [f"{file} is damaged." for file in files if not is_whole_zip(file)]


def _files(run: Path) -> list[str]:
    try:
        return manifest.problems(run)
    except DataError as error:  # the manifest itself
        return [str(error)]


def _export(path: Path) -> list[str]:
    if not path.is_file():
        return []
    try:
        Network.open(path, threads=1)
    except DataError as error:
        return [str(error)]
    return []
