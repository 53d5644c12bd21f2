"""Predictions of several runs on the same images, image by image.

It is worked out from names and labels; probabilities, which may be many, are read of one run at a time.

Runs of one data set name their images alike. A run on a corrected table does not: its images are found by where they
lie, or by their pixels, and those whose label was changed, or that were dropped, are left out. What is left is a fair
test of what the correction brought, as nobody has touched its labels.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien import labels
from mien.errors import DataError
from mien.runs import AskedImages, Predictions, RunFolder
from mien.runs.data import Images, moved


@dataclass(frozen=True)
class LeftOut:
    """Of the images of runs on differing tables, those on which they are not compared.

    relabelled: with another label in one run than in another. of_some: that not all of the runs were scored on.
    """

    relabelled: int
    of_some: int

    def describe(self, compared: int) -> str:
        """One sentence: on how many images the runs are compared."""
        return (
            f"Compared on {compared:,} pictures whose label nobody changed; left out are {self.relabelled:,} with "
            f"another label and {self.of_some:,} that are not in all runs."
        )


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where the compared images are in the predictions of each run.

    orders: for each run the positions of the M compared images, int (M,); None where these are all, as they lie.
    targets: for each run the class of the first run that each of its own is, int (K,). classes: the first run's.
    left_out: None where every image is compared.
    """

    folders: Sequence[RunFolder]
    split: str
    classes: tuple[str, ...]
    orders: list[np.ndarray | None]
    targets: list[np.ndarray]
    left_out: LeftOut | None = None

    def predictions(self, run: int) -> Predictions:
        """What one of the runs said of the compared images, classes in the first run's order; read at each call."""
        found, order, target = self.folders[run].predictions(self.split), self.orders[run], self.targets[run]
        if order is None and found.classes == self.classes:
            return found
        order = np.arange(len(found)) if order is None else order
        return Predictions(
            names=[found.names[i] for i in order],
            labels=target[found.labels[order]],
            probabilities=found.probabilities[order][:, np.argsort(target)],
            classes=self.classes,
        )


def align(folders: Sequence[RunFolder], split: str) -> Alignment:
    """Find the images and classes of the first run in the others' predictions of a split.

    Where a run is on a table, differing labels and missing images are left out if most are the same; then each keeps
    its own names of the images. Raises DataError for other images, labels or classes, and what reading them raises.
    """
    first = folders[0].asked(split)
    try:
        placed = [_placed(folder.asked(split), first, folder, folders[0]) for folder in folders]
    except DataError:
        if not any(folder.recipe.data.source == "table" for folder in folders):
            raise
        common = _unchanged(folders, [folder.asked(split) for folder in folders])
        if common is None:
            raise
        orders, targets, left_out = common
        return Alignment(folders, split, first.classes, orders, targets, left_out)
    orders, targets = zip(*placed, strict=True)
    return Alignment(folders, split, first.classes, list(orders), list(targets))


def _class_order(other: AskedImages, first: AskedImages, folder: RunFolder, reference: RunFolder) -> list[int]:
    """For each class of `other`, its index in `first`: by name, never by position."""
    if len(other.classes) != len(first.classes):
        raise DataError(
            f"{folder.path} tells {len(other.classes)} classes apart ({', '.join(other.classes)}) and "
            f"{reference.path} {len(first.classes)} ({', '.join(first.classes)}). Compare runs of the same classes."
        )
    if set(other.classes) == set(first.classes):
        return [first.classes.index(name) for name in other.classes]
    return labels.match(other.classes, first.classes)


def _placed(
    other: AskedImages, first: AskedImages, folder: RunFolder, reference: RunFolder
) -> tuple[np.ndarray | None, np.ndarray]:
    """Where the images of `first` are in `other`, None for as they lie, and its classes; matched by name."""
    order = None if other.names == first.names else _order(other, first, folder, reference)
    target = np.array(_class_order(other, first, folder, reference))
    labels_ = target[other.labels if order is None else other.labels[order]]
    different = np.flatnonzero(labels_ != first.labels)
    if len(different):
        raise DataError(
            f"{folder.path} and {reference.path} do not agree on the labels of {len(different):,} images, "
            f"{first.names[different[0]]} among them. Compare runs of the same data."
        )
    return order, target


def _order(other: AskedImages, first: AskedImages, folder: RunFolder, reference: RunFolder) -> np.ndarray:
    by_name, order_first = _sorted_positions(other.names), _sorted_positions(first.names)
    if [other.names[i] for i in by_name] != [first.names[i] for i in order_first]:
        shared = len(set(other.names) & set(first.names))
        folds = "The folds of a cross-validation are joined by mien's benchmarks/folds.py."
        raise DataError(
            f"{folder.path} and {reference.path} were not evaluated on the same images: {len(other):,} and "
            f"{len(first):,}, of which {shared:,} are in both. "
            f"{folds if folder.recipe.data.folds else 'Compare runs of the same data and split.'}"
        )
    order = np.empty(len(first), dtype=np.int64)
    order[order_first] = by_name
    return order


def _sorted_positions(names: Sequence[str]) -> list[int]:
    return sorted(range(len(names)), key=names.__getitem__)


def _unchanged(
    folders: Sequence[RunFolder], found: Sequence[AskedImages]
) -> tuple[list[np.ndarray | None], list[np.ndarray], LeftOut] | None:
    """Positions of the images that all runs have under one label, and classes; None where these are too few."""
    targets = [
        np.array(_class_order(each, found[0], folder, folders[0])) for folder, each in zip(folders, found, strict=True)
    ]
    relabelled = [target[each.labels] for target, each in zip(targets, found, strict=True)]
    keys = _best_keys(folders, found)
    images = [_numbered(each) for each in keys]
    labelled = [
        _numbered(list(zip(each, own.tolist(), strict=True))) for each, own in zip(keys, relabelled, strict=True)
    ]
    places = [{key: position for position, key in enumerate(each)} for each in labelled]
    common = [key for key in labelled[0] if all(key in place for place in places)]
    if 2 * len(common) < max(map(len, found)):
        return None
    shared = len(set.intersection(*map(set, images)))
    every = len(set.union(*map(set, images)))
    orders = [np.array([place[key] for key in common], dtype=np.int64) for place in places]
    return [*orders], targets, LeftOut(shared - len(common), every - shared)


def _best_keys(folders: Sequence[RunFolder], found: Sequence[AskedImages]) -> list[list[Hashable]]:
    """What tells each run's images: names, where they lie, or pixels, whichever of these most have in common."""
    pairs = list(zip(folders, found, strict=True))
    kinds: list[list[list[Hashable]]] = [
        [list(each.names) for each in found],
        [_places(folder, each) for folder, each in pairs],
    ]
    if all(pixels := [_pixels(folder, each) for folder, each in pairs]):
        kinds.append(pixels)
    return max(kinds, key=lambda keys: len(set.intersection(*map(set, keys))))


def _places(folder: RunFolder, found: AskedImages) -> list[Hashable]:
    """Where each image lies: the path of its file, or of its row of a table of pixels."""
    data = moved(folder.recipe).data.path or Path(folder.recipe.data.source)
    base = data if data.is_dir() else data.parent
    return [os.path.normpath(base / name) for name in found.names]


def _pixels(folder: RunFolder, found: AskedImages) -> list[Hashable]:
    """A digest of each image's pixels; [] where the run noted none."""
    known = Images.of(folder.path)
    digests = dict(zip(known.names, map(bytes, known.digests), strict=True)) if known else {}
    return [digests[name] for name in found.names] if all(name in digests for name in found.names) else []


def _numbered(keys: Sequence[Hashable]) -> list[Hashable]:
    """The keys, with a number where one is there again."""
    seen: Counter[Hashable] = Counter()
    numbered: list[Hashable] = []
    for key in keys:
        numbered.append((key, seen[key]))
        seen[key] += 1
    return numbered
