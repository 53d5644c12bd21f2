"""A run folder, opened for reading."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from mien import config, drafts
from mien.atomic import Values, read_arrays, read_json
from mien.config import Recipe
from mien.config.sweep_plan import is_sweep
from mien.errors import DataError, MissingError, UsageError, nearest
from mien.runs import layout, manifest
from mien.runs.history import read_columns
from mien.runs.predictions import AskedImages, Predictions
from mien.runs.records import ChangeScore, Env, Scores, from_dict, problem

Record = TypeVar("Record")

# The JSON files of a run, and what to do when one is damaged.
WAYS_OUT = {
    layout.ENV: "Repeat the run.",
    layout.SCORES: "Delete it, then: `mien.evaluate({run!r})`",
    layout.ROBUSTNESS: "Delete it, and measure robustness again.",
    layout.TEST_READS: "It holds the date of every reading of the test split; mend it by hand.",
}


def is_run(path: Path) -> bool:
    """Whether a path is a run folder, finished or not."""
    return (path / layout.RECIPE).is_file()


def is_finished(run: Path) -> bool:
    """Whether a run has been trained to its end, and scored where it has labels."""
    return any((run / name).is_file() for name in (layout.SCORES, layout.RECONSTRUCTIONS))


def runs_in(folder: Path, pattern: str = "*") -> list[Path]:
    """The run folders directly below a folder whose names match a pattern, sorted."""
    return sorted(found.parent for found in folder.glob(f"{pattern}/{layout.RECIPE}"))


def read_recipe(run: Path) -> Recipe:
    """The recipe of a run folder. Raises MissingError when it is none, DataError when the file is damaged."""
    path = run / layout.RECIPE
    if not path.is_file():
        raise MissingError(f"{run} is not a run folder: it has no {layout.RECIPE}. Runs lie under runs/.")
    manifest.check(run, layout.RECIPE)
    try:
        return config.build(config.from_file(path))
    except UsageError as error:
        raise DataError(f"The run cannot be read: {error!s}") from error


def read_env(run: Path) -> Env:
    """What a run folder notes of its environment; all None where it was stopped before it wrote that."""
    return _records(run, layout.ENV, Env, {"env": read_record(run, layout.ENV, {})})["env"]


def is_without_data(run: Path) -> bool:
    """Whether a run was adopted without data."""
    return is_run(run) and read_env(run).adopted is not None and read_recipe(run).data.path is None


def refuse_without_data(run: Path) -> None:
    """Raise MissingError for a run that was adopted without data."""
    if is_without_data(run):
        raise MissingError(
            f"{run} was adopted without data. Score it on some: "
            f"`mien.evaluate({str(run)!r}, data={{'path': PICTURES}})`"
        )


def read_scores(run: Path) -> dict[str, Scores]:
    """The scores that a run folder keeps, by their split."""
    return _records(run, layout.SCORES, Scores, read_record(run, layout.SCORES, {}))


def read_robustness(run: Path) -> dict[str, list[ChangeScore]]:
    """The accuracies on changed images that a run folder keeps, by their split."""
    return _records(run, layout.ROBUSTNESS, list[ChangeScore], read_record(run, layout.ROBUSTNESS, {}))


def read_record(run: Path, name: str, default: Values) -> Values:
    """One of the JSON files of a run, `default` where it has none (yet). Raises DataError when it is damaged."""
    way_out = WAYS_OUT[name].format(run=str(run))
    return read_json(manifest.check(run, name, way_out), default, way_out)


def _records(run: Path, name: str, kind: type[Record], values: dict[str, Any]) -> dict[str, Record]:
    try:
        return {key: from_dict(kind, each) for key, each in values.items()}
    except ValueError as error:
        raise DataError(f"{run / name} is damaged: {problem(error)}. {WAYS_OUT[name].format(run=str(run))}") from error


def refuse_headless(run: Path) -> None:
    """Raise UsageError when a run was pretrained without labels, and so answers nothing."""
    if is_run(run) and (recipe := read_recipe(run)).learns == "patches":
        raise UsageError(
            f"{run} was pretrained without labels (pretrain.method {recipe.pretrain.method}): it has no head and names "
            "no classes yet. Train it on labelled images first: "
            f"`mien.train(mien.recipe(RECIPE, model={{'init': {str(run)!r}}}))`"
        )


def model_folder(run: Path) -> Path:
    """The folder of the best epoch's network. Raises MissingError where it is not there, or not whole."""
    if not run.is_dir():
        beside = nearest(str(run), map(str, runs_in(run.parent)))
        raise MissingError(f"{run} is not a run folder: there is no such folder.{beside}")
    folder = run / layout.MODEL
    if not all((run / name).is_file() for name in layout.MODEL_FILES):
        raise unfinished(run)
    return folder


def unfinished(run: Path) -> MissingError:
    """What is to be said of a run folder without a whole model."""
    if is_sweep(run):
        page = run / layout.SWEEP_PAGE
        return MissingError(f"{run} is a sweep. Take one of the runs in it; the best is first in {page}.")
    if (run / layout.SCORES).is_file():
        return MissingError(f"{run} was finished, but {run / layout.MODEL} is no longer whole. Repeat the run.")
    return MissingError(f"{run} has no finished model. Finish it with: `mien.resume({str(run)!r})`")


@dataclass(frozen=True)
class RunFolder:
    """A run folder opened for reading. A run that was stopped early may lack its scores or its curves."""

    path: Path
    recipe: Recipe

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Raises MissingError, with the nearest run beside it, when `path` is no run folder."""
        path = Path(os.path.expanduser(path))
        if not path.exists():
            drafts.clear(path.parent)  # one that a killed process was overwriting comes back
        if not is_run(path):
            if is_sweep(path):
                below = ", ".join(map(str, runs_in(path))) or "none yet"
                raise MissingError(
                    f"{path} is a sweep, not a run; its page is {path / layout.SWEEP_PAGE}. Runs in it: {below}."
                )
            what = f"it has no {layout.RECIPE}" if path.is_dir() else "there is no such folder"
            beside = nearest(str(path), map(str, runs_in(path.parent)))
            raise MissingError(f"{path} is not a run folder: {what}.{beside}")
        return cls(path, read_recipe(path))

    @cached_property
    def env(self) -> Env:
        """Versions, hardware, counts, costs and warnings; all None where the run was stopped before it wrote them."""
        return read_env(self.path)

    @property
    def test_reads(self) -> list[str]:
        """The dates of every reading of the test split."""
        return read_record(self.path, layout.TEST_READS, [])

    @cached_property
    def history(self) -> dict[str, list[float]]:
        """The columns of metrics.csv, one number an epoch (nan where one is missing); {} before the first epoch."""
        return read_columns(self.path)

    @property
    def scores(self) -> dict[str, Scores]:
        """The scores of every split on which the run was scored: run.scores["validation"].accuracy."""
        return read_scores(self.path)

    @property
    def robustness(self) -> dict[str, list[ChangeScore]]:
        """The accuracies on changed images of every split on which they were measured."""
        return read_robustness(self.path)

    def has_predictions(self, split: str = "validation") -> bool:
        """Whether the run was evaluated on the split."""
        return Predictions.of_run(self.path, split) is not None

    def predictions(self, split: str = "validation") -> Predictions:
        """Raises MissingError when the run was not evaluated on the split, UsageError when it has no head to be."""
        return Predictions.load(self._predictions_file(split))

    def asked(self, split: str = "validation") -> AskedImages:
        """The images of `predictions` without what the model said of them; errors as of it."""
        return Predictions.load_asked(self._predictions_file(split))

    def _predictions_file(self, split: str) -> Path:
        path = Predictions.of_run(self.path, split)
        if path is not None:
            return path
        refuse_headless(self.path)
        refuse_without_data(self.path)
        if not is_finished(self.path):
            raise MissingError(f"{self.path} has not finished. Finish it with: `mien.resume({str(self.path)!r})`")
        return layout.predictions(self.path, split)

    def reconstructions(self) -> dict[str, np.ndarray]:
        """Of a run without labels: validation images, what of them it saw and how it filled them; {} of any other.

        'image', 'visible' and 'filled', each uint8 (n, C, S, S).
        """
        path = manifest.check(self.path, layout.RECONSTRUCTIONS)
        if not path.is_file():
            return {}
        with read_arrays(path, f"`mien.resume({str(self.path)!r})`") as saved:
            return {name: saved[name] for name in ("image", "visible", "filled")}
