"""Small descriptions of images, of which those of near copies lie close together.

An image becomes SIDE x SIDE grey pixels, and these the lowest frequencies of their cosine transform. Scaled to mean 0
and length 1, they do not depend on light; what all images of a set have in common is taken off, and each frequency
counts alike, so that in a set of aligned faces a face as such says nothing. The frequencies that are odd from left to
right change their sign in the mirror, the others stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.data.pixels import Pixels

SIDE = 48  # pixels
RADIUS = 7.0  # highest frequency, half waves a side
CHUNK = 2048  # images at a time
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # as PIL turns colour into grey
SHIFTS = ((0, 0), (-2, -2), (-2, 2), (2, -2), (2, 2))  # pixels down and right; any shift to 3 lies near one


@dataclass(frozen=True)
class Descriptions:
    """Unit vectors in two parts, each float32 (N, D): what the mirror leaves as it is, and what it turns round."""

    even: np.ndarray
    odd: np.ndarray

    def __getitem__(self, chosen: np.ndarray | slice) -> Descriptions:
        return Descriptions(np.ascontiguousarray(self.even[chosen]), np.ascontiguousarray(self.odd[chosen]))


def grey(images: np.ndarray | Pixels) -> np.ndarray:
    """Images (N, C, S, S), uint8, as grey pixels (N, SIDE, SIDE), uint8."""
    resize = resizing(images.shape[-1], SIDE)
    found = np.empty((len(images), SIDE, SIDE), np.uint8)
    for start in range(0, len(images), CHUNK):
        chunk = np.asarray(images[start : start + CHUNK], dtype=np.float32)  # (n, C, S, S)
        flat = chunk[:, 0] if chunk.shape[1] == 1 else np.tensordot(chunk, LUMA, (1, 0))
        found[start : start + CHUNK] = np.clip(resize @ flat @ resize.T + 0.5, 0, 255)
    return found


def resizing(old: int, new: int) -> np.ndarray:
    """The matrix (new, old) that resizes a line of pixels, with a triangle as wide as what it averages; float32."""
    scale = old / new
    centres = (np.arange(new)[:, None] + 0.5) * scale - 0.5
    weights = np.maximum(0, 1 - np.abs(np.arange(old) - centres) / max(scale, 1))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def describe(pixels: np.ndarray) -> list[Descriptions]:
    """The descriptions of grey pixels (N, SIDE, SIDE), one for each of SHIFTS: of the images shifted so."""
    centre = _frequencies(pixels, (0, 0))
    mean, deviation = centre.mean(axis=0), centre.std(axis=0) + 1e-6
    odd = _kept()[1] % 2 == 1
    found = []
    for shift in SHIFTS:
        vectors = ((centre if shift == (0, 0) else _frequencies(pixels, shift)) - mean) / deviation
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-12
        found.append(Descriptions(np.ascontiguousarray(vectors[:, ~odd]), np.ascontiguousarray(vectors[:, odd])))
    return found


def _kept() -> tuple[np.ndarray, np.ndarray]:
    """Vertical and horizontal frequency of each number of a description, in half waves a side."""
    down, right = np.meshgrid(np.arange(int(RADIUS) + 1), np.arange(int(RADIUS) + 1), indexing="ij")
    kept = (down**2 + right**2 <= RADIUS**2) & (down + right > 0)
    return down[kept], right[kept]


def _frequencies(pixels: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
    """The lowest frequencies (N, D) of shifted pixels; what the shift uncovers repeats the edge."""
    down, right = (_cosines() @ _shifting(by) for by in shift)
    found = np.empty((len(pixels), len(_kept()[0])), np.float32)
    for start in range(0, len(pixels), CHUNK):
        chunk = pixels[start : start + CHUNK].astype(np.float32)
        deviation = chunk.std(axis=(1, 2), keepdims=True) + 1e-3
        found[start : start + CHUNK] = (down @ (chunk / deviation) @ right.T)[:, *_kept()]
    return found


def _cosines() -> np.ndarray:
    """The cosine transform's lowest rows, float32 (RADIUS + 1, SIDE)."""
    angles = np.pi * np.arange(int(RADIUS) + 1)[:, None] * (np.arange(SIDE) + 0.5) / SIDE
    return np.asarray(np.cos(angles) * np.sqrt(2 / SIDE), dtype=np.float32)


def _shifting(by: int) -> np.ndarray:
    """The matrix (SIDE, SIDE) that shifts a line of pixels: number i of the result is number i + by."""
    found = np.zeros((SIDE, SIDE), np.float32)
    found[np.arange(SIDE), np.clip(np.arange(SIDE) + by, 0, SIDE - 1)] = 1
    return found
