"""What a run left behind, read back: recipe, environment, learning curves, predictions and scores."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from mien import config
from mien.atomic import Values, read_arrays, read_json
from mien.config import Recipe
from mien.errors import DataError, MissingError, UsageError, nearest
from mien.runs.predictions import Predictions, predictions_file

Scores = dict[str, Any]

PICTURES = "reconstructions.npz"  # what a run without labels has in place of scores, written last

# The JSON files of a run, and what to do when one is damaged.
RECORDS = {
    "env.json": "Repeat the run.",
    "evaluation.json": "Delete it, then: mien evaluate {run}",
    "robustness.json": "Delete it, then: mien evaluate {run} --robustness",
    "test_reads.json": "It holds the date of every reading of the test split; mend it by hand.",
}


def read_record(run: Path, name: str, default: Values) -> Values:
    """One of RECORDS, `default` where the run has none (yet). Raises DataError when it is damaged."""
    return read_json(run / name, default, RECORDS[name].format(run=run))


def is_finished(run: Path) -> bool:
    """Whether a run has been trained to its end, and scored where it has labels."""
    return any((run / name).is_file() for name in ("evaluation.json", PICTURES))


def is_first_process() -> bool:
    """Of the processes that share a run, the first one makes the folder, evaluates and reports."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


def refuse_headless(run: Path) -> None:
    """Raise UsageError when a run was pretrained without labels, and so answers nothing."""
    if (run / "recipe.yaml").is_file() and not (pretrain := config.read_recipe(run).pretrain).is_off():
        raise UsageError(
            f"{run} was pretrained without labels (pretrain.method {pretrain.method}): it has no head and names no "
            f"classes yet. Train it on labelled images first: mien run RECIPE --model.init {run}"
        )


def refuse_used(folder: Path, overwrite: bool) -> bool:
    """Whether the folder holds a run that is to be overwritten; raises UsageError for one that must not be."""
    if not folder.is_file() and not (folder.exists() and any(folder.iterdir())):
        return False
    if overwrite and not (folder / "recipe.yaml").is_file():
        raise UsageError(f"{folder} is no run folder, so --overwrite leaves it alone. Choose another --out.")
    if not overwrite:
        raise UsageError(f"{folder} exists. Choose another --out, or --overwrite it; a run goes on with --resume.")
    return True


@dataclass(frozen=True)
class RunFolder:
    """A run folder opened for reading. A run that was stopped early may lack its scores or its curves."""

    path: Path
    recipe: Recipe

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises MissingError, with the nearest run beside it, when `path` is no run folder."""
        if not (path / "recipe.yaml").is_file():
            what = "it has no recipe.yaml" if path.is_dir() else "there is no such folder"
            raise MissingError(f"{path} is not a run folder: {what}.{nearest(str(path), _runs_beside(path))}")
        return cls(path, config.read_recipe(path))

    @cached_property
    def env(self) -> dict[str, Any]:
        """env.json: versions, hardware, counts, warnings. {} where the run was stopped before it wrote them."""
        return read_record(self.path, "env.json", {})

    @cached_property
    def test_reads(self) -> list[str]:
        """The dates of every reading of the test split."""
        return read_record(self.path, "test_reads.json", [])

    @cached_property
    def history(self) -> dict[str, list[float]]:
        """The columns of metrics.csv, one number an epoch (nan where one is missing); {} before the first epoch."""
        path = self.path / "metrics.csv"
        if not path.is_file():
            return {}
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        try:
            return {key: [float(row[key] or "nan") for row in rows] for key in rows[0]} if rows else {}
        except (TypeError, ValueError) as error:
            raise DataError(f"{path} is damaged: {error}. Repeat the run, or remove its last line.") from error

    def has_predictions(self, split: str = "validation") -> bool:
        """Whether the run was evaluated on the split."""
        return predictions_file(self.path, split).is_file()

    def predictions(self, split: str = "validation") -> Predictions:
        """Raises MissingError when the run was not evaluated on the split, UsageError when it has no head to be."""
        path = predictions_file(self.path, split)
        if not path.is_file():
            refuse_headless(self.path)
            if not is_finished(self.path):
                raise MissingError(f"{self.path} has not finished. Finish it with: mien run {self.path} --resume")
        return Predictions.load(path)

    def reconstructions(self) -> dict[str, np.ndarray]:
        """Of a run without labels: validation images, what of them it saw and how it filled them; {} of any other.

        'image', 'visible' and 'filled', each uint8 (n, C, S, S).
        """
        path = self.path / PICTURES
        if not path.is_file():
            return {}
        with read_arrays(path, f"mien run {self.path} --resume") as saved:
            return {name: saved[name] for name in ("image", "visible", "filled")}

    def scores(self, split: str = "validation") -> Scores | None:
        """The scores of a split, None where the run has not been scored on it."""
        return read_record(self.path, "evaluation.json", {}).get(split)

    def robustness(self, split: str = "validation") -> list[dict[str, Any]]:
        """The rows of robustness.json (see mien.evaluate.robustness.ChangeScore); [] where it has not been measured."""
        return list(read_record(self.path, "robustness.json", {}).get(split, []))


def _runs_beside(path: Path) -> list[str]:
    return [str(found.parent) for found in path.parent.glob("*/recipe.yaml")]
