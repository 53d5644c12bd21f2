"""What mien adds to the network around a face that is cut out already, and to the decoder of small files.

crop: CPU time of `Reader.read` of one crop with mien:tiny, and of the same with a session that answers at once: what
that takes is mien's. files: CPU time a file of mien's decoding of FER2013's pictures (threads and all), beside Pillow's
bare loop and OpenCV's, in turn; the pixels of all three must be equal.

Command   python benchmarks/photos.py --fer2013 FOLDER [--files 3000] [--rounds 9] | tee results/photos.json
Time      about a minute of the processor's time
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

import mien
from mien.data.decode import Outcome, decoded
from mien.data.listing import Listing
from mien.hardware import commit, hardware
from mien.pictures import open_image
from mien.preprocessing import Preprocessing
from mien.runtime import Reader

CALLS = 100


def seconds(do: Callable[[], Any]) -> float:
    start = time.process_time()
    do()
    return time.process_time() - start


def repeat(call: Callable[[], object]) -> None:
    for _ in range(CALLS):
        call()


def spread(values: list[float], digits: int = 3) -> list[float]:
    return [round(value, digits) for value in (min(values), statistics.median(values), max(values))]


class AtOnce:
    """A session that answers without computing anything."""

    def __init__(self, session: Any) -> None:
        self.get_outputs = session.get_outputs
        self.answers = [np.zeros((1, 7), np.float32), np.ones(1, np.float32)]

    def run(self, names: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        return self.answers[: len(names)]


def around_a_crop(shape: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Milliseconds of a call with the network, and without."""
    reader = mien.load("mien:tiny", threads=1)
    crop = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    without = Reader(replace(reader.network, session=AtOnce(reader.network.session)))
    assert without.read(crop, detect=False) != []
    calls: dict[str, Callable[[], object]] = {
        "read": lambda: reader.read(crop, detect=False),
        "mien's": lambda: without.read(crop, detect=False),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(1000 * seconds(partial(repeat, call)) / CALLS)
    return {f"{name}, ms": spread(values) for name, values in times.items()}


def pixels_of(outcome: Outcome) -> np.ndarray:
    """The grey pixels (H, W) of a file that mien could read."""
    assert not isinstance(outcome, Exception), outcome
    return outcome[0][0]


def by_opencv(file: Path) -> np.ndarray:
    pixels = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None, file
    return pixels


def of_files(folder: Path, count: int, rounds: int) -> dict[str, Any]:
    """Microseconds of a file, and how many times as fast as Pillow's loop mien is."""
    files = sorted(folder.rglob("*.jpg"))[:count]
    listing = Listing((), list(map(str, files)), [], [], read=lambda i: open_image(files[i]), signature="")
    ways: dict[str, Callable[[], list[np.ndarray]]] = {
        "mien": lambda: [pixels_of(outcome) for _, outcome in decoded(listing, Preprocessing())],
        "Pillow": lambda: [np.asarray(Image.open(file).convert("L")) for file in files],
        "OpenCV": lambda: [by_opencv(file) for file in files],
    }
    first, *others = (np.stack(way()) for way in ways.values())
    assert all(np.array_equal(first, other) for other in others)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            times[name].append(1e6 * seconds(ways[name]) / len(files))
    ratios = [other / own for own, other in zip(times["mien"], times["Pillow"], strict=True)]
    result: dict[str, Any] = {f"{name}, us": spread(values, 1) for name, values in times.items()}
    return result | {"times Pillow's loop": spread(ratios, 2), "files": len(files)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fer2013", type=Path, required=True)
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    result = {
        "hardware": hardware(),
        "commit": commit(),
        "crop of 48 x 48, grey": around_a_crop((48, 48), options.rounds),
        "crop of 90 x 90, colour": around_a_crop((90, 90, 3), options.rounds),
        "files": of_files(options.fer2013, options.files, options.rounds),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
