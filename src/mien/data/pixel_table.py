"""CSV files that hold the pixels themselves: fer2013.csv and icml_face_data.csv.

Columns: emotion (0-6), pixels (2304 integers 0-255), Usage (Training, PublicTest, PrivateTest),
in any order; icml_face_data.csv has blanks before the column names.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from mien.data.listing import SPLIT_ALIASES, Listing, file_stamp, signature
from mien.errors import DataError

SIDE = 48
COLUMNS = ("emotion", "pixels", "usage")


def read(path: Path, classes: tuple[str, ...]) -> Listing:
    """List the rows of the file; the pixels are parsed when an image is read.

    Raises DataError naming the row for a label or Usage that is not known, and, when the image is
    read, for a row that has not 2,304 pixels.
    """
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    names: list[str] = []
    numbers: list[int] = []
    splits: list[str] = []
    pixels: list[str] = []
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = csv.reader(file)
        where = _columns(next(rows, []), path)
        for row in rows:
            if not row:
                continue
            name = f"{path.name} row {rows.line_num}"
            if len(row) <= max(where.values()):
                raise DataError(f"{name} has {len(row)} columns, {max(where.values()) + 1} are needed.")
            names.append(name)
            numbers.append(_label(row[where["emotion"]], classes, name))
            splits.append(_split(row[where["usage"]], name))
            pixels.append(row[where["pixels"]])
    if not names:
        raise DataError(f"{path} has a header and no rows.")
    return Listing(
        classes=classes,
        names=names,
        labels=numbers,
        splits=splits,
        read=lambda i: _image(pixels[i], names[i]),
        signature=signature([file_stamp(path)]),
    )


def _columns(header: list[str], path: Path) -> dict[str, int]:
    names = [name.strip().lower() for name in header]
    missing = [column for column in COLUMNS if column not in names]
    if missing:
        raise DataError(
            f"{path} lacks the column '{missing[0]}': its header is {', '.join(names) or 'empty'}. "
            "FER2013's columns are emotion, pixels, Usage; for a table of paths use --data.source table."
        )
    return {column: names.index(column) for column in COLUMNS}


def _label(text: str, classes: tuple[str, ...], name: str) -> int:
    if not text.strip().isdigit() or int(text) >= len(classes):
        raise DataError(f"{name}: emotion is '{text[:20]}', it must be a number from 0 to {len(classes) - 1}.")
    return int(text)


def _split(text: str, name: str) -> str:
    split = SPLIT_ALIASES.get(text.strip().lower())
    if split is None:
        raise DataError(f"{name}: Usage is '{text[:20]}', it must be Training, PublicTest or PrivateTest.")
    return split


def _image(text: str, name: str) -> Image.Image:
    try:
        values = np.array(text.split(), dtype=np.int64)
    except ValueError as error:
        raise DataError(f"{name}: a pixel is not a whole number.") from error
    if values.size != SIDE * SIDE:
        raise DataError(f"{name} has {values.size} pixels, {SIDE * SIDE} are needed.")
    if values.min() < 0 or values.max() > 255:
        raise DataError(f"{name}: pixels must lie in 0..255, found {values.min()}..{values.max()}.")
    return Image.fromarray(values.astype(np.uint8).reshape(SIDE, SIDE))
