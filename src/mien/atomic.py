"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar
from zipfile import BadZipFile, ZipFile

from mien.drafts import draft
from mien.errors import DataError, unwritable

if TYPE_CHECKING:
    import numpy as np

Values = TypeVar("Values", dict[str, Any], list[Any])

# What NumPy lets through of a damaged .npz; of the zip file in it, too.
DAMAGED = (ValueError, LookupError, TypeError, OSError, EOFError, RuntimeError, BadZipFile, zlib.error)
RATIO, RATIO_FROM = 100, 2**30  # an .npz may unpack to so many times its size, once that many bytes come out


@contextmanager
def written_whole(path: Path, *, binary: bool = False) -> Iterator[IO[Any]]:
    """A file, UTF-8 text or binary, that takes the place of `path` once it is complete.

    Raises MienError when it cannot be written (a full disk, say); what was there before then stays.
    """
    how: dict[str, Any] = {"mode": "w", "newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft(path.parent) as beside:
            with beside.open(**({"mode": "wb"} if binary else how)) as file:
                yield file
            share(beside)
            put(beside, path)
    except OSError as error:
        raise unwritable(path, error) from error


def put(beside: Path, path: Path) -> None:
    """Rename a file or folder that was written beside `path`; what was at `path` before is replaced.

    All of it is on the disk before the rename, else a power cut could leave the new name with half of its content.
    """
    for file in beside.rglob("*") if beside.is_dir() else [beside]:
        if file.is_file():
            with file.open("rb+") as open_file:
                os.fsync(open_file.fileno())
    os.replace(beside, path)
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    """Write a folder's names to the disk, where its file system can."""
    with suppress(OSError):  # Windows opens no folders, some network drives flush none
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def share(path: Path) -> None:
    """Give a file or folder that was made for its owner alone, as tempfile does, what the user's umask gives others."""
    umask = os.umask(0o077)  # it cannot be read without being set
    os.umask(umask)
    path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)


def identity(path: Path) -> tuple[int, int, int] | None:
    """Return what tells a file from the one that takes its place; None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_mtime_ns, state.st_size


def is_whole_zip(path: Path) -> bool:
    """Whether every part of a zip file (an .npz, torch's checkpoints) matches the checksum written with it."""
    try:
        with ZipFile(path) as file:
            return file.testzip() is None
    except DAMAGED:
        return False


def json_sha256(values: Any) -> str:
    """The sha256 of values as JSON, whatever the order of their keys: files keep it beside the values themselves."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def write_json(path: Path, values: Any) -> None:
    """Values as indented JSON, written whole."""
    with written_whole(path) as file:
        json.dump(values, file, indent=1)


def read_json(path: Path, default: Values, way_out: str) -> Values:
    """What `write_json` wrote, `default` where there is no file.

    Raises DataError when it is damaged, or no JSON of `default`'s type; way_out: what to do then.
    """
    if not path.is_file():
        return default
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # the last of a text that opens too many brackets
        raise DataError(f"{path} is damaged: {error}. {way_out}") from error
    if not isinstance(values, type(default)):
        raise DataError(f"{path} is damaged: it holds no {type(default).__name__}. {way_out}")
    return values


def write_arrays(path: Path, **arrays: Any) -> None:
    """Arrays as a compressed .npz, written whole."""
    import numpy as np

    with written_whole(path, binary=True) as file:
        np.savez_compressed(file, **arrays)


@contextmanager
def read_arrays(path: Path, anew: str) -> Iterator[Mapping[str, np.ndarray]]:
    """What `write_arrays` wrote. Raises DataError when the file is damaged; anew: the command that writes it again."""
    import numpy as np

    try:
        _refuse_bomb(path)
        with np.load(path) as saved:
            yield saved
    except (*DAMAGED, MemoryError) as error:  # the last where a header promises more numbers than there can be
        raise DataError(f"{path} is damaged: {error}. Write it anew: {anew}") from error


def _refuse_bomb(path: Path) -> None:
    """Raise ValueError for a zip file that a few bytes make unpack to more than memory holds."""
    with ZipFile(path) as file:
        size = sum(info.file_size for info in file.infolist())
    if size > max(RATIO_FROM, RATIO * path.stat().st_size):
        raise ValueError(f"it unpacks to {size / 2**30:,.1f} GiB, more than {RATIO} times its size")
