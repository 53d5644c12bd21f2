"""Tables that hold the pixels themselves: fer2013.csv, icml_face_data.csv, train.csv.

Columns: emotion (0-6, or its word), pixels (2304 integers 0-255, in brackets or not) and, where there are splits, Usage
(Training, PublicTest, PrivateTest), in any order; icml_face_data.csv has blanks before the column names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from mien.data.layouts import split_of
from mien.data.listing import Listing, file_stamp, signature
from mien.data.text_table import table_rows
from mien.errors import DataError, nearest
from mien.labels import canonical

SIDE = 48
COLUMNS = ("emotion", "pixels", "usage")
NEEDED = COLUMNS[:2]
PUNCTUATION = str.maketrans("[](),;", "      ")  # around and between pixels, where a list was printed
WHOLE = re.compile(r"\.0*(?=\s|$)")  # of whole numbers that were written as 70.0
DIGITS = 19  # of a number that may be a class's; Python itself takes 4,300 at most
SHOWN = 200  # characters of a header in an error


class PixelRow(NamedTuple):
    """One image of the file. problem: what is wrong with it, or ''."""

    name: str
    label: int = 0
    split: str = ""
    pixels: str = ""
    problem: str = ""


def read(path: Path, classes: tuple[str, ...], encoding: str | None = None) -> Listing:
    """List the rows of the file; the pixels are parsed when an image is read. Without a column Usage splits are ''.

    Raises DataError when the file is not such a table. What is wrong with a row, a label or Usage that
    is not known, say, is in `Listing.problems`; pixels that are not 2,304 numbers show when it is read.
    """
    rows = list(_rows(path, classes, encoding))
    if not rows:
        raise DataError(f"{path} has a header and no rows.")
    return Listing(
        classes=classes,
        names=[row.name for row in rows],
        labels=[row.label for row in rows],
        splits=[row.split for row in rows],
        read=lambda i: _image(rows[i].pixels, rows[i].name),
        signature=signature([file_stamp(path)]),
        problems={i: row.problem for i, row in enumerate(rows) if row.problem},
    )


def open_row(path: Path, number: int) -> Image.Image:
    """The image in the row of this number, the header's being 1. Raises DataError when there is none."""
    text = _pixels(path, path.stat().st_mtime_ns).get(number)
    if text is None:
        raise DataError(f"{path} has no row {number}.")
    return _image(text, f"{path.name} row {number}")


@lru_cache(maxsize=1)
def _pixels(path: Path, changed: int) -> dict[int, str]:
    """Number of a row -> its pixels. changed: when the file was, so that another one is read anew."""
    lines = table_rows(path)
    _, header = next(lines, ("", []))
    column = _columns(header, path)["pixels"]
    return {int(name.rpartition(" ")[2]): cells[column] for name, cells in lines if len(cells) > column}


def _rows(path: Path, classes: tuple[str, ...], encoding: str | None) -> Iterator[PixelRow]:
    lines = table_rows(path, encoding)
    _, header = next(lines, ("", []))
    where = _columns(header, path)
    for name, cells in lines:
        yield _row(cells, where, classes, name)


def _row(cells: list[str], where: dict[str, int], classes: tuple[str, ...], name: str) -> PixelRow:
    if len(cells) <= max(where.values()):
        return PixelRow(name, problem=f"{name} has {len(cells)} columns, {max(where.values()) + 1} are needed.")
    values = {column: cells[position].strip() for column, position in where.items()}
    label = _label(values["emotion"], classes)
    if label is None:
        wanted = f"a number from 0 to {len(classes) - 1}, or a word of {', '.join(classes)}"
        return PixelRow(name, problem=f"{name}: emotion is '{values['emotion'][:20]}', it must be {wanted}.")
    split = split_of(values["usage"]) if "usage" in where else ""
    if split is None:
        wanted = "Training, PublicTest or PrivateTest"
        return PixelRow(name, problem=f"{name}: Usage is '{values['usage'][:20]}', it must be {wanted}.")
    return PixelRow(name, label, split, values["pixels"])


def _label(emotion: str, classes: tuple[str, ...]) -> int | None:
    """'3', '3.0' and 'Happy' -> 3; None for what is none of the classes."""
    number = emotion.removesuffix(".0")
    if number.isdecimal():
        return int(number) if len(number) < DIGITS and int(number) < len(classes) else None
    return classes.index(canonical(emotion)) if canonical(emotion) in classes else None


def _columns(header: list[str], path: Path) -> dict[str, int]:
    names = [name.strip().lower() for name in header]
    missing = [column for column in NEEDED if column not in names]
    if missing:
        raise DataError(
            f"{path} lacks the column '{missing[0]}': its header is {', '.join(names)[:SHOWN] or 'empty'}."
            f"{nearest(missing[0], names)} "
            "FER2013's columns are emotion, pixels, Usage; for a table of paths use `data.source` table."
        )
    return {column: names.index(column) for column in COLUMNS if column in names}


def _image(text: str, name: str) -> Image.Image:
    text = WHOLE.sub("", text.translate(PUNCTUATION))
    if not (text.isascii() and text.replace(" ", "").isdecimal()):
        raise DataError(f"{name}: a pixel is not a whole number from 0 to 255.")
    values = np.fromstring(text, dtype=np.int64, sep=" ")  # four times as fast as int() on each
    if values.size != SIDE * SIDE:
        raise DataError(f"{name} has {values.size:,} pixels, {SIDE * SIDE:,} are needed.")
    if values.max() > 255:
        raise DataError(f"{name}: pixels must lie in 0..255, found {values.max()}.")
    return Image.fromarray(values.astype(np.uint8).reshape(SIDE, SIDE))
