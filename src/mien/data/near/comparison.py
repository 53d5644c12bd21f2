"""How alike two pictures are once one is moved and stretched onto the other, however lit and whatever covers a part.

Shift and stretch are found by Gauss-Newton steps from coarse to fine (Lucas and Kanade, 1981), down and across apart.
Then the pictures are compared in 6 x 6 blocks, each by its normalised correlation, and the least alike blocks
are left aside: a watermark, a shadow's edge.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

from mien.data.near.descriptions import SHIFTS, SIDE, resizing
from mien.data.near.search import Candidates

FURTHEST = np.array([8, 6, 8, 6], np.float32) / SIDE  # shift down (half sides), stretch, and the same across
BLOCKS = 6  # a side
ASIDE = 0.2  # share of the weight that is left aside
FAINT = 0.002  # variance of a block that counts as noise, of a picture of variance 1
WHOLE = 0.5  # share of a block that must lie on both pictures
BATCH = 512  # pairs at a time


def compare(pixels: np.ndarray, pairs: Candidates) -> np.ndarray:
    """How alike the pictures of each pair are, float32 (P,), up to 1; -1 where a coarse look was enough.

    pixels: grey, (N, SIDE, SIDE), uint8.
    """
    levels = [_smaller(pixels, side) for side, *_ in LEVELS]
    batches = [pairs[start : start + BATCH] for start in range(0, len(pairs), BATCH)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # NumPy lets other threads run while it computes
        found = list(pool.map(lambda batch: _compare(pixels, levels, batch), batches))
    return np.concatenate([np.empty(0, np.float32), *found])


def _compare(pixels: np.ndarray, levels: list[np.ndarray], pairs: Candidates) -> np.ndarray:
    left, moves = np.arange(len(pairs)), _first_moves(pairs)
    for (side, steps, alike, enough), level in zip(LEVELS, levels, strict=True):
        a, b = _pictures(level, pairs[left])
        moves = _aligned(a, b, moves, side, steps)
        close = alike(*_laid_over(a, b, moves)) >= enough
        left, moves = left[close], moves[close]
    found = np.full(len(pairs), -1, np.float32)
    found[left] = _by_blocks(*_laid_over(*_pictures(pixels, pairs[left]), moves))
    return found


def _first_moves(pairs: Candidates) -> np.ndarray:
    """Shift and stretch (P, 4) that a candidate's description suggests; moves tell where the second is looked up."""
    down, right = np.array(SHIFTS, np.float32).T[:, pairs.shift] * (-2 / SIDE)
    return np.stack([down, np.zeros_like(down), right, np.zeros_like(down)], axis=1)


def _pictures(level: np.ndarray, pairs: Candidates) -> tuple[np.ndarray, np.ndarray]:
    a, b = level[pairs.first].astype(np.float32), level[pairs.second].astype(np.float32)
    b[pairs.mirrored] = b[pairs.mirrored, :, ::-1].copy()
    return a, b


def _smaller(pixels: np.ndarray, side: int) -> np.ndarray:
    """Pixels (N, SIDE, SIDE) resized and blurred a little, float16 (N, side, side)."""
    blur = np.eye(side) / 2 + (np.eye(side, k=1) + np.eye(side, k=-1)) / 4
    blur[0, 0] = blur[-1, -1] = 0.75
    both = (blur @ resizing(SIDE, side)).astype(np.float32)
    found = np.empty((len(pixels), side, side), np.float16)
    for start in range(0, len(pixels), BATCH):
        found[start : start + BATCH] = both @ pixels[start : start + BATCH].astype(np.float32) @ both.T
    return found


@cache
def _grid(side: int) -> np.ndarray:
    """Where the pixels of a line lie, -1..1."""
    return np.asarray((np.arange(side) + 0.5) / side * 2 - 1, dtype=np.float32)


def _sampling(shift: np.ndarray, stretch: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices (P, side, side) that look a line of pixels up elsewhere, and which of it lies on the line, (P, side)."""
    place = ((_grid(side) * (1 + stretch[:, None]) + shift[:, None]) + 1) * (side / 2) - 0.5
    weights = np.abs(np.clip(place, 0, side - 1)[:, :, None] - np.arange(side, dtype=np.float32))
    np.subtract(1, weights, out=weights)
    return np.maximum(weights, 0, out=weights), ((place >= -0.5) & (place <= side - 0.5)).astype(np.float32)


def _laid_over(a: np.ndarray, b: np.ndarray, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both pictures of mean 0 and variance 1 where they overlap, and there 1, else 0; each (P, side, side)."""
    side = a.shape[-1]
    down, on_down = _sampling(moves[:, 0], moves[:, 1], side)
    right, on_right = _sampling(moves[:, 2], moves[:, 3], side)
    mask = on_down[:, :, None] * on_right[:, None, :]
    return _normalised(a, mask), _normalised(down @ b @ right.transpose(0, 2, 1), mask), mask


def _normalised(pictures: np.ndarray, mask: np.ndarray) -> np.ndarray:
    count = mask.sum(axis=(1, 2))
    pictures = pictures - (np.einsum("pyx,pyx->p", pictures, mask) / count)[:, None, None]
    pictures *= mask
    variance = np.einsum("pyx,pyx->p", pictures, pictures) / count
    pictures /= np.sqrt(variance + 1e-3)[:, None, None]
    return pictures


def _correlation(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("pyx,pyx->p", a, b) / mask.sum(axis=(1, 2)))


def _aligned(a: np.ndarray, b: np.ndarray, moves: np.ndarray, side: int, steps: int) -> np.ndarray:
    """Better moves: each step solves for the small change of shift and stretch that brings b nearest to a."""
    grid = _grid(side)
    for _ in range(steps):
        target, moved, mask = _laid_over(a, b, moves)
        down, right = _slopes(moved, mask)
        parts = np.stack([down, down * grid[:, None], right, right * grid], axis=1).reshape(len(a), 4, side**2)
        squares = parts @ parts.transpose(0, 2, 1)  # (P, 4, 4)
        squares += np.eye(4, dtype=np.float32) * (0.01 * np.einsum("pii->p", squares) + 1e-6)[:, None, None]
        off = parts @ (target - moved).reshape(len(a), side**2, 1)
        moves = np.clip(moves + np.linalg.solve(squares, off)[:, :, 0], -FURTHEST, FURTHEST)
    return moves


def _slopes(pictures: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Change of each pixel downwards and to the right, for a move by half a side; 0 at the edges."""
    down, right = np.zeros_like(pictures), np.zeros_like(pictures)
    step = pictures.shape[-1] / 4  # half a side over two pixels
    down[:, 1:-1] = (pictures[:, 2:] - pictures[:, :-2]) * step
    right[:, :, 1:-1] = (pictures[:, :, 2:] - pictures[:, :, :-2]) * step
    down *= mask
    right *= mask
    return down, right


def _by_blocks(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mean correlation of blocks without the least alike ones, (P,). A block counts by its contrast."""
    count = np.maximum(_sums(mask), 1)
    mean_a, mean_b = _sums(a) / count, _sums(b) / count
    of_a = np.maximum(_sums(a * a) / count - mean_a**2, 0) + FAINT
    of_b = np.maximum(_sums(b * b) / count - mean_b**2, 0) + FAINT
    alike = (_sums(a * b) / count - mean_a * mean_b) / np.sqrt(of_a * of_b)
    weight = np.where(count >= WHOLE * (a.shape[-1] // BLOCKS) ** 2, (of_a * of_b) ** 0.15 * count, 0)
    order = np.argsort(alike, axis=1)
    alike, weight = np.take_along_axis(alike, order, 1), np.take_along_axis(weight, order, 1)
    passed = np.cumsum(weight, axis=1) - ASIDE * weight.sum(axis=1, keepdims=True)
    weight = np.clip(passed, 0, weight)
    return np.asarray((alike * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-9))


LEVELS = ((12, 2, _correlation, 0.68), (24, 2, _by_blocks, 0.8))  # pixels a side, steps, and what is worth going on


def _sums(values: np.ndarray) -> np.ndarray:
    """Sums over the blocks of (P, side, side), (P, BLOCKS * BLOCKS)."""
    side = values.shape[-1]
    adding = np.kron(np.eye(BLOCKS, dtype=np.float32), np.ones(side // BLOCKS, np.float32))
    return (adding @ values @ adding.T).reshape(len(values), BLOCKS**2)
