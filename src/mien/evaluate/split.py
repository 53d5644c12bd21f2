"""A run and a split -> predictions and scores, by the protocol: no test-time augmentation, fp32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mien import labels
from mien.data import Store
from mien.data.batches import Batches
from mien.data.listing import ALL
from mien.errors import UsageError
from mien.evaluate.clean import equals_none, is_clean, label_disagreement
from mien.evaluate.metrics import score
from mien.evaluate.run_model import load_model
from mien.evaluate.subgroups import score_subgroups, values_of_images
from mien.hardware import device_of
from mien.preprocessing import Preprocessing
from mien.progress import track
from mien.runs import Predictions, Scores
from mien.runs.data import moved, open_data
from mien.runs.folder import read_env, read_recipe
from mien.runs.writing import note_test_reading, write_scores


def evaluate(
    run: Path,
    split: str = "validation",
    *,
    model: nn.Module | None = None,
    store: Store | None = None,
    csv: bool = False,
    by: str | None = None,
    table: Path | None = None,
    device: str = "cpu",
) -> Scores:
    """Score a run on a split of its data; predictions and scores are saved in the run.

    Every reading of the test split is noted with its date. csv: write the predictions as a table, too.
    by: a column of the data's table, or of `table`, by which to score subgroups as well.
    device: a word of `mien.runtime.devices`, for the run's own model.
    split: of an adopted run also 'all', every image.
    Raises UsageError when the data has no such split, or no such column.
    """
    if split == ALL and read_env(run).adopted is None:
        raise UsageError(
            f"split 'all' is for exports and adopted runs: {run} has its training images in it. Score validation or "
            "test."
        )
    classes: tuple[str, ...] | None = None
    if model is None:
        model, classes, _ = load_model(run, device)
    if store is None:
        store = open_data(run)
    if not store.has(split):
        raise UsageError(f"The data of {run} has no {split} split.")
    values = values_of_images(store, store.indices(split), moved(read_recipe(run)).data, by, table) if by else []
    if split == "test":
        note_test_reading(run)
    predictions = predict(model, store, split, classes or store.classes)
    held_out = split != ALL and len(store.indices("train")) > 0
    clean, distinct = (is_clean(store, split), equals_none(store, split)) if held_out else (None, None)
    scores = score(predictions, clean, distinct, label_disagreement(store))
    if by:
        scores = replace(scores, subgroups=score_subgroups(predictions, values, by, clean))
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


def _shown(store: Store, indices: np.ndarray) -> Any:
    batches = Batches(store, indices)
    return track(batches, "evaluating", len(batches))


def probabilities_of(model: nn.Module, images: torch.Tensor, preprocessing: Preprocessing) -> np.ndarray:
    """uint8 images (B, C, H, W) -> probabilities (B, K), float32; the model is left in eval mode."""
    device = device_of(model)
    model.eval()
    with torch.inference_mode():
        logits = model(preprocessing.scale(images.to(device).float() / 255))
    return logits.float().softmax(dim=1).cpu().numpy()
