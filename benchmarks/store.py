"""What a store costs: opening one of a million images, splitting it, and the batches that an epoch reads.

The million images of 64 x 64 colour pixels are a sparse file: opening reads no pixels. Batches of 64 shuffled images,
as FER2013's, are read through `Pixels`, which compares each image with its digest when it is first read, and from the
memory map as it lies there, in turn. All times are CPU time.

    python benchmarks/store.py [--images 1000000] [--classes 1000] [--rounds 15] [--out results/store.json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mien.config import Data
from mien.data import splits
from mien.data.pixels import Pixels, digest
from mien.data.store import Store
from mien.data.store_folder import header, load, save
from mien.hardware import hardware
from mien.preprocessing import Preprocessing

BATCH = 64


def seconds(do: Callable[[], Any]) -> float:
    start = time.process_time()
    do()
    return time.process_time() - start


def write_large(folder: Path, images: int, classes: int) -> None:
    """A store whose pixels are a hole in a file, and all else as it would be."""
    shape, random = (images, 3, 64, 64), np.random.default_rng(0)
    start = header("uint8", shape)
    with (folder / "images.npy").open("wb") as file:
        file.write(start)
        file.truncate(len(start) + int(np.prod(shape)))
    labels = random.integers(0, classes, images)
    store = Store(
        images=np.memmap(folder / "images.npy", np.uint8, "r", len(start), shape),
        labels=labels,
        splits=np.zeros(images, np.uint8),
        names=[f"train/n{label:08d}/n{label:08d}_{i}.JPEG" for i, label in enumerate(labels)],
        classes=tuple(f"class {i}" for i in range(classes)),
        preprocessing=Preprocessing(size=64, channels=3),
        sizes=np.full((images, 2), 64, np.int32),
        known_digests=random.integers(0, 256, (images, 16), np.uint8).view("V16").ravel(),
        known_blanks=np.zeros(images, bool),
    )
    save(store, folder, "made up")


def opening(images: int, classes: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        write_large(Path(name), images, classes)
        opened = [seconds(lambda: load(Path(name))) for _ in range(5)]
        store = load(Path(name))
        split = [seconds(lambda: splits.apply(store, Data(val_split=0.15))) for _ in range(5)]
        found = {"opening, s": statistics.median(opened), "holding a share out, s": statistics.median(split)}
        return found | {"fingerprint, s": seconds(lambda: store.fingerprint)}


def batches(rounds: int, images: int = 28_709, side: int = 48) -> dict[str, Any]:
    """Microseconds an image, through Pixels and from the map, and their ratio in each round."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        np.save(f"{name}/images.npy", random.integers(0, 256, (images, 1, side, side), np.uint8))
        mapped = np.load(f"{name}/images.npy", mmap_mode="r")
        digests = np.array([digest(image) for image in mapped], dtype="V16")
        pixels = Pixels(mapped, digests, lambda i: ValueError(i))

        def epoch(array: Any) -> float:
            order = random.permutation(images)
            return seconds(lambda: [array[order[start : start + BATCH]] for start in range(0, images, BATCH)])

        epoch(mapped)
        first, pairs = epoch(pixels), [(epoch(pixels), epoch(mapped)) for _ in range(rounds)]
    ratios = [checked / plain for checked, plain in pairs]
    through, plain = (statistics.median(times) for times in zip(*pairs, strict=True))
    return {
        "first epoch, us an image": round(1e6 * first / images, 2),
        "later epochs, us an image": round(1e6 * through / images, 3),
        "from the map, us an image": round(1e6 * plain / images, 3),
        "ratio": [round(value, 2) for value in (min(ratios), statistics.median(ratios), max(ratios))],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = opening(options.images, options.classes)
    result = {
        "images": options.images,
        "classes": options.classes,
        "hardware": hardware(),
        **{name: round(value, 2) for name, value in found.items()},
        "batches": batches(options.rounds),
    }
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
