"""A Listing -> a store folder: every image decoded once, by threads, into one array."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from mien.atomic import put, share
from mien.data.listing import SPLITS, Listing
from mien.data.store import Store
from mien.data.store_folder import IMAGES, META, header, load, save
from mien.drafts import aside, draft
from mien.errors import DataError, MienError, MissingError, UsageError, unwritable
from mien.pictures import UNREADABLE, refuse_shortage
from mien.preprocessing import Preprocessing
from mien.progress import track

PART = 64  # images a thread decodes in one go
WINDOW = 2**25  # bytes of decoded images that wait to be written

Outcome = tuple[np.ndarray, tuple[int, int]] | DataError


def build(
    listing: Listing, preprocessing: Preprocessing, out: Path, *, skip_bad: bool = False, elsewhere: str = "`out`"
) -> Store:
    """Decode every image of a listing into a store folder at `out`, in place of a store that is there.

    elsewhere: what names another place, for errors.
    Raises DataError naming an image that cannot be read (unless skip_bad), MienError when the disk is
    too small, UsageError when `out` holds something else. Whatever fails, nothing half-written stays.
    """
    if listing.problems and not skip_bad:
        raise unreadable(listing.problems[min(listing.problems)])
    shape = (len(listing), preprocessing.channels, preprocessing.size, preprocessing.size)
    _refuse_other_content(out)
    _refuse_full_disk(out, int(np.prod(shape)), shape, elsewhere)
    with _written_whole(out, elsewhere) as folder:
        good, sizes, bad = _decode(listing, preprocessing, folder / IMAGES, skip_bad=skip_bad)
        save(_describe(listing, preprocessing, folder, good, sizes, bad), folder, listing.signature)
    return _load(out)


def _load(out: Path, tries: int = 10) -> Store:
    """The store in `out`, even where other processes put the same one in its place at this moment."""
    for left in reversed(range(tries)):
        try:
            return load(out)
        except (DataError, MissingError):
            if not left:
                raise
            time.sleep(0.05)
    raise AssertionError


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
        file.write(header("uint8", (len(listing), *shape)))
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
        file.seek(0)
        file.write(header("uint8", (len(good), *shape)))
    return good, sizes, bad


def unreadable(reason: str) -> DataError:
    """The error for an image that cannot be read, with the ways to go on."""
    return DataError(f"{reason} Repair or remove it, or go on without unreadable images: `data.skip_bad`")


def decoded(listing: Listing, preprocessing: Preprocessing) -> Iterator[tuple[int, Outcome]]:
    """Every position with its pixels and size, or with the error, in order.

    Pillow and OpenCV work outside the interpreter lock, so threads use every core.
    """

    def outcome(i: int) -> Outcome:
        if i in listing.problems:
            return DataError(listing.problems[i])
        try:
            image = listing.read(i)
        except DataError as error:
            return error
        except UNREADABLE as error:
            return _unusable(listing.names[i], error)
        try:
            return preprocessing.pixels(image), image.size
        except (DataError, *UNREADABLE) as error:
            return _unusable(listing.names[i], error)

    count, image_bytes = len(listing), preprocessing.channels * preprocessing.size**2
    window = PART * max(1, WINDOW // (image_bytes * PART))
    with ThreadPoolExecutor() as pool:
        for start in range(0, count, window):
            starts = range(start, min(start + window, count), PART)
            parts = [range(first, min(first + PART, count)) for first in starts]
            for part, outcomes in zip(parts, pool.map(lambda part: [outcome(i) for i in part], parts), strict=True):
                yield from zip(part, outcomes, strict=True)


def _unusable(name: str, error: Exception) -> DataError:
    refuse_shortage(error)
    return DataError(f"{name} cannot be turned into pixels ({error}).")


def _describe(
    listing: Listing,
    preprocessing: Preprocessing,
    folder: Path,
    good: list[int],
    sizes: list[tuple[int, int]],
    bad: dict[str, str],
) -> Store:
    return Store(
        images=np.load(folder / IMAGES, mmap_mode="r"),
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


@contextmanager
def _written_whole(out: Path, elsewhere: str) -> Iterator[Path]:
    """A folder that takes the place of `out` once it is complete and on the disk."""
    with ExitStack() as stack:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(draft(out.parent, folder=True))
        except OSError as error:
            raise MienError(
                f"Cannot write to {out.parent}: {error.strerror or error}. Choose another place with {elsewhere}."
            ) from error
        try:
            yield folder
            share(folder)
            _put_in_place(folder, out)
        except OSError as error:
            raise unwritable(out, error, f"choose {elsewhere}") from error


def _put_in_place(folder: Path, out: Path, tries: int = 10) -> None:
    """The folder takes the place of `out`, which other processes may be reading, or putting in place themselves."""
    for left in reversed(range(tries)):
        try:
            with aside(out):
                put(folder, out)
            return
        except OSError:
            if not left or not out.exists():
                raise


def _refuse_other_content(out: Path) -> None:
    """A store replaces a store, a damaged one too, never a folder of something else."""
    ours = any((out / name).is_file() for name in (META, IMAGES))
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not ours):
        raise UsageError(f"`out` {out} exists and is not a store. Give the name of a folder that is not there yet.")


def _refuse_full_disk(out: Path, needed: int, shape: tuple[int, ...], elsewhere: str) -> None:
    parent = next(folder for folder in out.absolute().parents if folder.exists())
    free = shutil.disk_usage(parent).free
    if needed > free:
        raise MienError(
            f"{shape[0]:,} images of {shape[1]}x{shape[2]}x{shape[3]} need {needed / 1e6:,.0f} MB; {parent} has "
            f"{free / 1e6:,.0f} MB free. Make `data.size` smaller, or choose another place with {elsewhere}."
        )
