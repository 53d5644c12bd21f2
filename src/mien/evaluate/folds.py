"""The folds of a cross-validation joined: every image once, by a network that was not trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from mien.config import Recipe
from mien.errors import DataError, UsageError
from mien.evaluate.calibration import fit_temperature, with_temperature
from mien.evaluate.metrics import score
from mien.runs import Predictions, RunFolder, Scores, is_finished, read_recipe
from mien.runs.folder import runs_in
from mien.runs.writing import write_scores


@dataclass(frozen=True, eq=False)
class PooledFolds:
    """All folds together.

    predictions: of every image, at the temperature that was fitted on the other folds. scores: of these; folds share
    training images, so the interval is a little too narrow (Bengio and Grandvalet 2004). temperature: fitted on all.
    uncalibrated: the expected calibration error without any.
    """

    predictions: Predictions
    scores: Scores
    temperature: float
    uncalibrated: float


def pool(runs: Sequence[Path]) -> PooledFolds:
    """Join the validation predictions of runs of one fold each.

    Raises DataError when an image is scored twice, or runs have different classes.
    """
    folds = [RunFolder.open(run).predictions() for run in runs]
    for run, fold in zip(runs, folds, strict=True):
        if fold.classes != folds[0].classes:
            raise DataError(f"{run} has other classes than {runs[0]}, so it is no fold of the same data.")
    raw = joined(folds)
    if len(set(raw.names)) < len(raw.names):
        again = next(name for name in raw.names if raw.names.count(name) > 1)
        raise DataError(f"{again} is in the validation split of two runs, so they are no folds of the same data.")
    calibrated = joined(
        [with_temperature(fold, fit_temperature(joined([*folds[:i], *folds[i + 1 :]]))) for i, fold in enumerate(folds)]
    )
    return PooledFolds(calibrated, score(calibrated), fit_temperature(raw), score(raw).calibration_error)


def folds_beside(run: Path, recipe: Recipe | None = None) -> list[Path]:
    """The finished folds in the folder of a run on everything, in their order.

    recipe: the run's own; folds of another name, model or data are none of it. None takes all that are there.
    Raises UsageError where the folder has not all of them.
    """
    there = [(other, read_recipe(other)) for other in runs_in(run.parent) if is_finished(other)]
    folds = [(one.data.fold, other, one) for other, one in there if isinstance(one.data.fold, int)]
    own = {number: other for number, other, one in folds if recipe is None or _is_fold_of(one, recipe)}
    wanted = recipe.data.folds if recipe else max((one.data.folds for *_, one in folds), default=1)
    if sorted(own) != list(range(wanted)):
        others = "" if own or not folds else f" of this recipe; {len(folds)} are of another name, model or data"
        raise UsageError(
            f"{run.parent} has {len(own)} finished folds{others}. `data.fold` all trains on everything and is scored "
            "by the folds, so train each of them first, and this run into their folder."
        )
    return [own[number] for number in sorted(own)]


def _is_fold_of(fold: Recipe, recipe: Recipe) -> bool:
    """Whether two runs train the same network on the same data; epochs and seeds may differ, and where things lie."""
    apart = {"data": {"fold", "path"}, "model": {"init"}}
    one, other = (each.model_dump(include={"name", "data", "model"}, exclude=apart) for each in (fold, recipe))
    return one == other


def chosen_epochs(runs: Sequence[Path]) -> int:
    """For how many epochs a run on everything is to train: the median of those that the folds' best weights had."""
    return max(1, round(median(RunFolder.open(run).env.best_epoch or 1 for run in runs)))


def score_by_folds(run: Path) -> None:
    """Give a run on everything the predictions of the folds beside it, out of fold, and their scores."""
    found = joined([RunFolder.open(fold).predictions() for fold in folds_beside(run, read_recipe(run))])
    write_scores(run, "validation", score(found), found)


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Predictions of several sets of images as those of one."""
    return Predictions(
        [name for part in parts for name in part.names],
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        parts[0].classes,
    )
