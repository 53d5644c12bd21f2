"""Text in pictures, each letter in a font that has it.

DejaVu Sans comes with the package, cut down to Latin, Greek and Cyrillic (100 KB). Fonts of other scripts are large:
those of the machine are taken.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from PIL import ImageDraw, ImageFont

from mien.assets import asset
from mien.progress import note

Place = tuple[str, int]  # a file, and which of its fonts

OWN: Place = str(asset("dejavu", "DejaVuSans.ttf")), 0
# Of macOS, Windows, and Linux without fontconfig.
KNOWN = (
    *("PingFang.ttc", "Hiragino Sans GB.ttc", "STHeiti Light.ttc", "AppleSDGothicNeo.ttc", "Arial Unicode.ttf"),
    *("msyh.ttc", "YuGothM.ttc", "malgun.ttf", "Nirmala.ttf", "segoeui.ttf", "seguisym.ttf"),
    *("NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "DroidSansFallbackFull.ttf", "DejaVuSans.ttf"),
)
FOLDERS = ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts", "/usr/share/fonts", "~/.local/share/fonts")
STYLED = ("bold", "italic", "oblique", "light", "condensed", "narrow", "serif", "mono")  # taken last


class Lettering:
    """Writes the given texts, and ASCII, at a height in pixels.

    Letters that no font of the machine has are drawn as boxes, which is said once.
    """

    def __init__(self, size: int, *texts: str) -> None:
        self.size = size
        places = _places(frozenset("".join(texts)))
        self._own = ImageFont.truetype(OWN[0], size, OWN[1])
        self._fonts = {place: ImageFont.truetype(place[0], size, place[1]) for place in set(places.values())}
        self._others = {letter: self._fonts[place] for letter, place in places.items()}

    def length(self, text: str) -> float:
        """Width of a text, pixels."""
        return sum(font.getlength(part) for font, part in self._parts(text))

    def write(
        self, painter: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, fill: tuple[int, int, int]
    ) -> None:
        """Draw a text whose upper left corner is given; all its letters stand on one line."""
        x, baseline = corner[0], corner[1] + self._own.getmetrics()[0]
        for font, part in self._parts(text):
            painter.text((x, baseline), part, font=font, fill=fill, anchor="ls")
            x += font.getlength(part)

    def _parts(self, text: str) -> Iterator[tuple[ImageFont.FreeTypeFont, str]]:
        for font, letters in groupby(text, lambda letter: self._others.get(letter, self._own)):
            yield font, "".join(letters)


def lacking(place: Place, letters: Iterable[str]) -> frozenset[str]:
    """Those that a font cannot draw: all of them where its file cannot be read. Spaces and marks do not count."""
    drawn = [letter for letter in letters if letter.isprintable() and unicodedata.category(letter)[0] not in "ZMC"]
    try:
        font = ImageFont.truetype(place[0], 20, place[1])
        nothing = {b"", bytes(font.getmask("\uffff"))}  # what it draws for a letter that it lacks
        return frozenset(letter for letter in drawn if bytes(font.getmask(letter)) in nothing)
    except (OSError, ValueError):
        return frozenset(drawn)


@lru_cache(maxsize=64)
def _places(letters: frozenset[str]) -> dict[str, Place]:
    """Where the fonts of those letters lie that the package's own font lacks; one for all where there is one."""
    missing = lacking(OWN, letters)
    found = {letter: place for place in _with(missing) for letter in missing}
    found = found or {letter: place for letter in missing for place in _with(frozenset(letter))}
    if without := sorted(missing - found.keys()):
        note(
            f"No font of this machine has {' '.join(without[:8])}: boxes are drawn in their place. Install one that "
            "has, such as Noto Sans."
        )
    return found


def _with(letters: frozenset[str]) -> list[Place]:
    """The first font found that has all of the letters, if there is one."""
    return next(([place] for place in _candidates(letters) if not lacking(place, letters)), []) if letters else []


def _lines(command: list[str]) -> list[str]:
    """What a command prints; nothing where it cannot be run, or takes too long: fontconfig may have to look anew."""
    with suppress(OSError, subprocess.TimeoutExpired):
        return os.fsdecode(subprocess.run(command, capture_output=True, timeout=20, check=False).stdout).splitlines()
    return []


def _candidates(letters: frozenset[str]) -> Iterator[Place]:
    """What fontconfig names for these letters, then the usual fonts of other systems."""
    if shutil.which("fc-list"):
        wanted = " ".join(f"{ord(letter):x}" for letter in letters)
        asked = ["fc-list", "--format", "%{file}|%{index}\n", f":charset={wanted}"]
        for line in sorted(_lines(asked), key=lambda line: (sum(word in line.lower() for word in STYLED), line)):
            path, _, index = line.rpartition("|")
            yield path, int(index or 0) & 0xFFFF  # the upper bits count the instances of a variable font
    folders = [*map(Path, map(os.path.expanduser, FOLDERS)), Path(os.environ.get("WINDIR", r"C:\Windows"), "Fonts")]
    there = [folder for folder in folders if folder.is_dir()]
    yield from ((str(path), 0) for name in KNOWN for folder in there for path in folder.rglob(name))
