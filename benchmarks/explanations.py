"""Whether explanations can be believed: every method of a model that was trained on drawn faces, by all three tests.

On validation images: the pointing game (the drawn brows, eyes and mouth are the truth), deletion and insertion against
random maps with paired intervals, and the sanity check. For the pointing game maps are smoothed by a Gaussian; its
width and the best method are chosen together on every other image and scored on the rest. Beside them stand maps that a
fair score has to beat: the same method on shuffled weights, and two that never ask the model (the picture's edges, and
how far each pixel is from the blurred picture), smoothed by a width of their own, chosen in the same way.

Where brows, eyes and mouth cover more than a fifth of the head, only their inner parts count. Faces that are always in
the middle make one fixed point hard to beat; --shift moves each by up to so many pixels (for a model that was trained
with augment.translate).

    mien run quickstart --out runs/cnn
    python benchmarks/explanations.py runs/cnn [RUN …] [--images 200] [--shift 0] [--seed 0]
        [--methods integrated_gradients,…] [--pointing-only]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
from kornia.filters import sobel

import mien
from mien.data import open_store
from mien.data.sources.drawn_faces import DrawnFace, redraw
from mien.errors import UsageError
from mien.explain.attribution import attribute, methods_of
from mien.explain.faithfulness import against_random, blurred, pointing_game, sanity_check, shuffled
from mien.hardware import hardware
from mien.pretrained import Classifier
from mien.progress import note
from mien.runs import read_recipe

FIFTH = 0.2
SANITY_IMAGES = 32
WIDTHS = (0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)  # of the Gaussian, in pixels of a side of 48; a drawn eye is about 6 wide


def faces(run: Path, images: int) -> tuple[np.ndarray, np.ndarray]:
    """The first validation images of a run, uint8 (B, C, S, S), and where their evidence lies, bool (B, S, S)."""
    data = read_recipe(run).data
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


def measure(run: Path, options: argparse.Namespace) -> dict[str, object]:
    """Every figure of one run."""
    model, seed = mien.from_pretrained(run), options.seed
    pixels, masks = moved(*faces(run, options.images), options.shift, seed)
    scaled = model.preprocessing.scale(pixels.astype(np.float32) / 255)
    rows, maps = {}, {}
    for method in options.methods.split(",") if options.methods else methods_of(model):
        start = time.perf_counter()
        maps[method] = attribute(model, scaled, method)
        seconds = round(time.perf_counter() - start, 1)
        rows[method] = {"pointing_game": by_width(maps[method], masks), "seconds": seconds}
        note(f"{run} {method}: {rows[method]['pointing_game']}")
        if not options.pointing_only:
            rows[method] |= believed(model, scaled, maps[method], method, seed)
    found = best(maps, masks)
    method, sigma = str(found["method"]), float(str(found["sigma"]))
    learned_nothing = attribute(shuffled(model, seed), scaled[1::2], method)
    controls = {
        "shuffled weights": pointing_game(learned_nothing, masks[1::2], sigma).hits,
        **{name: best({name: map_}, masks) for name, map_ in without_model(torch.from_numpy(scaled)).items()},
    }
    return {"images": len(pixels), "masks": float(masks.mean()), "best": found, "controls": controls, "methods": rows}


def by_width(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """Hits by the width of the smoothing, on the images that choose."""
    return {f"{sigma:g}": round(pointing_game(maps[::2], masks[::2], sigma).hits, 3) for sigma in WIDTHS}


def believed(model: Classifier, scaled: np.ndarray, maps: np.ndarray, method: str, seed: int) -> dict[str, object]:
    """Deletion, insertion and the sanity check of one method."""
    found = against_random(model, scaled, maps, seed)
    sanity = sanity_check(model, scaled[:SANITY_IMAGES], method, seed)
    note(f"{method}: {found} {sanity}")
    return {
        **{test: asdict(getattr(found, test)) for test in ("deletion", "insertion")},
        "verdict": str(found),
        "sanity": {"correlation": sanity.correlation, "flagged": sanity.flagged},
    }


def best(maps: dict[str, np.ndarray], masks: np.ndarray) -> dict[str, object]:
    """The method and width that hit most often on every other image, and what they hit on the rest."""
    choices = [(method, sigma) for method in maps for sigma in WIDTHS]
    method, sigma = max(choices, key=lambda one: pointing_game(maps[one[0]][::2], masks[::2], one[1]).hits)
    # The fixed point of the whole set is chosen on the same images as the method, and scored on the same rest.
    rest = pointing_game(maps[method][1::2], masks[1::2], sigma)
    return {"method": method, "sigma": sigma, **asdict(rest), "fixed": pointing_game(maps[method], masks).fixed}


def without_model(images: torch.Tensor) -> dict[str, np.ndarray]:
    """Scaled images (B, C, S, S) -> maps (B, S, S) that look like reasons and are none."""
    return {
        "edges": sobel(images).amax(dim=1).numpy(),
        "from the blurred": (images - blurred(images)).abs().amax(dim=1).numpy(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--shift", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", default="")
    parser.add_argument("--pointing-only", action="store_true")
    options = parser.parse_args()
    result = {str(run): measure(run, options) for run in options.runs}
    print(json.dumps({"hardware": hardware(), "shift": options.shift, "runs": result}, indent=1))


if __name__ == "__main__":
    main()
