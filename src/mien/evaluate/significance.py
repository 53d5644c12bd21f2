"""More than chance? Tests of two models on the same images, and of two groups of images, and what several tests cost.

Where two models are both right or both wrong says nothing about which is better; McNemar's test asks whether the rest
falls evenly on the two. Fisher's asks whether one model is right as often on some images as on others.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mien.intervals import Z95

Interval = tuple[float, float]
PART = 2**16  # images whose answers are counted at a time


@dataclass(frozen=True)
class Pair:
    """Two runs on the same images. only_first: right in the first run and wrong in the second.

    difference: accuracy of the first minus the second, with its paired 95 % interval.
    p_value: McNemar's exact test; adjusted for the number of pairs (Holm) in adjusted_p_value.
    """

    first: str
    second: str
    both: int
    only_first: int
    only_second: int
    neither: int
    difference: float
    interval: Interval
    p_value: float
    adjusted_p_value: float
    more_than_chance: bool

    def adjusted(self, p_value: float) -> Pair:
        """The same pair where it is one of more tests, with this adjusted p-value."""
        return replace(self, adjusted_p_value=p_value, more_than_chance=p_value < 0.05)

    @property
    def verdict(self) -> str:
        """One sentence: which run is ahead, by how much, and whether that is more than chance."""
        if not self.difference:
            return f"{self.first} and {self.second} are right equally often."
        ahead, behind = (self.first, self.second) if self.difference > 0 else (self.second, self.first)
        low, high = self.interval if self.difference > 0 else (-self.interval[1], -self.interval[0])
        chance = "more than chance" if self.more_than_chance else "no more than chance would give"
        return (
            f"{ahead} is {100 * abs(self.difference):.1f} points ahead of {behind} (95% interval {100 * low:+.1f} to "
            f"{100 * high:+.1f}), {chance} (McNemar p = {self.adjusted_p_value:.2g})."
        )


def mcnemar(a_correct: np.ndarray, b_correct: np.ndarray) -> float:
    """Two-sided p-value of McNemar's exact test for two bool arrays (N,) over the same images.

    The images that only one model gets right are tossed coins if the models are equally good; p is the
    probability of a split at least as uneven. McNemar (1947), Psychometrika 12: 153-157.
    """
    return _mcnemar(*_discordant(a_correct, b_correct))


def _mcnemar(only_a: int, only_b: int) -> float:
    """The p-value of these numbers of images that one model alone gets right."""
    tossed, fewer = only_a + only_b, min(only_a, only_b)
    if only_a == only_b:
        return 1.0
    # Binomial(tossed, 1/2) from `fewer` downwards, by logarithms: 2^tossed overflows from 1,024 images on. What is
    # further off than ten roots of `tossed` is below e^-200 of the first.
    k = np.arange(fewer, max(0, fewer - 10 * math.isqrt(tossed)), -1)
    falling = np.exp(np.cumsum(np.log(k / (tossed - k + 1))))
    first = _log_choose(tossed, fewer) - tossed * math.log(2)
    return min(1.0, 2 * math.exp(first + math.log1p(falling.sum())))


def paired_difference(a_correct: np.ndarray, b_correct: np.ndarray) -> tuple[float, Interval]:
    """Accuracy of a minus accuracy of b over the same N images, and its 95 % interval.

    The interval is Agresti and Min's (2005, Statistics in Medicine 24: 729-740): Wald's with half an image
    added to each of the four outcomes, so that it does not shrink to a point when the models hardly differ.
    """
    return _difference(*_discordant(a_correct, b_correct), len(a_correct))


def _difference(only_a: int, only_b: int, images: int) -> tuple[float, Interval]:
    total, b, c = images + 2, only_a + 0.5, only_b + 0.5
    centre = (b - c) / total
    half = Z95 * math.sqrt(b + c - (b - c) ** 2 / total) / total
    return (only_a - only_b) / images, (max(-1.0, centre - half), min(1.0, centre + half))


def fisher_exact(a: int, b: int, c: int, d: int) -> float:
    """Two-sided p-value of Fisher's exact test for the table [[a, b], [c, d]].

    The probability, with these sums of rows and columns, of a table that is no more likely than this one.
    Fisher (1922), Journal of the Royal Statistical Society 85: 87-94.
    """
    first, second, right = a + b, c + d, a + c
    lowest, highest = max(0, right - second), min(first, right)
    logs = np.array([_log_choose(first, k) + _log_choose(second, right - k) for k in range(lowest, highest + 1)])
    logs -= _log_choose(first + second, right)
    as_unlikely = logs <= logs[a - lowest] + 1e-7  # equal ones differ by rounding
    return min(1.0, math.fsum(np.exp(logs[as_unlikely])))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being several: each stays below 0.05 only if all of them together may.

    Holm (1979), Scandinavian Journal of Statistics 6: 65-70.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def pairs_of(names: Sequence[str], correct: Sequence[np.ndarray]) -> list[Pair]:
    """Every two of some runs, each with its name and bool (N,) over the same images; adjusted for their number."""
    couples = list(itertools.combinations(range(len(names)), 2))
    right, both = _common(correct)
    alone = [(right[i] - both[i][j], right[j] - both[i][j]) for i, j in couples]  # right in one of the two
    p_values = [_mcnemar(*each) for each in alone]
    found = zip(couples, alone, p_values, holm(p_values), strict=True)
    return [
        _pair((names[i], names[j]), both[i][j], each, len(correct[i]), (p, adjusted))
        for (i, j), each, p, adjusted in found
    ]


def _common(correct: Sequence[np.ndarray]) -> tuple[list[int], list[list[int]]]:
    """Of runs' bool (N,): how many images each gets right (R,), and how many every two of them (R, R)."""
    both = np.zeros((len(correct),) * 2)
    for start in range(0, len(correct[0]) if correct else 0, PART):
        part = np.stack([run[start : start + PART] for run in correct]).astype(np.float32)  # exact up to 2^24
        both += part @ part.T
    counts = both.astype(np.int64)
    return np.diagonal(counts).tolist(), counts.tolist()


def _pair(
    names: tuple[str, str], both: int, alone: tuple[int, int], images: int, p_values: tuple[float, float]
) -> Pair:
    difference, interval = _difference(*alone, images)
    return Pair(
        first=names[0],
        second=names[1],
        both=both,
        only_first=alone[0],
        only_second=alone[1],
        neither=images - both - sum(alone),
        difference=difference,
        interval=interval,
        p_value=p_values[0],
        adjusted_p_value=p_values[1],
        more_than_chance=p_values[1] < 0.05,
    )


def _discordant(a: np.ndarray, b: np.ndarray) -> tuple[int, int]:
    return int((a & ~b).sum()), int((~a & b).sum())


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
