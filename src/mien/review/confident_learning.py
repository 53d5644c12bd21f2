"""Which labels out-of-fold probabilities speak against.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels" (arXiv 1911.00068). Each
class has its own threshold, the mean probability that images of that label get for it, so that a class of which a
network is never sure is not suspect as a whole.
"""

from __future__ import annotations

import numpy as np


def thresholds(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The mean probability of class k among the images labelled k, (K,); infinite for a class without images.

    labels: int (N,). probabilities: out of fold, (N, K).
    """
    classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, weights=own(labels, probabilities), minlength=classes)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)


def confident_joint(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """How many images of each label (rows) are confidently of each class (columns), int (K, K).

    An image is confidently of the most probable class among those whose threshold it reaches; of none where it reaches
    no threshold.
    """
    found = _confident(labels, probabilities)
    classes = probabilities.shape[1]
    joint = np.zeros((classes, classes), np.int64)
    np.add.at(joint, (labels[found >= 0], found[found >= 0]), 1)
    return joint


def suspected(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Whether an image is confidently of another class than its label, bool (N,): off the joint's diagonal."""
    found = _confident(labels, probabilities)
    return (found >= 0) & (found != labels)


def relative_confidence(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The probability of each image's own label over the threshold of that class, (N,): 1 is usual, 0 unheard-of.

    By it suspects are ranked, the lowest first. The probability alone would put most images of a rare class first, as
    their probabilities are low throughout, and the normalised margin finds fewer
    (log/2026-11-30-suspects-relative-to-their-class.md).
    """
    return own(labels, probabilities) / np.maximum(thresholds(labels, probabilities)[labels], 1e-9)


def own(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The probability of each image's own label, its self-confidence, (N,)."""
    return probabilities[np.arange(len(labels)), labels]


def best_other(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The most probable class other than the label, int (N,)."""
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = -1
    return others.argmax(axis=1)


def _confident(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The class that each image is confidently of, -1 where it is of none, int (N,)."""
    reached = probabilities >= thresholds(labels, probabilities) - 1e-6  # as cleanlab rounds
    return np.where(reached.any(axis=1), np.where(reached, probabilities, -1).argmax(axis=1), -1)
