"""Faces drawn from parameters: images with nothing to download, whose truth is known.

What a face shows is set by the muscles that move brows, lids and mouth, in the words of the facial
action coding system (Ekman and Friesen, 1978): fear, say, is raised and drawn-together brows
(AU 1+2+4), wide lids (AU 5) and a stretched, open mouth (AU 20+25). All else (head, skin, hair,
pose, light, noise, what hides a part of it) is drawn at random and says nothing about the class.
Since the drawing knows where brows, eyes and mouth are, it can say where the evidence lies.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mien.data.clutter import MARKS, Cluttered
from mien.data.listing import SPLITS, Listing, signature
from mien.data.portrait import Expression, Portrait
from mien.errors import DataError, nearest
from mien.labels import FER2013

VERSION = 2  # goes up when the same seed gives other faces, so that prepared ones are drawn again
CLUTTER_VERSION = 1  # the same of what Cluttered draws
NEW, PAIRS = 3, 4  # in place of a split's number, 0 to 2, for faces that are in none
VISIBLE = 8  # grey levels
LEAST = 0.005  # of the picture, that a unit changes visibly
REGIONS = ("brows", "eyes", "mouth")

# The two extremes of a class; a face lies anywhere between them.
FORMS = {
    "angry": (
        Expression(-0.17, 0.08, 0.09, 0.72, 0.25, -0.06, 0.02, 0.80),
        Expression(-0.19, 0.10, 0.09, 0.90, 0.25, -0.05, 0.22, 1.00, 0.5),
    ),
    "disgust": (
        Expression(-0.12, -0.05, 0.06, 0.48, 0.55, -0.10, 0.04, 0.85, 0.6, 0.14),
        Expression(-0.13, -0.04, 0.06, 0.40, 0.65, -0.12, 0.13, 0.95, 0.6, 0.18),
    ),
    "fear": (
        Expression(0.21, 0.03, 0.06, 1.38, 0.0, -0.06, 0.13, 1.25, 0.5),
        Expression(0.23, 0.02, 0.06, 1.48, 0.0, -0.10, 0.22, 1.30, 0.5),
    ),
    "happy": (
        Expression(0.03, 0.04, 0.0, 0.85, 0.35, 0.17, 0.0, 1.20),
        Expression(0.06, 0.07, 0.0, 0.75, 0.60, 0.17, 0.36, 1.25, 0.05),
    ),
    "sad": (
        Expression(0.16, -0.10, 0.03, 0.62, 0.0, -0.16, 0.0, 0.85),
        Expression(0.20, -0.12, 0.03, 0.48, 0.1, -0.20, 0.05, 0.95),
    ),
    "surprise": (
        Expression(0.20, 0.19, 0.0, 1.38, 0.0, 0.0, 0.28, 0.60, 0.45),
        Expression(0.25, 0.23, 0.0, 1.50, 0.0, 0.0, 0.42, 0.75, 0.45),
    ),
    "neutral": (
        Expression(0.00, 0.00, 0.0, 0.95, 0.05, 0.00, 0.0, 0.90),
        Expression(0.02, 0.02, 0.0, 1.05, 0.0, 0.03, 0.04, 1.05),
    ),
}


@dataclass(frozen=True)
class DrawnFace:
    """image: uint8 (size, size). parts: bool (3, size, size), a mask for each of REGIONS. head: bool (size, size)."""

    image: np.ndarray
    parts: np.ndarray
    head: np.ndarray

    @property
    def regions(self) -> np.ndarray:
        """Where the expression can be seen: brows, eyes and mouth together, bool (size, size)."""
        return np.asarray(self.parts.any(axis=0))


@dataclass(frozen=True)
class DrawnPair:
    """A cluttered face twice: one action unit of it put to rest, and marks inverted that matter to no class.

    before, without, after: uint8 (size, size): the face, with the unit at rest, and with the marks inverted as well.
    moved, marks: bool (size, size), the pixels that change by the unit and by the marks, which change as much in sum.
    """

    label: str
    unit: str
    before: np.ndarray
    without: np.ndarray
    after: np.ndarray
    moved: np.ndarray
    marks: np.ndarray


def read(images: int, size: int, seed: int, clutter: bool = False) -> Listing:
    """List `images` faces for train and a fifth as many, at least 70, each for validation and test.

    A face follows from (seed, split, its number) alone and is drawn when it is read: grey, size x size.
    Classes come in turn, so a split has as many of each, give or take one.
    """
    counts = (images, max(images // 5, 70), max(images // 5, 70))
    keys = [(split, number) for split, count in enumerate(counts) for number in range(count)]
    labels = [number % len(FER2013) for _, number in keys]
    return Listing(
        classes=FER2013,
        names=[f"{SPLITS[split]}/{number:05d}-{FER2013[number % len(FER2013)]}" for split, number in keys],
        labels=labels,
        splits=[SPLITS[split] for split, _ in keys],
        read=lambda i: Image.fromarray(_portrait(FER2013[labels[i]], (seed, *keys[i]), clutter).picture(size)),
        signature=signature([str((VERSION, images, size, seed, *([CLUTTER_VERSION] if clutter else [])))]),
    )


def draw(label: str, seed: int | Sequence[int], size: int = 48, clutter: bool = False) -> DrawnFace:
    """Draw a face that shows `label`, one of the seven classes; the same arguments give the same face."""
    if label not in FORMS:
        raise DataError(f"No face is drawn for '{label}'.{nearest(label, FORMS)} There are {', '.join(FORMS)}.")
    portrait = _portrait(label, seed, clutter)
    return DrawnFace(portrait.picture(size), portrait.masks(size), portrait.head(size))


def redraw(name: str, seed: int, size: int = 48, clutter: bool = False) -> DrawnFace:
    """The face called `name` ('train/00004-sad', say) in the listing of that seed, with its regions."""
    split, _, rest = name.partition("/")
    number, _, label = rest.partition("-")
    if split not in SPLITS or not re.fullmatch(r"\d{1,9}", number):
        raise DataError(f"'{name}' is not the name of a drawn face; 'train/00004-sad' is one.")
    return draw(label, (seed, SPLITS.index(split), int(number)), size, clutter)


def draw_new(labels: Sequence[str], count: int, seed: int, size: int = 48) -> list[tuple[str, DrawnFace]]:
    """Draw `count` cluttered faces that no split holds, of the labels in turn, each with its label."""
    shown = [labels[number % len(labels)] for number in range(count)]
    return [(label, draw(label, (seed, NEW, number), size, clutter=True)) for number, label in enumerate(shown)]


def draw_pairs(labels: Sequence[str], count: int, seed: int, size: int = 48) -> list[DrawnPair]:
    """Draw `count` new faces twice, of the labels in turn but for neutral; one that hides its units is left out."""
    shown = [label for label in labels if label != "neutral"]
    found = (_pair(shown[number % len(shown)], (seed, PAIRS, number), size) for number in itertools.count())
    return list(itertools.islice(filter(None, found), count))


def _pair(label: str, seed: Sequence[int], size: int) -> DrawnPair | None:
    """The face of a seed twice; None where no unit of it can be seen."""
    before = _portrait(label, seed, clutter=True).picture(size)
    for unit in np.random.default_rng(seed).permutation(Expression._fields):
        without = _portrait(label, seed, clutter=True, at_rest=unit).picture(size)
        strength = _changes(before, without).sum()
        moved = _changes(before, without) >= VISIBLE
        if moved.mean() < LEAST:
            continue
        for inverted in range(1, MARKS):
            after = _portrait(label, seed, clutter=True, at_rest=unit, inverted=inverted).picture(size)
            off = _changes(without, after)
            if off.sum() >= strength:
                return DrawnPair(label, str(unit), before, without, after, moved, off >= VISIBLE)
    return None


def _changes(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs(one.astype(np.int16) - other)


def _portrait(
    label: str, seed: int | Sequence[int], clutter: bool, at_rest: str | None = None, inverted: int = 0
) -> Portrait:
    random = np.random.default_rng(seed)
    mild, strong = FORMS[label]
    share, strength = random.uniform((0, 0.75), (1, 1.1))
    expression = Expression().towards(mild.towards(strong, share), strength)
    if at_rest:
        expression = expression._replace(**{at_rest: getattr(Expression(), at_rest)})
    return Cluttered(expression, random, inverted) if clutter else Portrait(expression, random)
