"""Pictures with what was read from them: boxes, labels and a bar for each probability."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

from PIL import Image, ImageDraw

from mien.atomic import written_whole
from mien.errors import UsageError
from mien.labels import has_expressions
from mien.preprocessing import on_white
from mien.runtime.lettering import Lettering
from mien.runtime.reader import Face, opened

INK, PAPER, ACCENT, QUIET = (24, 28, 36), (255, 255, 255), (42, 111, 219), (214, 220, 230)
LONGEST = 255  # bytes of a file's name on the usual file systems


def save_drawing(path: Path, faces: Sequence[Face], folder: Path, source: Path) -> Path:
    """Draw the faces of a picture, as PNG, into a folder under its own name below `source`; returns the file.

    Raises UsageError when that would replace the picture itself, MienError when it cannot be written.
    """
    below = Path(os.path.relpath(path, source)) if source.is_dir() else Path(path.name)
    target = folder / below.with_name(fitted(below.name, ".png"))
    if (folder / below).resolve() == path.resolve():
        raise UsageError(f"`draw` {folder} holds the pictures themselves. Choose another folder.")
    save_png(draw(opened(path), faces), target)
    return target


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a picture as PNG, whole or not at all. Raises MienError when it cannot be written."""
    with written_whole(path, binary=True) as file:
        picture.save(file, "PNG")


def fitted(name: str, ending: str) -> str:
    """NAME and ending; of a name that leaves no room for it, its beginning and a hash that tells it from others."""
    content = os.fsencode(name)
    if len(content) + len(ending) <= LONGEST:
        return name + ending
    end = f"-{hashlib.sha256(content).hexdigest()[:12]}{ending}"
    return content[: LONGEST - len(end)].decode(errors="ignore") + end


def draw(picture: Image.Image, faces: Sequence[Face]) -> Image.Image:
    """The picture, RGB, with a numbered box around each face and a panel of their probabilities below."""
    image = boxed(picture, faces)
    return _with_panel(image, faces, _unit(image)) if faces else image


def boxed(picture: Image.Image, faces: Sequence[Face], numbers: Iterable[int] | None = None) -> Image.Image:
    """The picture, RGB, with a numbered box and the label around each face; counted from 1 without `numbers`."""
    image = on_white(picture).convert("RGB")
    unit = _unit(image)
    painter = ImageDraw.Draw(image)
    lettering = Lettering(unit, *(label for face in faces for label in face.probabilities))
    for number, face in zip(numbers or count(1), faces, strict=False):
        x, y, width, height = face.box
        painter.rectangle((x, y, x + width, y + height), outline=ACCENT, width=max(2, unit // 6))
        text = f" {number} {face.to_dict()['label']} {face.confidence:.0%} "
        length = lettering.length(text)
        top = max(0, y - round(1.4 * unit))
        painter.rectangle((x, top, x + length, top + round(1.4 * unit)), fill=ACCENT)
        lettering.write(painter, (x, top + unit // 8), text, PAPER)
    return image


def numbered(number: int, labels: Iterable[str]) -> str:
    """'face 2' of a network that reads expressions, '2' of any other."""
    return f"face {number}" if has_expressions(list(labels)) else str(number)


def _unit(image: Image.Image) -> int:
    """Height of a line of text that suits a picture of this size, pixels."""
    return max(11, round(min(image.size) / 40))


def _with_panel(image: Image.Image, faces: Sequence[Face], unit: int) -> Image.Image:
    """A column of bars for each face, as many side by side as fit into the picture's width."""
    labels = list(faces[0].probabilities)
    lettering = Lettering(unit, *labels)
    widest = round(max(map(lettering.length, labels)))
    column = widest + 12 * unit
    beside = max(1, image.width // column)
    rows = -(-len(faces) // beside)
    height = round((len(labels) + 2.6) * 1.3 * unit)
    panel = Image.new("RGB", (max(image.width, column), rows * height), PAPER)
    for number, face in enumerate(faces):
        corner = (number % beside * column + unit, number // beside * height + unit)
        _bars(ImageDraw.Draw(panel), corner, number + 1, face, lettering, widest)
    whole = Image.new("RGB", (panel.width, image.height + panel.height), PAPER)
    whole.paste(image, (0, 0))
    whole.paste(panel, (0, image.height))
    return whole


def _bars(
    painter: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    number: int,
    face: Face,
    lettering: Lettering,
    widest: int,
) -> None:
    """A line for each class: its name, `widest` pixels at most, its bar and its share."""
    (x, y), unit = corner, lettering.size
    lettering.write(painter, (x, y), f"{numbered(number, face.probabilities)}: {face.to_dict()['label']}", INK)
    for line, (label, value) in enumerate(face.probabilities.items(), 1):
        top = y + round((line + 0.3) * 1.3 * unit)
        lettering.write(painter, (x, top), label, INK)
        left, right = x + widest + unit, x + widest + 7 * unit
        painter.rectangle((left, top + unit // 5, right, top + unit), fill=QUIET)
        painter.rectangle((left, top + unit // 5, left + round(value * (right - left)), top + unit), fill=ACCENT)
        lettering.write(painter, (right + unit // 2, top), f"{value:.0%}", INK)
