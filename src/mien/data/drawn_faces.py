"""Faces drawn from parameters: images with nothing to download, whose truth is known.

What a face shows is set by the muscles that move brows, lids and mouth, in the words of the facial
action coding system (Ekman and Friesen, 1978): fear, say, is raised and drawn-together brows
(AU 1+2+4), wide lids (AU 5) and a stretched, open mouth (AU 20+26). All else (head, skin, hair,
pose, light, noise, what hides a part of it) is drawn at random and says nothing about the class.
Since the drawing knows where brows, eyes and mouth are, it can say where the evidence lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import cv2
import numpy as np
from PIL import Image

from mien.data.listing import SPLITS, Listing, signature
from mien.errors import DataError, nearest
from mien.labels import FER2013

VERSION = "1"  # raise it when the same seed gives other faces, so that stored ones are drawn again
REGIONS = ("brows", "eyes", "mouth")
BITS = 4  # OpenCV takes positions in sixteenths of a pixel

Points = np.ndarray  # float (n, 2): x to the right, y down; the head is about 2 high, its middle at 0, 0
Key = tuple[int, ...]


@dataclass(frozen=True)
class DrawnFace:
    """image: uint8 (size, size). parts: bool (3, size, size), a mask for each of REGIONS."""

    image: np.ndarray
    parts: np.ndarray

    @property
    def regions(self) -> np.ndarray:
        """Where the expression can be seen: brows, eyes and mouth together, bool (size, size)."""
        return np.asarray(self.parts.any(axis=0))


@dataclass(frozen=True)
class Expression:
    """How far each part moves, in head units; positive is up, wider or stronger. AU: action unit."""

    inner_brow: float = 0.0  # AU 1 up, AU 4 down
    outer_brow: float = 0.0  # AU 2 up
    gathered: float = 0.0  # AU 4: brows drawn together
    lids: float = 1.0  # AU 5 above 1, AU 43 below
    lower_lids: float = 0.0  # AU 6 and 7: the lower lid pushed up, 0..1
    corners: float = 0.0  # AU 12 up, AU 15 down
    opened: float = 0.0  # AU 25 to 27
    width: float = 1.0  # AU 20 wider, AU 18 narrower
    top: float = 0.3  # share of the opening that lies above the line between the corners
    sneer: float = 0.0  # AU 10: one half of the upper lip raised
    wrinkles: float = 0.0  # AU 9: a wrinkled nose


# The two extremes of a class; a face lies anywhere between them.
FORMS = {
    "angry": (
        Expression(-0.17, 0.08, 0.09, 0.72, 0.25, -0.06, 0.02, 0.80),
        Expression(-0.19, 0.10, 0.09, 0.90, 0.25, -0.05, 0.22, 1.00, 0.5),
    ),
    "disgust": (
        Expression(-0.12, -0.05, 0.06, 0.48, 0.55, -0.10, 0.04, 0.85, 0.6, 0.14, 1.0),
        Expression(-0.13, -0.04, 0.06, 0.40, 0.65, -0.12, 0.13, 0.95, 0.6, 0.18, 1.0),
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


def read(images: int, size: int, seed: int) -> Listing:
    """List `images` faces for train and a fifth as many, at least 70, each for validation and test.

    A face follows from (seed, split, its number) alone and is drawn when it is read, uint8 grey,
    size x size. Classes come in turn, so a split has as many of each, give or take one.
    """
    counts = (images, max(images // 5, 70), max(images // 5, 70))
    keys = [(split, number) for split, count in enumerate(counts) for number in range(count)]
    labels = [number % len(FER2013) for _, number in keys]
    return Listing(
        classes=FER2013,
        names=[f"{SPLITS[split]}/{number:05d}-{FER2013[number % len(FER2013)]}" for split, number in keys],
        labels=labels,
        splits=[SPLITS[split] for split, _ in keys],
        read=lambda i: Image.fromarray(_Face(FER2013[labels[i]], (seed, *keys[i])).picture(size)),
        signature=signature([VERSION, str((images, size, seed))]),
    )


def draw(label: str, seed: int | Sequence[int], size: int = 48) -> DrawnFace:
    """Draw a face that shows `label`, one of the seven classes; the same face for the same arguments."""
    if label not in FORMS:
        raise DataError(f"No face is drawn for '{label}'.{nearest(label, FORMS)} There are {', '.join(FORMS)}.")
    face = _Face(label, (seed,) if isinstance(seed, int) else tuple(seed))
    return DrawnFace(face.picture(size), face.parts(size))


def redraw(name: str, seed: int, size: int = 48) -> DrawnFace:
    """The face called `name` in a listing of that seed, such as 'train/00004-sad', with its regions."""
    split, _, rest = name.partition("/")
    number, _, label = rest.partition("-")
    if split not in SPLITS or not number.isdigit():
        raise DataError(f"'{name}' is not the name of a drawn face; 'train/00004-sad' is one.")
    return draw(label, (seed, SPLITS.index(split), int(number)), size)


class _Canvas:
    """A grey picture that is drawn on in head units."""

    def __init__(self, side: int, pose: np.ndarray) -> None:
        """pose: (2, 3), from head units to a picture of side 1."""
        self.pixels = np.zeros((side, side), np.uint8)
        self.pose = pose * side

    def fill(self, points: Points, grey: float) -> None:
        cv2.fillPoly(self.pixels, [self._placed(points)], grey, cv2.LINE_8, BITS)

    def line(self, points: Points, width: float, grey: float, closed: bool = False) -> None:
        thickness = max(1, round(width * float(np.hypot(*self.pose[:, 0]))))
        cv2.polylines(self.pixels, [self._placed(points)], closed, grey, thickness, cv2.LINE_8, BITS)

    def _placed(self, points: Points) -> np.ndarray:
        pixels = points @ self.pose[:, :2].T + self.pose[:, 2] - 0.5  # OpenCV counts from pixel middles
        return np.rint(pixels * 2**BITS).astype(np.int32)


class _Face:
    """One face: its person, its expression, its pose. Everything random is drawn here, in one order."""

    def __init__(self, label: str, key: Key) -> None:
        self.random = np.random.default_rng(key)
        draw = self.random.uniform
        self.expression = _between(*FORMS[label], draw(0, 1), strength=draw(0.75, 1.1))
        self.skin = draw(75, 235)
        self.hair = _apart(draw(15, 240), self.skin, 45)
        self.brow = _apart(min(self.hair, self.skin * 0.6), self.skin, 55)
        self.head = draw((0.68, 1.9, 0.78), (0.84, 2.6, 0.98))  # half width, squareness, jaw
        self.eye = draw((0.30, -0.14, 0.17, 0.10), (0.38, 0.0, 0.22, 0.135))  # middle x, y, half width, half height
        self.brows_above = draw(0.27, 0.33)
        self.nose = draw((0.24, 0.05), (0.36, 0.11))  # tip's y, half width
        self.lips = draw((0.54, 0.26), (0.62, 0.32))  # y, half width
        self.sneering = draw(0.3, 0.6) * self._sign()
        self.turn = draw(-0.22, 0.22)  # of the head, radians
        self.nod = draw(-0.06, 0.06)
        self.pose = self._pose()
        self.occluder = self._occluder()

    # What the expression moves

    def brows(self) -> list[Points]:
        """Both brows as lines from the inner to the outer end."""
        e, t = self.expression, np.linspace(0, 1, 9)
        inner = self.eye[0] - 0.20 - e.gathered
        x = inner + t * 0.42
        y = self.eye[1] - self.brows_above - e.inner_brow * (1 - t) ** 1.5 - e.outer_brow * t - 0.06 * np.sin(np.pi * t)
        return self._both_sides(x, y)

    def eyes(self) -> list[Points]:
        """Outlines of both eyes: the upper lid from left to right, then the lower lid back."""
        return [np.concatenate([upper, lower[::-1]]) for upper, lower in self._lids()]

    def mouth(self) -> Points:
        """Outline of the mouth: the upper lip from left to right, then the lower lip back."""
        upper, lower = self._lip_lines()
        return np.concatenate([upper, lower[::-1]])
