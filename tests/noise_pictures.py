"""Pictures of nothing in folders of three classes, for the tests of somebody else's classifiers."""

from pathlib import Path

import numpy as np
from PIL import Image

LABELS = ("amber", "birch", "coral")


def draw_noise(root: Path, each: int, size: tuple[int, int], times: int = 1) -> Path:
    """Draw ROOT/{amber,birch,coral}/N.png: `each` of a class, RGB noise of `size` (W, H), enlarged so many times."""
    random, (width, height) = np.random.default_rng(3), size
    for label in LABELS:
        (root / label).mkdir()
        for number in range(each):
            pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((times * width, times * height)).save(root / label / f"{number}.png")
    return root
