"""How sure a share is: its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Z95 = 1.959963984540054  # 97.5 % quantile of the normal distribution: a two-sided 95 % interval
TAIL = 0.025


def wilson(correct: float, images: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share, inside 0..1; (0, 1) when there are no images.

    Wilson (1927), Journal of the American Statistical Association 22: 209-212.
    """
    if not images:
        return 0.0, 1.0
    share, z2 = correct / images, Z95**2
    centre = (share + z2 / (2 * images)) / (1 + z2 / images)
    half = Z95 * math.sqrt(share * (1 - share) / images + z2 / (4 * images**2)) / (1 + z2 / images)
    # At the ends the bound is exactly 0 or 1; rounding would leave 1e-17 on the wrong side.
    low = 0.0 if correct == 0 else centre - half
    high = 1.0 if correct == images else centre + half
    return low, high


def of_sample(found: int, sample: int, population: int) -> tuple[int, int]:
    """The exact 95 % interval of a count in a population, from a random sample without replacement.

    found: how many of the sample are such. The interval holds the truth at least in 95 % of samples, also near 0; it is
    (0, population) without a sample. It has the counts that neither tail of the hypergeometric distribution rejects at
    2.5 %, as Clopper and Pearson (1934), Biometrika 26: 404-413, have it for the binomial.
    """
    low = _first(found, population, lambda count: _at_least(found, count, sample, population) > TAIL)
    missed = sample - found
    high = population - _first(missed, population, lambda rest: _at_least(missed, rest, sample, population) > TAIL)
    return low, high


def _first(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """The first number in low..high that fits, of numbers that fit from one on."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    return low


def _at_least(least: int, count: int, sample: int, population: int) -> float:
    """The probability that a sample has at least so many of the `count` in the population."""
    whole = _log_choose(population, sample)
    possible = range(max(least, sample - (population - count)), min(sample, count) + 1)
    logs = (_log_choose(count, k) + _log_choose(population - count, sample - k) - whole for k in possible)
    return math.fsum(map(math.exp, logs))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def bootstrap(measure: Callable[[np.ndarray], float], images: int, draws: int = 500) -> tuple[float, float]:
    """The bootstrap's 95 % interval of a figure of images that is no share of them, such as macro-F1.

    measure: positions (n,) of the images that are drawn, with repeats -> the figure of these. The interval spans the
    percentile and the basic one (Davison and Hinkley, Bootstrap Methods and their Application, 1997, 5.2): they differ
    where drawing biases a figure, as it does a calibration error, and then neither alone is to be trusted.
    """
    random = np.random.default_rng(0)
    found = measure(np.arange(images))
    low, high = np.quantile([measure(random.integers(0, images, images)) for _ in range(draws)], (0.025, 0.975))
    return max(0.0, float(min(low, 2 * found - high))), min(1.0, float(max(high, 2 * found - low)))
