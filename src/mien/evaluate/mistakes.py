"""Where a model goes wrong: the errors it is surest of, those that another does not make, the classes it confuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mien.evaluate.metrics import confusion_matrix
from mien.runs import Predictions

COUNT = 12  # pictures that are looked at


@dataclass(frozen=True)
class Mistake:
    """One image that a model got wrong; confidence is in the predicted class, label_probability in the true one."""

    name: str
    label: str
    predicted: str
    confidence: float
    label_probability: float


@dataclass(frozen=True)
class Disputed(Mistake):
    """A mistake that another model does not make; right_confidence is the other's, in the true class."""

    right_confidence: float


@dataclass(frozen=True)
class Disagreement:
    """The images that one run gets right and another wrong: how many, and those of whose wrong answer it is surest."""

    right: str
    wrong: str
    images: int
    surest: list[Disputed]


def most_confident_errors(predictions: Predictions, count: int = COUNT) -> list[Mistake]:
    """The wrong answers given with the most confidence, surest first; often wrong labels or unclear images."""
    return [_mistake(predictions, i) for i in _surest(predictions, ~predictions.correct)[:count]]


def disagreements(first: tuple[str, Predictions], second: tuple[str, Predictions]) -> list[Disagreement]:
    """Where the first of two named runs is right and the second wrong, and the reverse; both saw the same images."""
    return [_disagreement(*first, *second), _disagreement(*second, *first)]


def most_confused(predictions: Predictions, minimum: int = 1) -> list[tuple[str, str, int]]:
    """(true class, predicted class, images) of every confusion seen at least `minimum` times, commonest first."""
    return confusions(confusion_matrix(predictions), predictions.classes, minimum)


def confusions(matrix: np.ndarray, classes: Sequence[str], minimum: int = 1) -> list[tuple[str, str, int]]:
    """The same of a confusion matrix (K, K): rows are the truth, columns the answers."""
    found = np.nonzero((matrix >= max(minimum, 1)) & ~np.eye(len(matrix), dtype=bool))
    pairs = [(classes[i], classes[j], int(matrix[i, j])) for i, j in zip(*found, strict=True)]
    return sorted(pairs, key=lambda pair: -pair[2])


def _surest(predictions: Predictions, chosen: np.ndarray) -> np.ndarray:
    """Where `chosen`, bool (N,), is True: the most confident answers first."""
    among = np.flatnonzero(chosen)
    return among[np.argsort(-predictions.confidence[among], kind="stable")]


def _mistake(predictions: Predictions, i: int) -> Mistake:
    return Mistake(
        name=predictions.names[i],
        label=predictions.classes[predictions.labels[i]],
        predicted=predictions.classes[predictions.predicted[i]],
        confidence=float(predictions.confidence[i]),
        label_probability=float(predictions.probabilities[i, predictions.labels[i]]),
    )


def _disagreement(right: str, good: Predictions, wrong: str, bad: Predictions) -> Disagreement:
    disputed = _surest(bad, good.correct & ~bad.correct)
    surest = [Disputed(**vars(_mistake(bad, i)), right_confidence=float(good.confidence[i])) for i in disputed[:COUNT]]
    return Disagreement(right, wrong, len(disputed), surest)
