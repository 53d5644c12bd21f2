"""Which image serves for what: held-out shares, folds, and images that training leaves out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import numpy as np

from mien.config import Data
from mien.data.listing import SPLITS
from mien.data.near import connected, near_copies
from mien.data.store import Store
from mien.errors import DataError, UsageError

TRAIN, VALIDATION, TEST = range(len(SPLITS))
UNUSED = 255
APART = 1_000_003  # between the seeds of fractions, so that none meets that of another split


def apply(store: Store, data: Data) -> Store:
    """The store under the splits that the recipe asks for."""
    splits = store.splits.copy()
    near = near_copies(store).group if data.drop_leaks == "near" else None
    together = _together(store, near)
    if data.fold and not data.folds:
        raise UsageError(f"`data.fold` {data.fold}: say how many folds there are as well, such as `data.folds` 5.")
    if data.folds:
        splits = _fold(store, together, splits, data)
    elif not (splits == VALIDATION).any():
        splits = _hold_out(store, together, splits, data)
    left_out = dict(store.left_out)
    if data.drop_blank:
        left_out["blank"] = _leave_out(splits, store.blank())
    if data.drop_leaks:
        elsewhere = np.isin(splits, (VALIDATION, TEST))
        content = store.digests if near is None else near
        left_out["leaks"] = _leave_out(splits, np.isin(content, content[elsewhere]))
    if data.train_fraction < 1:
        left_out["fraction"] = _leave_out(splits, _beyond_fraction(store, together, splits, data))
    nothing_trains = data.val_split == 1 and not data.folds
    _check(store, splits, [TRAIN] * (not nothing_trains) + [VALIDATION] * (data.fold != "all"))
    return store.with_splits(splits, left_out)


def _together(store: Store, near: np.ndarray | None) -> np.ndarray:
    """A number for each image, (N,), equal for those that must stay together: of a group, or near copies."""
    groups = np.unique(np.array(store.groups), return_inverse=True)[1] if store.groups else np.arange(len(store))
    if near is None:
        return groups
    _, first = np.unique(groups, return_index=True)
    links = [np.stack([numbers, np.arange(len(store))], axis=1) for numbers in (first[groups], near)]
    return connected(len(store), np.concatenate(links))


def _leave_out(splits: np.ndarray, chosen: np.ndarray) -> int:
    chosen = chosen & (splits == TRAIN)
    splits[chosen] = UNUSED
    return int(chosen.sum())


def _hold_out(store: Store, together: np.ndarray, splits: np.ndarray, data: Data) -> np.ndarray:
    """Move a stratified share of train to validation."""
    held = _ranks(store, together, splits == TRAIN, data.split_seed) < data.val_split
    splits[held & (splits == TRAIN)] = VALIDATION
    return splits


def _fold(store: Store, together: np.ndarray, splits: np.ndarray, data: Data) -> np.ndarray:
    """Stratified cross-validation over train and validation together."""
    if data.fold is None:
        raise UsageError(f"`data.folds` {data.folds}: say which fold is the validation split, such as `data.fold` 0.")
    if data.folds < 2 or (data.fold != "all" and data.fold >= data.folds):
        raise UsageError(
            f"`data.folds` {data.folds} `data.fold` {data.fold}: at least 2 folds, numbered 0 to {data.folds - 1}."
        )
    pool = splits != TEST
    if data.fold == "all":
        splits[pool] = TRAIN
        return splits
    number = _fold_numbers(store, together, pool, data.folds, data.split_seed)
    splits[pool] = np.where(number[pool] == data.fold, VALIDATION, TRAIN)
    return splits


def near_folds(store: Store, pool: np.ndarray, folds: int, seed: int = 0) -> np.ndarray:
    """A fold's number for each image of a pool, bool (N,): stratified, near copies and groups kept together, (N,).

    Outside of the pool the number means nothing.
    """
    return _fold_numbers(store, _together(store, near_copies(store).group), pool, folds, seed)


def _fold_numbers(store: Store, together: np.ndarray, pool: np.ndarray, folds: int, seed: int) -> np.ndarray:
    return np.minimum((_ranks(store, together, pool, seed) * folds).astype(int), folds - 1)


def _beyond_fraction(store: Store, together: np.ndarray, splits: np.ndarray, data: Data) -> np.ndarray:
    seed = data.split_seed + 1 + APART * data.fraction_seed
    return _ranks(store, together, splits == TRAIN, seed) >= data.train_fraction


def _ranks(store: Store, together: np.ndarray, pool: np.ndarray, seed: int) -> np.ndarray:
    """A random position in 0..1 for each image of the pool, (N,): evenly spread within each class.

    Images whose number in `together` (N,) is equal share the position of the first of them in the pool, so no threshold
    separates them.
    """
    ranks = np.ones(len(store))
    order = np.random.default_rng(seed).permutation(len(store))
    first = np.argsort(~pool, kind="stable")  # the pool's images before the others
    _, leader, member = np.unique(together[first], return_index=True, return_inverse=True)
    leader, member = first[leader], member[np.argsort(first)]
    is_leader = np.zeros(len(store), dtype=bool)
    is_leader[leader] = True
    chosen = order[pool[order] & is_leader[order]]
    chosen = chosen[np.argsort(store.labels[chosen], kind="stable")]  # class by class, each in the drawn order
    counts = np.bincount(store.labels[chosen], minlength=len(store.classes))
    within = np.arange(len(chosen)) - np.repeat(counts.cumsum() - counts, counts)  # place among those of its class
    ranks[chosen] = (within + 0.5) / np.repeat(counts, counts)
    return ranks[leader][member]


def _check(store: Store, splits: np.ndarray, wanted: Sequence[int]) -> None:
    """wanted: the splits that must have images."""
    for split in wanted:
        counts = np.bincount(store.labels[splits == split], minlength=len(store.classes))
        if counts.sum() == 0:
            raise DataError(
                f"No image is left in the {SPLITS[split]} split. Give more images, or another `data.val_split`."
            )
        if split == TRAIN and not counts.all():
            missing = store.classes[int(np.flatnonzero(counts == 0)[0])]
            raise DataError(
                f"The train split has no image of class '{missing}'. Add some, or leave the class out: "
                f"`data.without` {shlex.quote(missing)}"
            )
