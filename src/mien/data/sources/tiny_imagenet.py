"""Tiny ImageNet (Stanford, CS231N): 200 classes of 64x64 colour pictures, in its official layout.

    wnids.txt                            the classes, one WordNet id a line
    words.txt                            WordNet id, tab, synonyms: 'goldfish, Carassius auratus'
    train/<wnid>/images/<wnid>_0.JPEG
    val/images/val_0.JPEG
    val/val_annotations.txt              file, tab, wnid, tab, bounding box

or with the validation pictures sorted into val/<wnid>, as many scripts leave it. The official test pictures have no
labels, so test/ is left aside and there is no test split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mien import labels
from mien.data.layouts import sub_folders
from mien.data.listing import Listing, existing, file_stamp, meant_below, signature
from mien.data.sources import folder
from mien.data.text_table import text_lines
from mien.errors import DataError, MissingError, nearest
from mien.pictures import Entry, image_files, open_image
from mien.words import count

LAYOUT = (
    "Tiny ImageNet is a folder of wnids.txt, words.txt, train/<wnid>/images, val/images and val/val_annotations.txt."
)
NEEDED = ("wnids.txt", "words.txt", "train", "val/images", "val/val_annotations.txt")
WNIDS, WORDS, TRAIN, VAL_IMAGES, ANNOTATIONS = NEEDED
VAL, TEST = "val", "test"


def recognises(root: Path) -> bool:
    """Whether a folder looks like Tiny ImageNet, whole or not."""
    return any((root / name).is_file() for name in (WNIDS, ANNOTATIONS))


def read(path: Path | None, encoding: str | None = None) -> Listing:
    """List train, and those validation pictures that are there; annotations of others do not matter.

    Classes are words (the first synonym of each wnid), in the order of the sorted wnids.
    Raises MissingError naming what the layout lacks, DataError when words.txt or train does not fit
    wnids.txt. A validation picture without annotation, or of an unknown wnid, is in `Listing.problems`.
    """
    root = existing(path, "Tiny ImageNet")
    is_sorted = _has_sorted_validation(root)
    _refuse_incomplete(root, NEEDED[:3] if is_sorted else NEEDED)
    wnids = _wnids(root, encoding)
    splits = {"train": root / TRAIN} | ({"validation": root / VAL} if is_sorted else {})
    listing = replace(
        folder.list_classes(splits, root), classes=_class_names(root / WORDS, wnids, encoding)
    ).without_some(_unlabelled(root / TEST))
    lists = [file_stamp(root / name) for name in NEEDED if (root / name).is_file()]
    if is_sorted:
        return replace(listing, signature=signature([listing.signature, *lists]))
    return _with_validation(listing, root, wnids, lists, encoding)


def _with_validation(
    train: Listing, root: Path, wnids: Sequence[str], lists: Sequence[str], encoding: str | None
) -> Listing:
    """The training pictures and, after them, those of val/images with their annotations."""
    entries = list(image_files(root / VAL_IMAGES))
    if not entries:
        raise DataError(f"{root / VAL_IMAGES} holds no images. {LAYOUT}")
    found, problems = _validation_labels(entries, _annotations(root / ANNOTATIONS, encoding), wnids)
    return replace(
        train,
        names=train.names + [Path(entry.path).relative_to(root).as_posix() for entry in entries],
        labels=train.labels + found,
        splits=train.splits + ["validation"] * len(entries),
        read=lambda i: train.read(i) if i < len(train) else open_image(Path(entries[i - len(train)].path)),
        signature=signature([train.signature, *lists, *map(file_stamp, entries)]),
        problems={**train.problems, **{len(train) + i: problem for i, problem in problems.items()}},
    )


def _has_sorted_validation(root: Path) -> bool:
    """Whether val/ has folders of wnids rather than one of all pictures."""
    return (root / VAL).is_dir() and not (root / VAL_IMAGES).is_dir() and bool(sub_folders(root / VAL))


def _unlabelled(test: Path) -> dict[str, int]:
    count = sum(1 for _ in image_files(test)) if test.is_dir() else 0
    return {f"pictures in {TEST}/, which has no labels": count} if count else {}


def _refuse_incomplete(root: Path, needed: Sequence[str]) -> None:
    missing = next((root / name for name in needed if not _is_there(root / name)), None)
    if missing is None:
        return
    raise MissingError(f"{missing} is missing. {LAYOUT}{meant_below(root, recognises)}")


def _is_there(path: Path) -> bool:
    return path.is_file() if path.suffix else path.is_dir()


def _wnids(root: Path, encoding: str | None) -> tuple[str, ...]:
    """The wnids, sorted; train has a folder for each of them and no other."""
    wnids = sorted({line.strip() for line in text_lines(root / WNIDS, encoding)} - {""})
    if len(wnids) < 2:
        raise DataError(f"{root / WNIDS} has {count(len(wnids), 'wnid')}; a classifier needs at least two.")
    there = {child.name for child in (root / TRAIN).iterdir() if child.is_dir() and not child.name.startswith(".")}
    for wnid in wnids:
        if wnid not in there:
            have = f"train has {len(there.intersection(wnids)):,} of its {len(wnids):,}"
            raise MissingError(f"{root / TRAIN / wnid} is missing, a class of wnids.txt ({have}). {LAYOUT}")
    for name in sorted(there - set(wnids)):
        raise DataError(f"{root / TRAIN / name} is a class that wnids.txt lacks. Add its line, or remove that folder.")
    return tuple(wnids)


def _class_names(path: Path, wnids: Sequence[str], encoding: str | None) -> tuple[str, ...]:
    """The first synonym of each wnid; where two are equal (the crane lifts or flies), with their wnids."""
    words = {
        wnid.strip(): synonyms for wnid, _, synonyms in (line.partition("\t") for line in text_lines(path, encoding))
    }
    names = [words.get(wnid, "").partition(",")[0].strip() for wnid in wnids]
    if "" in names:
        raise DataError(f"{path} has no word for {wnids[names.index('')]}, a class of wnids.txt. Add its line.")
    counts = Counter(map(labels.canonical, names))
    return tuple(
        name if counts[labels.canonical(name)] == 1 else f"{name} ({wnid})"
        for name, wnid in zip(names, wnids, strict=True)
    )


def _annotations(path: Path, encoding: str | None) -> dict[str, str]:
    """File name -> wnid."""
    found: dict[str, str] = {}
    for number, line in enumerate(text_lines(path, encoding), start=1):
        cells = [cell.strip() for cell in line.split("\t")]
        if cells == [""]:
            continue
        if len(cells) < 2:
            raise DataError(f"{path} line {number} is '{line[:80]}'; it must be a file, a tab and a wnid.")
        if found.setdefault(cells[0], cells[1]) != cells[1]:
            raise DataError(f"{path} line {number}: {cells[0]} is {cells[1]} here and {found[cells[0]]} above.")
    return found


def _validation_labels(
    entries: Sequence[Entry], annotations: Mapping[str, str], wnids: Sequence[str]
) -> tuple[list[int], dict[int, str]]:
    """The label of each picture, and what is wrong with those that have none."""
    index = {wnid: label for label, wnid in enumerate(wnids)}
    problems: dict[int, str] = {}
    for i, entry in enumerate(entries):
        wnid = annotations.get(entry.name)
        if wnid is None:
            problems[i] = f"{entry.path} has no line in val_annotations.txt, so its class is not known."
        elif wnid not in index:
            problems[i] = f"{entry.path} is of the class '{wnid}', which wnids.txt lacks.{nearest(wnid, wnids)}"
    return [index.get(annotations.get(entry.name, ""), 0) for entry in entries], problems
