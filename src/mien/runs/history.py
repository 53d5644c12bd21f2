"""metrics.csv: what every epoch cost and reached."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from mien.atomic import written_whole
from mien.errors import DataError
from mien.runs import layout, manifest

COLUMNS = (
    "epoch",
    "seconds",
    "images_per_second",
    "lr",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "val_calibration_error",
)
EpochMetrics = dict[str, float]  # the columns that were measured; seconds since the start of the training


def read_epochs(run: Path) -> list[EpochMetrics]:
    """The epochs that a run has finished, in order; [] before the first one."""
    return [{key: value for key, value in row.items() if value is not None} for row in _rows(run)]


def write_epochs(run: Path, epochs: Sequence[EpochMetrics]) -> None:
    """Write all epochs of a run. Raises MienError when it cannot."""
    with manifest.changing(run, layout.HISTORY), written_whole(run / layout.HISTORY) as file:
        # No accuracies where there are no labels; an older version's rows have no calibration error.
        known = [name for name in COLUMNS if any(name in epoch for epoch in epochs)]
        writer = csv.DictWriter(file, known)
        writer.writeheader()
        # A whole number, also of a row that was read from the file: a resumed run has the same table.
        writer.writerows({**epoch, "epoch": int(epoch["epoch"])} for epoch in epochs)


def read_columns(run: Path) -> dict[str, list[float]]:
    """The columns of metrics.csv, one number an epoch (nan where one is missing); {} before the first epoch."""
    rows = _rows(run)
    return (
        {key: [math.nan if (value := row[key]) is None else value for row in rows] for key in rows[0]} if rows else {}
    )


def _rows(run: Path) -> list[dict[str, float | None]]:
    """An entry for each column, None where it is empty. Raises DataError for what is no number."""
    path = manifest.check(run, layout.HISTORY)
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                {key: float(value) if value else None for key, value in row.items()} for row in csv.DictReader(file)
            ]
    except (TypeError, ValueError, csv.Error) as error:
        raise DataError(f"{path} is damaged: {error}. Repeat the run, or remove its last line.") from error
