"""An exported network and any data set -> predictions and scores, without the run it came from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from mien import labels
from mien.config import Data
from mien.data import Store, open_store, prepare
from mien.data.listing import ALL, SPLITS
from mien.errors import UsageError
from mien.evaluate.clean import equals_none, is_clean, label_disagreement
from mien.evaluate.metrics import score
from mien.evaluate.subgroups import score_subgroups, values_of_images
from mien.progress import track, warn
from mien.runs import Predictions, Scores
from mien.runtime.network import Network

BATCH = 256


def evaluate_export(
    network: Network, data: Data, split: str = "validation", *, by: str | None = None, table: Path | None = None
) -> Scores:
    """Score an export on a split of a data set; see `predict_export`. Clean images have no copy in its train.

    by: a column of the data's table, or of `table`, by which to score subgroups as well.
    """
    import torchmetrics  # noqa: F401  (the scores need it; without it, no picture is decoded in vain)

    store = _opened(network, data, split)
    indices = _indices(store, split)
    values = values_of_images(store, indices, data, by, table) if by else []
    found = _predict(network, store, split)
    held_out = split in SPLITS[1:] and store.has("train")
    clean = is_clean(store, split) if held_out else None
    scores = score(found, clean, equals_none(store, split), label_disagreement(store)) if held_out else score(found)
    return replace(scores, subgroups=score_subgroups(found, values, by, clean)) if by else scores


def predict_export(network: Network, data: Data, split: str = "validation") -> Predictions:
    """What an export says of a split of a data set ('all': of every image); probabilities are calibrated as in use.

    Size, colour and fit are the network's own; classes are matched by name. Raises UsageError when the data has no
    such split, DataError when it has a class that the network does not know.
    """
    return _predict(network, _opened(network, data, split), split)


def answers(network: Network, store: Store, split: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Logits float32 (N, K) of the images of a split, and their similarities (N,) where the file tells them."""
    found = [network.answer(store.images[part]) for part in _batches(store.indices(split))]
    logits, similar = zip(*found, strict=True)
    return np.concatenate(logits), None if similar[0] is None else np.concatenate(similar)


def _batches(indices: np.ndarray) -> Iterable[np.ndarray]:
    parts = [indices[start : start + BATCH] for start in range(0, len(indices), BATCH)]
    return track(parts, "evaluating", len(parts))


def _opened(network: Network, data: Data, split: str) -> Store:
    data = data.with_(**network.preprocessing.settings())
    return prepare(data) if split == ALL else open_store(data)


def _predict(network: Network, store: Store, split: str) -> Predictions:
    indices = _indices(store, split)
    if _was_trained_on(network, store, split):
        warn(
            "these are the very images that the network was trained on, so the score says nothing about "
            "others. Give a folder that it has not seen."
        )
    order = np.array(labels.match(store.classes, network.labels))
    probabilities = [network.probabilities(store.images[part]) for part in _batches(indices)]
    return Predictions(
        names=[store.names[i] for i in indices],
        labels=order[store.labels[indices]],
        probabilities=np.concatenate(probabilities),
        classes=network.labels,
    )


def _was_trained_on(network: Network, store: Store, split: str) -> bool:
    """Whether the data is that of the training, and the split not one that was held out there."""
    known = (network.card or {}).get("content")
    if known is None or store.content() != known["all"]:
        return False
    return split == ALL or store.content(split) not in (known["validation"], known["test"])


def _indices(store: Store, split: str) -> np.ndarray:
    if not store.has(split):
        there = [name for name in SPLITS if store.has(name)]
        raise UsageError(f"The data has no {split} split; it has {', '.join(there)}. `split='all'` takes every image.")
    return store.indices(split)
