"""What every reader returns: the images a source has, before any is decoded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from mien.errors import DataError, MissingError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
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


def open_image(path: Path) -> Image.Image:
    """A picture file, fully decoded (the first frame of an animation)."""
    try:
        with Image.open(path) as image:
            image.load()
            return image.copy() if getattr(image, "is_animated", False) else image
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file.") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image ({_reason(error)}).") from error


def existing(path: Path | None, what: str) -> Path:
    """`path` as it is, or the error that says what to give."""
    if path is None:
        raise MissingError(f"Where is {what}? Give --data.path PATH.")
    if not path.exists():
        raise MissingError(f"--data.path {path}: there is no such file or folder.")
    return path


def image_files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Picture files below `folder`, sorted by name, hidden ones left out."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda found: found.name):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from image_files(Path(entry.path))
            elif entry.name.lower().endswith(IMAGE_SUFFIXES):
                yield entry


def file_stamp(entry: os.DirEntry[str] | Path) -> str:
    """Name, size and time of change of a file, for a signature."""
    found = entry.stat()
    return f"{os.fspath(entry)}|{found.st_size}|{found.st_mtime_ns}"


def signature(parts: Sequence[str]) -> str:
    """sha256 over the parts, hexadecimal."""
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no image format recognised"
    return str(error) or type(error).__name__
