"""A table that lists pictures: columns path and label, and, where wanted, split and group.

Paths are relative to the table; 'fer2013.csv row 7' is a row of a table of pixels. Images of one group (a person, a
video) never end in different splits.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from mien.data import pixel_table
from mien.data.layouts import split_of
from mien.data.listing import SPLITS, Listing, existing, file_stamp, signature
from mien.data.text_table import table_rows
from mien.errors import DataError, MissingError, nearest
from mien.labels import folded, merged, one_spelling
from mien.pictures import open_image
from mien.words import count

COLUMNS = ("path", "label", "split", "group")
PIXEL_ROW = re.compile(r"(.+) row (\d{1,18})", re.S)


class PathRow(NamedTuple):
    """One picture of the table. place: what an error calls it, 'faces.csv row 7'. problem: what is wrong, or ''.

    path: as the table writes it. file: where it is.
    """

    place: str
    path: str = ""
    label: str = ""
    split: str = ""
    group: str = ""
    problem: str = ""
    file: Path = Path()


def read(path: Path | None, encoding: str | None = None) -> Listing:
    """List the pictures of a table. Classes are its labels, sorted; spellings of one name are one class.

    Without a split column splits are ''. encoding: of the text, see `mien.data.text_table`.
    Raises MissingError when the table is not there, DataError when it is not such a table or a group is
    in two splits. What is wrong with a row (a picture that is not there, an empty label, an unknown
    split, too few columns) is in `Listing.problems`.
    """
    table = existing(path, "the CSV file of path, label")
    if table.is_dir():
        raise MissingError(f"`data.path` {table} is a folder; give the CSV file, or `data.source` folder.")
    rows = list(_rows(table, encoding))
    if not rows:
        raise DataError(f"{table} has a header and no rows.")
    spelling = one_spelling(Counter(row.label for row in rows if not row.problem))
    rows = [row._replace(label=spelling.get(row.label, row.label)) for row in rows]
    good = [row for row in rows if not row.problem]
    _refuse_split_groups(good)
    index = {name: position for position, name in enumerate(_classes(good, rows, table))}
    return Listing(
        classes=tuple(index),
        names=[row.path or row.place for row in rows],
        labels=[index.get(row.label, 0) for row in rows],
        splits=[row.split for row in rows],
        read=lambda i: _open(rows[i].file, rows[i].place),
        signature=signature([file_stamp(table), *(_stamp(row.file) for row in rows)]),
        groups=_groups(rows),
        problems={i: row.problem for i, row in enumerate(rows) if row.problem},
        notes=merged(spelling),
    )


def _rows(table: Path, encoding: str | None) -> Iterator[PathRow]:
    lines = table_rows(table, encoding)
    _, header = next(lines, ("", []))
    where = _columns(header, table)
    for place, cells in lines:
        yield _row(cells, where, place, table.parent)


def _columns(header: Sequence[str], table: Path) -> dict[str, int]:
    """Column name -> its place; names may be in any case, with blanks around them."""
    names = [name.strip().lower() for name in header]
    for needed in COLUMNS[:2]:
        if needed not in names:
            raise DataError(
                f"{table} lacks the column '{needed}': its first line is '{','.join(header)[:200]}'."
                f"{nearest(needed, names)} Needed are path and label; split and group may follow."
            )
    return {name: names.index(name) for name in COLUMNS if name in names}


def _row(cells: Sequence[str], where: dict[str, int], place: str, folder: Path) -> PathRow:
    if len(cells) <= max(where.values()):
        return PathRow(place, problem=f"{place} has {len(cells)} columns, {max(where.values()) + 1} are needed.")
    values = {name: cells[position].strip() for name, position in where.items()}
    split = split_of(values["split"]) if "split" in where else ""
    empty = next((name for name in COLUMNS[:2] if not values[name]), None)
    file = _found(folder, values["path"])
    problem = ""
    if empty:
        problem = f"{place}: the {empty} is empty."
    elif split is None:
        problem = f"{place}: the split is '{values['split']}', it must be {', '.join(SPLITS[:-1])} or {SPLITS[-1]}."
    elif not _is_there(file):
        problem = f"{place}: {file} is not there. Paths are relative to the table."
    return PathRow(place, values["path"], values["label"], split or "", values.get("group", ""), problem, file)


def place_of(folder: Path, path: str) -> Path | None:
    """Where the picture is that a table in this folder calls `path`, a file or a row of pixels; None: nowhere."""
    place = _found(folder, path)
    return place if _is_there(place) else None


def _found(folder: Path, path: str) -> Path:
    """The file that a path means: as it is written, or with slashes for backslashes, or accents and case as on disk."""
    exact = folder / path
    if not path or _is_there(exact):
        return exact
    step = folder
    for part in Path(path.replace("\\", "/")).parts:
        step = step / _spellings(step).get(folded(part), part)
    return step if _is_file(step) else exact


@lru_cache(maxsize=64)
def _spellings(folder: Path) -> dict[str, str]:
    """folded name -> the name in a folder; names that differ in nothing else are left out."""
    try:
        names = os.listdir(folder)
    except (OSError, ValueError):
        return {}
    counts = Counter(map(folded, names))
    return {folded(name): name for name in names if counts[folded(name)] == 1}


def _classes(good: Sequence[PathRow], rows: Sequence[PathRow], table: Path) -> tuple[str, ...]:
    """The labels of the training rows; validation and test may not have further ones."""
    classes = sorted({row.label for row in good if row.split in ("", "train")})
    strange = next((row for row in good if row.label not in classes), None)
    if strange:
        raise DataError(
            f"{strange.place}: the label '{strange.label}' is in {strange.split} and not in train "
            f"(there: {', '.join(classes) or 'nothing'}).{nearest(strange.label, classes)}"
        )
    if len(classes) < 2:
        wrong = next((row.problem for row in rows if row.problem), "A classifier needs at least two.")
        raise DataError(f"{table} has {count(len(classes), 'label')} in its usable training rows. {wrong}")
    return tuple(classes)


def _groups(rows: Sequence[PathRow]) -> tuple[str, ...]:
    """The group of each row; a row without one is a group of its own. Empty where no row has one."""
    if not any(row.group for row in rows):
        return ()
    return tuple(f"group {row.group}" if row.group else row.place for row in rows)


def _refuse_split_groups(rows: Sequence[PathRow]) -> None:
    first: dict[str, PathRow] = {}
    for row in rows:
        earlier = first.setdefault(row.group, row) if row.group else row
        if earlier.split != row.split:
            raise DataError(
                f"Group '{row.group}' is in two splits: {earlier.place} says {earlier.split}, {row.place} says "
                f"{row.split}. Put all its rows in one split, or leave the split column out."
            )


def _stamp(path: Path) -> str:
    if _is_file(path):
        return file_stamp(path)
    row = pixel_row(path)
    return f"{file_stamp(row[0])}|{row[1]}" if row else f"{path} is missing"


def pixel_row(path: Path) -> tuple[Path, int] | None:
    """The table and the number of the row, the header's being 1, that 'fer2013.csv row 7' means; None for another."""
    found = PIXEL_ROW.fullmatch(str(path))
    return (Path(found[1]), int(found[2])) if found and _is_file(Path(found[1])) else None


def _is_there(path: Path) -> bool:
    return _is_file(path) or pixel_row(path) is not None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (ValueError, OSError):  # a NUL in the path, a name longer than there can be
        return False


def _open(path: Path, place: str) -> Image.Image:
    row = None if _is_file(path) else pixel_row(path)
    try:
        return pixel_table.open_row(*row) if row else open_image(path)
    except DataError as error:
        raise DataError(f"{place}: {error}") from error
