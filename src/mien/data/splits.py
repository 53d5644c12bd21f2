"""Which image serves for what: held-out shares, folds, and images that training leaves out."""

from __future__ import annotations

import shlex

import numpy as np

from mien.config import Data
from mien.data.listing import SPLITS
from mien.data.store import Store
from mien.errors import DataError, UsageError

TRAIN, VALIDATION, TEST = range(len(SPLITS))
UNUSED = 255


def apply(store: Store, data: Data) -> Store:
    """The store under the splits that the recipe asks for."""
    splits = store.splits.copy()
    if data.fold and not data.folds:
        raise UsageError(f"`data.fold` {data.fold}: say how many folds there are as well, such as `data.folds` 5.")
    if data.folds:
        splits = _fold(store, splits, data)
    elif not (splits == VALIDATION).any():
        splits = _hold_out(store, splits, data)
    left_out = dict(store.left_out)
    if data.drop_blank:
        left_out["blank"] = _leave_out(splits, store.blank())
    if data.drop_leaks:
        elsewhere = np.isin(splits, (VALIDATION, TEST))
        left_out["leaks"] = _leave_out(splits, np.isin(store.digests, store.digests[elsewhere]))
    if data.train_fraction < 1:
        left_out["fraction"] = _leave_out(splits, _beyond_fraction(store, splits, data))
    _check(store, splits)
    return store.with_splits(splits, left_out)


def _leave_out(splits: np.ndarray, chosen: np.ndarray) -> int:
    chosen = chosen & (splits == TRAIN)
    splits[chosen] = UNUSED
    return int(chosen.sum())


def _hold_out(store: Store, splits: np.ndarray, data: Data) -> np.ndarray:
    """Move a stratified share of train to validation."""
    held = _ranks(store, splits == TRAIN, data.split_seed) < data.val_split
    splits[held & (splits == TRAIN)] = VALIDATION
    return splits


def _fold(store: Store, splits: np.ndarray, data: Data) -> np.ndarray:
    """Stratified cross-validation over train and validation together."""
    if data.fold is None:
        raise UsageError(f"`data.folds` {data.folds}: say which fold is the validation split, such as `data.fold` 0.")
    if data.folds < 2 or data.fold >= data.folds:
        raise UsageError(
            f"`data.folds` {data.folds} `data.fold` {data.fold}: at least 2 folds, numbered 0 to {data.folds - 1}."
        )
    pool = splits != TEST
    ranks = _ranks(store, pool, data.split_seed)
    number = np.minimum((ranks * data.folds).astype(int), data.folds - 1)
    splits[pool] = np.where(number[pool] == data.fold, VALIDATION, TRAIN)
    return splits


def _beyond_fraction(store: Store, splits: np.ndarray, data: Data) -> np.ndarray:
    return _ranks(store, splits == TRAIN, data.split_seed + 1) >= data.train_fraction


def _ranks(store: Store, pool: np.ndarray, seed: int) -> np.ndarray:
    """A random position in 0..1 for each image of the pool, (N,): evenly spread within each class.

    Images of one group share the position of the group's first image in the pool, so no threshold separates them.
    """
    ranks = np.ones(len(store))
    order = np.random.default_rng(seed).permutation(len(store))
    groups = np.array(store.groups) if store.groups else np.arange(len(store))
    first = np.argsort(~pool, kind="stable")  # the pool's images before the others
    _, leader, member = np.unique(groups[first], return_index=True, return_inverse=True)
    leader, member = first[leader], member[np.argsort(first)]
    is_leader = np.zeros(len(store), dtype=bool)
    is_leader[leader] = True
    chosen = order[pool[order] & is_leader[order]]
    chosen = chosen[np.argsort(store.labels[chosen], kind="stable")]  # class by class, each in the drawn order
    counts = np.bincount(store.labels[chosen], minlength=len(store.classes))
    within = np.arange(len(chosen)) - np.repeat(counts.cumsum() - counts, counts)  # place among those of its class
    ranks[chosen] = (within + 0.5) / np.repeat(counts, counts)
    return ranks[leader][member]


def _check(store: Store, splits: np.ndarray) -> None:
    for split, name in ((TRAIN, "train"), (VALIDATION, "validation")):
        counts = np.bincount(store.labels[splits == split], minlength=len(store.classes))
        if counts.sum() == 0:
            raise DataError(f"No image is left in the {name} split. Give more images, or another `data.val_split`.")
        if split == TRAIN and not counts.all():
            missing = store.classes[int(np.flatnonzero(counts == 0)[0])]
            raise DataError(
                f"The train split has no image of class '{missing}'. Add some, or leave the class out: "
                f"`data.without` {shlex.quote(missing)}"
            )
