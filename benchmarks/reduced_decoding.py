"""JPEG's own reduced decoding for pictures that become small anyway: the time, the pixels, and the answers.

JPEGs are decoded in full, and at a half, a quarter or an eighth of their size, never under `gap` times the network's
side, and then resized as mien does it. Real photos as they are; photos of `--enlarge` brought to 4000 x 3000 pixels
with a camera's noise, as no set here has any that large. Changes: levels of 255, mean and largest; of a probability,
the largest, by `mien:tiny`, which reads the whole picture.

Command   python benchmarks/reduced_decoding.py --photos FOLDER --enlarge FOLDER | tee results/reduced_decoding.json
Time      half a minute of the processor's time
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from pathlib import Path

import numpy as np
from PIL import Image

from mien.hardware import commit, hardware
from mien.preprocessing import Preprocessing
from mien.runtime import Network

LARGE, NOISE, QUALITY, MOST = (4000, 3000), 4.0, 90, 8  # pixels; levels; JPEG's; pictures that are enlarged


def pixels(content: bytes, preprocessing: Preprocessing, gap: int = 0) -> np.ndarray:
    """What the network sees, uint8 (C, size, size). gap: 0 decodes in full."""
    image = Image.open(io.BytesIO(content))
    if gap:
        image.draft(None, (gap * preprocessing.size,) * 2)
    return preprocessing.pixels(image)


def enlarged(path: Path, random: np.random.Generator) -> bytes:
    image = Image.open(path).convert("RGB").resize(LARGE, Image.Resampling.BICUBIC)
    noisy = np.asarray(image) + random.normal(0, NOISE, (LARGE[1], LARGE[0], 3)).astype(np.float32)
    made = io.BytesIO()
    Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8)).save(made, "JPEG", quality=QUALITY)
    return made.getvalue()


def compared(contents: list[bytes], size: int, gap: int, rounds: int, tiny: Network) -> dict[str, object]:
    colour = Preprocessing(size=size, channels=3)
    ratios, changes, moved = [], [], []
    for content in contents:
        for turn in range(rounds):
            took = {}
            for each in (0, gap) if turn % 2 else (gap, 0):
                start = time.process_time()
                pixels(content, colour, each)
                took[each] = time.process_time() - start
            ratios.append(took[0] / took[gap])
        changes.append(np.abs(pixels(content, colour).astype(int) - pixels(content, colour, gap)))
        grey = np.stack([pixels(content, tiny.preprocessing, each) for each in (0, gap)])
        full, reduced = tiny.probabilities(grey)
        moved.append(float(np.abs(full - reduced).max()))
    return {
        "times as fast, quartiles": [round(each, 2) for each in statistics.quantiles(ratios, n=4)],
        "pixels, mean and largest change": [
            round(float(np.mean([each.mean() for each in changes])), 3),
            int(max(each.max() for each in changes)),
        ],
        "a probability at 48 pixels, median and largest change": [
            round(statistics.median(moved), 4),
            round(max(moved), 4),
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--enlarge", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    random, tiny = np.random.default_rng(0), Network.open("mien:tiny", threads=1)
    small = sorted(options.enlarge.rglob("*.jpg"))
    kinds = {
        "photos as they are": [path.read_bytes() for path in sorted(options.photos.glob("*.jpg"))],
        "enlarged to 12 megapixels": [enlarged(path, random) for path in small[:: max(1, len(small) // MOST)][:MOST]],
    }
    result: dict[str, object] = {"hardware": hardware(), "commit": commit()}
    for name, contents in kinds.items():
        sides = sorted(min(Image.open(io.BytesIO(content)).size) for content in contents)
        found: dict[str, object] = {"pictures": len(contents), "shorter side, pixels": [sides[0], sides[-1]]}
        for size in (48, 64, 224):
            for gap in (2, 4):
                found[f"to {size} pixels, at least {gap} times"] = compared(contents, size, gap, options.rounds, tiny)
        result[name] = found
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
