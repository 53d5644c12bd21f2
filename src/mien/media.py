"""What a file is, by its first bytes: a picture, a film, an archive, something else. Its name does not matter."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

HEAD = 512  # bytes that tell all of them apart
RAW_SUFFIXES = (".dng", ".nef", ".cr2", ".arw", ".orf", ".rw2", ".pef", ".srw")  # cameras' own kinds of TIFF
TRANSPORT_PACKET = 188  # bytes between two sync bytes of an MPEG transport stream

Group = Literal["picture", "film", "sound", "archive", "other"]


class Kind(NamedTuple):
    """A kind of file. name: what it is called, 'JPEG' or 'a web page'. group: what it is good for."""

    name: str
    group: Group

    @property
    def described(self) -> str:
        """'a picture (JPEG)', 'a web page'."""
        article = "an" if self.group == "archive" else "a"
        return self.name if self.group == "other" else f"{article} {self.group} ({self.name})"


HEIC, AVIF, JPEG_XL = Kind("HEIC", "picture"), Kind("AVIF", "picture"), Kind("JPEG XL", "picture")
RAW = Kind("camera raw", "picture")
TAR = Kind("tar", "archive")
EMPTY = Kind("an empty file", "other")
UNKNOWN = Kind("of an unknown kind", "other")

STARTS = (
    (b"\xff\xd8\xff", Kind("JPEG", "picture")),
    (b"\x89PNG\r\n\x1a\n", Kind("PNG", "picture")),
    (b"GIF8", Kind("GIF", "picture")),
    (b"II*\0", Kind("TIFF", "picture")),
    (b"MM\0*", Kind("TIFF", "picture")),
    (b"\0\0\0\x0cjP  ", Kind("JPEG 2000", "picture")),
    (b"qoif", Kind("QOI", "picture")),
    (b"\xff\x0a", JPEG_XL),
    (b"\0\0\0\x0cJXL ", JPEG_XL),
    (b"\x1a\x45\xdf\xa3", Kind("Matroska or WebM", "film")),
    (b"\x30\x26\xb2\x75", Kind("Windows Media", "film")),
    (b"FLV\x01", Kind("Flash Video", "film")),
    (b"\0\0\x01\xba", Kind("MPEG", "film")),
    (b"\0\0\x01\xb3", Kind("MPEG", "film")),
    (b"PK\x03\x04", Kind("ZIP", "archive")),
    (b"PK\x05\x06", Kind("ZIP", "archive")),
    (b"\x1f\x8b", Kind("gzip", "archive")),
    (b"BZh", Kind("bzip2", "archive")),
    (b"\xfd7zXZ\0", Kind("xz", "archive")),
    (b"7z\xbc\xaf\x27\x1c", Kind("7-Zip", "archive")),
    (b"Rar!", Kind("RAR", "archive")),
    (b"PAR1", Kind("a Parquet table", "other")),
    (b"\xd0\xcf\x11\xe0", Kind("an Excel or Word file", "other")),
    (b"%PDF", Kind("a PDF", "other")),
    (b"\x93NUMPY", Kind("a NumPy array", "other")),
    (b"\x89HDF", Kind("an HDF5 file", "other")),
    (b"SQLite format 3", Kind("a database", "other")),
    (b"\x80\x02", Kind("a pickle", "other")),
    (b"\x80\x04\x95", Kind("a pickle", "other")),
)
BOXES = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}  # what an MP4 or a QuickTime film begins with
BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), AVIF),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), HEIC),
    **dict.fromkeys((b"M4A ", b"M4B "), Kind("MPEG-4", "sound")),
    b"crx ": RAW,
}
RIFFS = {
    b"WEBP": Kind("WebP", "picture"),
    b"AVI ": Kind("AVI", "film"),
    b"WAVE": Kind("WAVE", "sound"),
}
BITMAP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}  # their lengths; 'BM' alone begins many a text
NETPBM = re.compile(rb"P[1-6]\s+(#|\d)|Pf\s+\d|PF\s+\d")


def kind_of(path: str | os.PathLike[str]) -> Kind:
    """What the file is. Raises OSError when it cannot be read, or is a pipe or a device, which have no end."""
    mode = (path if isinstance(path, Path) else Path(path)).stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "It is no file and no folder", os.fspath(path))
    with path.open("rb") if isinstance(path, Path) else open(path, "rb") as file:
        found = kind_of_bytes(file.read(HEAD))
    return RAW if found.name == "TIFF" and Path(path).suffix.lower() in RAW_SUFFIXES else found


def kind_of_bytes(head: bytes) -> Kind:
    """What a file is that begins with these bytes, HEAD of them or more."""
    if not head:
        return EMPTY
    if known := next((kind for start, kind in STARTS if head.startswith(start)), None):
        return known
    if head[:4] == b"RIFF":
        return RIFFS.get(head[8:12], UNKNOWN)
    if head[4:8] in BOXES:
        return (
            BRANDS.get(head[8:12], Kind("MP4 or QuickTime", "film"))
            if head[4:8] == b"ftyp"
            else Kind("QuickTime", "film")
        )
    return _guessed(head)


def _guessed(head: bytes) -> Kind:
    """Kinds whose first bytes alone are too few to be sure of."""
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in BITMAP_HEADERS:
        return Kind("BMP", "picture")
    if NETPBM.match(head):
        return Kind("Netpbm", "picture")
    if head[257:262] == b"ustar":
        return TAR
    if head[0] == 0x47 and head[TRANSPORT_PACKET : TRANSPORT_PACKET + 1] == b"\x47":
        return Kind("MPEG transport stream", "film")
    if re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)", head, re.I):
        return Kind("a web page", "other")
    return UNKNOWN


@cache
def lacking(kind: Kind) -> str:
    """What has to be done before a picture of this kind can be opened, "pip install 'mien[heic]'" say; '' nothing."""
    if kind == HEIC:
        return "" if find_spec("pillow_heif") else "pip install 'mien[heic]'"
    if kind == AVIF:
        from PIL import features

        return "" if features.check("avif") else "pip install -U pillow"
    return "save as PNG or JPEG" if kind in (JPEG_XL, RAW) else ""


def is_openable_picture(path: str | os.PathLike[str]) -> bool:
    """Whether the file is a picture of a kind that can be opened here; what cannot be read is none."""
    try:
        found = kind_of(path)
    except OSError:
        return False
    return found.group == "picture" and not lacking(found)


def counted(paths: Iterable[Path]) -> dict[str, int]:
    """Files that are no pictures, by their ending: {".heic files (pip install 'mien[heic]')": 9, ".mp4 files": 3}."""
    return dict(Counter(map(_ending, paths)).most_common())


def told(counts: Mapping[str, int]) -> str:
    """What was left out, {'.mp4 files': 3, '.txt files': 1, 'blank': 0}, as '3 .mp4 files, 1 .txt file'."""
    return ", ".join(f"{count:,} {_one(why) if count == 1 else why}" for why, count in counts.items() if count)


def _one(why: str) -> str:
    return re.sub(r"^(\.\S+ )?(file|picture)s\b", r"\1\2", why)


def _ending(path: Path) -> str:
    ending = f"{path.suffix.lower()} files" if path.suffix else "files without an ending"
    try:
        found = kind_of(path)
    except OSError:
        return ending
    advice = lacking(found) if found.group == "picture" else ""
    return f"{ending} ({advice})" if advice else ending
