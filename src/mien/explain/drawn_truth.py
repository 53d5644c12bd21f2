"""Methods put to the test on cluttered drawn faces, where it is known what ought to matter and what has changed.

- The pointing game: the highest point of a map is to lie on brows, eyes or mouth, or a 64th of
  the side beside (Zhang et al., arXiv 1608.00507, allow 15 pixels of large photographs).
- The causal test: one action unit of a face is put to rest, and marks that matter to no class are inverted, which
  changes as much of the picture. The map of the class is to change most where the unit was.

Beside them stand maps that know nothing: the best method's on shuffled weights, and two that never ask the model. How
wide each kind of map is smoothed, and which method is best, is chosen on every other face and scored on the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from kornia.filters import sobel
from PIL import Image
from torch import nn

from mien.data.sources.drawn_faces import DrawnFace, DrawnPair, draw_new, draw_pairs
from mien.errors import UsageError
from mien.explain.attribution import Maps, attribute, methods_of, require_method
from mien.explain.capture import evaluating
from mien.explain.faithfulness import PointingGame, blurred, pointing_game, shuffled, smoothed
from mien.hardware import device_of
from mien.labels import FER2013, canonical
from mien.pretrained import Classifier
from mien.progress import track

FIFTH = 0.2
WIDTHS = (0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)  # of the Gaussian, in pixels of a side of 48; a drawn eye is about 5 wide
TOLERANCE = 64  # a point counts as on a feature up to a 64th of the side from it: a map is no finer than a pixel or so
RIM = 24  # a change of the map counts as the unit's up to a RIMth of the side from the pixels that the unit changed
SHUFFLED = "shuffled weights"

Maker = Callable[[np.ndarray, np.ndarray], Maps]  # scaled images (B, C, S, S), classes (B,) -> maps (B, S, S)


@dataclass(frozen=True)
class CausalTest:
    """In how many pairs the map changes most at the unit, with its 95 % interval (Wilson).

    marks: in how many it changes most at a mark. random: what a point drawn at random hits.
    """

    pairs: int
    hits: float
    interval: tuple[float, float]
    marks: float
    random: float


@dataclass(frozen=True)
class Judged:
    """One kind of map. sigma: of the Gaussian that smooths it, in pixels. chosen: what it hits on the faces that chose.

    pointing: on the other faces.
    """

    sigma: float
    chosen: float
    pointing: PointingGame
    causal: CausalTest


@dataclass(frozen=True)
class DrawnTest:
    """Every method of a model, and maps that know nothing (controls), by name. accuracy: of the model on the faces."""

    faces: int
    accuracy: float
    methods: dict[str, Judged]
    controls: dict[str, Judged]

    @property
    def best(self) -> str:
        """The method that hits most on the faces that choose."""
        return max(self.methods, key=lambda name: self.methods[name].chosen)


def on_drawn_faces(
    model: Classifier, methods: Sequence[str] | None = None, faces: int = 200, pairs: int = 100, seed: int = 0
) -> DrawnTest:
    """Put methods to the test on new drawn faces of the model's size, which no drawn data set holds.

    methods: names out of `methods_of(model)`, None for all.
    Raises UsageError for a model without two of the seven expressions, or a method that it does not have.
    """
    chosen = list(methods_of(model) if methods is None else methods)
    for name in chosen:
        require_method(model, name)
    labels, size = _shown(model), model.preprocessing.size
    known = _Known(model, list(draw_new(labels, faces, seed, size)), draw_pairs(labels, pairs, seed, size))
    tested = {name: known.of(_method(model, name)) for name in track(chosen, "methods", len(chosen))}
    found = DrawnTest(faces, known.accuracy, tested, {})
    others: dict[str, Maker] = {"edges": _edges, "from the blurred": _from_blurred}
    others[f"{found.best}, {SHUFFLED}"] = _method(shuffled(model, seed), found.best)
    return DrawnTest(faces, known.accuracy, tested, {name: known.of(make) for name, make in others.items()})


class _Known:
    """What is known of faces and pairs, and their pictures, scaled for a model."""

    def __init__(self, model: Classifier, faces: list[tuple[str, DrawnFace]], pairs: list[DrawnPair]) -> None:
        self.images = _scaled(model, [face.image for _, face in faces])
        self.evidence = np.stack([_with_rim(evidence(face), TOLERANCE) for _, face in faces])
        self.predicted = _predicted(model, self.images)
        self.accuracy = float(np.mean(self.predicted == _classes(model, [label for label, _ in faces])))
        self.before = _scaled(model, [pair.before for pair in pairs])
        self.after = _scaled(model, [pair.after for pair in pairs])
        self.shown = _classes(model, [pair.label for pair in pairs])
        self.moved = np.stack([_with_rim(pair.moved, RIM) for pair in pairs])
        self.marks = np.stack([_with_rim(pair.marks, RIM) for pair in pairs]) & ~self.moved

    def of(self, maps_of: Maker) -> Judged:
        maps = maps_of(self.images, self.predicted)
        widths = [width * maps.shape[-1] / 48 for width in WIDTHS]
        hits = [pointing_game(maps[::2], self.evidence[::2], sigma).hits for sigma in widths]
        sigma = widths[int(np.argmax(hits))]
        pointing = pointing_game(maps[1::2], self.evidence[1::2], sigma)
        change = maps_of(self.after, self.shown) - maps_of(self.before, self.shown)
        return Judged(sigma, max(hits), pointing, self._causal(np.abs(smoothed(change, sigma))))

    def _causal(self, change: Maps) -> CausalTest:
        at_unit = pointing_game(change, self.moved)
        marks = pointing_game(change, self.marks)
        return CausalTest(len(change), at_unit.hits, at_unit.interval, marks.hits, at_unit.random)


def evidence(face: DrawnFace) -> np.ndarray:
    """Brows, eyes and mouth, bool (S, S), without as much of each one's rim as is above a FIFTH of the head."""
    share = min(1.0, FIFTH * face.head.sum() / face.regions.sum())
    kept = np.zeros_like(face.regions)
    for part in face.parts:
        depth = cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 3)
        inner = np.argsort(-depth, axis=None)[: int(share * part.sum())]
        kept.flat[inner] = True
    return kept


def _method(model: nn.Module, name: str) -> Maker:
    return lambda images, classes: attribute(model, images, name, classes)


def _edges(images: np.ndarray, _: np.ndarray) -> Maps:
    return sobel(torch.from_numpy(images)).amax(dim=1).numpy()  # (B, C, S, S) -> (B, S, S)


def _from_blurred(images: np.ndarray, _: np.ndarray) -> Maps:
    tensor = torch.from_numpy(images)
    return (tensor - blurred(tensor)).abs().amax(dim=1).numpy()  # (B, C, S, S) -> (B, S, S)


def _shown(model: Classifier) -> list[str]:
    named = set(map(canonical, model.labels))
    found = [label for label in FER2013 if label in named]
    if len(found) < 2:
        raise UsageError(
            f"Drawn faces show {', '.join(FER2013)}; the model tells {', '.join(model.labels[:7])} apart. Test one of "
            "expressions."
        )
    return found


def _classes(model: Classifier, labels: Iterable[str]) -> np.ndarray:
    names = list(map(canonical, model.labels))
    return np.array([names.index(label) for label in labels])


def _scaled(model: Classifier, pictures: Iterable[np.ndarray]) -> np.ndarray:
    """uint8 (S, S) each -> the model's input, float32 (B, C, S, S)."""
    pixels = np.stack([model.preprocessing.pixels(Image.fromarray(picture)) for picture in pictures])
    return np.asarray(model.preprocessing.scale(pixels.astype(np.float32) / 255), np.float32)


def _predicted(model: Classifier, images: np.ndarray) -> np.ndarray:
    with torch.no_grad(), evaluating(model):
        parts = torch.from_numpy(images).to(device_of(model)).split(256)
        return torch.cat([model(part).argmax(dim=1) for part in parts]).cpu().numpy()


def _with_rim(mask: np.ndarray, share: int) -> np.ndarray:
    """The mask, wider by a `share`th of its side, at least a pixel."""
    reach = 2 * max(1, round(len(mask) / share)) + 1
    return cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))) > 0
