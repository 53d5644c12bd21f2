"""Detectors that misbehave, for the processes of `mien serve`, which import them by name."""

import os
import signal
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np


class TwoFaces:
    """Stands in for a detector where no photo of real faces is at hand: two boxes in every large picture."""

    def detect(self, image: np.ndarray) -> list[tuple[int, int, int, int]]:
        height, width = image.shape[:2]
        side = height // 3
        return [(width // 8, 2, side, side), (width // 2, height // 4, side, side)] if width >= 200 else []


class Broken:
    def detect(self, image):
        raise RuntimeError("secret")


@dataclass(frozen=True)
class Slow:
    """Sleeps over each picture and notes that it has begun: an empty file, named after the process and the time."""

    notes: Path
    seconds: float

    def detect(self, image):
        (self.notes / f"{os.getpid()}-{uuid.uuid4().hex}").touch()
        time.sleep(self.seconds)
        return []


@dataclass(frozen=True)
class ByWidth:
    """Does what the picture's width asks for: 101 never ends, 102 crashes, 103 takes all memory, others are well."""

    def detect(self, image):
        width = image.shape[1]
        while width == 101:
            pass
        if width == 102:
            os.kill(os.getpid(), signal.SIGSEGV)
        if width == 103:
            np.ones(10**10, np.uint8)
        return []


@dataclass(frozen=True)
class Writing:
    """Tries to keep the picture in a file."""

    folder: Path

    def detect(self, image):
        with (self.folder / "kept").open("wb") as file:
            file.write(image.tobytes())
        return []
