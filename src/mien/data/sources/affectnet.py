"""AffectNet (Mollahosseini, Hasani and Mahoor, 2017, arXiv 1708.03985): eight expressions, in the official layout.

    train_set/images/0.jpg    train_set/annotations/0_exp.npy
    val_set/images/0.jpg      val_set/annotations/0_exp.npy

An annotation is one number, 0 to 7. Labels of the test pictures are not public: what papers report on is val_set, the
validation split here. `_aro`, `_val` and `_lnd` files are left aside.
"""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import numpy as np

from mien import media
from mien.data.listing import Listing, existing, file_stamp, meant_below, signature
from mien.errors import DataError, MissingError
from mien.labels import WITH_CONTEMPT
from mien.pictures import Entry, image_files, open_image

NUMBERS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
LABELS = {str(number): WITH_CONTEMPT.index(name) for number, name in enumerate(NUMBERS)}
FOLDERS = {"train": "train_set", "validation": "val_set"}
LAYOUT = "AffectNet is a folder of train_set and val_set, each with images/0.jpg and annotations/0_exp.npy and so on."


def recognises(root: Path) -> bool:
    """Whether a folder looks like AffectNet, whole or not; train_set alone may be of anything."""
    return any((root / name / part).is_dir() for name in FOLDERS.values() for part in ("images", "annotations"))


def read(path: Path | None) -> Listing:
    """List the pictures of both sets. Classes are in the order of FER2013's, contempt is the last.

    Raises MissingError naming what the layout lacks, DataError when a set has no pictures. A picture without an
    annotation, or with one that is not a number from 0 to 7, is in `Listing.problems`.
    """
    root = existing(path, "AffectNet")
    _refuse_incomplete(root)
    others: list[Path] = []
    entries = [(split, entry) for split in FOLDERS for entry in _pictures(root / FOLDERS[split] / "images", others)]
    found = [_annotation(entry) for _, entry in entries]
    stamps = [f"{file_stamp(entry)}|{text}" for (_, entry), text in zip(entries, found, strict=True)]
    return Listing(
        classes=WITH_CONTEMPT,
        names=[Path(entry.path).relative_to(root).as_posix() for _, entry in entries],
        labels=[LABELS.get(text, 0) for text in found],
        splits=[split for split, _ in entries],
        read=lambda i: open_image(Path(entries[i][1].path)),
        signature=signature(stamps),
        problems={i: _problem(entries[i][1], text) for i, text in enumerate(found) if text not in LABELS},
        left_out=media.counted(others),
    )


def _refuse_incomplete(root: Path) -> None:
    for place in (root / name / part for name in FOLDERS.values() for part in ("images", "annotations")):
        if not place.is_dir():
            raise MissingError(f"{place} is missing. {LAYOUT}{meant_below(root, recognises)}")


def _pictures(folder: Path, others: list[Path]) -> list[Entry]:
    entries = list(image_files(folder, others=others))
    if not entries:
        raise DataError(f"{folder} holds no pictures. {LAYOUT}")
    return entries


def _annotation_path(picture: Entry) -> Path:
    path = Path(picture.path)
    return path.parent.parent / "annotations" / f"{path.stem}_exp.npy"


def _annotation(picture: Entry) -> str:
    """What the annotation of a picture says, '' where there is none."""
    try:
        return _value(_annotation_path(picture).read_bytes())
    except FileNotFoundError:
        return ""


@lru_cache(maxsize=1024)  # there are 290,000 files and hardly more than eight contents
def _value(content: bytes) -> str:
    """The one value in an .npy file, as text: '3'."""
    try:
        return str(np.lib.format.read_array(io.BytesIO(content), allow_pickle=False).item())
    except (ValueError, OverflowError, MemoryError):
        return "no value that NumPy can read"


def _problem(picture: Entry, text: str) -> str:
    place = _annotation_path(picture)
    if not text:
        return f"{place} is missing, so the class of {picture.path} is not known."
    return f"{place} holds {text[:40]!r}; it must be a number from 0 to 7."
