"""How sure a share is: its 95 % interval."""

from __future__ import annotations

import math

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
