"""A CSV file, line by line, with the name that an error gives each line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from mien.errors import DataError


def csv_lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """('faces.csv row 7', its cells) of each line that is not empty, the header first.

    Raises DataError naming the line that is not CSV.
    """
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.reader(file)
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield f"{path.name} row {reader.line_num}", cells
        except csv.Error as error:
            raise DataError(f"{path.name} row {reader.line_num} is not CSV ({error}).") from error
