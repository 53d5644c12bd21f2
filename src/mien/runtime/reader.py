"""Pictures -> faces with labels and calibrated probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mien.errors import DataError, UsageError
from mien.labels import has_expressions
from mien.packed import packed
from mien.pictures import open_image
from mien.preprocessing import Preprocessing, on_white, plain, upright
from mien.runtime.faces import Box, Detector, WholeImage, YuNetDetector, with_margin
from mien.runtime.network import Network, Prediction

if TYPE_CHECKING:
    from mien.runtime.film.video import Moment
    from mien.runtime.job import FilmResult, FolderResult

Picture = str | Path | bytes | Image.Image | np.ndarray
BATCH = 64  # faces in one call of the network
UNSURE = "unsure"


@dataclass(frozen=True)
class Face:
    """What was read from one face.

    box: x, y, width, height in pixels of the upright picture. label: the most probable class.
    probabilities: {class: 0..1}, calibrated. confidence: that of the label. sure: whether it reaches the
    threshold that the model was given for a stated error rate. prediction_set: the classes that are left open, the most
    probable first, which hold the true one in the share of pictures that `Network.sets` promises; empty where the model
    was exported without sets. outlier: whether the picture is unlike all that the network learned from, so that the
    answer means little; None where the model cannot tell.
    """

    box: Box
    label: str
    probabilities: dict[str, float]
    confidence: float
    sure: bool
    prediction_set: tuple[str, ...] = ()
    outlier: bool | None = None

    def scaled(self, scale: float) -> Face:
        """This face in the picture made larger or smaller."""
        x, y, width, height = (round(scale * value) for value in self.box)
        return replace(self, box=(x, y, width, height))

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: label is 'unsure' where the model is, `most_probable` always the class."""
        return {
            "box": list(self.box),
            "label": self.label if self.sure else UNSURE,
            "most_probable": self.label,
            "confidence": round(self.confidence, 4),
            "prediction_set": list(self.prediction_set),
            "outlier": self.outlier,
            "probabilities": {name: round(value, 4) for name, value in self.probabilities.items()},
        }


class FaceFinder:
    """Finds faces in pictures and cuts them out as the network's training images were prepared.

    preprocessing: the network's. detector: YuNet if not given. margin: what a crop shows around the detected box, as a
    share of its side. Raises UsageError for one below 0.
    """

    def __init__(self, preprocessing: Preprocessing, detector: Detector | None = None, margin: float = 0.0) -> None:
        if not 0 <= margin < math.inf:
            raise UsageError(f"margin {margin}: give the share of a face's side that is shown around it, 0 or more.")
        self.preprocessing = preprocessing
        self.detector = detector or YuNetDetector()
        self.margin = margin

    def find(self, image: Picture, *, detect: bool = True, order: str = "RGB") -> tuple[list[Box], list[np.ndarray]]:
        """The faces of one picture, largest first: boxes, and what the network sees of each, uint8 (C, size, size).

        Arguments and errors as of `Reader.read`.
        """
        picture = opened(image, order)
        whole = not detect or isinstance(self.detector, WholeImage)
        if whole:
            boxes = [(0, 0, *picture.size)]
        elif isinstance(image, np.ndarray) and image.ndim == 3 and order == "RGB":  # as a film's frames are
            boxes = self.detector.detect(image)
        else:
            boxes = self.detector.detect(_rgb(picture))
        return boxes, [self._crop(picture, box, whole) for box in boxes]

    def _crop(self, picture: Image.Image, box: Box, whole: bool) -> np.ndarray:
        """One face prepared exactly as the training images were, uint8 (C, size, size)."""
        if not whole:
            x, y, width, height = with_margin(box, self.margin, (picture.height, picture.width))
            picture = picture.crop((x, y, x + width, y + height))
        return self.preprocessing.pixels_of_upright(picture)


class Reader(FaceFinder):
    """Reads expressions (or whatever the network tells apart) from pictures; arguments as of `FaceFinder`."""

    def __init__(self, network: Network, detector: Detector | None = None, margin: float = 0.0) -> None:
        super().__init__(network.preprocessing, detector, margin)
        self.network = network

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the classes as answers carry them."""
        return lower_case(self.network.labels)

    @cached_property
    def detects(self) -> bool:
        """Whether faces are looked for where nothing else is asked: one of the classes is an expression."""
        return has_expressions(self.network.labels)

    def read(self, images: Any, *, detect: bool | None = None, order: str = "RGB") -> Any:
        """Faces of one picture, list[Face], or of many, list[list[Face]].

        detect: find the faces first; False: the pictures are faces already. Left out, faces are looked for where one
        of the classes is an expression.
        images: a path, bytes, PIL image or uint8 array ((H, W) grey, (H, W, 3) in `order`, 'RGB' or 'BGR'), or a
        list of them; with detect=False also an array (N, H, W) or (N, H, W, 3) of faces already cut out.
        Raises DataError naming a picture that cannot be read, UsageError for an array of another shape.
        """
        if order not in ("RGB", "BGR"):
            raise UsageError(f"order '{order}' is not known; there are 'RGB' and 'BGR'.")
        detect = self.detects if detect is None else detect
        many = isinstance(images, list | tuple) or (not detect and _are_faces(images))
        results = list(self.read_each(images if many else [images], detect=detect, order=order))
        return results if many else results[0]

    def read_folder(
        self,
        source: str | Path | Sequence[str | Path],
        *,
        out: str | Path | None = None,
        draw: str | Path | None = None,
        detect: bool | None = None,
        each: Callable[[Path, list[Face]], None] | None = None,
    ) -> FolderResult:
        """Read all pictures below a folder, however many, as `mien.runtime.job.FolderResult`.

        source: a folder or a picture, or several of them; each picture is read once.
        out: a .csv or .parquet table to write, one row a face, or .jsonl, one line a picture; what is in it already is
        not read again. draw: a folder
        for the pictures with boxes and bars. detect: as for `read`. each: called with every picture and its faces as
        soon as they are read. Without `out` and `each` the result holds the faces.
        A picture that cannot be read is in the result's `bad`. Raises MissingError when there is no such folder,
        DataError for one without pictures or a table of another model, UsageError for a table of another kind.
        """
        from mien.runtime.job import read_folder

        return read_folder(self, source, out=out, draw=draw, detect=detect, each=each)

    def read_video(
        self,
        source: str | Path,
        *,
        every: float = 0.2,
        out: str | Path | None = None,
        draw: str | Path | None = None,
        detect: bool | None = None,
        each: Callable[[Moment], None] | None = None,
    ) -> FilmResult:
        """Read a film, or what a camera shows until Ctrl-C ('camera', 'camera:1'), as `mien.runtime.job.FilmResult`.

        every: seconds between two frames. out: a .csv or .parquet table to write, one row a face; a film that is in it
        in part goes on from there. draw: a folder for the frames with boxes as a video, a timeline of each face and a
        sheet of small frames. detect: as for `read`. each: called with every `Moment` as soon as it is read. Without
        `out` and `each` the result holds the faces.
        To take the frames one by one instead: mien.runtime.film.video.moments(reader, source).
        Raises MissingError for a film or camera that is not there, DataError for one that shows nothing or, after its
        last frame, for a film that is cut off, UsageError for `every` of 0 or less or a table of another kind.
        """
        from mien.runtime.job import read_video

        return read_video(self, source, every=every, out=out, draw=draw, detect=detect, each=each)

    def read_each(
        self, images: Iterable[Picture], *, detect: bool | None = None, order: str = "RGB"
    ) -> Iterator[list[Face]]:
        """Faces of each picture, as those of one at a time; all of them share the network's batches.

        Every picture is asked for once and let go as soon as its faces are cut out.
        """
        detect = self.detects if detect is None else detect
        crops: list[np.ndarray] = []
        boxes: list[list[Box]] = []
        for image in images:
            found, seen = self.find(image, detect=detect, order=order)
            boxes.append(found)
            crops += seen
        answers = self._answers(crops)
        start = 0
        for found in boxes:
            yield self.faces(found, answers[start : start + len(found)])
            start += len(found)

    def faces(self, boxes: Sequence[Box], answers: Sequence[Prediction]) -> list[Face]:
        """What `find` found together with what the network says of it."""
        return [self._face(box, answer) for box, answer in zip(boxes, answers, strict=True)]

    def _answers(self, crops: list[np.ndarray]) -> list[Prediction]:
        parts = [np.stack(crops[start : start + BATCH]) for start in range(0, len(crops), BATCH)]
        return [answer for part in parts for answer in self.network.predict(part)]

    def _face(self, box: Box, answer: Prediction) -> Face:
        row = answer.probabilities.tolist()
        best = row.index(max(row))
        return Face(
            box=box,
            label=self.names[best],
            probabilities=dict(zip(self.names, row, strict=True)),
            confidence=row[best],
            sure=bool(answer.probabilities[best] >= self.network.threshold),
            prediction_set=self.network.sets.names(row, self.names) if self.network.sets else (),
            outlier=answer.outlier,
        )


def _rgb(picture: Image.Image) -> np.ndarray:
    """uint8 (H, W, 3), without transparency, as the network sees it."""
    picture = on_white(picture)
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _are_faces(images: Any) -> bool:
    """Whether this is an array of many faces, (N, H, W) or (N, H, W, 3), and not one picture with transparency."""
    if not isinstance(images, np.ndarray) or images.ndim < 3:
        return False
    return images.ndim == 4 if images.shape[-1] == 3 else images.ndim == 3 and images.shape[-1] != 4


def lower_case(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Labels of expressions in lower case, others as they are written: a join on 'Dög köter' must find it.

    Expressions too stay as they are where lower case would make two of them one.
    """
    if not has_expressions(labels):
        return labels
    lower = tuple(label.lower() for label in labels)
    return lower if len(set(lower)) == len(lower) else labels


def _prepared(picture: Image.Image, name: str) -> Image.Image:
    """Upright, of 8 bits."""
    try:
        return plain(upright(picture))
    except DataError as error:
        raise DataError(f"{name} cannot be read as an image ({error}).") from error


def opened(image: Picture, order: str = "RGB") -> Image.Image:
    """A picture from whatever it comes as, upright, of 8 bits. Raises DataError or UsageError, see `Reader.read`."""
    if isinstance(image, str | Path):
        if Path(image).is_dir():
            raise UsageError(f"{image} is a folder. Give a list of its pictures, or take read_folder.")
        return _prepared(open_image(Path(image)), str(image))
    if isinstance(image, bytes):
        content, name = image, f"These {len(image):,} bytes"
        return _prepared(open_image(packed(name, lambda: content, len(content))), name)
    if isinstance(image, Image.Image):
        if not (image.width and image.height):
            raise UsageError(f"A picture of {image.width} x {image.height} pixels shows nothing.")
        return _prepared(image, f"A PIL image of mode {image.mode}")
    if not isinstance(image, np.ndarray):
        raise UsageError(
            f"A {type(image).__name__} is no picture. Give a path, bytes, a PIL image, a uint8 array (H, W) or "
            "(H, W, 3), or a list of them."
        )
    if image.dtype != np.uint8 or image.ndim - (image.shape[-1:] == (3,)) != 2 or not image.size:
        advice = (
            "Leave transparency out: image[..., :3]."
            if image.ndim == 3 and image.shape[-1] == 4
            else "For many faces that are cut out already: detect=False."
        )
        raise UsageError(f"An image array is uint8 (H, W) or (H, W, 3), given {image.dtype} {image.shape}. {advice}")
    return Image.fromarray(np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 and order == "BGR" else image)
