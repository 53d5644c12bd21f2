"""Whether explanations can be believed: every method of a model that was trained on drawn faces, by all three tests.

On validation images: the pointing game (the drawn brows, eyes and mouth are the truth), deletion and insertion against
random maps with paired intervals, and the sanity check. The best method of the pointing game is chosen on every other
image and scored on the rest. Where brows, eyes and mouth cover more than a fifth of the head, only their inner parts
count. Faces that are always in the middle make one fixed point hard to beat; --shift moves each by up to so many pixels
(for a model that was trained with augment.translate).

    mien run quickstart --out runs/cnn
    python benchmarks/explanations.py runs/cnn [RUN …] [--images 200] [--shift 0] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

import mien
from mien import config
from mien.data import open_store
from mien.data.drawn_faces import DrawnFace, redraw
from mien.errors import UsageError
from mien.explain.attribution import attribute, methods_of
from mien.explain.faithfulness import against_random, pointing_game, sanity_check
from mien.progress import note
from mien.train.hardware import hardware

FIFTH = 0.2
SANITY_IMAGES = 32


def faces(run: Path, images: int) -> tuple[np.ndarray, np.ndarray]:
    """The first validation images of a run, uint8 (B, C, S, S), and where their evidence lies, bool (B, S, S)."""
    data = config.read_recipe(run).data
    if data.source != "drawn_faces":
        raise UsageError(f"{run} was trained on {data.source}. Give a run on drawn faces, whose truth is known.")
    store = open_store(data)
    chosen = store.indices("validation")[:images]
    drawn = [redraw(store.names[i], data.split_seed, data.size) for i in chosen]
    return store.images[chosen], np.stack([evidence(face) for face in drawn])


def evidence(face: DrawnFace) -> np.ndarray:
    """Brows, eyes and mouth, bool (S, S), without as much of each one's rim as is above a FIFTH of the head."""
    share = min(1.0, FIFTH * face.head.sum() / face.regions.sum())
    kept = np.zeros_like(face.regions)
    for part in face.parts:
        depth = cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 3)
        inner = np.argsort(-depth, axis=None)[: int(share * part.sum())]
        kept.flat[inner] = True
    return kept


def moved(pixels: np.ndarray, masks: np.ndarray, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Every image and its mask moved by up to `most` pixels each way; what comes in at the edge repeats it."""
    if not most:
        return pixels, masks
    side = pixels.shape[-1]
    starts = np.random.default_rng(seed).integers(0, 2 * most + 1, size=(len(pixels), 2))
    wide = np.pad(pixels, ((0, 0), (0, 0), (most, most), (most, most)), mode="edge")
    bare = np.pad(masks, ((0, 0), (most, most), (most, most)))
    places = [(..., slice(row, row + side), slice(column, column + side)) for row, column in starts]
    return (
        np.stack([image[place] for image, place in zip(wide, places, strict=True)]),
        np.stack([mask[place] for mask, place in zip(bare, places, strict=True)]),
    )


def measure(run: Path, images: int, shift: int, seed: int) -> dict[str, object]:
    """Every figure of one run."""
    model = mien.from_pretrained(run)
    pixels, masks = moved(*faces(run, images), shift, seed)
    scaled = model.preprocessing.scale(pixels.astype(np.float32) / 255)
    rows, maps = {}, {}
    for method in methods_of(model):
        start = time.perf_counter()
        maps[method] = attribute(model, scaled, method)
        seconds = round(time.perf_counter() - start, 1)
        found = against_random(model, scaled, maps[method], seed)
        sanity = sanity_check(model, scaled[:SANITY_IMAGES], method, seed)
        rows[method] = {
            "pointing_game": asdict(pointing_game(maps[method], masks)),
            **{test: asdict(getattr(found, test)) for test in ("deletion", "insertion")},
            "verdict": found.verdict,
            "sanity": {"correlation": sanity.correlation, "flagged": sanity.flagged},
            "seconds": seconds,
        }
        note(f"{run} {method}: {found.verdict} {sanity.verdict}")
    return {"images": len(pixels), "masks": float(masks.mean()), "best": best(maps, masks), "methods": rows}


def best(maps: dict[str, np.ndarray], masks: np.ndarray) -> dict[str, object]:
    """The method that hits most often on every other image, and what it hits on the rest."""
    chosen = max(maps, key=lambda method: pointing_game(maps[method][::2], masks[::2]).hits)
    # The fixed point of the whole set is chosen on the same images as the method, and scored on the same rest.
    rest = pointing_game(maps[chosen][1::2], masks[1::2])
    return {"method": chosen, **asdict(rest), "fixed": pointing_game(maps[chosen], masks).fixed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--shift", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    result = {str(run): measure(run, options.images, options.shift, options.seed) for run in options.runs}
    print(json.dumps({"hardware": hardware(), "shift": options.shift, "runs": result}, indent=1))


if __name__ == "__main__":
    main()
