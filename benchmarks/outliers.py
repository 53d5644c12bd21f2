"""How well the shipped networks tell what is no face: the similarity of `mien.outliers` and the softmax's confidence.

python benchmarks/outliers.py FER2013 DOGS_VS_CATS TINY_IMAGENET     prints a table, writes results/outliers.json

Faces are 2,000 of FER2013's validation images. Against them: cats and dogs, Tiny ImageNet, uniform noise, and drawn
faces, 600 each. AUROC with its 95 % interval (Hanley and McNeil 1982), and the share of the others that passes for
faces where 95 % of the faces do.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

import mien
from mien.config import Data
from mien.data import open_store
from mien.runtime.network import SIMILARITY, Network, softmax

RESULT = Path(__file__).parents[1] / "results" / "outliers.json"
FACES, OTHERS = 2000, 600


def pictures(kind: str, places: dict[str, Path], network: Network, random: np.random.Generator) -> np.ndarray:
    """Pixels as the network takes them, uint8 (N, C, size, size)."""
    shape = network.preprocessing
    if kind == "noise":
        return random.integers(0, 256, (OTHERS, shape.channels, shape.size, shape.size), dtype=np.uint8)
    if kind == "drawn faces":
        store = open_store(Data(source="drawn_faces", images=2 * OTHERS, size=shape.size, channels=shape.channels))
        return np.asarray(store.images[np.arange(OTHERS)])
    if kind == "faces":
        store = open_store(Data(source="fer2013", path=places[kind]))
        return np.asarray(store.images[np.sort(random.permutation(store.indices("validation"))[:FACES])])
    files = sorted(path for path in places[kind].rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    chosen = [files[i] for i in np.sort(random.permutation(len(files))[:OTHERS])]
    return np.stack([shape.pixels(Image.open(path)) for path in chosen])


def scores(network: Network, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Similarity and confidence of each picture; low ones are outliers."""
    similar, confident = [], []
    for start in range(0, len(pixels), 128):
        inputs = network.preprocessing.scale(pixels[start : start + 128].astype(np.float32) / 255).astype(np.float32)
        logits, near = network.session.run(["logits", SIMILARITY], {"images": inputs})
        similar.append(near)
        confident.append(softmax(logits / network.temperature).max(axis=1))
    return {"similarity": np.concatenate(similar), "confidence": np.concatenate(confident)}


def auroc(faces: np.ndarray, others: np.ndarray) -> tuple[float, float, float]:
    """The chance that a face scores higher than another picture (ties count half), and its 95 % interval."""
    both = np.concatenate([faces, others])
    _, place, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    n, m = len(faces), len(others)
    area = float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    error = math.sqrt((area * (1 - area) + (n - 1) * (one - area**2) + (m - 1) * (two - area**2)) / (n * m))
    return area, max(0.0, area - 1.96 * error), min(1.0, area + 1.96 * error)


def measure(name: str, places: dict[str, Path]) -> Iterator[dict[str, object]]:
    network, random = Network.open(name), np.random.default_rng(0)
    faces = scores(network, pictures("faces", places, network, random))
    for kind in ("cats and dogs", "tiny imagenet", "noise", "drawn faces"):
        others = scores(network, pictures(kind, places, network, random))
        for score in ("similarity", "confidence"):
            area, low, high = auroc(faces[score], others[score])
            passes = float(np.mean(others[score] > np.quantile(faces[score], 0.05)))
            yield {
                "model": name,
                "fingerprint": (network.card or {})["fingerprint"],
                "against": kind,
                "by": score,
                "auroc": round(area, 4),
                "interval": [round(low, 4), round(high, 4)],
                "passes_at_95": round(passes, 3),
                "faces": FACES,
                "others": OTHERS,
            }


def main() -> None:
    faces, animals, things = map(Path, sys.argv[1:])
    places = {"faces": faces, "cats and dogs": animals / "train", "tiny imagenet": things / "train"}
    rows = []
    for name in ("mien:base", "mien:tiny"):
        for row in measure(name, places):
            print(*(f"{key}={value}" for key, value in row.items() if key != "fingerprint"), sep="  ", flush=True)
            rows.append(row)
    RESULT.write_text(json.dumps({"mien": mien.__version__, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
