"""Which images of a split are clean, as the training images hold no copy of them, and what copies say of labels."""

from __future__ import annotations

import numpy as np

from mien.data import Store
from mien.data.listing import SPLITS
from mien.data.near import near_copies
from mien.data.near.findings import disagreement, leaked
from mien.labels import LabelDisagreement


def is_clean(store: Store, split: str) -> np.ndarray:
    """True for images of a split of which the source's train split has no copy, identical or near, bool (n,).

    Images that this run left out of train are not counted as copies: the run has not seen them, but
    the figure is to mean the same for every run, so the source's own train split is what counts.
    """
    return ~leaked(near_copies(store), store.indices(split), members(store, "train"))


def equals_none(store: Store, split: str) -> np.ndarray:
    """True for images of a split that no image of the source's train split equals, bool (n,)."""
    return ~np.isin(store.digests[store.indices(split)], store.digests[members(store, "train")])


def label_disagreement(store: Store) -> LabelDisagreement | None:
    """How often two labels of one photograph differ, over all splits; None where no photograph is there twice."""
    return disagreement(store, near_copies(store))


def members(store: Store, split: str) -> np.ndarray:
    """Positions of a split's images; train's are all that are held out for nothing, those that a run leaves out too."""
    if split != "train":
        return store.indices(split)
    return np.flatnonzero(~np.isin(store.splits, [SPLITS.index(other) for other in SPLITS[1:]]))
