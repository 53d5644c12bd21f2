"""Draws a face whose picture holds as much detail off the features as on them, so that detail alone betrays nothing.

On a plain drawn face the strongest edges are those of brows, eyes and mouth, and these are nearly always in the same
place: who points at edges, or at the middle, points at the evidence. Here the head is smaller and anywhere in the
picture, and marks as dark, as bright and as fine as an eye lie on hair, forehead, cheeks, shirt and background.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from mien.data.portrait import Expression, Points, Portrait, Shape

MARKS = 44  # in a square of 4.4 head units, which holds the picture; those that could hide a feature are left out
SMALLER = (0.62, 0.8)  # the head's size, as a share of a plain drawn face's
MIDDLE = (0.28, 0.72)  # where the head is, as a share of the picture's side


class Cluttered(Portrait):
    """A portrait with marks. They do not depend on the expression, and come from a random generator of their own.

    inverted: how many of the marks, from the first, are dark where they were bright.
    """

    def __init__(self, expression: Expression, random: np.random.Generator, inverted: int = 0) -> None:
        self.inverted = inverted
        super().__init__(expression, random)

    @cached_property
    def marks(self) -> list[list[Shape]]:
        """The shapes of each mark."""
        middles = self._own.uniform(-2.2, 2.2, (MARKS, 2))
        return [_mark(middle, self._own) for middle in middles if not self._is_feature(*middle)]

    @cached_property
    def _own(self) -> np.random.Generator:
        """A generator beside the face's, which goes on as if there were no marks: the same seed, the same person."""
        return self.random.spawn(1)[0]

    def _pose(self) -> np.ndarray:
        pose = super()._pose()
        pose[:, :2] *= self._own.uniform(*SMALLER)
        pose[:, 2] = self._own.uniform(*MIDDLE, 2)
        return pose

    def _hair_in_front(self) -> list[Shape]:
        other = [[shape._replace(grey=255 - shape.grey) for shape in mark] for mark in self.marks[: self.inverted]]
        return super()._hair_in_front() + [shape for mark in other + self.marks[self.inverted :] for shape in mark]

    def _is_feature(self, x: float, y: float) -> bool:
        """Whether a mark with this middle could hide a brow, an eye or the mouth."""
        on_eyes = abs(x) < 0.85 and self.brow_y - 0.32 < y < self.eye[1] + 0.34
        return on_eyes or (abs(x) < 0.55 and self.lip_y - 0.35 < y < self.lip_y + 0.52)


def _mark(middle: Points, random: np.random.Generator) -> list[Shape]:
    """A bar, as a brow is; or a filling with an outline and a dot of the other extreme, as an eye has."""
    extremes = random.uniform((5, 225), (40, 250))
    grey, other = extremes if random.random() < 0.5 else extremes[::-1]
    turned, radius = random.uniform((0, 0.09), (2 * np.pi, 0.17))
    corners = random.choice((2, 3, 4, 5, 6, 6))
    angles = turned + np.arange(corners) * 2 * np.pi / corners
    outline = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)  # (corners, 2)
    if corners == 2:
        return [Shape(middle + outline, grey, random.uniform(0.05, 0.1))]
    return [
        Shape(middle + outline, grey),
        Shape(middle + 0.45 * outline, other),
        Shape(middle + outline, other, 0.05, True),
    ]
