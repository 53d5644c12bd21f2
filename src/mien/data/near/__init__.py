"""Near copies: images of one photograph, shifted, mirrored, cropped, rescaled, re-encoded, lit or marked otherwise.

Small descriptions (`descriptions`) say which pairs are worth a closer look (`search`), and a closer look lays one
picture over the other (`comparison`). What is found is kept in the cache under the images' content.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.atomic import DAMAGED, write_arrays
from mien.cache import cache_folder
from mien.data.near.comparison import compare
from mien.data.near.descriptions import CHUNK, describe, grey
from mien.data.near.search import candidates
from mien.data.near.thresholds import threshold
from mien.data.store import Store
from mien.errors import MienError
from mien.progress import note

VERSION = 1  # goes up when the same images would give other pairs
FAINT = 4.0  # of 255: standard deviation of grey pixels below which an image shows too little to be compared
REMEMBERED = 8  # stores whose pairs stay in memory
SAID = 10_000  # images from which on the search says that it runs

_Found = tuple[np.ndarray, np.ndarray, float]
_memory: dict[str, _Found] = {}  # of the last few stores, by their content


@dataclass(frozen=True, eq=False)
class NearCopies:
    """The near copies among the images of a store.

    pairs: positions (P, 2), of images that are near copies; of equal images the first alone.
    alike: how alike they are, (P,), up to 1. least: from which value on a pair counts.
    group: (N,), the position of the first image of each image's group: those linked by pairs or equal pixels.
    equal: (N,), the position of the first image with the same pixels.
    """

    pairs: np.ndarray
    alike: np.ndarray
    least: float
    group: np.ndarray
    equal: np.ndarray


def near_copies(store: Store) -> NearCopies:
    """Find the near copies of a store, or read what was found among the same images before."""
    distinct, first, equal = np.unique(store.digests, return_index=True, return_inverse=True)
    pairs, alike, least = _known(store, distinct, first)
    pairs = np.sort(first[pairs], axis=1)
    order = np.lexsort(pairs.T[::-1])
    pairs, alike = pairs[order], alike[order]
    equal = first[equal.reshape(-1)]
    links = np.concatenate([np.stack([equal, np.arange(len(equal))], axis=1), pairs])
    return NearCopies(pairs, alike, least, connected(len(equal), links), equal)


def _known(store: Store, distinct: np.ndarray, first: np.ndarray) -> _Found:
    """Pairs (P, 2) of distinct images by the order of their digests, how alike they are, and which value counts."""
    content = hashlib.sha256(f"{VERSION} {store.images.shape[1:]}".encode() + distinct.tobytes()).hexdigest()
    path = cache_folder() / "near" / f"{content[:32]}.npz"
    found = _memory.get(content) or _read(path, len(distinct))
    if found is None:
        if len(distinct) >= SAID:
            note(f"Looking for near copies among {len(distinct):,} images")
        found = _search(store, first)
        _keep(path, found)
    if len(_memory) >= REMEMBERED:
        _memory.clear()
    _memory[content] = found
    return found


def _search(store: Store, first: np.ndarray) -> _Found:
    """Pairs among the first images of each content, as indices into `first`."""
    pixels = grey(store.images)[first]
    shown = np.flatnonzero(_contrasts(pixels) >= FAINT)
    if len(shown) < 2:
        return np.empty((0, 2), np.int64), np.empty(0, np.float32), 1.0
    pixels = pixels[shown]
    looked_at = candidates(describe(pixels))
    alike = compare(pixels, looked_at)
    least = threshold(alike)
    kept = alike >= least
    return np.stack([shown[looked_at.first[kept]], shown[looked_at.second[kept]]], axis=1), alike[kept], least


def _contrasts(pixels: np.ndarray) -> np.ndarray:
    """Standard deviation of each image's pixels, (N,); a part at a time, as NumPy turns what it reads into float64."""
    parts = [pixels[start : start + CHUNK].std(axis=(1, 2)) for start in range(0, len(pixels), CHUNK)]
    return np.concatenate([np.empty(0), *parts])


def _read(path: Path, count: int) -> _Found | None:
    """What was kept, None where there is nothing whole."""
    try:
        with np.load(path, allow_pickle=False) as saved:
            pairs, alike, least = saved["pairs"], saved["alike"], float(saved["least"])
    except DAMAGED:
        return None
    whole = pairs.shape == (len(alike), 2) and (not len(pairs) or 0 <= pairs.min() <= pairs.max() < count)
    return (pairs.astype(np.int64), alike, least) if whole else None


def _keep(path: Path, found: _Found) -> None:
    """Keep what was found; where nothing can be written, the next command searches again."""
    with suppress(MienError):
        write_arrays(path, pairs=found[0].astype(np.int32), alike=found[1], least=np.array(found[2]))


def connected(count: int, links: np.ndarray) -> np.ndarray:
    """The smallest number that each of 0..count-1 hangs together with by links (L, 2), (count,)."""
    group = np.arange(count)
    while True:  # each pass hands the smallest number on along the links, and then along what they point to
        smallest = np.minimum(group[links[:, 0]], group[links[:, 1]])
        before = group.copy()
        np.minimum.at(group, group[links[:, 0]], smallest)
        np.minimum.at(group, group[links[:, 1]], smallest)
        group = group[group]
        if (group == before).all() and (group[links[:, 0]] == group[links[:, 1]]).all():
            return group
