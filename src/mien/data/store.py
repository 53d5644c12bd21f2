"""A Store: N images decoded once into one memory-mapped uint8 array, with labels, splits and names.

On disk a store is a folder:
    images.npy   uint8 (N, channels, size, size)
    labels.npy   int64 (N,)
    splits.npy   uint8 (N,), index into mien.data.listing.SPLITS
    sizes.npy    int32 (N, 2), width and height before preprocessing
    digests.npy  16 bytes (N,), equal for images that are equal
    blanks.npy   bool (N,), images that show nothing
    soft_labels.npy  float32 (N, K), probabilities of the classes; only where the source has them
    store.json   classes, names, groups, preprocessing, unreadable and left out images, signature, fingerprint
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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np

from mien.atomic import put, share
from mien.data.listing import SPLITS, Listing
from mien.errors import DataError, MienError, MissingError, UsageError
from mien.pictures import UNREADABLE
from mien.preprocessing import Preprocessing
from mien.progress import track

FORMAT = 2
BLANK_RANGE = 8  # of 255: what saving as JPEG makes of one single colour stays below
ARRAYS = ("labels", "splits", "sizes", "digests", "blanks")
SOFT = "soft_labels"
PART = 64  # images a thread decodes in one go
WINDOW = 2**25  # bytes of decoded images that wait to be written

Outcome = tuple[np.ndarray, tuple[int, int]] | DataError


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
    unreadable: dict[str, str] = field(default_factory=dict)  # name of an image that is not here -> why
    left_out: dict[str, int] = field(default_factory=dict)  # what source and training dropped, and how many
    soft_labels: np.ndarray | None = None  # float32 (N, K), probabilities of the classes
    known_digests: np.ndarray | None = None  # what a store on disk has already worked out
    known_blanks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over pixels, labels, splits, classes and any soft labels: what the numbers of a run rest on."""
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for array in (self.images, self.labels, self.splits, self.soft_labels):
            if array is not None:
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def content(self, split: str | None = None) -> str:
        """sha256 over the pixels of a split, or of all images, whatever their order, names and labels."""
        chosen = self.digests if split is None else self.digests[self.indices(split)]
        return hashlib.sha256(b"".join(sorted(digest.tobytes() for digest in chosen))).hexdigest()

    @cached_property
    def digests(self) -> np.ndarray:
        """A 16-byte hash of each image's pixels, (N,): equal means pixel-identical."""
        if self.known_digests is not None:
            return self.known_digests
        hashes = (hashlib.blake2b(image.data, digest_size=16).digest() for image in np.ascontiguousarray(self.images))
        return np.array(list(hashes), dtype="V16")

    @property
    def targets(self) -> np.ndarray:
        """What training is to answer: soft labels (N, K) where there are any, else labels (N,)."""
        return self.labels if self.soft_labels is None else self.soft_labels

    def indices(self, split: str) -> np.ndarray:
        """Positions of the images of a split, int64 (n,)."""
        return np.flatnonzero(self.splits == SPLITS.index(split))

    def has(self, split: str) -> bool:
        return bool((self.splits == SPLITS.index(split)).any())

    def blank(self) -> np.ndarray:
        """True where an image shows nothing: no channel's pixels are BLANK_RANGE apart, bool (N,)."""
        if self.known_blanks is not None:
            return self.known_blanks
        flat = self.images.reshape(len(self), self.images.shape[1], -1)  # (N, C, H, W) -> (N, C, H*W)
        return np.asarray((flat.max(axis=2) - flat.min(axis=2) < BLANK_RANGE).all(axis=1))

    def class_counts(self, split: str) -> np.ndarray:
        """Images of each class in a split, int64 (K,)."""
        return np.bincount(self.labels[self.indices(split)], minlength=len(self.classes))

    def with_splits(self, splits: np.ndarray, left_out: dict[str, int]) -> Store:
        """The same images under another split; nothing is copied."""
        return replace(self, splits=splits, left_out=left_out)


def build(listing: Listing, preprocessing: Preprocessing, out: Path, *, skip_bad: bool = False) -> Store:
    """Decode every image of a listing into a store folder at `out`, in place of a store that is there.

    Raises DataError naming an image that cannot be read (unless skip_bad), MienError when the disk is
    too small, UsageError when `out` holds something else. Whatever fails, nothing half-written stays.
    """
    if listing.problems and not skip_bad:
        raise unreadable(listing.problems[min(listing.problems)])
    shape = (len(listing), preprocessing.channels, preprocessing.size, preprocessing.size)
    _refuse_other_content(out)
    _refuse_full_disk(out, int(np.prod(shape)), shape)
    with _written_whole(out) as folder:
        good, sizes, bad = _decode(listing, preprocessing, folder / "images.npy", skip_bad=skip_bad)
        _save(_describe(listing, preprocessing, folder, good, sizes, bad), folder, listing.signature)
    return load(out)


def load(folder: Path) -> Store:
    """Open a store folder and compare its content with its fingerprint; images stay on disk, mapped.

    Raises MissingError when there is no store, DataError when it is damaged.
    """
    try:
        meta = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        images = np.load(folder / "images.npy", mmap_mode="r")
        names = (*ARRAYS, SOFT) if meta.get(SOFT) else ARRAYS
        arrays = {name: np.load(folder / f"{name}.npy") for name in names}
        store = _from_disk(meta, images, arrays)
        same = store.fingerprint == meta["fingerprint"]
    except FileNotFoundError as error:
        raise MissingError(f"{folder} is not a store: {Path(str(error.filename)).name} is missing.") from error
    except (ValueError, OSError, EOFError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"The store {folder} is damaged ({error}). Delete that folder and prepare it again.") from error
    lengths = {len(array) for array in (images, store.names, *arrays.values())}
    if len(lengths) > 1 or not same:
        raise DataError(f"The store {folder} does not match its fingerprint. Delete that folder and prepare it again.")
    return store


def read_meta(folder: Path) -> dict[str, Any]:
    """store.json of a store folder, or {} where there is none that can be read."""
    try:
        meta = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        return meta if meta["format"] == FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _from_disk(meta: dict[str, Any], images: np.ndarray, arrays: dict[str, np.ndarray]) -> Store:
    return Store(
        images=images,
        labels=arrays["labels"],
        splits=arrays["splits"],
        sizes=arrays["sizes"],
        names=meta["names"],
        classes=tuple(meta["classes"]),
        preprocessing=Preprocessing(**meta["preprocessing"]),
        groups=tuple(meta["groups"]),
        unreadable=meta["unreadable"],
        known_digests=arrays["digests"],
        known_blanks=arrays["blanks"],
        soft_labels=arrays.get(SOFT),
        left_out=meta.get("left_out", {}),
    )


def _decode(
    listing: Listing, preprocessing: Preprocessing, path: Path, *, skip_bad: bool
) -> tuple[list[int], list[tuple[int, int]], dict[str, str]]:
    """Write the images to `path`; returns the positions and sizes of the good ones, and the bad ones.

    The bytes are written, not mapped: a full disk is then an error with a name, not a crash.
    """
    shape = (preprocessing.channels, preprocessing.size, preprocessing.size)
    good: list[int] = []
    sizes: list[tuple[int, int]] = []
    bad: dict[str, str] = {}
    with path.open("wb") as file:
        _write_header(file, (len(listing), *shape))
        for i, outcome in track(decoded(listing, preprocessing), "decoding", len(listing)):
            if not isinstance(outcome, DataError):
                pixels, size = outcome
                file.write(pixels.data)
                good.append(i)
                sizes.append(size)
            elif skip_bad:
                bad[listing.names[i]] = str(outcome)
            else:
                raise unreadable(str(outcome)) from outcome
        if not good:
            raise DataError(f"Not one of {len(listing):,} images could be read. {next(iter(bad.values()), '')}")
        _write_header(file, (len(good), *shape))
    return good, sizes, bad


def unreadable(reason: str) -> DataError:
    """The error for an image that cannot be read, with the ways to go on."""
    return DataError(f"{reason} Repair or remove it, or go on without unreadable images: --data.skip_bad")


def decoded(listing: Listing, preprocessing: Preprocessing) -> Iterator[tuple[int, Outcome]]:
    """Every position with its pixels and size, or with the error, in order.

    Pillow and OpenCV work outside the interpreter lock, so threads use every core.
    """

    def outcome(i: int) -> Outcome:
        if i in listing.problems:
            return DataError(listing.problems[i])
        try:
            image = listing.read(i)
            return preprocessing.pixels(image), image.size
        except DataError as error:
            return error
        except UNREADABLE as error:
            return DataError(f"{listing.names[i]} cannot be turned into pixels ({error}).")

    count, image_bytes = len(listing), preprocessing.channels * preprocessing.size**2
    window = PART * max(1, WINDOW // (image_bytes * PART))
    with ThreadPoolExecutor() as pool:
        for start in range(0, count, window):
            starts = range(start, min(start + window, count), PART)
            parts = [range(first, min(first + PART, count)) for first in starts]
            for part, outcomes in zip(parts, pool.map(lambda part: [outcome(i) for i in part], parts), strict=True):
                yield from zip(part, outcomes, strict=True)


def _write_header(file: IO[bytes], shape: tuple[int, ...]) -> None:
    """The header of an .npy file at its start; NumPy keeps it as long for every number of images."""
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _describe(
    listing: Listing,
    preprocessing: Preprocessing,
    folder: Path,
    good: list[int],
    sizes: list[tuple[int, int]],
    bad: dict[str, str],
) -> Store:
    return Store(
        images=np.load(folder / "images.npy", mmap_mode="r"),
        labels=np.array(listing.labels, dtype=np.int64)[good],
        splits=np.array([SPLITS.index(listing.splits[i] or "train") for i in good], dtype=np.uint8),
        sizes=np.array(sizes, dtype=np.int32),
        names=[listing.names[i] for i in good],
        classes=listing.classes,
        preprocessing=preprocessing,
        groups=tuple(listing.groups[i] for i in good) if listing.groups else (),
        unreadable=bad,
        left_out=dict(listing.left_out),
        soft_labels=None if listing.soft_labels is None else listing.soft_labels[good],
    )


def _save(store: Store, folder: Path, signature: str) -> None:
    arrays = {"labels": store.labels, "splits": store.splits, "sizes": store.sizes}
    if store.soft_labels is not None:
        arrays[SOFT] = store.soft_labels
    for name, array in (arrays | {"digests": store.digests, "blanks": store.blank()}).items():
        np.save(folder / f"{name}.npy", array)
    meta = {
        "format": FORMAT,
        "signature": signature,
        "fingerprint": store.fingerprint,
        "classes": store.classes,
        "preprocessing": store.preprocessing.to_dict(),
        "unreadable": store.unreadable,
        "groups": store.groups,
        "left_out": store.left_out,
        SOFT: store.soft_labels is not None,
        "names": store.names,
    }
    (folder / "store.json").write_text(json.dumps(meta), encoding="utf-8")


@contextmanager
def _written_whole(out: Path) -> Iterator[Path]:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise MienError(
            f"Cannot write to {out.parent}: {error.strerror or error}. Choose another place with --out."
        ) from error
    try:
        yield folder
        share(folder)
        _put_in_place(folder, out)
    except OSError as error:
        raise MienError(
            f"Writing {out} failed: {error.strerror or error}. Free some space, or choose --out."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put_in_place(folder: Path, out: Path, tries: int = 10) -> None:
    """The folder takes the place of `out`, which other processes may be reading, or putting in place themselves."""
    for left in reversed(range(tries)):
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent, ignore_cleanup_errors=True) as aside:
            with suppress(FileNotFoundError):
                os.replace(out, Path(aside) / "old")
            try:
                put(folder, out)
                return
            except OSError:
                if not left or not out.exists():
                    raise


def _refuse_other_content(out: Path) -> None:
    """A store replaces a store, a damaged one too, never a folder of something else."""
    ours = any((out / name).is_file() for name in ("store.json", "images.npy"))
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not ours):
        raise UsageError(f"--out {out} exists and is not a store. Give the name of a folder that is not there yet.")


def _refuse_full_disk(out: Path, needed: int, shape: tuple[int, ...]) -> None:
    parent = next(folder for folder in out.absolute().parents if folder.exists())
    free = shutil.disk_usage(parent).free
    if needed > free:
        raise MienError(
            f"{shape[0]:,} images of {shape[1]}x{shape[2]}x{shape[3]} need {needed / 1e6:,.0f} MB; {parent} has "
            f"{free / 1e6:,.0f} MB free. Make --data.size smaller, or choose another place with --out."
        )
