"""Prediction sets fitted on validation: split conformal prediction, one threshold a class.

A set holds every class whose probability is at least as high as that of 90 % of this class's own validation images:
the least ambiguous sets with a coverage for each class (Sadinle, Lei and Wasserman, "Least Ambiguous Set-Valued
Classifiers with Bounded Error Levels", arXiv 1609.00451). For pictures drawn like those of validation, and only for
them, the set holds the true class at least that often. One threshold for all classes (`per_class=False`) makes smaller
sets that cover the rare classes less often.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mien.errors import UsageError
from mien.intervals import wilson
from mien.runs import Predictions
from mien.runtime.sets import PredictionSets

COVERAGE = 0.9


@dataclass(frozen=True)
class JudgedSets:
    """Thresholds fitted on all images of a split, and what such sets are worth, by two-fold cross-fitting.

    covered: share of the images whose set holds the true class. size: mean number of classes in a set. single: share of
    the images whose set is one class; single_right: share of these that are right. by_class: `covered` of each class,
    by its name; None for a class without images. interval: the 95 % interval of `covered` (Wilson).
    """

    sets: PredictionSets
    covered: float
    size: float
    single: float
    single_right: float
    by_class: dict[str, float | None]
    interval: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: `coverage` and `least` beside the rest."""
        values = asdict(self)
        return {**values.pop("sets"), **values}


def fit_sets(
    predictions: Predictions, coverage: float = COVERAGE, *, per_class: bool = True, seed: int = 0
) -> JudgedSets:
    """Fit the sets of a split's calibrated predictions and judge them. Raises UsageError for another coverage."""
    check_coverage(coverage)
    labels, classes = predictions.labels, len(predictions.classes)
    half = np.random.default_rng(seed).permutation(len(labels)) % 2
    inside = np.empty((len(labels), classes), dtype=bool)
    for side in (0, 1):
        other, judged = half != side, half == side
        least = _least(predictions.probabilities[other], labels[other], coverage, per_class)
        inside[judged] = PredictionSets(coverage, least).mask(predictions.probabilities[judged])
    held = inside[np.arange(len(labels)), labels]
    single = inside.sum(axis=1) == 1
    return JudgedSets(
        sets=PredictionSets(coverage, _least(predictions.probabilities, labels, coverage, per_class)),
        covered=float(held.mean()),
        size=float(inside.sum(axis=1).mean()),
        single=float(single.mean()),
        single_right=float(held[single].mean()) if single.any() else 0.0,
        by_class={
            name: float(held[labels == k].mean()) if (labels == k).any() else None
            for k, name in enumerate(predictions.classes)
        },
        interval=wilson(int(held.sum()), len(held)),
    )


def check_coverage(coverage: float) -> None:
    """Raise UsageError for a coverage that is no share between 0 and 1."""
    if not 0 < coverage < 1:
        raise UsageError(f"`coverage` {coverage}: give a share between 0 and 1, such as 0.9.")


def _least(probabilities: np.ndarray, labels: np.ndarray, coverage: float, per_class: bool) -> tuple[float, ...]:
    """For each class the probability from which on it is in a set."""
    true = probabilities[np.arange(len(labels)), labels]
    if not per_class:
        return (_quantile(true, coverage),) * probabilities.shape[1]
    return tuple(_quantile(true[labels == k], coverage) for k in range(probabilities.shape[1]))


def _quantile(true: np.ndarray, coverage: float) -> float:
    """The probability that `coverage` of n + 1 images reach: the ceil((n + 1) coverage)-th highest of n; 0 beyond."""
    rank = math.ceil((len(true) + 1) * coverage - 1e-9)
    return float(np.sort(true)[::-1][rank - 1]) if rank <= len(true) else 0.0
