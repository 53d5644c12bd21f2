"""Finding faces: one protocol, YuNet, which comes with mien, and OpenCV's Haar cascade."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from mien.assets import asset
from mien.errors import DataError, MissingError, nearest
from mien.runtime.any_size import any_size
from mien.runtime.devices import session_of

YUNET = asset("yunet", "face_detection_yunet_2023mar.onnx")

Box = tuple[int, int, int, int]  # x, y, width, height in pixels; x and y from the top left corner
STRIDES = (8, 16, 32)  # pixels of a cell of YuNet's three maps; a picture's sides become multiples of the last
SAME, MOST = 0.3, 5000  # intersection over union above which two boxes are one face; boxes that are compared
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
    """YuNet (Wu et al. 2023) through onnxruntime, with the boxes of OpenCV's FaceDetectorYN in half its time.

    model: 'yunet' for the one that comes with mien, or another ONNX file of it. confidence: the least that
    a face needs, 0 to 1. threads: 0 is one for each core. Raises MissingError when there is no such file, DataError
    when it is no YuNet.
    """

    def __init__(self, model: str | Path = "yunet", confidence: float = 0.7, threads: int = 0) -> None:
        path = YUNET if str(model) == "yunet" else Path(os.path.expanduser(model))
        if not path.is_file():
            raise MissingError(
                f"{path}: there is no such detector file.{nearest(str(model), DETECTORS)} The detectors are "
                f"{' and '.join(DETECTORS)}, or a file of YuNet's weights (.onnx)."
            )
        try:
            self.session = session_of(any_size(path.read_bytes()), threads)
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read as a YuNet model: {error}.") from error
        self.input = self.session.get_inputs()[0].name
        self.confidence = confidence
        self.outputs = [f"{part}_{stride}" for stride in STRIDES for part in ("cls", "obj", "bbox")]
        if not {*self.outputs} <= {output.name for output in self.session.get_outputs()}:
            raise DataError(f"{path} is no YuNet model: it lacks the outputs {', '.join(self.outputs)}.")

    def detect(self, image: np.ndarray) -> list[Box]:
        small, shrink = _shrunk(image)
        inputs = _padded(small)
        found = self.session.run(self.outputs, {self.input: inputs})
        return _boxes(_surest(*self._candidates(found, inputs.shape[3])), shrink, image)

    def _candidates(self, found: list[np.ndarray], width: int) -> tuple[np.ndarray, np.ndarray]:
        """Boxes float32 (N, 4) that reach the confidence, x, y, width and height, and their scores (N,).

        found: for each stride: a score and an objectness (1, cells, 1), and a box in cells (1, cells, 4).
        """
        boxes, scores = [], []
        for stride, part in zip(STRIDES, zip(*[iter(found)] * 3, strict=True), strict=True):
            classes, objects, places = (each[0] for each in part)
            score = np.sqrt(classes[:, 0].clip(0, 1) * objects[:, 0].clip(0, 1))
            (cells,) = np.nonzero(score >= self.confidence)
            rows, columns = np.divmod(cells, width // stride)
            middle = (np.stack([columns, rows], axis=1) + places[cells, :2]) * stride
            with np.errstate(over="ignore"):
                size = np.exp(places[cells, 2:]) * stride
            boxes.append(np.concatenate([middle - size / 2, size], axis=1).astype(np.float32))
            scores.append(score[cells])
        return np.concatenate(boxes), np.concatenate(scores)


def _padded(image: np.ndarray) -> np.ndarray:
    """uint8 RGB (H, W, 3) -> YuNet's input, float32 (1, 3, H', W'): blue first, 0..255, black below and right."""
    height, width = image.shape[:2]
    last = STRIDES[-1]
    made = np.zeros((1, 3, height + -height % last, width + -width % last), np.float32)
    made[0, :, :height, :width] = image[..., ::-1].transpose(2, 0, 1)  # (H, W, 3) -> (3, H, W)
    return made


def _surest(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Of boxes (N, 4) that overlap, the one with the highest score; compared in whole pixels, as OpenCV does it."""
    finite = np.isfinite(boxes).all(axis=1)  # YuNet answers to some tiny pictures with boxes without end
    boxes, scores = boxes[finite], scores[finite]
    if len(boxes) < 2:
        return boxes
    kept = cv2.dnn.NMSBoxes(boxes.clip(-1e9, 1e9).astype(int).tolist(), scores.tolist(), 0.0, SAME, top_k=MOST)
    return boxes[np.asarray(kept, dtype=int)]


DETECTORS = {"yunet": YuNetDetector, "haar": HaarDetector}


def open_detector(which: Detector | str | Path = "yunet", threads: int = 0) -> Detector:
    """The detector of a name, 'yunet' or 'haar', or YuNet with the weights of a file; an own one as it is.

    threads and errors as of `YuNetDetector`.
    """
    if not isinstance(which, str | Path):
        return which
    return HaarDetector() if str(which) == "haar" else YuNetDetector(which, threads=threads)


def _shrunk(image: np.ndarray) -> tuple[np.ndarray, float]:
    """An image (H, W, ...) at most LONGEST pixels long, and by how much it was made smaller."""
    shrink = min(1.0, LONGEST / max(image.shape[:2]))
    if shrink == 1:
        return image, shrink
    width, height = (max(1, round(side * shrink)) for side in (image.shape[1], image.shape[0]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), shrink


def _boxes(found: np.ndarray, shrink: float, image: np.ndarray) -> list[Box]:
    """Boxes (N, 4) of the shrunk image -> those of the image."""
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
