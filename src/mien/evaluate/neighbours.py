"""The nearest pictures in feature space, by cosine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ROWS = 1024  # of queries compared at a time: 100,000 references then take 400 MB


@dataclass(frozen=True, eq=False)
class Nearest:
    """For each of n queries its k nearest references, the nearest first.

    positions: int (n, k). cosines: float32 (n, k), 1 for the same direction.
    """

    positions: np.ndarray
    cosines: np.ndarray


def directions(features: np.ndarray, centre: np.ndarray | None = None) -> np.ndarray:
    """Features (n, ...) as unit vectors (n, D) about `centre`, (D,): what all pictures share says nothing of one."""
    rows = features.reshape(len(features), -1)
    rows = rows - (rows.mean(axis=0) if centre is None else centre)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def nearest(queries: np.ndarray, references: np.ndarray, count: int, *, themselves: bool = False) -> Nearest:
    """The `count` nearest of the unit vectors `references` (m, D) to each of `queries` (n, D); fewer if m is smaller.

    themselves: the queries are the references, and none is its own neighbour.
    """
    count = min(count, len(references) - themselves)
    positions = np.empty((len(queries), count), np.int64)
    cosines = np.empty((len(queries), count), np.float32)
    for start in range(0, len(queries), ROWS):
        found = queries[start : start + ROWS] @ references.T  # (rows, m)
        if themselves:
            own = np.arange(len(found))
            found[own, start + own] = -np.inf
        best = np.argpartition(-found, count - 1, axis=1)[:, :count] if count else np.empty((len(found), 0), np.int64)
        order = np.argsort(-np.take_along_axis(found, best, axis=1), axis=1, kind="stable")
        positions[start : start + ROWS] = best = np.take_along_axis(best, order, axis=1)
        cosines[start : start + ROWS] = np.take_along_axis(found, best, axis=1)
    return Nearest(positions, cosines)


def votes(found: Nearest, labels: np.ndarray, classes: int) -> np.ndarray:
    """The share of each class among the neighbours of each query, (n, K), smoothed by the shares of all references.

    labels: of the references, int (m,).
    """
    prior = np.bincount(labels, minlength=classes) / len(labels)
    tally = np.zeros((len(found.positions), classes))
    rows = np.arange(len(tally))
    for column in found.positions.T:
        np.add.at(tally, (rows, labels[column]), 1)
    return (tally + prior) / (found.positions.shape[1] + 1)
