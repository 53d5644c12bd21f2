"""`mien predict` on a film of two minutes, clips in a loop: is it faster than the film, and does its memory grow?

The clips' frames are written one after another into one film of the first clip's size and pace, again and again until
it is long enough. It is read as `predict` reads it, every fifth of a second, with the drawn film, the timeline and the
contact sheet. Memory is the resident size of this process (Linux) after the film's first quarter and at its end.

Command   python benchmarks/film_loop.py CLIP [CLIP ...] [--seconds 120] [--model mien:base] [--detector haar|yunet]
          [--json result.json]
Time      half a minute to a minute on two cores.
Expected  faster than the film, growth under 20 MB: results/film_loop.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np

import mien
from mien.hardware import hardware
from mien.runtime.faces import DETECTORS
from mien.runtime.film.contact_sheet import ContactSheet
from mien.runtime.film.timeline import Film, Timeline
from mien.runtime.film.video import moments


def frames(clips: list[Path]) -> Iterator[np.ndarray]:
    """The clips' frames, over and over."""
    for clip in cycle(clips):
        capture = cv2.VideoCapture(str(clip))
        while (read := capture.read())[0]:
            yield read[1]
        capture.release()


def film(clips: list[Path], seconds: float, path: Path) -> None:
    first = cv2.VideoCapture(str(clips[0]))
    rate = first.get(cv2.CAP_PROP_FPS)
    size = (round(first.get(cv2.CAP_PROP_FRAME_WIDTH)), round(first.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    first.release()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
    for frame in islice(frames(clips), round(rate * seconds)):
        writer.write(cv2.resize(frame, size))
    writer.release()


def resident() -> float:
    """Memory of this process, MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1000


def read(path: Path, model: str, detector: str, seconds: float, folder: Path) -> dict[str, float]:
    reader = mien.load(model, detector)
    drawn, timeline, sheet = Film(folder / "drawn.mp4"), Timeline(), ContactSheet()
    start, faces, searched, early = time.perf_counter(), 0, 0, 0.0
    for moment in moments(reader, path):
        drawn.add(moment)
        timeline.add(moment)
        sheet.add(moment)
        searched += 1
        faces += len(moment.faces)
        if not early and moment.seconds > seconds / 4:
            early = resident()
    drawn.close()
    timeline.save(folder / "timeline.png")
    sheet.save(folder / "sheet.png")
    took, late = time.perf_counter() - start, resident()
    return {
        "frames": searched,
        "faces": faces,
        "seconds": round(took, 1),
        "times as fast as the film": round(seconds / took, 2),
        "MB after a quarter": round(early, 1),
        "MB at the end": round(late, 1),
        "growth, MB": round(late - early, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--model", default="mien:base")
    parser.add_argument("--detector", choices=DETECTORS, default="yunet")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "film.mp4"
        film(options.clips, options.seconds, path)
        found = read(path, options.model, options.detector, options.seconds, Path(scratch))
    how = {"model": options.model, "detector": options.detector, "film": options.seconds, "hardware": hardware()}
    result = how | found
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
