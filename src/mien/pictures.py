"""Picture files: which a folder has, and one of them opened. Training and prediction share it."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from mien.errors import DataError, MienError
from mien.progress import note

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")

# What Pillow raises for a damaged file, whether it decodes it or looks for a second frame in it.
UNREADABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, struct.error, MemoryError),
    Image.DecompressionBombError,
)


KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}
SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # which are no fault of the file that is opened


def open_image(path: Path) -> Image.Image:
    """A picture file, fully decoded (the first frame of an animation).

    Raises DataError when it is none, MienError when this process has too many files open to tell.
    """
    try:
        if kind := odd_kind(path):  # a pipe would be waited for without end
            raise DataError(f"{path} cannot be read as an image (it is {kind}, no file).")
        with Image.open(path) as image:
            image.load()
            return image.copy() if getattr(image, "is_animated", False) else image
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file.") from error
    except UNREADABLE as error:
        refuse_shortage(error)
        raise DataError(f"{path} cannot be read as an image ({_reason(error)}).") from error


def odd_kind(path: Path) -> str:
    """'a named pipe', say, for what is no regular file; '' for one. Raises OSError when nothing is there."""
    mode = path.stat().st_mode
    return "" if stat.S_ISREG(mode) else KINDS.get(stat.S_IFMT(mode), "of an unknown kind")


def refuse_shortage(error: BaseException) -> None:
    """Raise MienError where it was the machine that failed, and not the file: it is none to be left out as bad."""
    if isinstance(error, OSError) and error.errno in SHORTAGES:
        raise MienError(
            f"{error.filename or 'A file'} could not be opened: {error.strerror}. Nothing is known of the file itself; "
            "nothing was kept. Allow more open files (ulimit -n), or end other programs, and repeat the command."
        ) from error


def image_files(folder: Path, bad: dict[Path, str] | None = None) -> Iterator[os.DirEntry[str]]:
    """Picture files below `folder`, sorted by name, hidden ones left out.

    A folder that cannot be listed raises DataError, or is put into `bad` with the reason. A link back to a folder
    that it lies in is left out, with a line that says so.
    """
    yield from _below(folder, (), bad)


def _below(folder: Path, above: tuple[os.stat_result, ...], bad: dict[Path, str] | None) -> Iterator[os.DirEntry[str]]:
    try:
        here = folder.stat()
        if any(os.path.samestat(here, other) for other in above):
            note(f"{folder} leads back to a folder that it lies in, and is left out.")
            return
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        refuse_shortage(error)
        problem = f"{folder} cannot be listed ({error.strerror})."
        if bad is None:
            raise DataError(f"{problem} Give yourself the right to read it, or remove it.") from error
        bad[folder] = problem
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if is_folder(entry):
            yield from _below(Path(entry.path), (*above, here), bad)
        elif entry.name.lower().endswith(IMAGE_SUFFIXES):
            yield entry


def is_folder(entry: os.DirEntry[str] | Path) -> bool:
    """Whether it is a folder or a link to one; a link that leads in circles is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no image format recognised"
    return str(error) or type(error).__name__
