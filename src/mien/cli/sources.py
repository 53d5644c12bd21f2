"""What is typed as sources: names, patterns that no shell has replaced, `-` for a list of names on stdin."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mien.addresses import shown
from mien.errors import MissingError, UsageError
from mien.progress import note

STDIN = Path("/dev/stdin")  # what `-` stands for


def written(address: Path) -> str:
    """What was typed for a path that may be an address: Path makes one slash of two, s3:/bucket of s3://bucket."""
    return re.sub(r"^([a-z][a-z0-9+.-]+):/(?=[^/])", r"\1://", str(address))


def refuse_addresses(*places: Path | None) -> None:
    """Raise UsageError for s3://BUCKET/FOLDER and the like, which only Ray's processes read and write."""
    for address in (written(place) for place in places if place):
        if "://" in address:
            raise UsageError(
                f"{shown(address)} is an address, and nothing on this machine. Folders on an object store "
                "are read and written with --on ray: mien predict SOURCE --out FOLDER --on ray"
            )


def listed(sources: Sequence[Path]) -> list[Path]:
    """The sources, each once, in the order typed. Raises UsageError for none, MissingError for an empty list."""
    if not sources:
        raise UsageError("What is to be read? Give pictures, folders, a video or 'camera': mien predict photo.jpg")
    found = list(dict.fromkeys(each for source in sources for each in _meant(source)))
    if not found:
        raise MissingError("The list on stdin is empty: it takes a name a line.")
    return found


def _meant(source: Path) -> Iterator[Path]:
    if source == STDIN:
        yield from _on_stdin()
    elif not os.path.lexists(source) and glob.has_magic(str(source)):
        matching = sorted(glob.glob(str(source), recursive=True))
        if not matching:
            raise MissingError(f"{source}: no file has such a name.")
        yield from map(Path, matching)
    else:
        yield source


def _on_stdin() -> Iterator[Path]:
    """A name a line, or as `find -print0` separates them. The bytes of a name are kept, whatever they are."""
    if sys.stdin.isatty():
        note("Reading names of pictures from the keyboard, one a line; Ctrl-D ends the list.")
    stream = getattr(sys.stdin, "buffer", None)
    text = os.fsdecode(stream.read()) if stream else sys.stdin.read()
    # Not splitlines, which also ends a line at characters that names may have, U+2028 say.
    names = text.split("\0") if "\0" in text else text.replace("\r\n", "\n").split("\n")
    yield from (Path(name) for name in names if name.strip())
