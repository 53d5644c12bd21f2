"""What every reader returns: the images a source has, before any is decoded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from mien.errors import MissingError

SPLITS = ("train", "validation", "test")
SPLIT_ALIASES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "publictest": "validation",
    "public": "validation",
    "test": "test",
    "testing": "test",
    "privatetest": "test",
    "private": "test",
}


@dataclass(frozen=True)
class Listing:
    """N images of one source, not yet decoded.

    classes: class names in order. names: what an error calls image i (a path, or 'file.csv row 7').
    labels: index into classes. splits: 'train', 'validation', 'test', or '' where the source has none.
    groups: images of one group never end in different splits; empty where there are no groups.
    read(i) opens image i and raises DataError when it cannot.
    signature: changes whenever the source does; cheap to compute (names, sizes, times).
    problems: position -> what is wrong with an image, where listing alone shows it (a label that is
    not known, say); its label and split mean nothing.
    """

    classes: tuple[str, ...]
    names: list[str]
    labels: list[int]
    splits: list[str]
    read: Callable[[int], Image.Image]
    signature: str
    groups: Sequence[str] = ()
    problems: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)


def existing(path: Path | None, what: str) -> Path:
    """`path` as it is, or the error that says what to give."""
    if path is None:
        raise MissingError(f"Where is {what}? Give --data.path PATH.")
    if not path.exists():
        raise MissingError(f"--data.path {path}: there is no such file or folder.")
    return path


def file_stamp(entry: os.DirEntry[str] | Path) -> str:
    """Name, size and time of change of a file, for a signature; of a link that leads nowhere, its name."""
    try:
        found = entry.stat()
    except FileNotFoundError:
        return f"{os.fspath(entry)} is missing"
    return f"{os.fspath(entry)}|{found.st_size}|{found.st_mtime_ns}"


def signature(parts: Sequence[str]) -> str:
    """sha256 over the parts, hexadecimal."""
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
