"""Picture files: which a folder has, and one of them opened. Training and prediction share it."""

from __future__ import annotations

import errno
import math
import os
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from PIL import Image, UnidentifiedImageError

from mien import media
from mien.errors import DataError, MienError
from mien.jpeg import small_grey
from mien.packed import PackedPath, path_of, scan

# Files of these names are pictures, or are told to be none when they are opened. Others are by their content.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
LITTER = ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir")  # what systems leave behind, as hidden files

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
Entry = os.DirEntry[str] | PackedPath  # on the disk, or in an archive
Name = TypeVar("Name")
SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # which are no fault of the file that is opened
OTHERS = 32  # files that are tried before a source is said to be gone


def open_image(path: Path) -> Image.Image:
    """A picture file, fully decoded (the first frame of an animation).

    Raises DataError when it is none, MienError when this process has too many files open to tell.
    """
    try:
        if kind := odd_kind(path):  # a pipe would be waited for without end
            raise DataError(f"{path} cannot be read as an image (it is {kind}, no file).")
        with _recognised(path) as image:
            image.load()
            return image.copy() if getattr(image, "is_animated", False) else image
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file.") from error
    except UNREADABLE as error:
        refuse_shortage(error)
        raise DataError(f"{path} cannot be read as an image ({_reason(error, path)}).") from error


def odd_kind(path: Path) -> str:
    """'a named pipe', say, for what is no regular file; '' for one. Raises OSError when nothing is there."""
    mode = path.stat().st_mode
    return "" if stat.S_ISREG(mode) else KINDS.get(stat.S_IFMT(mode), "of an unknown kind")


def refuse_shortage(error: BaseException) -> None:
    """Raise MienError where it was the machine that failed, and not the file: it is none to be left out as bad."""
    if isinstance(error, OSError) and error.errno in SHORTAGES:
        raise MienError(
            f"{error.filename or 'A file'} could not be opened: {error.strerror}. That says nothing about the file. "
            "Allow more open files (ulimit -n), or end other programs, and repeat the command."
        ) from error


def is_gone(files: Sequence[Name], failed: Name, is_readable: Callable[[Name], bool]) -> bool:
    """Whether a source is gone (unmounted, closed, on a drive that failed), where one of its files cannot be opened.

    files: all that were there; failed: that one. While one of OTHERS of them, spread over all, can be read, what fails
    is the file's own fault.
    """
    tried = files[:: max(1, math.ceil(len(files) / OTHERS))]
    return not any(file != failed and is_readable(file) for file in tried)


def gone(file: object, error: OSError) -> MienError:
    """What to raise where a source is gone, which a file of it showed by this error."""
    return MienError(
        f"{file} cannot be read ({error.strerror or error}), nor can those beside it. That says nothing about them: "
        "is their drive still there, and may you read them?"
    )


def is_readable(file: Path) -> bool:
    """Whether a byte of a file can be read: from its drive, not from what memory holds of it."""
    try:
        if odd_kind(file):  # a pipe would be waited for without end
            return False
        with file.open("rb", buffering=0) as content:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(content.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            content.read(1)
    except OSError:
        return False
    return True


def image_files(folder: Path, bad: dict[Path, str] | None = None, others: list[Path] | None = None) -> Iterator[Entry]:
    """Picture files below `folder`, sorted by name, hidden ones left out. Files that are none are put into `others`.

    A file is a picture by a usual ending or, without one, by its content. A folder that cannot be listed raises
    DataError, or is put into `bad` with the reason. A link back to a folder that it lies in is left out, with a line
    that says so.
    """
    levels = [_listed(folder, [], bad)]  # from `folder` down to where the walk is
    while levels:
        entry = next(levels[-1].entries, None)
        if entry is None:
            levels.pop()
        elif is_hidden(entry.name):
            continue
        elif is_folder(entry):
            levels.append(_listed(path_of(entry), levels, bad))
        elif is_picture(entry):
            yield entry
        elif others is not None:
            others.append(path_of(entry))


def is_hidden(name: str) -> bool:
    """Whether a file or folder is none of the user's: hidden, or left behind by a system."""
    return name.startswith(".") or name.lower() in LITTER


def is_picture(entry: os.DirEntry[str] | Path) -> bool:
    """Whether a file is taken for a picture: by a usual ending, else by its content."""
    if entry.name.lower().endswith(IMAGE_SUFFIXES):
        return True
    try:
        return stat.S_ISREG(entry.stat().st_mode) and media.is_openable_picture(entry)
    except OSError:
        return False


class _Level(NamedTuple):
    """A folder on the way down: what it is, and what of it is still to come."""

    status: os.stat_result | None
    entries: Iterator[Entry]


def _listed(folder: Path, above: list[_Level], bad: dict[Path, str] | None) -> _Level:
    try:
        status = folder.stat()
        if any(level.status and os.path.samestat(status, level.status) for level in above):
            _note_circle(folder)
            return _Level(None, iter(()))
        with scan(folder) as found:
            return _Level(status, iter(sorted(found, key=lambda entry: entry.name)))
    except OSError as error:
        refuse_shortage(error)
        problem = f"{folder} cannot be listed ({error.strerror})."
        if bad is None:
            raise DataError(f"{problem} Make it readable, or remove it.") from error
        bad[folder] = problem
        return _Level(None, iter(()))


def leads_back(link: Path) -> bool:
    """Whether this is a link to a folder that it lies in; the first time, a line says that it is left out."""
    if not link.is_symlink() or Path(os.path.realpath(link)) not in Path(os.path.realpath(link.parent), "-").parents:
        return False
    _note_circle(link)
    return True


@cache
def _note_circle(folder: Path) -> None:
    from mien.progress import note  # rarely needed, and slow to import

    note(f"{folder} leads back to a folder that it lies in, and is left out.")


def is_folder(entry: os.DirEntry[str] | Path) -> bool:
    """Whether it is a folder or a link to one; a link that leads in circles is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _recognised(path: Path) -> Image.Image:
    """The picture, not yet decoded; HEIC too, whatever the file is called, where pillow-heif is installed."""
    try:
        return _opened(path)
    except UnidentifiedImageError:
        if media.kind_of(path) != media.HEIC or media.lacking(media.HEIC):
            raise
        _register_heic()
        return _opened(path)


def _opened(path: Path) -> Image.Image:
    with path.open("rb") as file:
        if found := small_grey(file):
            return found
    return Image.open(path.open("rb") if isinstance(path, PackedPath) else path)


@cache
def _register_heic() -> None:
    from pillow_heif import register_heif_opener

    register_heif_opener()


def _reason(error: Exception, path: Path) -> str:
    if not isinstance(error, UnidentifiedImageError):
        return str(error) or type(error).__name__
    kind = media.kind_of(path)
    if kind == media.UNKNOWN:
        return "no image format recognised"
    if kind.group != "picture":
        return f"it is {kind.described}"
    advice = media.lacking(kind)
    return f"it is {kind.name}: {advice}" if advice else f"damaged {kind.name}"
