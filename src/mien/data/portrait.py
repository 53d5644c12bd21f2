"""Draws one face: a person drawn at random, with the expression that is asked for.

Lengths are in head units: x to the right, y down, 0, 0 the middle of a head that is about 2 high.
A picture is a list of shapes, later ones over earlier ones. Whatever the expression moves (brows,
lids, lips) is an outline of its own, so the same outlines give the picture and the masks.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

BITS = 4  # OpenCV takes positions in sixteenths of a pixel
FINE = 4  # faces are drawn this much larger and averaged down

Points = np.ndarray  # float (n, 2): x, y


class Expression(NamedTuple):
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

    def towards(self, other: Expression, share: float) -> Expression:
        """The expression at `share` of the way to another: 0 is this one, 1 the other, numbers beyond extrapolate."""
        return Expression(*(mine + share * (theirs - mine) for mine, theirs in zip(self, other, strict=True)))


class Shape(NamedTuple):
    """A filled outline, or a line where `width` is above 0."""

    points: Points
    grey: float
    width: float = 0.0
    closed: bool = False


def render(shapes: list[Shape], pixels: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Draw shapes onto uint8 (side, side). pose: (2, 3), from head units to a picture of side 1."""
    pose = pose * len(pixels)
    unit = math.hypot(*pose[0, :2])
    points = np.concatenate([shape.points for shape in shapes] or [np.empty((0, 2))])  # all at once: much faster
    placed = points @ pose[:, :2].T + (pose[:, 2] - 0.5)  # OpenCV counts from the middle of a pixel
    placed = np.rint(placed * 2**BITS).astype(np.int32)
    start = 0
    for points, grey, width, closed in shapes:
        outline = [placed[start : start + len(points)]]
        start += len(points)
        if width:
            cv2.polylines(pixels, outline, closed, grey, max(1, round(width * unit)), cv2.LINE_8, BITS)
        else:
            cv2.fillPoly(pixels, outline, grey, cv2.LINE_8, BITS)
    return pixels


class Portrait:
    """One face. Everything random comes from `random`, in one order, so that equal seeds give equal faces."""

    def __init__(self, expression: Expression, random: np.random.Generator) -> None:
        uniform = random.uniform
        self.expression = expression
        self.random = random
        self.side = random.choice((-1.0, 1.0))  # which half sneers, parts the hair, is hidden
        self.skin = uniform(80, 235)
        self.hair = _apart(uniform(15, 240), self.skin, 40)
        self.brow = self.hair if abs(self.hair - self.skin) > 70 else self.skin * 0.4
        self.lip = _apart(uniform(10, 250), self.skin, 60)
        self.width, self.square, self.jaw = uniform((0.72, 2.0, 0.55), (0.86, 2.7, 0.85))
        self.outline = self._head_outline()
        self.eye = uniform((0.35, -0.12, 0.19, 0.13), (0.41, 0.0, 0.24, 0.165))  # middle x, y; half width, height
        self.brow_y = self.eye[1] - uniform(0.27, 0.33)
        self.nose = uniform((0.06, 0.24), (0.12, 0.34))  # half width, y of the tip
        self.lip_y, self.lip_width = uniform((0.54, 0.27), (0.62, 0.33))
        self.turn, self.nod = uniform((-0.14, -0.05), (0.14, 0.05))  # of the head: radians, head units
        self.gaze = uniform(-0.05, 0.05, 2)
        self.hair_style = int(random.integers(5))
        self.pose = self._pose()
        self.hidden_by = self._hidden_by()

    def picture(self, size: int) -> np.ndarray:
        """The face as uint8 grey (size, size)."""
        canvas = np.full((size * FINE, size * FINE), self.random.uniform(20, 240), np.uint8)
        behind = self._backdrop() + self._body() + self._hair_behind()
        face = self._head() + self._nose() + self._eyes() + self._brows() + self._mouth()
        render(behind + face + self._hair_in_front() + self.hidden_by, canvas, self.pose)
        return self._photographed(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA))

    def masks(self, size: int) -> np.ndarray:
        """Where brows, eyes and mouth can be seen, bool (3, size, size)."""
        brows = [Shape(line, 255, 0.12) for line in self.brow_lines()]
        eyes = [Shape(np.concatenate(lids), 255, width, True) for lids in self.lids() for width in (0, 0.05)]
        mouth = [Shape(np.concatenate(self.lips()), 255, width, True) for width in (0, 0.08)]
        over = [shape._replace(grey=255) for shape in self._hair_in_front() + self.hidden_by]
        hidden = render(over, _blank(size), self.pose) > 0
        return np.stack([(render(part, _blank(size), self.pose) > 0) & ~hidden for part in (brows, eyes, mouth)])

    def head(self, size: int) -> np.ndarray:
        """Where the head is, hidden parts included, bool (size, size)."""
        return render([Shape(self._head_outline(), 255)], _blank(size), self.pose) > 0

    # Outlines that the expression moves

    def brow_lines(self) -> list[Points]:
        """Both brows, each from its inner to its outer end, (9, 2)."""
        e, t = self.expression, _ALONG_BROW
        x = self.eye[0] - 0.19 - e.gathered + t * 0.42
        y = self.brow_y - e.inner_brow * (1 - t) ** 1.3 - e.outer_brow * t - 0.05 * np.sin(np.pi * t)
        return [self._on_head(side * x, y) for side in (-1, 1)]

    def lids(self) -> list[tuple[Points, Points]]:
        """For each eye the upper lid from left to right and the lower lid from right to left, (13, 2) each."""
        e, t = self.expression, _ACROSS_EYE
        middle, y, half_width, half_height = self.eye
        arch = half_height * (1 - t**2) ** 0.75
        upper, lower = y - arch * e.lids, y + 0.8 * arch * (1 - 1.5 * e.lower_lids)
        xs = [side * middle + half_width * t for side in (-1, 1)]
        return [(self._on_head(x, np.minimum(upper, lower)), self._on_head(x, lower)[::-1]) for x in xs]

    def lips(self) -> tuple[Points, Points]:
        """The edge of the upper lip from left to right and of the lower lip from right to left, (17, 2) each."""
        e, t = self.expression, _ACROSS_MOUTH
        x, line = self.lip_width * e.width * t, self.lip_y - e.corners * (1.5 * t**2 - 0.5)
        opened = e.opened * (1 - np.abs(t) ** 2.4) ** 0.5
        sneer = e.sneer * np.exp(-(((t - 0.45 * self.side) / 0.45) ** 2))
        return self._on_head(x, line - e.top * opened - sneer), self._on_head(x, line + (1 - e.top) * opened)[::-1]

    # Shapes

    def _backdrop(self) -> list[Shape]:
        middles = self.random.uniform(-1.8, 1.8, (2, 2))
        return [Shape(_disc(x, y, self._any(0.4, 1.2)), self._any(20, 240)) for x, y in middles]

    def _body(self) -> list[Shape]:
        shirt, wide = self._any(20, 240), self._any(1.1, 1.5)
        neck = np.array([(-0.35, 0.5), (0.35, 0.5), (0.4, 1.5), (-0.4, 1.5)])
        return [Shape(_disc(0, 2.0, wide, 0.9), shirt), Shape(neck, self.skin * 0.8)]

    def _head(self) -> list[Shape]:
        ears = [Shape(_disc(side * self.width, 0.05, 0.13, 0.2), self.skin * 0.85) for side in (-1, 1)]
        return [*ears, Shape(self.outline * 1.03, self.skin * 0.75), Shape(self.outline, self.skin)]

    def _hair_behind(self) -> list[Shape]:
        if self.hair_style == 1:  # long
            return [Shape(_disc(0, 0.1, self.width + 0.2, 1.25), self.hair)]
        if self.hair_style == 2:  # a bun
            return [Shape(_disc(0.2 * self.side, -1.1, 0.32), self.hair)]
        if self.hair_style == 3:  # curls
            return [Shape(_disc(x, y, 0.24), self.hair) for x, y in 1.05 * self.outline[46:96:5]]
        return []

    def _hair_in_front(self) -> list[Shape]:
        if self.hair_style == 0:  # bald
            return []
        top = 1.07 * self.outline[51:94]  # from the left temple over the top to the right one
        t = -_ACROSS_EYE
        line = -0.72 + 0.35 * t**4 + 0.1 * self.side * t - 0.06 * np.cos(9 * t)
        return [Shape(np.concatenate([top, _points(top[-1, 0] * t, line)]), self.hair)]

    def _nose(self) -> list[Shape]:
        half_width, tip = self.nose
        x = np.array([0.4, 1.0, 0.9, -0.6]) * half_width * self.side
        y = np.array([self.eye[1] + 0.1, tip - 0.04, tip + 0.02, tip + 0.03])
        return [Shape(self._on_head(x, y), self.skin * 0.68, 0.045)]

    def _eyes(self) -> list[Shape]:
        iris = self._any(0, 0.5) * self.skin
        return [shape for side, lids in zip((-1, 1), self.lids(), strict=True) for shape in self._eye(side, lids, iris)]

    def _eye(self, side: int, lids: tuple[Points, Points], iris: float) -> list[Shape]:
        middle, y, _, half_height = self.eye
        upper, lower = lids[0], lids[1][::-1]
        x, y = self._on_head(np.array([side * middle]), np.array([y - 0.15 * half_height]))[0] + self.gaze
        ball, shine = _disc(x, y, 0.75 * half_height), _disc(x - 0.04, y - 0.04, 0.04)
        for part in (ball, shine):  # the lids cover what lies above and below them
            part[:, 1] = part[:, 1].clip(*(np.interp(part[:, 0], lid[:, 0], lid[:, 1]) for lid in (upper, lower)))
        return [
            Shape(np.concatenate(lids), 245),
            Shape(ball, iris),
            Shape(shine, 250),
            Shape(lower, self.skin * 0.6, 0.02),
            Shape(upper, 15, 0.05),
        ]

    def _brows(self) -> list[Shape]:
        return [Shape(line, self.brow, 0.085) for line in self.brow_lines()]

    def _mouth(self) -> list[Shape]:
        upper, lower = self.lips()
        gap = np.maximum(lower[::-1, 1] - upper[:, 1], 0)
        teeth, tongue = upper.copy(), upper.copy()
        teeth[:, 1] += np.minimum(0.09, 0.6 * gap)
        tongue[:, 1] += np.maximum(gap - 0.12, 0.65 * gap)
        lips = [Shape(np.concatenate([upper, lower]), self.lip, 0.055, True)]
        if gap.max() < 0.06:
            return lips
        inside = [Shape(np.concatenate([upper, lower]), 35), Shape(np.concatenate([upper, teeth[::-1]]), 240)]
        return [*inside, Shape(np.concatenate([tongue, lower]), 110), *lips]

    def _hidden_by(self) -> list[Shape]:
        kind, grey = self.random.random(), self._any(10, 245)
        if kind < 0.15:
            return self._glasses(grey)
        if kind < 0.27:
            return self._bar(grey)
        return self._hand() if kind < 0.4 else []

    def _glasses(self, grey: float) -> list[Shape]:
        middle, y = self.eye[:2]
        grey = _apart(grey, self.skin, 60)
        rims = [_disc(side * middle, y, 0.31, 0.27) for side in (-1, 1)]
        bars = [np.array([(-0.08, y), (0.08, y)])] + [np.array([(s * 0.7, y), (s * 0.9, y - 0.05)]) for s in (-1, 1)]
        return [Shape(self._on_head(*line.T), grey, 0.045, len(line) > 2) for line in rims + bars]

    def _bar(self, grey: float) -> list[Shape]:
        x, y = self.side * self._any(0.55, 0.95), self._any(-0.7, 0.8)
        angle, length, half = self._any(0, np.pi), self._any(0.4, 1.0), self._any(0.12, 0.28)
        along, across = length * _direction(angle), half * _direction(angle + np.pi / 2)
        return [
            Shape(np.array([x, y]) + np.stack([along + across, along - across, -along - across, across - along]), grey)
        ]

    def _hand(self) -> list[Shape]:
        """Four fingers laid on a cheek or on the chin, coming from below."""
        tip, root = np.array([self.side * self._any(0.35, 0.7), self._any(0.35, 0.8)]), np.array([self.side * 0.9, 1.7])
        apart = 0.15 * _direction(np.arctan2(*(tip - root)[::-1]) + np.pi / 2)
        fingers = [np.stack([tip + i * apart, root + i * apart]) for i in (-1.5, -0.5, 0.5, 1.5)]
        return [
            Shape(finger, shade, width)
            for finger in fingers
            for shade, width in ((self.skin * 0.6, 0.17), (self.skin * 0.95, 0.12))
        ]

    # Head, camera and light

    def _head_outline(self) -> Points:
        """The head as a rounded square with a jaw, clockwise from the right ear, (96, 2)."""
        x, y = (np.sign(_AROUND) * np.abs(_AROUND) ** (2 / self.square)).T
        return _points(self.width * x * (1 - (1 - self.jaw) * y.clip(min=0) ** 2), y)

    def _on_head(self, x: np.ndarray, y: np.ndarray) -> Points:
        """Places on the front of a head that looks ahead -> where they are on the head as it is turned."""
        return _points(np.sin(np.arcsin(x.clip(-1, 1)) + self.turn), y + self.nod)

    def _pose(self) -> np.ndarray:
        angle, scale = self._any(-0.10, 0.10), self._any(0.39, 0.44)
        x, y = self.random.uniform(-0.03, 0.03, 2)
        turned = scale * np.array([_direction(angle), _direction(angle + np.pi / 2)]).T
        return np.concatenate([turned, [[0.5 + x], [0.52 + y]]], axis=1)

    def _photographed(self, drawn: np.ndarray) -> np.ndarray:
        """Light from one side, contrast, a lens that is not sharp, and noise."""
        size = len(drawn)
        x, y = _grid(size)
        from_x, from_y = _direction(self._any(0, 2 * np.pi)) * self._any(0, 0.45)
        lit = drawn * (1 + from_x * x + from_y * y)
        if self.random.random() < 0.4:
            lit = cv2.GaussianBlur(lit, (0, 0), self._any(0.3, 0.8) * size / 48)
        lit = 128 + (lit - 128) * self._any(0.6, 1.1) + self._any(-25, 25)
        noise = self.random.standard_normal((size, size), dtype=np.float32) * self._any(2, 10)
        return np.rint(lit + noise).clip(0, 255).astype(np.uint8)

    def _any(self, low: float, high: float) -> float:
        return self.random.uniform(low, high)


def _direction(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])


def _apart(grey: float, other: float, least: float) -> float:
    """`grey`, moved away from `other` where they are too alike."""
    if abs(grey - other) >= least:
        return grey
    return other - least if other > 128 else other + least


def _blank(size: int) -> np.ndarray:
    return np.zeros((size, size), np.uint8)


@lru_cache(maxsize=4)
def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of pixel middles, -1..1: (1, size) and (size, 1)."""
    place = (2 * np.arange(size, dtype=np.float32) + 1) / size - 1
    return place[None], place[:, None]


def _circle(count: int) -> Points:
    angle = np.arange(count) * (2 * np.pi / count)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _points(x: np.ndarray, y: np.ndarray) -> Points:
    points = np.empty((len(x), 2))
    points[:, 0], points[:, 1] = x, y
    return points


_CIRCLE, _AROUND = _circle(32), _circle(96)
_ALONG_BROW, _ACROSS_EYE, _ACROSS_MOUTH = np.linspace(0, 1, 9), np.linspace(-1, 1, 13), np.linspace(-1, 1, 17)


def _disc(x: float, y: float, half_width: float, half_height: float | None = None) -> Points:
    return _CIRCLE * (half_width, half_height or half_width) + (x, y)
