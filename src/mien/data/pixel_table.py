"""CSV files that hold the pixels themselves: fer2013.csv and icml_face_data.csv.

Columns: emotion (0-6), pixels (2304 integers 0-255), Usage (Training, PublicTest, PrivateTest),
in any order; icml_face_data.csv has blanks before the column names.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from mien.data.listing import SPLIT_ALIASES, Listing, file_stamp, signature
from mien.data.text_table import csv_lines
from mien.errors import DataError

SIDE = 48
COLUMNS = ("emotion", "pixels", "usage")


class PixelRow(NamedTuple):
    """One image of the file. problem: what is wrong with it, or ''."""

    name: str
    label: int = 0
    split: str = ""
    pixels: str = ""
    problem: str = ""


def read(path: Path, classes: tuple[str, ...]) -> Listing:
    """List the rows of the file; the pixels are parsed when an image is read.

    Raises DataError when the file is not such a table. What is wrong with a row, a label or Usage that
    is not known, say, is in `Listing.problems`; pixels that are not 2,304 numbers show when it is read.
    """
    rows = list(_rows(path, classes))
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


def _rows(path: Path, classes: tuple[str, ...]) -> Iterator[PixelRow]:
    lines = csv_lines(path)
    _, header = next(lines, ("", []))
    where = _columns(header, path)
    for name, cells in lines:
        yield _row(cells, where, classes, name)


def _row(cells: list[str], where: dict[str, int], classes: tuple[str, ...], name: str) -> PixelRow:
    if len(cells) <= max(where.values()):
        return PixelRow(name, problem=f"{name} has {len(cells)} columns, {max(where.values()) + 1} are needed.")
    emotion, pixels, usage = (cells[where[column]].strip() for column in COLUMNS)
    if not (emotion.isdecimal() and int(emotion) < len(classes)):
        wanted = f"a number from 0 to {len(classes) - 1}"
        return PixelRow(name, problem=f"{name}: emotion is '{emotion[:20]}', it must be {wanted}.")
    split = SPLIT_ALIASES.get(usage.lower())
    if split is None:
        wanted = "Training, PublicTest or PrivateTest"
        return PixelRow(name, problem=f"{name}: Usage is '{usage[:20]}', it must be {wanted}.")
    return PixelRow(name, int(emotion), split, pixels)


def _columns(header: list[str], path: Path) -> dict[str, int]:
    names = [name.strip().lower() for name in header]
    missing = [column for column in COLUMNS if column not in names]
    if missing:
        raise DataError(
            f"{path} lacks the column '{missing[0]}': its header is {', '.join(names) or 'empty'}. "
            "FER2013's columns are emotion, pixels, Usage; for a table of paths use `data.source` table."
        )
    return {column: names.index(column) for column in COLUMNS}


def _image(text: str, name: str) -> Image.Image:
    if not (text.isascii() and text.replace(" ", "").isdecimal()):
        raise DataError(f"{name}: a pixel is not a whole number from 0 to 255.")
    values = np.fromstring(text, dtype=np.int64, sep=" ")  # four times as fast as int() on each
    if values.size != SIDE * SIDE:
        raise DataError(f"{name} has {values.size:,} pixels, {SIDE * SIDE:,} are needed.")
    if values.max() > 255:
        raise DataError(f"{name}: pixels must lie in 0..255, found {values.max()}.")
    return Image.fromarray(values.astype(np.uint8).reshape(SIDE, SIDE))
