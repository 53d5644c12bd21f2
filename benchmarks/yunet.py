"""YuNet through onnxruntime, as mien searches pictures, beside OpenCV's own FaceDetectorYN: the boxes and the time.

Pictures of a folder, and a film's frames if one is given, are searched by both in turn, one thread each. Boxes are
compared after both are rounded and merged as mien does it; a share of 1 is the same boxes in every picture.

Command   python benchmarks/yunet.py --pictures FOLDER [--film FILM] [--rounds 5] | tee results/yunet.json
Time      about a minute of the processor's time
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import cv2
import numpy as np

from mien.hardware import commit, hardware
from mien.pictures import image_files, open_image
from mien.runtime import YuNetDetector
from mien.runtime.faces import LONGEST, YUNET, Box, _boxes, _shrunk
from mien.runtime.film.video import frames, overlap


class OpenCV:
    """As mien searched before: the same sizes, through OpenCV."""

    def __init__(self) -> None:
        self.network = cv2.FaceDetectorYN.create(str(YUNET), "", (320, 320), 0.7)

    def detect(self, image: np.ndarray) -> list[Box]:
        small, shrink = _shrunk(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self.network.setInputSize((small.shape[1], small.shape[0]))
        _, found = self.network.detect(small)
        found = np.zeros((0, 4)) if found is None else found[np.isfinite(found[:, :4]).all(axis=1), :4]
        return _boxes(found, shrink, image)


def images(pictures: Path, film: Path | None) -> dict[str, list[np.ndarray]]:
    """uint8 RGB (H, W, 3) of each."""
    found = {"pictures": [np.asarray(open_image(Path(each.path)).convert("RGB")) for each in image_files(pictures)]}
    if film:
        found["film"] = [cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) for *_, frame in frames(film, 0.2)]
    return found


def compared(pictures: list[np.ndarray], rounds: int) -> dict[str, object]:
    own, other = YuNetDetector(threads=1), OpenCV()
    boxes = [(own.detect(image), other.detect(image)) for image in pictures]
    same = [len(one) == len(two) for one, two in boxes]
    pairs = [
        pair for (one, two), equal in zip(boxes, same, strict=True) if equal for pair in zip(one, two, strict=True)
    ]
    ratios, seconds = [], []
    for turn in range(rounds):
        for image in pictures:
            took = {}
            for detector in (own, other) if turn % 2 else (other, own):
                start = time.process_time()
                detector.detect(image)
                took[detector] = time.process_time() - start
            ratios.append(took[other] / took[own])
            seconds.append((1000 * took[own], 1000 * took[other]))
    quartiles = statistics.quantiles(ratios, n=4)
    return {
        "images": len(pictures),
        "megapixels searched, median": round(statistics.median(_searched(image) for image in pictures), 2),
        "faces": sum(len(two) for _, two in boxes),
        "images with the same number of faces": sum(same),
        "boxes the same to the pixel": sum(one == two for one, two in pairs),
        "least overlap of a box": round(min((overlap(one, two) for one, two in pairs), default=1.0), 3),
        "ms, mien and OpenCV": [round(statistics.median(each), 1) for each in zip(*seconds, strict=True)],
        "times OpenCV's speed": [round(value, 2) for value in quartiles],
    }


def _searched(image: np.ndarray) -> float:
    shrink = min(1.0, LONGEST / max(image.shape[:2]))
    return image.shape[0] * image.shape[1] * shrink**2 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--film", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    found = {name: compared(each, options.rounds) for name, each in images(options.pictures, options.film).items()}
    print(json.dumps({"hardware": hardware(), "commit": commit()} | found, indent=1))


if __name__ == "__main__":
    main()
