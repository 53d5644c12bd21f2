"""Run folders drawn for tests: everything a training would have written, without the training."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mien import config
from mien.evaluate.metrics import score
from mien.runs import Predictions
from mien.runs.records import to_dict

CLASSES = ("angry", "happy", "sad")
COUNTS = (7, 13, 5)  # validation images of each class


def draw_pictures(root: Path, classes: Sequence[str] = CLASSES, counts: Sequence[int] = COUNTS, side: int = 16) -> Path:
    """A folder data set, ROOT/{train,validation}/<class>/*.png, of grey noise; all pictures differ."""
    random = np.random.default_rng(0)
    for split in ("train", "validation"):
        for name, count in zip(classes, counts, strict=True):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(0, 256, (side, side), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{i:03d}.png")
    return root


def picture_names(classes: Sequence[str] = CLASSES, counts: Sequence[int] = COUNTS) -> tuple[list[str], np.ndarray]:
    """Names, as the store gives them, and labels of the validation pictures of `draw_pictures`."""
    names = [
        f"validation/{name}/{i:03d}.png" for name, count in zip(classes, counts, strict=True) for i in range(count)
    ]
    return names, np.repeat(np.arange(len(classes)), counts)


def guesses(labels: np.ndarray, classes: int, skill: float, seed: int = 0) -> np.ndarray:
    """Probabilities (N, K) of a model that leans towards the label with `skill`: 0 is chance, 3 is good."""
    logits = np.random.default_rng(seed).normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += skill
    shares = np.exp(logits)
    return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


def write_run(
    folder: Path,
    *,
    names: list[str],
    labels: np.ndarray,
    classes: Sequence[str] = CLASSES,
    skill: float = 1.5,
    seed: int = 0,
    epochs: int = 7,
    seconds: float = 2.5,
    data: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    **env: Any,
) -> Path:
    """Write a run folder: recipe, environment, curves, predictions and scores. Further keys go to env.json."""
    folder.mkdir(parents=True)
    recipe = config.build(
        {
            "name": folder.name.partition("-")[0],
            "seed": seed,
            "data": data or {"source": "folder", "path": "nowhere", "size": 16},
            "model": model or {"name": "lenet"},
            "train": {"epochs": epochs, "lr": 0.003},
        }
    )
    (folder / "recipe.yaml").write_text(config.dump(recipe))
    predictions = Predictions(names, labels, guesses(labels, len(classes), skill, seed), tuple(classes))
    predictions.save(folder / "predictions.csv")
    clean = np.arange(len(labels)) % 5 > 0
    (folder / "evaluation.json").write_text(json.dumps({"validation": to_dict(score(predictions, clean))}))
    _write_curves(folder, len(classes), epochs, seconds, float(predictions.correct.mean()))
    counts = np.bincount(labels, minlength=len(classes)).tolist()
    (folder / "env.json").write_text(json.dumps(_environment(classes, counts, epochs, seconds, seed) | env))
    return folder


def _write_curves(folder: Path, classes: int, epochs: int, seconds: float, accuracy: float) -> None:
    lines = ["epoch,seconds,images_per_second,lr,train_loss,train_accuracy,val_loss,val_accuracy,val_calibration_error"]
    for epoch in range(1, epochs + 1):
        done = 1 - math.exp(-4 * epoch / epochs)
        loss = math.log(classes)
        row = [epoch, seconds * epoch, 1601.5, 0.003 * (1 - epoch / (epochs + 1))]
        row += [
            loss * (1 - 0.8 * done),
            0.3 + 0.6 * done,
            loss * (1 - 0.5 * done + 0.2 * done**4),
            accuracy * done,
            0.1 * done,
        ]
        lines.append(",".join(f"{value:.6g}" for value in row))
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")


def _environment(classes: Sequence[str], counts: list[int], epochs: int, seconds: float, seed: int) -> dict[str, Any]:
    shares = np.array(counts) / sum(counts)
    return {
        "mien": "0.1.0", "python": "3.11.9", "torch": "2.13.0", "lightning": "2.5.0", "commit": "0123abc",
        "hardware": "Example CPU, 2 cores, 2 threads, bf16", "device": "cpu", "precision": "bf16",
        "seed": seed, "started": "2026-03-04T05:06:07+00:00", "seconds": seconds * epochs, "best_epoch": epochs,
        "parameters": 2_713_007, "flops": 310_000_000, "classes": list(classes),
        "initial_loss": 1.21, "ln_classes": math.log(len(classes)),
        "prior_entropy": float(-(shares * np.log(shares)).sum()), "warnings": [],
        "store": {
            "fingerprint": "", "images": {"train": sum(counts), "validation": sum(counts), "test": 0},
            "counts": {"train": counts, "validation": counts, "test": [0] * len(counts)},
            "left_out": {"blank": 2, "leaks": 0}, "unreadable": 0, "preprocessing": {},
        },
    }  # fmt: skip
