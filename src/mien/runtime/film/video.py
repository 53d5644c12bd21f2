"""Videos and cameras: frames at a steady pace, faces followed from frame to frame, probabilities smoothed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mien import media
from mien.errors import DataError, MissingError, UsageError
from mien.progress import track
from mien.runtime.faces import Box, shared
from mien.runtime.film.camera import camera_frames, is_camera
from mien.runtime.film.length import missing_bytes
from mien.runtime.reader import Face, Reader
from mien.runtime.sets import PredictionSets

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
OVERLAP = 0.3  # intersection over union above which two boxes are the same face
MEMORY = 0.6  # of a face's earlier probabilities, at each step


@dataclass(frozen=True)
class Tracked:
    """A face with the number that it keeps from frame to frame, its probabilities smoothed over them."""

    number: int
    face: Face

    def to_dict(self) -> dict[str, Any]:
        return {"track": self.number, **self.face.to_dict()}


@dataclass(frozen=True)
class Moment:
    """One frame that was read. seconds: from the start. lasts: seconds to the next. image: uint8 RGB (H, W, 3)."""

    seconds: float
    lasts: float
    image: np.ndarray
    faces: list[Tracked]


def is_video(source: str | Path) -> bool:
    """Whether a source is a camera or a video file, by its content; by its name where that tells nothing."""
    if is_camera(source):
        return True
    kind = media.kind_of(source) if Path(source).is_file() else media.UNKNOWN
    return kind.group == "film" if kind != media.UNKNOWN else Path(source).suffix.lower() in VIDEO_SUFFIXES


def moments(
    reader: Reader, source: str | Path, every: float = 0.2, *, detect: bool | None = None, after: float | None = None
) -> Iterator[Moment]:
    """Yield the faces in a video file or of a camera ('camera', or 'camera:1' for the second), every so many seconds.

    A camera's frames that come while one is read are dropped, so that the answer is always of now.
    after: a file's frames up to this second, to a hundredth, were read before and are passed over.
    Raises MissingError for a file or camera that is not there, DataError for a file without frames, after its last
    frame for one that is cut off, and for a camera that shows nothing.
    """
    if not 0 < every < math.inf:
        raise UsageError(f"`every` {every}: give the seconds between two frames, such as 0.5.")
    follow = Follower(reader.network.threshold, reader.network.sets)
    shown = camera_frames(str(source), every) if is_camera(source) else frames(Path(source), every, after)
    for seconds, lasts, frame in shown:
        image = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        yield Moment(seconds, lasts, image, follow.step(reader.read(image, detect=detect)))


class Follower:
    """Gives the faces of one frame after another their numbers and smooths their probabilities."""

    def __init__(self, threshold: float, sets: PredictionSets | None = None) -> None:
        self.threshold = threshold
        self.sets = sets
        self.known: list[Tracked] = []
        self.count = 0

    def step(self, faces: Sequence[Face]) -> list[Tracked]:
        """The faces of the next frame; one that overlaps a face of the last frame most goes on with its number."""
        free = list(self.known)
        found = []
        for face in faces:
            before = max(free, key=lambda one: overlap(one.face.box, face.box), default=None)
            if before is not None and overlap(before.face.box, face.box) >= OVERLAP:
                free.remove(before)
                found.append(Tracked(before.number, self._smoothed(before.face, face)))
            else:
                self.count += 1
                found.append(Tracked(self.count, face))
        self.known = found
        return found

    def _smoothed(self, before: Face, now: Face) -> Face:
        mixed = {
            label: MEMORY * before.probabilities[label] + (1 - MEMORY) * value
            for label, value in now.probabilities.items()
        }
        best = max(mixed, key=lambda label: mixed[label])
        sure = mixed[best] >= self.threshold
        left = self.sets.names(list(mixed.values()), list(mixed)) if self.sets else ()
        return replace(now, label=best, probabilities=mixed, confidence=mixed[best], sure=sure, prediction_set=left)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    common = shared(one, other)
    return common / (one[2] * one[3] + other[2] * other[3] - common) if common else 0.0


def frames(path: Path, every: float, after: float | None = None) -> Iterator[tuple[float, float, np.ndarray]]:
    """A film's frames: seconds from its start, seconds to the next, and the frame, BGR (H, W, 3). See `moments`."""
    if not path.is_file():
        raise MissingError(f"{path}: there is no such video file.")
    capture = cv2.VideoCapture(str(path))
    try:
        rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
        promised = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        read, due = 0, 0.0
        for read in track(count(), "frames", promised if promised > 0 else None):  # which may be an estimate
            if not capture.grab():
                break
            # The frame's own time, as frames may be missing or not evenly spaced; not every format has it.
            seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 or read / rate
            if seconds < due - 1e-3:
                continue
            due += every * (1 + max(0, (seconds - due) // every))
            if after is None or round(seconds, 2) > after:  # only what is read is decoded
                good, frame = capture.retrieve()
                if good:
                    yield seconds, max(every, 1 / rate), frame
    finally:
        capture.release()
    if read == 0:
        raise DataError(f"{path} has no frames that can be read as a video.")
    if missing := missing_bytes(path):
        raise DataError(
            f"{path} is cut off: {missing:,} bytes are missing at its end. Its {read:,} frames before that were "
            "read; for the others, take another copy."
        )
