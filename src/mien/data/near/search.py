"""Which pairs of images are worth a closer look: those whose descriptions are the most alike, shifted or mirrored.

Up to EXACT images every pair is compared. Beyond, TREES random trees halve the images at the median of a random
direction until at most LEAF are together, and pairs are compared within leaves: n log n in all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mien.data.near.descriptions import SHIFTS, Descriptions

QUOTA = 4  # pairs that are looked at, for each image
FEWEST = 2000  # pairs that are looked at in any case
SAMPLE = 300_000  # random pairs, at most, that tell how alike such a pair is
EXACT, LEAF, TREES = 2**17, 2**15, 4
CENTRE = SHIFTS.index((0, 0))
ROWS, COLUMNS = 512, 1024  # of a block of pairs; its products stay in the processor's cache


@dataclass(frozen=True)
class Candidates:
    """Pairs to look at: first and second, int64 (P,), first < second; shift, int64 (P,), an index into SHIFTS by which
    the first is to be shifted; mirrored, bool (P,)."""

    first: np.ndarray
    second: np.ndarray
    shift: np.ndarray
    mirrored: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, chosen: np.ndarray | slice) -> Candidates:
        return Candidates(self.first[chosen], self.second[chosen], self.shift[chosen], self.mirrored[chosen])


def candidates(described: list[Descriptions], *, exact: int = EXACT, leaf: int = LEAF) -> Candidates:
    """The most alike of all pairs, about QUOTA an image. described: see `describe`, one for each of SHIFTS."""
    count = len(described[0].even)
    random = np.random.default_rng(0)
    limit = _limit(described, random)
    leaves = [np.arange(count)] if count <= exact else [*_leaves(described[CENTRE].even, leaf, random)]
    codes = [each for positions in leaves for each in _alike(described, positions, limit)]
    both = np.unique(np.concatenate(codes)) if codes else np.empty(0, np.int64)
    first, second = both // count, both % count
    alike = [_products(each[first], described[CENTRE][second]) for each in described] if len(both) else []
    if not alike:
        return Candidates(first, second, first, first.astype(bool))
    best = np.argmax([even + np.abs(odd) for even, odd in alike], axis=0)
    odd = np.stack([odd for _, odd in alike])[best, np.arange(len(best))]
    return Candidates(first, second, best, odd < 0)


def _products(a: Descriptions, b: Descriptions) -> tuple[np.ndarray, np.ndarray]:
    return np.einsum("nd,nd->n", a.even, b.even), np.einsum("nd,nd->n", a.odd, b.odd)


def _limit(described: list[Descriptions], random: np.random.Generator) -> float:
    """How alike two descriptions must be, so that about QUOTA pairs an image are, and FEWEST in all."""
    count = len(described[0].even)
    first, second = random.integers(0, count, (2, min(SAMPLE, 20 * count)))
    first, second = first[first != second], second[first != second]
    if not len(first):
        return 1.0
    alike = np.full(len(first), -1.0, np.float32)
    for each in described:
        even, odd = _products(each[first], described[CENTRE][second])
        np.maximum(alike, even + np.abs(odd), out=alike)
    share = max(QUOTA * count, FEWEST) / (count * (count - 1) / 2)
    return float(np.quantile(alike, 1 - share)) if share < 1 else -1.0


def _leaves(even: np.ndarray, leaf: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Positions of images that are compared with each other; the mirror changes nothing of where an image comes."""
    for _ in range(TREES):
        waiting = [np.arange(len(even))]
        while waiting:
            inside = waiting.pop()
            if len(inside) <= leaf:
                yield np.sort(inside)
                continue
            a, b = random.choice(inside, 2, replace=False)
            order = inside[np.argsort(even[inside] @ (even[a] - even[b]))]
            waiting += [order[: len(order) // 2], order[len(order) // 2 :]]


def _alike(described: list[Descriptions], positions: np.ndarray, limit: float) -> Iterator[np.ndarray]:
    """Pairs of `positions` (ascending) at least as alike as `limit`, as first * N + second, block by block."""
    count = len(described[0].even)
    shifted = [each[positions] for each in described]
    plain = shifted[CENTRE]
    space = np.empty((3, ROWS * COLUMNS), np.float32)
    for row in range(0, len(positions), ROWS):
        rows = slice(row, min(row + ROWS, len(positions)))
        for column in range(row, len(positions), COLUMNS):
            columns = slice(column, min(column + COLUMNS, len(positions)))
            first, second = np.divmod(_found(shifted, plain, rows, columns, limit, space), columns.stop - column)
            first, second = first + row, second + column
            kept = first < second
            if kept.any():
                yield positions[first[kept]] * count + positions[second[kept]]


def _found(
    shifted: list[Descriptions], plain: Descriptions, rows: slice, columns: slice, limit: float, space: np.ndarray
) -> np.ndarray:
    """Positions in a block of pairs, row by row, where the most alike shift reaches the limit. space: scratch."""
    shape = rows.stop - rows.start, columns.stop - columns.start
    best, even, odd = (part[: shape[0] * shape[1]].reshape(shape) for part in space)
    best.fill(-1)
    for each in shifted:
        np.matmul(each.even[rows], plain.even[columns].T, out=even)
        np.matmul(each.odd[rows], plain.odd[columns].T, out=odd)
        np.abs(odd, out=odd)
        even += odd
        np.maximum(best, even, out=best)
    return np.flatnonzero(best.ravel() >= limit) if best.max() >= limit else np.empty(0, np.int64)
