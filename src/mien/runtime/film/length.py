"""Whether a film's file is whole, by what its container says of its own length in bytes.

The number of frames does not tell: some formats only estimate it, and a film that was trimmed or that a screen
recorder wrote has fewer than its header says.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

RIFF, EBML, SEGMENT = b"RIFF", b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def missing_bytes(path: Path) -> int:
    """How many bytes the file lacks of what its container promises; 0 where it does not say."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        file.seek(0)
        promised = _promising(start)(file, size)
    return max(0, promised - size)


def _promising(start: bytes) -> Callable[[BinaryIO, int], int]:
    if start[:4] == RIFF:
        return _avi
    if start[:4] == EBML:
        return _matroska
    return _mp4 if start[4:8] == b"ftyp" else lambda file, size: size


def _avi(file: BinaryIO, size: int) -> int:
    """The first RIFF chunk, which in a long film others follow."""
    return 8 + int.from_bytes(file.read(8)[4:], "little")


def _mp4(file: BinaryIO, size: int) -> int:
    """Boxes one after another (ISO/IEC 14496-12, 4.2): a length of 1 has 64 bits behind it, 0 reaches to the end."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:], "big")
        if length < 8:
            return size
        at += length
    return at


def _matroska(file: BinaryIO, size: int) -> int:
    """mkv and webm: the EBML header, then one segment (RFC 8794); a length of ones alone is unknown."""
    file.seek(4)
    length, _ = _length(file)
    file.seek(length, 1)
    if file.read(4) != SEGMENT:
        return size
    length, known = _length(file)
    return file.tell() + length if known else size


def _length(file: BinaryIO) -> tuple[int, bool]:
    """A number of one to eight bytes, whose first bit set says how many, and whether it stands for a length."""
    first = file.read(1)
    if not first:
        return 0, False
    more = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> more)]) + file.read(more), "big")
    return value, value != (1 << 7 * (more + 1)) - 1
