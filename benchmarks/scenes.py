"""YuNet on FER2013's faces in scenes: how many it finds by their size and by how far the scene is searched, and what
mien:tiny makes of its boxes.

Six validation faces, enlarged to the same side, are pasted with a soft edge into each photo of a dog or a cat, which
is cut to 853 x 480 pixels. A face is found where a box overlaps its square by .3 of their union. The scene is searched
at 853 pixels, as `mien predict` does it, and smaller; times are the processor's of a search, on one thread, in turn.
Accuracy is that of the faces found, by the margin around the box, beside that of the same images as they are in
FER2013.

Command   python benchmarks/scenes.py --fer2013 FOLDER --scenes FOLDER [--count 60] | tee results/scenes.json
Time      two minutes of the processor's time
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

import mien
from mien.hardware import commit, hardware
from mien.runtime import YuNetDetector, faces
from mien.runtime.film.video import overlap
from mien.runtime.network import Network

WIDTH, HEIGHT, AT_ONCE = 853, 480, 6
SIDES = (32, 48, 72, 110, 160)  # of a face, pixels
SEARCHED = (960, 640, 480, 360)  # at most so many pixels long
MARGINS = (0.0, 0.1, 0.2)


def scene(photo: Path, pasted: list[Path], side: int, random: np.random.Generator) -> tuple[Image.Image, list[Any]]:
    """A photo with faces in it, RGB, and their boxes; each somewhere in its sixth of the picture."""
    picture = ImageOps.fit(Image.open(photo).convert("RGB"), (WIDTH, HEIGHT))
    rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    mask = np.clip((1 - np.maximum(abs(rows), abs(columns))) * 8, 0, 1) * 255
    boxes = []
    for number, path in enumerate(pasted):
        cell = WIDTH // 3, HEIGHT // 2
        x, y = (int(random.integers(0, length - side)) for length in cell)
        x, y = x + number % 3 * cell[0], y + number // 3 * cell[1]
        face = Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        picture.paste(face, (x, y), Image.fromarray(mask.astype(np.uint8)))
        boxes.append((x, y, side, side))
    return picture, boxes


def hits(boxes: list[Any], found: list[Any]) -> list[Any]:
    """For each pasted box the one found that overlaps it most, None where none does enough."""
    best = [max(found, key=partial(overlap, box), default=None) for box in boxes]
    return [one if one and overlap(one, box) >= 0.3 else None for one, box in zip(best, boxes, strict=True)]


def searched(detector: YuNetDetector, image: np.ndarray, longest: int) -> tuple[list[Any], float]:
    faces.LONGEST = longest
    start = time.process_time()
    return detector.detect(image), 1000 * (time.process_time() - start)


def answers(network: Network, picture: Image.Image, boxes: list[Any], margin: float) -> list[str]:
    crops = []
    for box in boxes:
        x, y, width, height = faces.with_margin(box, margin, (picture.height, picture.width))
        crops.append(network.preprocessing.pixels(picture.crop((x, y, x + width, y + height))))
    return [network.labels[each.probabilities.argmax()] for each in network.predict(np.stack(crops))] if crops else []


def of_side(side: int, photos: list[Path], people: list[Path], network: Network) -> dict[str, Any]:
    random, detector = np.random.default_rng(0), YuNetDetector()
    counts = dict.fromkeys(SEARCHED, 0)
    times: dict[int, list[float]] = {longest: [] for longest in SEARCHED}
    right = dict.fromkeys(("as they are", *MARGINS), 0)
    for number, photo in enumerate(photos):
        pasted = people[AT_ONCE * number : AT_ONCE * (number + 1)]
        picture, boxes = scene(photo, pasted, side, random)
        for longest in SEARCHED:
            found, spent = searched(detector, np.asarray(picture), longest)
            own = hits(boxes, found)
            counts[longest] += sum(each is not None for each in own)
            times[longest].append(spent)
            if longest == SEARCHED[0]:
                kept = [(box, path) for box, path in zip(own, pasted, strict=True) if box]
                truth = [path.parent.name for _, path in kept]
                for margin in MARGINS:
                    said = answers(network, picture, [box for box, _ in kept], margin)
                    right[margin] += sum(a == b for a, b in zip(said, truth, strict=True))
                plain = [network.preprocessing.pixels(Image.open(path)) for _, path in kept]
                said = [network.labels[each.probabilities.argmax()] for each in network.predict(np.array(plain))]
                right["as they are"] += sum(a == b for a, b in zip(said, truth, strict=True))
    total = AT_ONCE * len(photos)
    return {
        "found": {f"{longest} px": round(count / total, 3) for longest, count in counts.items()},
        "ms": {f"{longest} px": round(statistics.median(each), 1) for longest, each in times.items()},
        "accuracy of the found": {
            str(name): round(count / max(counts[SEARCHED[0]], 1), 3) for name, count in right.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fer2013", type=Path, required=True, help="its validation split, a folder a class")
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--count", type=int, default=60)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    random = np.random.default_rng(1)
    people = sorted(options.fer2013.rglob("*.jpg"))
    random.shuffle(people)
    photos = sorted(options.scenes.rglob("*.jpg"))[:: max(1, len(list(options.scenes.rglob("*.jpg"))) // options.count)]
    network = mien.load("mien:tiny", threads=1).network
    rows = {f"{side} px": of_side(side, photos[: options.count], people, network) for side in SIDES}
    result = {"hardware": hardware(), "commit": commit(), "scenes": options.count, "faces": rows}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
