"""What near copies say of a data set: which images have one in another split, and how often their labels differ."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from mien.data.listing import SPLITS
from mien.data.near import NearCopies
from mien.data.store import Store
from mien.intervals import wilson
from mien.labels import LabelDisagreement


def leaked(found: NearCopies, images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of `images` those in whose group are some of `others`, identical or near; positions, bool (n,)."""
    return np.isin(found.group[images], found.group[others])


def near_only(found: NearCopies, images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of `images` those with a near copy among `others` and no identical one; positions, bool (n,)."""
    return leaked(found, images, others) & ~np.isin(found.equal[images], found.equal[others])


def pairs_across(store: Store, found: NearCopies) -> dict[str, list[list[str]]]:
    """'a/b' -> images of split b with a near copy in split a and no identical one, each after the most alike one."""
    members = {split: store.indices(split) for split in SPLITS}
    return {f"{a}/{b}": _pairs(store, found, members[b], members[a]) for a, b in combinations(SPLITS, 2)}


def pairs_within(store: Store, found: NearCopies) -> dict[str, list[list[str]]]:
    """split -> its images that are near copies of an earlier one and equal none, each after the first of its group."""
    result = {}
    for split in SPLITS:
        _, first = np.unique(found.equal[store.indices(split)], return_index=True)
        distinct = store.indices(split)[np.sort(first)]
        _, leader, group = np.unique(found.group[distinct], return_index=True, return_inverse=True)
        leaders = distinct[leader[group.reshape(-1)]]
        result[split] = _named(store, leaders, distinct, leaders != distinct)
    return result


def groups(store: Store, found: NearCopies) -> list[list[int]]:
    """Positions of the images of each group that holds near copies, in the order of the store."""
    chosen = np.flatnonzero(np.isin(found.group, found.group[found.pairs[:, 0]]))
    by_group: dict[int, list[int]] = {}
    for i in chosen.tolist():
        by_group.setdefault(int(found.group[i]), []).append(i)
    return list(by_group.values())


def disagreement(store: Store, found: NearCopies) -> LabelDisagreement | None:
    """How often labels of one photograph differ, None where no photograph is there twice."""
    _, group, counts = np.unique(found.group, return_inverse=True, return_counts=True)
    several = counts > 1
    photographs = int(several.sum())
    if not photographs:
        return None
    classes = len(store.classes)
    labelled, alike = np.unique(group.reshape(-1) * classes + store.labels, return_counts=True)
    pairs = np.bincount(labelled // classes, weights=alike * (alike - 1), minlength=len(counts))
    agree = pairs[several] / (counts * (counts - 1))[several]
    share = float(1 - agree.mean())
    low, high = wilson(share * photographs, photographs)
    best = (float(np.sqrt(1 - high)), float(np.sqrt(1 - low)))
    return LabelDisagreement(photographs, share, (low, high), float(np.sqrt(1 - share)), best)


def _pairs(store: Store, found: NearCopies, images: np.ndarray, others: np.ndarray) -> list[list[str]]:
    images = images[near_only(found, images, others)]
    return _named(store, _nearest(found, images, others), images, np.ones(len(images), bool))


def _nearest(found: NearCopies, images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each of `images` the most alike of `others`; where another image links them, the first of its group. (n,)"""
    equal, grouped = _first(found.equal, others), _first(found.group, others)
    start, end = np.concatenate([found.pairs, found.pairs[:, ::-1]]).T
    alike = np.concatenate([found.alike, found.alike])
    there = np.flatnonzero(equal[end] >= 0)
    order = there[np.argsort(-alike[there], kind="stable")][::-1]  # the most alike is written last, and stays
    nearest = np.full(len(found.equal), -1)
    nearest[start[order]] = equal[end[order]]
    direct = nearest[found.equal[images]]
    return np.where(direct >= 0, direct, grouped[found.group[images]])


def _first(numbers: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each number the first of `others`, positions, that has it; -1 where none has. (N,)"""
    first = np.full(len(numbers), -1)
    first[numbers[others[::-1]]] = others[::-1]
    return first


def _named(store: Store, first: np.ndarray, second: np.ndarray, kept: np.ndarray) -> list[list[str]]:
    return [[store.names[a], store.names[b]] for a, b in zip(first[kept], second[kept], strict=True)]
