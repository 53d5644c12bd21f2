"""How sure a share is: its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Z95 = 1.959963984540054  # 97.5 % quantile of the normal distribution: a two-sided 95 % interval


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


def clopper_pearson(correct: int, images: int) -> tuple[float, float]:
    """The exact 95 % interval of a share: it holds the truth at least that often, also near 0; (0, 1) without images.

    Clopper and Pearson (1934), Biometrika 26: 404-413.
    """
    low = 0.0 if not correct else _where(lambda share: 1 - _at_most(correct - 1, images, share))
    high = 1.0 if correct == images else _where(lambda share: 1 - _at_most(correct, images, share), upper=True)
    return low, high


def _where(more: Callable[[float], float], upper: bool = False) -> float:
    """The share at which `more`, which rises with it, reaches 2.5 % (upper: 97.5 %)."""
    low, high = 0.0, 1.0
    for _ in range(60):  # halvings: 1e-18
        middle = (low + high) / 2
        low, high = (low, middle) if more(middle) > (0.975 if upper else 0.025) else (middle, high)
    return (low + high) / 2


def _at_most(most: int, images: int, share: float) -> float:
    """The probability of at most so many of a binomial distribution, 0 < share < 1."""
    whole, hit, miss = math.lgamma(images + 1), math.log(share), math.log1p(-share)
    logs = (
        whole - math.lgamma(k + 1) - math.lgamma(images - k + 1) + k * hit + (images - k) * miss
        for k in range(most + 1)
    )
    return min(1.0, math.fsum(map(math.exp, logs)))


def bootstrap(measure: Callable[[np.ndarray], float], images: int, draws: int = 500) -> tuple[float, float]:
    """The basic bootstrap's 95 % interval of a figure of images, for figures such as macro-F1 that are no shares.

    measure: positions (n,) of the images that are drawn, with repeats -> the figure of these. The quantiles are turned
    about the figure of all images, which takes back the bias of the draws: a calibration error grows by drawing
    (Davison and Hinkley, Bootstrap Methods and their Application, 1997, 5.2).
    """
    random = np.random.default_rng(0)
    found = measure(np.arange(images))
    drawn = np.array([measure(random.integers(0, images, images)) for _ in range(draws)])
    low, high = 2 * found - np.quantile(drawn, (0.975, 0.025))
    return max(0.0, float(low)), min(1.0, float(high))
