"""A Store on disk, in a folder that can tell whether it is whole:

    images.npy       uint8 (N, channels, size, size)
    digests.npy      16 bytes (N,), a hash of each image: equal where images are equal, and its checksum
    labels.npy       int64 (N,)
    splits.npy       uint8 (N,), index into mien.data.listing.SPLITS
    sizes.npy        int32 (N, 2), width and height before preprocessing
    blanks.npy       bool (N,), images that show nothing
    soft_labels.npy  float32 (N, K), probabilities of the classes; only where the source has them
    names.json       names, groups, unreadable images
    store.json       format, classes, preprocessing, left out images, signature, fingerprint
    checksums.json   sha256 of each of these files but images.npy

Opening reads and checks everything but the pixels. Each image is compared with its digest when it is first read.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mien import drafts
from mien.data.listing import SPLITS
from mien.data.pixels import DIGEST, Pixels
from mien.data.store import Store
from mien.errors import DataError, MissingError, UsageError
from mien.preprocessing import Preprocessing

FORMAT = 3
IMAGES, NAMES, META, CHECKSUMS = "images.npy", "names.json", "store.json", "checksums.json"
SOFT = "soft_labels"
ARRAYS = {  # name: type, and the shape of one image's entry
    "digests": (f"V{DIGEST}", ()),
    "labels": ("int64", ()),
    "splits": ("uint8", ()),
    "sizes": ("int32", (2,)),
    "blanks": ("bool", ()),
}
MALFORMED = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, MemoryError, OSError)


def load(folder: Path) -> Store:
    """Open a store folder; its images stay on disk, mapped, and are checked when they are read (see `Pixels`).

    Raises MissingError when there is no store, DataError when it is damaged or of another version of mien.
    """
    if not folder.exists():
        drafts.clear(folder.parent)  # one that a killed process was replacing comes back
    files = {}
    for name, content, problem in _read(folder):
        if problem:
            raise DataError(f"The store {folder} is damaged ({problem}). Delete that folder and prepare it again.")
        files[name] = content
    try:
        return _from_files(folder, files)
    except (*MALFORMED, UsageError) as error:
        raise DataError(f"The store {folder} is damaged ({error}). Delete that folder and prepare it again.") from error


def verify(folder: Path) -> list[str]:
    """What is wrong with a store, one sentence each, [] when it is whole. Every file and every image is read.

    Raises MissingError when there is no store.
    """
    try:
        problems = [problem for _, _, problem in _read(folder) if problem]
        if problems:
            return [f"{problem[0].upper()}{problem[1:]}." for problem in problems]
        store = load(folder)
    except DataError as error:
        return [str(error)]
    assert isinstance(store.images, Pixels)
    problems = [f"{store.names[i]}: its pixels are not those that were written." for i in store.images.differing()]
    if store.fingerprint != read_meta(folder)["fingerprint"]:
        problems.append("The content does not match the fingerprint.")
    return problems


def read_meta(folder: Path) -> dict[str, Any]:
    """store.json of a store folder, or {} where there is none that can be read."""
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        return meta if meta["format"] == FORMAT else {}
    except MALFORMED:
        return {}


def save(store: Store, folder: Path, signature: str) -> None:
    """Write all but the images of a store into a folder, and the checksums last."""
    arrays = {"labels": store.labels, "splits": store.splits, "sizes": store.sizes}
    arrays |= {"digests": store.digests, "blanks": store.blank()}
    if store.soft_labels is not None:
        arrays[SOFT] = store.soft_labels
    meta = {
        "format": FORMAT,
        "signature": signature,
        "fingerprint": store.fingerprint,
        "classes": store.classes,
        "preprocessing": store.preprocessing.to_dict(),
        "left_out": store.left_out,
        SOFT: store.soft_labels is not None,
    }
    names = {"groups": store.groups, "unreadable": store.unreadable, "names": store.names}
    files = {f"{name}.npy": header(array.dtype, array.shape) + array.tobytes() for name, array in arrays.items()}
    files |= {NAMES: json.dumps(names).encode(), META: json.dumps(meta, indent=1).encode()}
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files[CHECKSUMS] = json.dumps(checksums, indent=1).encode()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def header(dtype: np.dtype[Any] | str, shape: tuple[int, ...]) -> bytes:
    """How an .npy file of such an array begins; NumPy keeps it as long for every number of images."""
    start = io.BytesIO()
    values = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(start, values)
    return start.getvalue()


def _read(folder: Path) -> Iterator[tuple[str, bytes, str]]:
    """Name and content of each file, and what is wrong with it or ''; images.npy is left to `Pixels`."""
    try:
        checksums = json.loads((folder / CHECKSUMS).read_bytes())
        items = {str(name): str(checksum) for name, checksum in checksums.items()}.items()
    except FileNotFoundError as error:
        raise _without_checksums(folder) from error
    except MALFORMED as error:
        yield CHECKSUMS, b"", f"{CHECKSUMS} cannot be read: {error}"
        return
    for name, checksum in items:
        try:
            content = (folder / Path(name).name).read_bytes()
        except MALFORMED as error:
            yield name, b"", f"{name} cannot be read: {error}"
            continue
        whole = hashlib.sha256(content).hexdigest() == checksum
        yield name, content, "" if whole else f"{name} does not match its checksum"


def _without_checksums(folder: Path) -> MissingError | DataError:
    try:
        older = json.loads((folder / META).read_bytes())["format"] != FORMAT
    except FileNotFoundError:
        return MissingError(f"{folder} is not a store: {META} is missing.")
    except MALFORMED:
        older = False
    if older:
        return DataError(f"The store {folder} is of another version of mien, without checksums. Prepare it again.")
    return MissingError(f"{folder} is not a store: {CHECKSUMS} is missing.")


def _from_files(folder: Path, files: Mapping[str, bytes]) -> Store:
    """The store that these files describe. Raises one of MALFORMED where they do not fit each other."""
    meta, names = json.loads(files[META]), json.loads(files[NAMES])
    count, classes = len(names["names"]), tuple(meta["classes"])
    types = {**ARRAYS, SOFT: ("float32", (len(classes),))} if meta[SOFT] else ARRAYS
    arrays = {name: _array(files, f"{name}.npy", dtype, (count, *entry)) for name, (dtype, entry) in types.items()}
    store = Store(
        images=_mapped(folder, Preprocessing(**meta["preprocessing"]), arrays["digests"], names["names"]),
        labels=arrays["labels"],
        splits=arrays["splits"],
        sizes=arrays["sizes"],
        names=names["names"],
        classes=classes,
        preprocessing=Preprocessing(**meta["preprocessing"]),
        groups=tuple(names["groups"]),
        unreadable=names["unreadable"],
        known_digests=arrays["digests"],
        known_blanks=arrays["blanks"],
        soft_labels=arrays.get(SOFT),
        left_out=meta["left_out"],
    )
    _refuse_misfit(store, meta)
    return store


def _refuse_misfit(store: Store, meta: Mapping[str, Any]) -> None:
    """Raise ValueError for values that no store has: a label without a class, names that are no text."""
    texts = (*store.classes, *store.names, *store.groups, *store.unreadable, *store.unreadable.values())
    texts += (meta["signature"], meta["fingerprint"])
    if meta["format"] != FORMAT or {*map(type, texts)} - {str}:
        raise ValueError(f"{META} or {NAMES} hold what they should not")
    if not all(type(number) is int for number in store.left_out.values()):
        raise ValueError(f"{META} counts what was left out in no numbers")
    if len(store.groups) not in (0, len(store)):
        raise ValueError(f"{len(store.groups):,} groups for {len(store):,} images")
    if len(store) and not (0 <= store.labels.min() <= store.labels.max() < len(store.classes)):
        raise ValueError(f"labels beyond the {len(store.classes)} classes")
    if len(store) and store.splits.max() >= len(SPLITS):
        raise ValueError("splits that are neither train, validation nor test")


def _array(files: Mapping[str, bytes], name: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array from its .npy file, whose header must be the one that was written."""
    start, content = header(dtype, shape), files[name]
    if not content.startswith(start):
        raise ValueError(f"{name} does not hold {shape[0]:,} entries of {dtype}")
    return np.frombuffer(content, dtype, offset=len(start)).reshape(shape).copy()


def _mapped(folder: Path, preprocessing: Preprocessing, digests: np.ndarray, names: list[str]) -> Pixels:
    shape = (len(digests), preprocessing.channels, preprocessing.size, preprocessing.size)
    start, path = header("uint8", shape), folder / IMAGES
    with path.open("rb") as file:
        same = file.read(len(start)) == start
    if not same or path.stat().st_size != len(start) + int(np.prod(shape)):
        raise ValueError(f"{IMAGES} does not hold {shape[0]:,} images of {shape[1:]}")
    mapped = np.memmap(path, np.uint8, "r", len(start), shape)
    return Pixels(mapped, digests, lambda i: _damaged(folder, names[i]))


def _damaged(folder: Path, name: str) -> DataError:
    """The error for an image that is not as it was written; without checksums the store is then prepared again."""
    what = f"The store {folder} is damaged: the pixels of {name} are not those that were written."
    with suppress(OSError):
        os.unlink(folder / CHECKSUMS)
        return DataError(f"{what} Repeat the command: it is prepared again.")
    return DataError(f"{what} Delete that folder and prepare it again.")
