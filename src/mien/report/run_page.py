"""A run folder -> the values of templates/run.html.j2."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from mien import config
from mien.config import Recipe, fields_of
from mien.data import Store
from mien.data.audit import audit
from mien.data.listing import SPLITS
from mien.data.near import near_copies
from mien.evaluate.clean import label_disagreement
from mien.evaluate.metrics import beats_majority, majority, reliability, scores_of
from mien.evaluate.mistakes import most_confident_errors, most_confused
from mien.evaluate.robustness import by_change
from mien.evaluate.subgroups import subgroups_of_run
from mien.recipes import load, names
from mien.report import figures, inline_images
from mien.report.mistake_pictures import addresses, mending, read_maps, store_of, tiles
from mien.report.style import STRONG
from mien.runs import Predictions, Scores
from mien.runs.data import OtherImagesError
from mien.runs.folder import RunFolder

CONFUSIONS = 6
MATRIX_CLASSES = 20  # a larger confusion matrix cannot be read
ALWAYS_SHOWN = {"data.source", "model.name", "train.epochs", "train.batch_size", "train.optimizer", "train.lr"}


@dataclass(frozen=True)
class Setting:
    """One line of the settings table. default: whether the value is what it is where nobody sets it."""

    key: str
    value: str
    meaning: str
    default: bool = False


def context(path: Path, by: str | None = None, table: Path | None = None) -> dict[str, Any]:
    """Everything the report of a run shows. Raises MissingError when `path` is no run folder.

    by, table: see `write_report`.
    """
    run = RunFolder.open(path)
    base = base_of(run.recipe)
    scores = scores_of(run)
    predictions = run.predictions() if run.has_predictions() else None
    store, no_store = store_of(run)
    maps = read_maps(path)
    mistakes = tiles(most_confident_errors(predictions), store, maps) if predictions else []
    return {
        "run": run,
        "name": run.path.resolve().name,
        "env": run.env,
        "scores": scores,
        "majority": majority(scores) if scores else None,
        "beats_majority": scores and beats_majority(scores),
        "best": best_epoch(run),
        "model": model(run.recipe),
        "images_per_second": _median(run.history.get("images_per_second", [])),
        "curves": curves(run, scores),
        "trained": trained(run),
        "matrix": confusion(scores) if scores else None,
        "calibration": calibration(predictions) if predictions else None,
        "mistakes": mistakes,
        "files": addresses([mistake for mistake, _, _ in mistakes], run, path),
        "mending": mending(run),
        "map_seconds": maps.seconds if maps.maps else None,
        "filled": filled(run),
        "robustness": list(by_change(run.robustness.get("validation", []))),
        "confusions": most_confused(predictions)[:CONFUSIONS] if predictions else [],
        "subgroups": subgroups_of_run(run, "validation", by, table) if by else scores.subgroups if scores else None,
        "test": scores_of(run, "test"),
        "test_reads": [date[:10] for date in run.test_reads],
        "findings": findings(store) if store is not None else None,
        "ceiling": (scores and scores.label_disagreement) or (None if store is None else label_disagreement(store)),
        "no_store": no_store,
        "changed": isinstance(no_store, OtherImagesError),
        "settings": settings(run.recipe),
        "changes": None if base is None else changes(run.recipe, base),
        "before": {} if base is None else shown_values(base),
        "yaml": config.dump(run.recipe),
    }


def model(recipe: Recipe) -> str:
    """'vit(embed_dim=192, depth=6)': the model and the sizes that the recipe sets."""
    sizes = ", ".join(f"{key}={value}" for key, value in recipe.model.sizes().items())
    return f"{recipe.model.name}({sizes})"


def best_epoch(run: RunFolder) -> dict[str, float] | None:
    """The epoch whose weights were kept; None where it is not known."""
    epoch = run.env.best_epoch
    if epoch not in run.history.get("epoch", []):
        return None
    row = run.history["epoch"].index(epoch)
    return {key: column[row] for key, column in run.history.items()}


def curves(run: RunFolder, scores: Scores | None) -> list[Markup]:
    """The figures of loss and, where there are labels, of accuracy and calibration error; none before the first epoch.

    A run of an older version has no calibration errors.
    """
    if "val_loss" not in run.history:  # before the first epoch, and where no images were held out
        return []
    share, env = majority(scores)[1] if scores else None, run.env
    loss = figures.loss_curves(run.history, env.ln_classes, env.prior_entropy, env.best_epoch)
    if "val_accuracy" not in run.history:
        return [loss]
    found = [loss, figures.accuracy_curves(run.history, share, env.best_epoch)]
    if "val_calibration_error" in run.history:
        found.append(figures.calibration_curve(run.history, env.best_epoch))
    return found


def trained(run: RunFolder) -> dict[str, Any] | None:
    """What was trained when; None where everything was, all the time, and before the first epoch."""
    rows = run.env.trained[: len(run.history.get("epoch", []))]  # early stopping leaves the rest out
    if not rows:
        return None
    shares = [f"{100 * row.share:.3g}%" for row in rows]  # the head of a large model is far below 0.1%
    partly = any(0 < share < 1 for row in rows for share in row.parts.values())
    return {"figure": figures.trained_when(rows), "first": shares[0], "last": shares[-1], "partly": partly}


def confusion(scores: Scores) -> dict[str, Any]:
    """The confusion matrix as rows of cells; of more than 20 classes, those with the most errors."""
    matrix, names = np.array(scores.confusion_matrix), list(scores.per_class)
    errors = matrix.sum(axis=1) + matrix.sum(axis=0) - 2 * np.diag(matrix)
    shown = np.sort(np.argsort(-errors, kind="stable")[:MATRIX_CLASSES])
    totals = matrix.sum(axis=1).tolist()
    return {
        "names": [names[j] for j in shown],
        "left_out": len(names) - len(shown),
        "rows": [(names[i], [_cell(int(matrix[i, j]), totals[i], i == j) for j in shown]) for i in shown],
    }


def calibration(predictions: Predictions) -> dict[str, Any]:
    """The reliability diagram, and confidence beside accuracy over all images."""
    return {
        "figure": figures.calibration(reliability(predictions)),
        "confidence": float(predictions.confidence.mean()),
        "accuracy": float(predictions.correct.mean()),
    }


def filled(run: RunFolder) -> str | None:
    """Of a run without labels: validation images, what it saw of them and how it filled them in, as one picture."""
    found = run.reconstructions()
    return inline_images.rows(list(found.values())) if found else None


def findings(store: Store) -> list[tuple[str, int]]:
    """What the data audit counted, in words; what the recipe left out of train counts as train here."""
    held_out = np.isin(store.splits, [SPLITS.index("validation"), SPLITS.index("test")])
    whole = store.with_splits(np.where(held_out, store.splits, SPLITS.index("train")), {})
    found = audit(whole, near_copies(whole))
    present = [split for split, images in found.images.items() if images]
    return [
        *((f"Copies of {a} images in {b}", found.copies[f"{a}/{b}"]) for a, b in combinations(present, 2)),
        *((f"Near copies of {a} images in {b}", found.near_copies[f"{a}/{b}"]) for a, b in combinations(present, 2)),
        *((f"Repeats within {split}", found.repeats[split]) for split in present),
        *((f"Near repeats within {split}", found.near_repeats[split]) for split in present),
        ("Pictures under several labels", found.conflicts),
        ("Blank images", sum(found.blank.values())),
        ("Images of an odd size", len(found.odd_sizes)),
        ("Unreadable files", len(found.unreadable)),
    ]


def settings(recipe: Recipe) -> list[Setting]:
    """The settings that differ from their default, and the few that always matter."""
    return [each for each in described(recipe) if each.key == "seed" or not each.default or each.key in ALWAYS_SHOWN]


def described(recipe: Recipe) -> Iterator[Setting]:
    """Every setting of an experiment."""
    yield Setting("seed", str(recipe.seed), Recipe.model_fields["seed"].description or "", recipe.seed == 0)
    for section in ("data", "model", "augment", "train", "distill", "pretrain"):
        values = getattr(recipe, section)
        for key, field in fields_of(values).items():
            value = getattr(values, key)
            shown = _shown(value, is_range=section == "augment")
            yield Setting(f"{section}.{key}", shown, field.description or "", value == field.default)


def base_of(recipe: Recipe) -> Recipe | None:
    """The recipe of the package that a run was made from; None of a run of one's own."""
    return load(recipe.name)[0] if recipe.name in names() else None


def changes(recipe: Recipe, base: Recipe) -> list[Setting]:
    """The settings that are not the recipe's own."""
    before = shown_values(base)
    return [each for each in described(recipe) if before.get(each.key) != each.value]


def shown_values(recipe: Recipe) -> dict[str, str]:
    """Every setting by its name, in words."""
    return {each.key: each.value for each in described(recipe)}


def _cell(images: int, total: int, diagonal: bool) -> dict[str, Any]:
    share = images / max(total, 1)
    return {"images": images, "total": total, "share": share, "strong": share >= STRONG, "diagonal": diagonal}


def _shown(value: Any, is_range: bool) -> str:
    if isinstance(value, tuple):
        return (" to " if is_range else ", ").join(map(str, value))
    return str(value)


def _median(values: Sequence[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return statistics.median(finite) if finite else None
