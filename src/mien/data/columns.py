"""Further columns of a table (camera, sex, light), looked up when somebody asks for them.

They are read from the table each time and kept nowhere: no store, run or picture grows by them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mien.config import Data
from mien.data.text_table import Row, table_rows
from mien.errors import DataError, MissingError, UsageError, nearest

NONE = "(none)"  # of a picture without a value
NAMES = ("path", "name")  # columns that name a picture: as in tables of pictures, as in predictions.csv
FEW = 12  # different values that are subgroups as they are; more numbers than that are put into quarters
MANY = 40  # different words that nobody could compare


def values_of(data: Data, names: Sequence[str], column: str, table: Path | None = None) -> list[str]:
    """The value that a column gives to each of these pictures of a data set, NONE where it gives none.

    names: as the data's store has them. table: one that is not the data's own, with a column path (or name) that holds
    these names. Raises UsageError when the data is no table or has no such column, DataError when the table knows none
    of the pictures or gives one of them two values.
    """
    where = table or _own_table(data)
    found, named = _read(where, column, data.encoding)
    if table and not named:
        raise UsageError(f"`table` {table}: which picture is which row? It needs a column {NAMES[0]} with their names.")
    keys = names if named else [_row(name) for name in names]
    if not any(key in found for key in keys):
        raise DataError(
            f"{where} names none of the {len(names):,} pictures: there '{next(iter(found), '')}', here "
            f"'{next(iter(keys), '')}'. Its column {NAMES[0]} must hold the names that the data has."
        )
    return [found.get(key) or NONE for key in keys]


def subgroups_of(values: Sequence[str], column: str) -> tuple[list[str], bool]:
    """The subgroup of each picture, and whether numbers were put into quarters of about equally many pictures.

    Raises UsageError where there is but one value, or too many to compare.
    """
    different = Counter(value for value in values if value != NONE)
    if len({*values}) < 2:
        raise UsageError(f"`by` {column}: all {len(values):,} pictures have the value '{values[0]}'; none to compare.")
    if len(different) <= FEW:
        return list(values), False
    if all(map(_is_number, different)):
        quarters = _quarters(values)
        if len({*quarters}) < 2:
            raise UsageError(f"`by` {column}: all {len(values):,} pictures have the same number; none to compare.")
        return quarters, True
    if len(different) > MANY:
        raise UsageError(
            f"`by` {column}: {len(different):,} different values, '{next(iter(different))}' among them, are too many "
            f"to compare. Give a column with at most {MANY}, makers in place of cameras say."
        )
    return list(values), False


def _own_table(data: Data) -> Path:
    if data.path is not None and data.path.is_file():
        return data.path
    raise UsageError(
        f"The data ({data.source}) is no table, so it has no columns. Give one that has, with the pictures' names in "
        "its column path: `table`"
    )


def _read(table: Path, column: str, encoding: str | None) -> tuple[dict[str, str], bool]:
    """The values of a column by the names of the pictures, and True; by their rows, and False, where none are named."""
    if not table.is_file():
        raise MissingError(f"`table` {table}: there is no such file.")
    lines = table_rows(table, encoding)
    _, header = next(lines, ("", []))
    columns = [name.strip().lower() for name in header]
    wanted = column.strip().lower()
    if wanted not in columns:
        raise UsageError(
            f"`by` {column}: {table} has no such column.{nearest(wanted, columns)} It has {', '.join(columns)}."
        )
    name = next((columns.index(each) for each in NAMES if each in columns), None)
    found: dict[str, str] = {}
    for key, value, place in _cells(lines, name, columns.index(wanted)):
        if found.setdefault(key, value) != value:
            raise DataError(f"{place}: '{key}' has the {column} '{value}' here and '{found[key]}' in an earlier row.")
    return found, name is not None


def _cells(lines: Iterator[Row], name: int | None, at: int) -> Iterator[tuple[str, str, str]]:
    """(picture, value, 'faces.csv row 7') of each row; what a row lacks is empty."""
    for place, cells in lines:
        filled = [cell.strip() for cell in cells] + [""] * (1 + max(at, name or 0) - len(cells))
        yield _row(place) if name is None else filled[name], filled[at], place


def _row(place: str) -> str:
    """'faces.csv row 7' -> '7': the file may have been renamed."""
    return place.rpartition(" row ")[2]


def _quarters(values: Sequence[str]) -> list[str]:
    """Numbers as the quarter in which they lie, '12 to 37.5'; equal numbers are never parted.

    Where more than three in four are the least or the largest number, these are one part, and all others the other.
    """
    numbers = np.array([math.nan if value == NONE else float(value) for value in values])
    known = numbers[np.isfinite(numbers)]
    edges = np.unique(np.quantile(known, [0, 0.25, 0.5, 0.75, 1], method="inverted_cdf"))
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    elif len(edges) == 2:
        least, largest = edges
        between = least if np.median(known) == least else known[known < largest].max()
        edges = np.array([least, between, largest])
    place = np.clip(np.searchsorted(edges, numbers, side="left") - 1, 0, len(edges) - 2)
    different = sorted({*edges.tolist()})
    told = dict(zip(different, _told_apart(different), strict=True))
    ends = [told[edge] for edge in edges.tolist()]
    names = [f"{'' if i == 0 else 'above '}{ends[i]} to {ends[i + 1]}" for i in range(len(edges) - 1)]
    names = [ends[0] if i == 0 and ends[0] == ends[1] else name for i, name in enumerate(names)]
    return [names[i] if math.isfinite(number) else NONE for i, number in zip(place, numbers, strict=True)]


def _told_apart(numbers: Sequence[float]) -> list[str]:
    """Different numbers with as many digits as tell them apart, six at least: times in seconds need ten."""
    written = ([_written(number, digits) for number in numbers] for digits in range(6, 18))
    return next(each for each in written if len({*each}) == len(numbers))


def _written(number: float, digits: int) -> str:
    return f"{number:.0f}" if number.is_integer() and abs(number) < 1e15 else f"{number:.{digits}g}"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
