"""Whether work grows with its size and not with the square of it."""

import time
from collections.abc import Callable
from typing import Any

TRIES = 6


def growth(made: Callable[[int], Any], work: Callable[[Any], Any], size: int) -> float:
    """How much more processor's time `work` takes of `made(4 * size)` than of `made(size)`: 4 where it is linear.

    The least of each over up to TRIES turns, which end once the ratio is below 5: what is quadratic takes 16 times as
    long however often it is tried, and a busy machine does not fail a test.
    """
    inputs, least = [made(size), made(4 * size)], [float("inf"), float("inf")]
    for _ in range(TRIES):
        for i, each in enumerate(inputs):
            start = time.process_time()
            work(each)
            least[i] = min(least[i], time.process_time() - start)
        if least[1] < 5 * least[0]:
            break
    return least[1] / least[0]
