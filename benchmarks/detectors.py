"""YuNet beside OpenCV's Haar cascade: faces found in photos and films, and the processor's time of a photo.

The detectors take turns on one thread; a ratio is Haar's time over YuNet's, paired by round: smallest, median, largest,
between the outer ones of which lies the true median with 98 % for seven rounds. Of a film every fifth of a second is
searched, and the frames counted in which there is a face.

--fer2013: how a found box, made square as predict does it, lies in FER2013's images, whose frame is what networks were
trained on. Every sixth validation image is enlarged four times and its edge continued by a third; boxes of images in
which one face is found are given as shares of the frame: middle and side, median and the middle half's width.

Command   python benchmarks/detectors.py PHOTO [PHOTO ...] [--films FILM ...] [--fer2013 FOLDER] [--rounds 7]
          [--json result.json]
Time      about two minutes of the processor's time for eight photos, two films of ten seconds and FER2013.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mien.config import Data
from mien.data import open_store
from mien.runtime import Detector, HaarDetector, YuNetDetector
from mien.runtime.film.video import frames
from mien.runtime.reader import opened


def milliseconds(detector: Detector, image: np.ndarray) -> float:
    start = time.process_time()
    detector.detect(image)
    return 1000 * (time.process_time() - start)


def on_photo(detectors: dict[str, Detector], path: Path, rounds: int) -> dict[str, Any]:
    image = np.asarray(opened(path).convert("RGB"))
    found = {name: detector.detect(image) for name, detector in detectors.items()}
    times: dict[str, list[float]] = {name: [] for name in detectors}
    for turn in range(rounds):
        for name in list(detectors)[:: 1 if turn % 2 else -1]:
            times[name].append(milliseconds(detectors[name], image))
    ratios = [haar / yunet for haar, yunet in zip(times["haar"], times["yunet"], strict=True)]
    return {
        "width": image.shape[1],
        "height": image.shape[0],
        "faces": {name: len(boxes) for name, boxes in found.items()},
        "ms": {name: round(statistics.median(values), 1) for name, values in times.items()},
        "haar's time": [round(value, 2) for value in (min(ratios), statistics.median(ratios), max(ratios))],
    }


def on_film(detectors: dict[str, Detector], path: Path) -> dict[str, Any]:
    counted = dict.fromkeys(detectors, 0)
    searched = 0
    for _, _, frame in frames(path, every=0.2):
        searched += 1
        image = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        for name, detector in detectors.items():
            counted[name] += bool(detector.detect(image))
    return {"frames": searched, "with a face": counted}


def on_fer2013(detectors: dict[str, Detector], path: Path) -> dict[str, Any]:
    store = open_store(Data(source="fer2013", path=path))
    chosen = store.indices("validation")[::6]
    squares: dict[str, list[tuple[float, ...]]] = {name: [] for name in detectors}
    for image in store.images[chosen]:
        large = cv2.resize(image.reshape(48, 48), (192, 192), interpolation=cv2.INTER_CUBIC)
        framed = cv2.copyMakeBorder(large, 64, 64, 64, 64, cv2.BORDER_REPLICATE)
        for name, detector in detectors.items():
            boxes = detector.detect(cv2.cvtColor(framed, cv2.COLOR_GRAY2RGB))
            if len(boxes) == 1:
                (x, y, width, height), side = boxes[0], max(boxes[0][2:])
                squares[name].append(((x + width / 2 - 64) / 192, (y + height / 2 - 64) / 192, side / 192))
    result: dict[str, Any] = {"images": len(chosen)}
    for name, rows in squares.items():
        low, middle, high = np.percentile(rows, (25, 50, 75), axis=0)
        result[name] = {
            "one face": len(rows),
            "x, y, side": middle.round(3).tolist(),
            "middle half": (high - low).round(3).tolist(),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--films", nargs="*", type=Path, default=[])
    parser.add_argument("--fer2013", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    detectors: dict[str, Detector] = {"haar": HaarDetector(), "yunet": YuNetDetector()}
    result = {path.name: on_photo(detectors, path, options.rounds) for path in options.photos}
    result |= {path.name: on_film(detectors, path) for path in options.films}
    if options.fer2013:
        result["fer2013"] = on_fer2013(detectors, options.fer2013)
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
