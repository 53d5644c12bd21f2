"""Picture files: which a folder has, and one of them opened. Training and prediction share it."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from mien.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")

# What Pillow raises for a damaged file, whether it decodes it or looks for a second frame in it.
UNREADABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, struct.error, MemoryError),
    Image.DecompressionBombError,
)


def open_image(path: Path) -> Image.Image:
    """A picture file, fully decoded (the first frame of an animation)."""
    try:
        with Image.open(path) as image:
            image.load()
            return image.copy() if getattr(image, "is_animated", False) else image
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file.") from error
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read as an image ({_reason(error)}).") from error


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


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no image format recognised"
    return str(error) or type(error).__name__
