"""Reddish and bluish pictures, some of them in the folder of the other class."""

from pathlib import Path

import numpy as np
from PIL import Image

EACH = 40  # pictures of each class
WRONG = {"red/03.png", "red/17.png", "blue/05.png", "blue/21.png"}


def draw_folder(root: Path) -> Path:
    """ROOT/{blue,red}/NN.png of 24 x 16 pixels; those in WRONG have the colour of the other class."""
    random = np.random.default_rng(0)
    for label in ("blue", "red"):
        (root / label).mkdir(parents=True)
        for number in range(EACH):
            name = f"{label}/{number:02d}.png"
            colour = 2 if (label == "blue") != (name in WRONG) else 0
            pixels = random.integers(0, 90, (16, 24, 3), dtype=np.uint8)
            pixels[..., colour] += 120
            Image.fromarray(pixels).save(root / name)
    return root
