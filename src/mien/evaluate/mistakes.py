"""Where a model goes wrong: the errors it is surest of, and the classes it confuses most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.evaluate.metrics import Predictions, confusion_matrix


@dataclass(frozen=True)
class Mistake:
    """One image that a model got wrong; confidence is in the predicted class, label_probability in the true one."""

    name: str
    label: str
    predicted: str
    confidence: float
    label_probability: float


def most_confident_errors(predictions: Predictions, count: int = 12) -> list[Mistake]:
    """The wrong answers given with the most confidence, surest first; often wrong labels or unclear images."""
    wrong = np.flatnonzero(~predictions.correct)
    surest = wrong[np.argsort(-predictions.confidence[wrong], kind="stable")][:count]
    return [
        Mistake(
            name=predictions.names[i],
            label=predictions.classes[predictions.labels[i]],
            predicted=predictions.classes[predictions.predicted[i]],
            confidence=float(predictions.confidence[i]),
            label_probability=float(predictions.probabilities[i, predictions.labels[i]]),
        )
        for i in surest
    ]


def most_confused(predictions: Predictions, minimum: int = 1) -> list[tuple[str, str, int]]:
    """(true class, predicted class, images) of every confusion seen at least `minimum` times, commonest first."""
    matrix = confusion_matrix(predictions)
    np.fill_diagonal(matrix, 0)
    found = np.nonzero(matrix >= max(minimum, 1))
    pairs = [(predictions.classes[i], predictions.classes[j], int(matrix[i, j])) for i, j in zip(*found, strict=True)]
    return sorted(pairs, key=lambda pair: -pair[2])
