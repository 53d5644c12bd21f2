"""From which likeness on two pictures count as near copies: where hardly any pair of different pictures gets to.

Pictures of one data set may all look alike (aligned faces, drawings). How alike different ones get is seen in the pairs
that are less alike: their number falls ever faster with the likeness, and how many to expect further up follows.
"""

from __future__ import annotations

import numpy as np

LOWEST = 0.8  # likeness that counts where nothing speaks against it
STEP = 0.02
WRONG = 0.01  # share of the pairs found that may be different pictures
ENOUGH = 5  # pairs in a step that say something


def threshold(alike: np.ndarray) -> float:
    """The likeness from which on a pair counts. alike: of all pairs that were looked at closely, (P,)."""
    edges = np.arange(0.5, 1 + STEP / 2, STEP)
    counts = np.histogram(alike, edges)[0]
    expected = _expected(counts)
    above = np.cumsum(counts[::-1])[::-1]
    false = np.cumsum(expected[::-1])[::-1]
    allowed = (edges[:-1] >= LOWEST - 1e-6) & (false <= np.maximum(WRONG * above, 0.5))
    return float(edges[:-1][allowed].min()) if allowed.any() else 1.0


def _expected(counts: np.ndarray) -> np.ndarray:
    """How many pairs of different pictures each step should hold: a parabola through the logarithms below the valley.

    The peak of the different pictures is its start, and its end lies two steps before the counts rise again.
    """
    lowest = int((LOWEST - 0.5) / STEP)
    peak = int(np.argmax(counts[:lowest]))
    rises = np.flatnonzero((np.diff(counts) >= 0) & (np.arange(1, len(counts)) > max(peak, lowest - 4)))
    valley = int(rises[0]) if len(rises) else len(counts) - 1
    used = np.arange(peak, max(valley - 1, peak))
    used = used[counts[used] >= ENOUGH]
    places = np.arange(len(counts))
    if len(used) < 4:
        return np.zeros(len(counts))
    weights = np.sqrt(counts[used])
    fit = np.polyfit(used, np.log(counts[used]), 2, w=weights)
    if fit[0] > 0:  # the fall of different pictures gets steeper, never flatter
        fit = np.append(0, np.polyfit(used, np.log(counts[used]), 1, w=weights))
    top = used[-1]
    found = np.exp(np.minimum(np.polyval(fit, places), np.log(counts[top])))
    return np.where(places > top, found, counts)
