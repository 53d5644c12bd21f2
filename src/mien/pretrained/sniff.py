"""What a file of weights is by its first bytes, whatever it is called."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from zipfile import is_zipfile

from mien.errors import DataError

SAFETENSORS = ".safetensors"
OTHERS = {
    b"\x89HDF\r\n": "an HDF5 file, as Keras writes it; mien reads weights of PyTorch and JAX",
    b"GGUF": "a GGUF file, which mien does not read",
    b"version https://git-lfs": "a pointer of git-lfs, not the file itself. Fetch it: git lfs pull",
    b"\x1f\x8b": "packed with gzip. Unpack it first",
    b"BZh": "packed with bzip2. Unpack it first",
}


def kind_of(path: Path) -> str:
    """The suffix under which a file is to be read: '.safetensors' where it is such a file, else its own.

    Raises DataError, with the cause, for a file that is empty, cut short, a web page or of another kind.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
    if not size:
        raise DataError(f"{path} is empty. Download or copy it again.")
    for mark, what in OTHERS.items():
        if head.startswith(mark):
            raise DataError(f"{path} is {what}.")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise DataError(f"{path} is a web page. Download the file that the page is about.")
    if head.startswith(b"PK\x03\x04") and not is_zipfile(path):
        raise DataError(f"{path} is cut short: its end is missing after {size:,} bytes. Download or copy it again.")
    whole = _size_of_safetensors(path, head)
    if whole is None:
        return path.suffix
    if size < whole:
        raise DataError(f"{path} is cut short: {size:,} of {whole:,} bytes are there. Download or copy it again.")
    return SAFETENSORS


def _size_of_safetensors(path: Path, head: bytes) -> int | None:
    """The bytes that such a file says it has; None for another kind, or one whose header is damaged."""
    length = int.from_bytes(head[:8], "little")
    if head[8:9] != b"{" or not 0 < length < 100_000_000:
        return None
    with path.open("rb") as file, suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
        header = json.loads(file.read(8 + length)[8:])
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return int(8 + length + max(ends, default=0))
    return None
