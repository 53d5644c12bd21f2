"""A run and a split -> predictions and scores, by the protocol: no test-time augmentation, fp32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mien import labels
from mien.data import Store
from mien.data.batches import Batches
from mien.data.listing import SPLITS
from mien.data.near import near_copies
from mien.data.near.findings import leaked
from mien.errors import UsageError
from mien.evaluate.metrics import score
from mien.evaluate.run_model import load_model
from mien.preprocessing import Preprocessing
from mien.progress import track
from mien.runs import Predictions, Scores
from mien.runs.data import open_data
from mien.runs.writing import note_test_reading, write_scores


def evaluate(
    run: Path,
    split: str = "validation",
    *,
    model: nn.Module | None = None,
    store: Store | None = None,
    csv: bool = False,
) -> Scores:
    """Score a run on a split of its data; predictions and scores are saved in the run.

    Every reading of the test split is noted with its date. csv: write the predictions as a table, too.
    Raises UsageError when the data has no such split.
    """
    classes: tuple[str, ...] | None = None
    if model is None:
        model, classes, _ = load_model(run)
    if store is None:
        store = open_data(run)
    if not store.has(split):
        raise UsageError(f"The data of {run} has no {split} split.")
    if split == "test":
        note_test_reading(run)
    predictions = predict(model, store, split, classes or store.classes)
    scores = score(predictions, clean=is_clean(store, split), without_identical=equals_none(store, split))
    write_scores(run, split, scores, predictions, csv=csv)
    return scores


def predict(model: nn.Module, store: Store, split: str, classes: tuple[str, ...]) -> Predictions:
    """Probabilities (N, K) of every image of a split, in fp32, in the order of the model's classes."""
    indices = store.indices(split)
    order = np.array(labels.match(store.classes, classes))
    probabilities = [probabilities_of(model, images, store.preprocessing) for images, _ in _shown(store, indices)]
    return Predictions(
        names=[store.names[i] for i in indices],
        labels=order[store.labels[indices]],
        probabilities=np.concatenate(probabilities),
        classes=classes,
    )


def is_clean(store: Store, split: str) -> np.ndarray:
    """True for images of a split of which the source's train split has no copy, identical or near, bool (n,).

    Images that this run left out of train are not counted as copies: the run has not seen them, but
    the figure is to mean the same for every run, so the source's own train split is what counts.
    """
    return ~leaked(near_copies(store), store.indices(split), _train_of_source(store))


def equals_none(store: Store, split: str) -> np.ndarray:
    """True for images of a split that no image of the source's train split equals, bool (n,)."""
    return ~np.isin(store.digests[store.indices(split)], store.digests[_train_of_source(store)])


def _train_of_source(store: Store) -> np.ndarray:
    """Positions of all images that are held out for nothing."""
    return np.flatnonzero(~np.isin(store.splits, [SPLITS.index(other) for other in SPLITS[1:]]))


def _shown(store: Store, indices: np.ndarray) -> Any:
    batches = Batches(store, indices)
    return track(batches, "evaluating", len(batches))


def probabilities_of(model: nn.Module, images: torch.Tensor, preprocessing: Preprocessing) -> np.ndarray:
    """uint8 images (B, C, H, W) -> probabilities (B, K), float32; the model is left in eval mode."""
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        logits = model(preprocessing.scale(images.to(device).float() / 255))
    return logits.float().softmax(dim=1).cpu().numpy()
