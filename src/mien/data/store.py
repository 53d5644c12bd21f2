"""A Store: N images decoded once into one uint8 array, with labels, splits and names."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from mien.data.listing import ALL, SPLITS
from mien.data.pixels import DIGEST, Pixels, digest
from mien.preprocessing import Preprocessing

BLANK_RANGE = 8  # of 255: what saving as JPEG makes of one single colour stays below


@dataclass(frozen=True, eq=False)
class Store:
    """Decoded images. `images[i]` is uint8 (channels, size, size); `labels[i]` indexes `classes`."""

    images: np.ndarray | Pixels
    labels: np.ndarray
    splits: np.ndarray
    names: list[str]
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    sizes: np.ndarray  # (N, 2): width and height before preprocessing
    groups: tuple[str, ...] = ()
    unreadable: dict[str, str] = field(default_factory=dict)  # name of an image that is not here -> why
    left_out: dict[str, int] = field(default_factory=dict)  # what source and training dropped, and how many
    soft_labels: np.ndarray | None = None  # float32 (N, K), probabilities of the classes
    known_digests: np.ndarray | None = None  # what a store on disk has already worked out
    known_blanks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over classes, shape and digests of the images, labels, splits and any soft labels.

        What the numbers of a run rest on. It reads no pixels where the digests are known.
        """
        start = json.dumps([self.classes, self.images.shape[1:]]).encode()
        return _sha256(start, self.digests, self.labels, self.splits, self.soft_labels)

    def matches(self, fingerprint: str) -> bool:
        """Whether a run with this fingerprint saw these images, labels and splits.

        Runs of version 0.1.0 have another fingerprint, over classes and pixels; it is worked out where ours differs.
        """
        if fingerprint == self.fingerprint:
            return True
        start = json.dumps(self.classes).encode()
        return fingerprint == _sha256(start, np.asarray(self.images), self.labels, self.splits, self.soft_labels)

    def content(self, split: str | None = None) -> str:
        """sha256 over the pixels of a split, or of all images, whatever their order, names and labels."""
        chosen = self.digests if split is None else self.digests[self.indices(split)]
        return sha256_of(chosen)

    @cached_property
    def digests(self) -> np.ndarray:
        """A 16-byte hash of each image's pixels, (N,): equal means pixel-identical."""
        if self.known_digests is not None:
            return self.known_digests
        return np.array([digest(image) for image in np.ascontiguousarray(self.images)], dtype=f"V{DIGEST}")

    @property
    def targets(self) -> np.ndarray:
        """What training is to answer: soft labels (N, K) where there are any, else labels (N,)."""
        return self.labels if self.soft_labels is None else self.soft_labels

    def indices(self, split: str) -> np.ndarray:
        """Positions of the images of a split, or of 'all', int64 (n,)."""
        if split == ALL:
            return np.arange(len(self))
        return np.flatnonzero(self.splits == SPLITS.index(split))

    def has(self, split: str) -> bool:
        return split == ALL or bool((self.splits == SPLITS.index(split)).any())

    def blank(self) -> np.ndarray:
        """True where an image shows nothing: no channel's pixels are BLANK_RANGE apart, bool (N,)."""
        if self.known_blanks is not None:
            return self.known_blanks
        flat = np.asarray(self.images).reshape(len(self), self.images.shape[1], -1)  # (N, C, H, W) -> (N, C, H*W)
        return np.asarray((flat.max(axis=2) - flat.min(axis=2) < BLANK_RANGE).all(axis=1))

    def class_counts(self, split: str) -> np.ndarray:
        """Images of each class in a split, int64 (K,)."""
        return np.bincount(self.labels[self.indices(split)], minlength=len(self.classes))

    def with_splits(self, splits: np.ndarray, left_out: dict[str, int]) -> Store:
        """The same images under another split; nothing is copied."""
        return replace(self, splits=splits, left_out=left_out)


def sha256_of(digests: np.ndarray) -> str:
    """sha256 over the hashes of images, (n,), whatever their order; hexadecimal."""
    return hashlib.sha256(b"".join(sorted(digest.tobytes() for digest in digests))).hexdigest()


def _sha256(start: bytes, *arrays: np.ndarray | None) -> str:
    found = hashlib.sha256(start)
    for array in arrays:
        if array is not None:
            found.update(np.ascontiguousarray(array).data.cast("B"))
    return found.hexdigest()
