"""Finding faces: one protocol, YuNet, which comes with mien, and OpenCV's Haar cascade."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from mien.assets import asset
from mien.errors import DataError, MissingError, nearest

YUNET = asset("yunet", "face_detection_yunet_2023mar.onnx")

Box = tuple[int, int, int, int]  # x, y, width, height in pixels; x and y from the top left corner
LONGEST = 960  # a larger picture is searched at this length: faces that small cannot be read, YuNet misses large ones


class Detector(Protocol):
    """Anything that finds faces."""

    def detect(self, image: np.ndarray) -> list[Box]:
        """uint8 RGB (H, W, 3) -> boxes inside the image, largest first."""
        ...


class HaarDetector:
    """OpenCV's frontal-face cascade (Viola & Jones 2001), which comes with OpenCV.

    least: the smallest face, as a share of the image's shorter side. neighbours: overlapping hits a face needs.
    """

    def __init__(self, least: float = 0.06, neighbours: int = 6) -> None:
        self.least = least
        self.neighbours = neighbours
        cascades = Path(cv2.data.haarcascades)  # type: ignore[attr-defined]  # it is no part of OpenCV's stubs
        self.cascade = cv2.CascadeClassifier(str(cascades / "haarcascade_frontalface_alt2.xml"))

    def detect(self, image: np.ndarray) -> list[Box]:
        grey, shrink = _shrunk(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
        least = max(24, round(self.least * min(grey.shape)))
        found = self.cascade.detectMultiScale(
            cv2.equalizeHist(grey), scaleFactor=1.1, minNeighbors=self.neighbours, minSize=(least, least)
        )
        return _boxes(np.asarray(found).reshape(-1, 4), shrink, image)


class YuNetDetector:
    """YuNet (Wu et al. 2023) through OpenCV.

    model: 'yunet' for the one that comes with mien, or another ONNX file of it. confidence: the least that
    a face needs, 0 to 1. Raises MissingError when there is no such file, DataError when it is no YuNet.
    """

    def __init__(self, model: str | Path = "yunet", confidence: float = 0.7) -> None:
        path = YUNET if str(model) == "yunet" else Path(model)
        if not path.is_file():
            raise MissingError(
                f"{path}: there is no such detector file.{nearest(str(model), DETECTORS)} The detectors are "
                f"{' and '.join(DETECTORS)}, or a file of YuNet's weights (.onnx)."
            )
        try:
            self.network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), confidence)
        except cv2.error as error:
            raise DataError(f"{path} is no YuNet model that OpenCV reads: {str(error).strip()}") from error

    def detect(self, image: np.ndarray) -> list[Box]:
        small, shrink = _shrunk(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self.network.setInputSize((small.shape[1], small.shape[0]))
        _, found = self.network.detect(small)
        return [] if found is None else _boxes(found[:, :4], shrink, image)


DETECTORS = {"yunet": YuNetDetector, "haar": HaarDetector}


def open_detector(which: Detector | str | Path = "yunet") -> Detector:
    """The detector of a name, 'yunet' or 'haar', or YuNet with the weights of a file; an own one as it is.

    Errors as of `YuNetDetector`.
    """
    if not isinstance(which, str | Path):
        return which
    return HaarDetector() if str(which) == "haar" else YuNetDetector(which)


def _shrunk(image: np.ndarray) -> tuple[np.ndarray, float]:
    """An image (H, W, ...) at most LONGEST pixels long, and by how much it was made smaller."""
    shrink = min(1.0, LONGEST / max(image.shape[:2]))
    if shrink == 1:
        return image, shrink
    width, height = (max(1, round(side * shrink)) for side in (image.shape[1], image.shape[0]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), shrink


def _boxes(found: np.ndarray, shrink: float, image: np.ndarray) -> list[Box]:
    """Boxes (N, 4) of the shrunk image -> those of the image."""
    found = found[np.isfinite(found).all(axis=1)]  # YuNet answers to some tiny pictures with boxes without end
    rows = [tuple(round(value / shrink) for value in row) for row in found.tolist()]
    return merged([inside(row, image.shape) for row in rows])


@dataclass(frozen=True)
class WholeImage:
    """The picture is the face already."""

    def detect(self, image: np.ndarray) -> list[Box]:
        return [(0, 0, image.shape[1], image.shape[0])]


def merged(boxes: list[Box], overlap: float = 0.35) -> list[Box]:
    """Boxes without duplicates, largest first: of two that share much of the smaller one, the larger stays."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda one: -one[2] * one[3]):
        if all(shared(box, other) <= overlap * box[2] * box[3] for other in kept):
            kept.append(box)
    return [box for box in kept if box[2] > 0 and box[3] > 0]


def inside(box: Box, shape: tuple[int, ...]) -> Box:
    """The part of a box that lies in an image of this shape (H, W, ...)."""
    left, top = max(0, box[0]), max(0, box[1])
    right, bottom = min(shape[1], box[0] + box[2]), min(shape[0], box[1] + box[3])
    return left, top, max(0, right - left), max(0, bottom - top)


def with_margin(box: Box, margin: float, shape: tuple[int, ...]) -> Box:
    """The box made square around its middle and larger by `margin` of its side on each side, within the image."""
    side = round(max(box[2], box[3]) * (1 + 2 * margin))
    x = round(box[0] + box[2] / 2 - side / 2)
    y = round(box[1] + box[3] / 2 - side / 2)
    return inside((x, y, side, side), shape)


def shared(one: Box, other: Box) -> int:
    """Area that two boxes have in common, square pixels."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(0, width) * max(0, height)
