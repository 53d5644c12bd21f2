"""What an export claims of its data and its answers.

`mien.export` writes it into the file and `mien.proof` works it out again, so both ask these functions. Predictions are
taken in the order of the images' content: then whoever has the same images, whatever their names, draws the same
halves of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np

from mien.data import Store
from mien.data.listing import SPLITS
from mien.data.near import near_copies
from mien.data.near.findings import near_only
from mien.data.store import sha256_of
from mien.evaluate.clean import equals_none, is_clean, label_disagreement, members
from mien.evaluate.metrics import macro_f1_interval, score
from mien.labels import match
from mien.runs import Accuracy, Predictions, Scores
from mien.runs.data import Images
from mien.runs.records import plain, to_dict

POOL = "pool"  # of images that are held out for nothing


def of_data(store: Store, classes: Sequence[str]) -> dict[str, Any]:
    """The images by split, their hashes with and without labels, their copies, and how often two labels differ.

    classes: those of the network, as it spells them.
    split_images: how many each split has. content: sha256 over the pixels of all images ('all'), of each split, and of
    those held out for nothing ('pool': train, and what training leaves out). labelled: of each split, over pixels and
    names of classes; neither depends on the images' names or order.
    copies: 'a/b' counts the images of split b with a copy in split a, identical, or near and none identical; train is
    the pool. label_disagreement: see `mien.data.near.findings`; None where no photograph is there twice.
    """
    pool = {POOL: sha256_of(store.digests[members(store, "train")])}
    return {
        "split_images": {split: len(store.indices(split)) for split in SPLITS},
        "content": {"all": store.content(), **{split: store.content(split) for split in SPLITS}} | pool,
        "labelled": {split: labelled(store, split, classes) for split in SPLITS if store.has(split)},
        "copies": copies(store),
        "label_disagreement": disagreement_of(store),
    }


def of_kept(images: Images) -> dict[str, Any]:
    """As much of it as a run keeps of images that are gone."""
    pool = {POOL: sha256_of(images.digests[~np.isin(images.splits, (1, 2))])}
    return {
        "split_images": {split: int((images.splits == number).sum()) for number, split in enumerate(SPLITS)},
        "content": {"all": images.content(), **{split: images.content(split) for split in SPLITS}} | pool,
    }


def of_answers(store: Store, found: Predictions) -> dict[str, Any]:
    """All that is claimed of a store and of what was answered to its validation images, in the order of content."""
    return of_data(store, found.classes) | of_scores(scores_of(store, "validation", found), found)


def scores_of(store: Store, split: str, found: Predictions) -> Scores:
    """found: of all images of the split, in any order."""
    place = {store.names[i]: number for number, i in enumerate(store.indices(split))}
    order = [place[name] for name in found.names]
    return score(found, is_clean(store, split)[order], equals_none(store, split)[order])


def of_scores(scores: Scores, found: Predictions | None = None) -> dict[str, Any]:
    """The scores of the validation split under the names that a card gives them; with predictions more intervals."""
    parts: dict[str, Accuracy | None] = {"clean": scores.clean, "without_identical": scores.without_identical}
    return {
        "validation_accuracy": scores.accuracy,
        "validation_images": scores.images,
        "interval": list(scores.interval),
        **{name: to_dict(part) for name, part in parts.items() if part},
        "macro_f1": scores.macro_f1,
        **({"macro_f1_interval": list(macro_f1_interval(found))} if found else {}),
        "per_class": plain({name: vars(row) for name, row in scores.per_class.items()}),
    }


def by_content(found: Predictions, digests: Mapping[str, bytes]) -> Predictions:
    """Predictions in the order of their images' content, and of their labels where that is the same.

    digests: a hash of the pixels by the image's name.
    """
    keys = [(digests[name], int(label)) for name, label in zip(found.names, found.labels, strict=True)]
    order = sorted(range(len(found)), key=keys.__getitem__)
    names = [found.names[i] for i in order]
    return Predictions(names, found.labels[order], found.probabilities[order], found.classes)


def digests_of(images: Store | Images) -> dict[str, bytes]:
    """Image name -> hash of its pixels."""
    return {name: each.tobytes() for name, each in zip(images.names, images.digests, strict=True)}


def labelled(store: Store, split: str, classes: Sequence[str]) -> str:
    """See `of_data`. Raises DataError where the data has a class that the network does not know."""
    names = [classes[i] for i in match(store.classes, tuple(classes))]
    rows = (store.digests[i].tobytes() + names[store.labels[i]].encode() for i in store.indices(split))
    return hashlib.sha256(b"\n".join(sorted(rows))).hexdigest()


def disagreement_of(store: Store) -> dict[str, Any] | None:
    """See `of_data`."""
    found = label_disagreement(store)
    return plain(asdict(found)) if found else None


def copies(store: Store) -> dict[str, dict[str, int]]:
    """See `of_data`."""
    near = near_copies(store)
    counts: dict[str, dict[str, int]] = {"identical": {}, "near": {}}
    for first, second in combinations(SPLITS, 2):
        images, others = members(store, second), members(store, first)
        counts["identical"][f"{first}/{second}"] = int(np.isin(store.digests[images], store.digests[others]).sum())
        counts["near"][f"{first}/{second}"] = int(near_only(near, images, others).sum())
    return counts
