"""A Store: N images decoded once into one memory-mapped uint8 array, with labels, splits and names.

On disk a store is a folder:
    images.npy   uint8 (N, channels, size, size)
    labels.npy   int64 (N,)
    splits.npy   uint8 (N,), index into mien.data.listing.SPLITS
    store.json   classes, names, preprocessing, original sizes, unreadable files, fingerprint
It is written beside its final place and moved there whole, so a store is complete or not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.listing import SPLITS, Listing
from mien.errors import DataError, MienError, MissingError
from mien.preprocessing import Preprocessing
from mien.progress import track

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Store:
    """Decoded images. `images[i]` is uint8 (channels, size, size); `labels[i]` indexes `classes`."""

    images: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    names: list[str]
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    sizes: np.ndarray  # (N, 2): width and height before preprocessing
    groups: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)  # what training dropped, and how many

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over pixels, labels, splits and classes: what the numbers of a run rest on."""
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for array in (self.images, self.labels, self.splits):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @cached_property
    def digests(self) -> np.ndarray:
        """A 16-byte hash of each image's pixels, (N,): equal means pixel-identical."""
        hashes = (hashlib.blake2b(image.data, digest_size=16).digest() for image in np.ascontiguousarray(self.images))
        return np.array(list(hashes), dtype="V16")

    def indices(self, split: str) -> np.ndarray:
        """Positions of the images of a split, int64 (n,)."""
        return np.flatnonzero(self.splits == SPLITS.index(split))

    def has(self, split: str) -> bool:
        return bool((self.splits == SPLITS.index(split)).any())

    def blank(self) -> np.ndarray:
        """True where an image is of one single colour, bool (N,)."""
        flat = self.images.reshape(len(self), self.images.shape[1], -1)  # (N, C, H, W) -> (N, C, H*W)
        return np.asarray((flat.min(axis=2) == flat.max(axis=2)).all(axis=1))

    def class_counts(self, split: str) -> np.ndarray:
        """Images of each class in a split, int64 (K,)."""
        return np.bincount(self.labels[self.indices(split)], minlength=len(self.classes))

    def with_splits(self, splits: np.ndarray, left_out: dict[str, int]) -> Store:
        """The same images under another split; nothing is copied."""
        return replace(self, splits=splits, left_out=left_out)


def build(listing: Listing, preprocessing: Preprocessing, out: Path, *, skip_bad: bool = False) -> Store:
    """Decode every image of a listing into a store folder at `out`.

    Raises DataError naming the images that cannot be read (unless skip_bad), MienError when the
    disk is too small. Either way nothing half-written stays behind.
    """
    shape = (len(listing), preprocessing.channels, preprocessing.size, preprocessing.size)
    _refuse_full_disk(out, int(np.prod(shape)), shape)
    with _written_whole(out) as folder:
        images = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
        sizes, bad = _decode(listing, preprocessing, images, skip_bad=skip_bad)
        good = np.array([i for i in range(len(listing)) if i not in bad], dtype=np.int64)
        if bad:
            images = _rewrite(images, good, folder)
        images.flush()
        store = _describe(listing, preprocessing, images, sizes, good, [bad[i] for i in sorted(bad)])
        _save(store, folder, listing.signature)
    return load(out)


def load(folder: Path, *, verify: bool = False) -> Store:
    """Open a store folder; images stay on disk until they are used.

    verify: also compare the content with the fingerprint (reads every image).
    Raises MissingError when there is no store, DataError when it is damaged.
    """
    try:
        meta = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        images = np.load(folder / "images.npy", mmap_mode="r")
        labels, splits, sizes = (np.load(folder / f"{name}.npy") for name in ("labels", "splits", "sizes"))
    except FileNotFoundError as error:
        raise MissingError(f"{folder} is not a store: {Path(str(error.filename)).name} is missing.") from error
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"The store {folder} is damaged ({error}). Delete that folder and prepare it again.") from error
    store = Store(
        images=images,
        labels=labels,
        splits=splits,
        sizes=sizes,
        names=meta["names"],
        classes=tuple(meta["classes"]),
        preprocessing=Preprocessing(**meta["preprocessing"]),
        groups=tuple(meta["groups"]),
        unreadable=tuple(meta["unreadable"]),
    )
    consistent = len(images) == len(labels) == len(splits) == len(store.names)
    if not consistent or (verify and store.fingerprint != meta["fingerprint"]):
        raise DataError(f"The store {folder} does not match its fingerprint. Delete that folder and prepare it again.")
    return store


def read_meta(folder: Path) -> dict[str, Any]:
    """store.json of a store folder, or {} where there is none that can be read."""
    try:
        meta = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        return meta if meta.get("format") == FORMAT else {}
    except (OSError, ValueError):
        return {}


def _decode(
    listing: Listing, preprocessing: Preprocessing, images: np.ndarray, *, skip_bad: bool
) -> tuple[np.ndarray, dict[int, str]]:
    sizes = np.zeros((len(listing), 2), dtype=np.int32)
    bad: dict[int, str] = {}

    def one(i: int) -> None:
        try:
            image = listing.read(i)
            images[i] = preprocessing.pixels(image)
            sizes[i] = image.size
        except DataError as error:
            bad[i] = str(error)

    # Pillow decodes outside the interpreter lock, so threads use every core.
    with ThreadPoolExecutor() as pool:
        for _ in track(pool.map(one, range(len(listing)), chunksize=64), "decoding", len(listing)):
            if bad and not skip_bad:
                pool.shutdown(cancel_futures=True)
                break
    if bad and not skip_bad:
        first = bad[min(bad)]
        raise DataError(f"{first} Repair or remove it, or go on without unreadable images: --data.skip_bad")
    return sizes, bad


def _rewrite(images: np.ndarray, good: np.ndarray, folder: Path) -> np.ndarray:
    if not len(good):
        raise DataError("Not one image could be read.")
    kept = np.lib.format.open_memmap(
        folder / "kept.npy", mode="w+", dtype=np.uint8, shape=(len(good), *images.shape[1:])
    )
    for start in range(0, len(good), 1024):
        kept[start : start + 1024] = images[good[start : start + 1024]]
    os.replace(folder / "kept.npy", folder / "images.npy")
    return kept


def _describe(
    listing: Listing,
    preprocessing: Preprocessing,
    images: np.ndarray,
    sizes: np.ndarray,
    good: np.ndarray,
    unreadable: list[str],
) -> Store:
    splits = np.array([SPLITS.index(listing.splits[i] or "train") for i in good], dtype=np.uint8)
    return Store(
        images=images,
        labels=np.array(listing.labels, dtype=np.int64)[good],
        splits=splits,
        sizes=sizes[good],
        names=[listing.names[i] for i in good],
        classes=listing.classes,
        preprocessing=preprocessing,
        groups=tuple(listing.groups[i] for i in good) if listing.groups else (),
        unreadable=tuple(unreadable),
    )


def _save(store: Store, folder: Path, signature: str) -> None:
    for name in ("labels", "splits", "sizes"):
        np.save(folder / f"{name}.npy", getattr(store, name))
    meta = {
        "format": FORMAT,
        "signature": signature,
        "fingerprint": store.fingerprint,
        "classes": store.classes,
        "preprocessing": store.preprocessing.to_dict(),
        "unreadable": store.unreadable,
        "groups": store.groups,
        "names": store.names,
    }
    (folder / "store.json").write_text(json.dumps(meta), encoding="utf-8")


@contextmanager
def _written_whole(out: Path) -> Iterator[Path]:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise MienError(f"Cannot write to {out.parent}: {error.strerror}. Choose another place with --out.") from error
    try:
        yield folder
        if out.exists():
            shutil.rmtree(out)
        os.replace(folder, out)
    except OSError as error:
        raise MienError(f"Writing {out} failed: {error.strerror}. Free some space, or choose --out.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _refuse_full_disk(out: Path, needed: int, shape: tuple[int, ...]) -> None:
    parent = next(folder for folder in out.absolute().parents if folder.exists())
    free = shutil.disk_usage(parent).free
    if needed > free:
        raise MienError(
            f"{shape[0]:,} images of {shape[1]}x{shape[2]}x{shape[3]} need {needed / 1e6:,.0f} MB; {parent} has "
            f"{free / 1e6:,.0f} MB free. Make --data.size smaller, or choose another place with --out."
        )
