"""Whether explanations can be believed: every method of a model that was trained on cluttered drawn faces.

On newly drawn faces: the pointing game and the causal test beside maps that know nothing (mien explain RUN --drawn),
and on some of them deletion and insertion against random maps, with paired intervals, and the sanity check.

    mien run drawn_faces_cnn --out runs/drawn
    python benchmarks/explanations.py runs/drawn [RUN …] [--faces 400] [--pairs 200] [--believed 100] [--seed 0]
        [--methods integrated_gradients,…]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

import mien
from mien.data.sources.drawn_faces import draw_new
from mien.explain.attribution import attribute, methods_of
from mien.explain.drawn_truth import on_drawn_faces
from mien.explain.faithfulness import against_random, sanity_check
from mien.hardware import hardware
from mien.labels import FER2013
from mien.pretrained import Classifier
from mien.progress import note
from mien.runs import read_recipe

SANITY_IMAGES = 32


def measure(run: Path, options: argparse.Namespace) -> dict[str, object]:
    """Every figure of one run."""
    model = mien.from_pretrained(run)
    methods = options.methods.split(",") if options.methods else list(methods_of(model))
    start = time.perf_counter()
    found = on_drawn_faces(model, methods, options.faces, options.pairs, options.seed)
    seconds = round(time.perf_counter() - start)
    images = faces(model, options.believed, options.seed) if options.believed else None
    return {
        "recipe": read_recipe(run).name,
        "best": found.best,
        **asdict(found),
        "seconds": seconds,
        "believed": {method: believed(model, images, method, options.seed) for method in methods if images is not None},
    }


def faces(model: Classifier, count: int, seed: int) -> np.ndarray:
    """The first of the faces of the test, scaled, (B, C, S, S)."""
    drawn = draw_new(FER2013, count, seed, model.preprocessing.size)
    pixels = np.stack([model.preprocessing.pixels(Image.fromarray(face.image)) for _, face in drawn])
    return model.preprocessing.scale(pixels.astype(np.float32) / 255)


def believed(model: Classifier, images: np.ndarray, method: str, seed: int) -> dict[str, object]:
    """Deletion, insertion and the sanity check of one method."""
    start = time.perf_counter()
    maps = attribute(model, images, method)
    seconds = round(time.perf_counter() - start, 1)
    found = against_random(model, images, maps, seed)
    sanity = sanity_check(model, images[:SANITY_IMAGES], method, seed)
    note(f"{method}: {found} {sanity}")
    return {
        **{test: asdict(getattr(found, test)) for test in ("deletion", "insertion")},
        "images": len(images),
        "verdict": str(found),
        "sanity": {"correlation": sanity.correlation, "flagged": sanity.flagged},
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--faces", type=int, default=400)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--believed", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", default="")
    options = parser.parse_args()
    result = {run.name: measure(run, options) for run in options.runs}
    print(json.dumps({"hardware": hardware(), "seed": options.seed, "runs": result}, indent=1))


if __name__ == "__main__":
    main()
