"""Prediction sets: all the classes that an answer leaves open, such as "sad or neutral (90 %)". No torch.

A class belongs to the set where its probability reaches the least one of that class, which
`mien.evaluate.prediction_sets` fits on validation images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class PredictionSets:
    """What makes sets of probabilities.

    coverage: the share of pictures whose set is to hold the true class, for pictures like those of validation.
    least: for each class, in the order of the logits, the probability from which on it belongs to a set; 0 where the
    class had too few validation images to leave it out of any.
    """

    coverage: float
    least: tuple[float, ...]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PredictionSets:
        """The inverse of what an export keeps. Raises KeyError, TypeError or ValueError where it is something else."""
        return cls(float(values["coverage"]), tuple(float(value) for value in values["least"]))

    def mask(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (B, K) -> which classes are in each set, bool (B, K); at least the most probable."""
        inside = probabilities >= np.asarray(self.least, dtype=probabilities.dtype)
        inside[np.arange(len(inside)), probabilities.argmax(axis=1)] = True
        return inside

    def names(self, probabilities: Sequence[float], labels: Sequence[str]) -> tuple[str, ...]:
        """The set of one picture by the names of its classes, the most probable first."""
        order = sorted(range(len(labels)), key=lambda k: -probabilities[k])
        return tuple(labels[k] for k in order if k == order[0] or probabilities[k] >= self.least[k])
