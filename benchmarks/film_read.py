"""Frames of a film that `mien predict` reads a second of one core's time, with YuNet through OpenCV and as it is.

Every fifth of a second of the film a frame is read. Ways take turns: decoding alone, mien with OpenCV's FaceDetectorYN
(as it was until 30 November 2026), mien as it is. One thread, the processor's time; ratios are of pairs.

Command   python benchmarks/film_read.py FILM [--model mien:tiny] [--rounds 7] | tee results/film_read.json
Time      about half a minute of the processor's time
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
from yunet import OpenCV

import mien
from mien.hardware import commit, hardware
from mien.runtime import Reader
from mien.runtime.film.video import frames, moments

EVERY = 0.2  # seconds


def answers(reader: Reader, film: Path) -> list[Any]:
    return [[tracked.to_dict() for tracked in moment.faces] for moment in moments(reader, film, EVERY)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path)
    parser.add_argument("--model", default="mien:tiny")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    before, now = (mien.load(options.model, detector, threads=1) for detector in (OpenCV(), "yunet"))
    ways: dict[str, Callable[[], list[Any]]] = {
        "decoding alone": lambda: list(frames(options.film, EVERY)),
        "through OpenCV": lambda: answers(before, options.film),
        "mien": lambda: answers(now, options.film),
    }
    found = {name: way() for name, way in ways.items()}  # which warms up, too
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(options.rounds):
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            start = time.process_time()
            ways[name]()
            seconds[name].append(time.process_time() - start)
    ratios = [one / other for one, other in zip(seconds["through OpenCV"], seconds["mien"], strict=True)]
    count = len(found["mien"])
    result = {
        "hardware": hardware(),
        "commit": commit(),
        "model": options.model,
        "frames": count,
        "faces": sum(map(len, found["mien"])),
        "answers are the same": found["mien"] == found["through OpenCV"],
        "frames a second": {name: round(count / statistics.median(each), 1) for name, each in seconds.items()},
        "times as fast": [round(value, 2) for value in (min(ratios), statistics.median(ratios), max(ratios))],
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
