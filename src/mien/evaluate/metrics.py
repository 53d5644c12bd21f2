"""The scores that follow from the predictions of a split.

Accuracy comes with Wilson's 95 % interval; F1 and the confusion matrix are torchmetrics'; the calibration
error is computed from the bins of the reliability diagram, so the number and the figure cannot differ.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mien.errors import DataError
from mien.intervals import bootstrap, wilson
from mien.labels import LabelDisagreement
from mien.progress import printable
from mien.runs import Accuracy, ClassScores, Predictions, RunFolder, Scores


def score(
    predictions: Predictions,
    clean: np.ndarray | None = None,
    without_identical: np.ndarray | None = None,
    label_disagreement: LabelDisagreement | None = None,
) -> Scores:
    """Every score of a split.

    clean: bool (N,), True where the image is no copy of a training image, neither identical nor near;
    without_identical: True where it is no identical one; label_disagreement: see `mien.evaluate.clean`. Each is None in
    the result without it.
    A class without images has recall, precision and F1 0 and does not count in balanced accuracy; macro-F1 leaves out
    classes that are neither true nor predicted (both as scikit-learn with zero_division=0). Raises DataError when there
    are no images.
    """
    if not len(predictions):
        raise DataError("There are no predictions to score: the split has no images.")
    f1 = _f1_scores(predictions)
    matrix = confusion_matrix(predictions)
    recalls = [row[i] / sum(row) for i, row in enumerate(matrix.tolist()) if sum(row)]
    return Scores(
        **vars(accuracy(predictions.correct)),
        clean=None if clean is None else accuracy(predictions.correct[clean]),
        without_identical=None if without_identical is None else accuracy(predictions.correct[without_identical]),
        label_disagreement=label_disagreement,
        macro_f1=f1["macro"],
        weighted_f1=f1["weighted"],
        balanced_accuracy=sum(recalls) / len(recalls),
        per_class=_per_class(predictions.classes, matrix, f1["none"]),
        confusion_matrix=matrix.tolist(),
        calibration_error=calibration_error(predictions),
        negative_log_likelihood=negative_log_likelihood(predictions),
        top2_accuracy=float(_among_best(predictions, 2).mean()),
    )


def scores_of(run: RunFolder, split: str = "validation") -> Scores | None:
    """The scores of a split: those that the run keeps, else computed from its predictions, else None."""
    saved = run.scores.get(split)
    if saved is None and run.has_predictions(split):
        return score(run.predictions(split))
    return saved


def accuracy(correct: np.ndarray) -> Accuracy:
    """That of a bool array (N,), with its 95 % interval."""
    hits, images = int(correct.sum()), len(correct)
    share = hits / images if images else math.nan
    return Accuracy(images=images, correct=hits, accuracy=share, interval=wilson(hits, images))


def macro_f1(predictions: Predictions) -> float:
    """That of `score` alone."""
    return float(_f1_scores(predictions)["macro"])


def confusion_matrix(predictions: Predictions) -> np.ndarray:
    """Images by true class (rows) and predicted class (columns), int64 (K, K)."""
    matrix = np.zeros((len(predictions.classes),) * 2, dtype=np.int64)
    np.add.at(matrix, (predictions.labels, predictions.predicted), 1)
    return matrix


def reliability(predictions: Predictions, bins: int = 15) -> dict[str, np.ndarray]:
    """The reliability diagram: how often the model is right when it is so sure.

    Confidences fall into `bins` equal parts of 0..1, each with its lower edge; 1 belongs to the last one.
    Returns edges (bins + 1,), and for each bin count, accuracy and mean confidence (bins,); nan where empty.
    """
    edges = np.linspace(0, 1, bins + 1)
    index = _bins(predictions.confidence, edges)
    count = np.bincount(index, minlength=bins)
    divisor = np.where(count, count, np.nan)
    return {
        "edges": edges,
        "count": count,
        "accuracy": np.bincount(index, weights=predictions.correct, minlength=bins) / divisor,
        "confidence": np.bincount(index, weights=predictions.confidence, minlength=bins) / divisor,
    }


def _bins(confidence: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Which bin each confidence falls into, int (N,); 1 belongs to the last one."""
    return np.asarray(np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, len(edges) - 2))


def calibration_error(predictions: Predictions, bins: int = 15) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy, weighted by images.

    Guo et al. (2017), arXiv:1706.04599. Equal to torchmetrics' l1 norm, except that torchmetrics gives a
    confidence of exactly 1 a bin of its own.
    """
    found = reliability(predictions, bins)
    gaps = np.abs(found["accuracy"] - found["confidence"]) * found["count"]
    return float(np.nansum(gaps) / len(predictions))


def calibration_error_interval(predictions: Predictions, bins: int = 15) -> tuple[float, float]:
    """The 95 % interval of the calibration error, by the bootstrap."""
    index = _bins(predictions.confidence, np.linspace(0, 1, bins + 1))
    gap = predictions.correct - predictions.confidence

    def measure(chosen: np.ndarray) -> float:
        return float(np.abs(np.bincount(index[chosen], weights=gap[chosen])).sum() / len(chosen))

    return bootstrap(measure, len(predictions))


def macro_f1_interval(predictions: Predictions) -> tuple[float, float]:
    """The 95 % interval of macro-F1, by the bootstrap; it leaves out the same classes as macro-F1."""
    classes = len(predictions.classes)
    cells = predictions.labels * classes + predictions.predicted

    def measure(chosen: np.ndarray) -> float:
        matrix = np.bincount(cells[chosen], minlength=classes**2).reshape(classes, classes)
        sums = matrix.sum(axis=0) + matrix.sum(axis=1)
        return float((2 * np.diag(matrix)[sums > 0] / sums[sums > 0]).mean())

    return bootstrap(measure, len(predictions))


def negative_log_likelihood(predictions: Predictions) -> float:
    """Mean of -ln(probability of the true class); probabilities below 2.2e-16 count as that."""
    chosen = predictions.probabilities[np.arange(len(predictions)), predictions.labels]
    return float(-np.log(chosen.clip(np.finfo(np.float64).eps, 1.0)).mean())


def format_recall(name: str, correct: int, images: int) -> str:
    """'happy 80% (710/879)'. Rounded down, so that 100% means every image and 1% at least one in a hundred."""
    share = f"{100 * correct // images}%" if images else "–"
    return f"{name} {share} ({correct}/{images})"


def headline(scores: Scores) -> str:
    """Accuracy with its interval and macro-F1, in one line."""
    low, high = scores.interval
    return f"accuracy {scores.accuracy:.1%} ({low:.1%} to {high:.1%}), macro-F1 {scores.macro_f1:.3f}"


def ceiling(found: LabelDisagreement) -> str:
    """What the labels themselves leave to be right at most, and why, in one line."""
    (low, high), (least, most) = found.interval, found.best_interval
    return (
        f"label ceiling {found.best:.1%} ({least:.1%} to {most:.1%}): two labels of one photograph differ in "
        f"{found.share:.1%} ({low:.1%} to {high:.1%}) of {found.photographs:,}"
    )


def majority(scores: Scores) -> tuple[str, float]:
    """The commonest class of the split and its share: the accuracy of always naming it."""
    name, found = max(scores.per_class.items(), key=lambda item: item[1].images)
    return name, found.images / scores.images


def beats_majority(scores: Scores) -> bool:
    """Whether the whole 95 % interval of the accuracy lies above that of always naming the commonest class."""
    return bool(scores.interval[0] > majority(scores)[1])


def warning(scores: Scores) -> str:
    """What to warn of where scores do not beat the majority; '' where they do."""
    share = majority(scores)[1]
    if beats_majority(scores):
        return ""
    often = f"always giving the most common answer, which is right {share:.1%} of the time"
    if scores.accuracy > share:
        return f"on {scores.images:,} images it cannot be told from {often}."
    return f"no better than {often}."


def describe(scores: Scores, split: str) -> str:
    """The scores of a split in words, a line for each class at the end."""
    lines = [f"{split}: {headline(scores)} on {scores.images:,} images"]
    if (clean := scores.clean) and clean.images:
        low, high = clean.interval
        lines.append(f"clean images: {clean.accuracy:.1%} ({low:.1%} to {high:.1%}) on {clean.images:,}")
        if (old := scores.without_identical) and old.images != clean.images:
            lines[-1] += f" without near copies; {old.accuracy:.1%} on {old.images:,} without identical ones"
    if scores.label_disagreement:
        lines.append(ceiling(scores.label_disagreement))
    lines.append(f"calibration error {scores.calibration_error:.3f}, loss {scores.negative_log_likelihood:.3f}")
    rows = scores.per_class.items()
    return "\n".join(lines + [f"  {format_recall(printable(name), row.correct, row.images)}" for name, row in rows])


def _f1_scores(predictions: Predictions) -> dict[str, Any]:
    import torch
    from torchmetrics.functional.classification import multiclass_f1_score

    predicted, labels = torch.as_tensor(predictions.predicted), torch.as_tensor(predictions.labels)
    classes = max(len(predictions.classes), 2)
    return {
        average: multiclass_f1_score(predicted, labels, classes, average=average).tolist()
        for average in ("macro", "weighted", "none")
    }


def _per_class(classes: tuple[str, ...], matrix: np.ndarray, f1: list[float]) -> dict[str, ClassScores]:
    images, predicted = matrix.sum(axis=1).tolist(), matrix.sum(axis=0).tolist()
    hits = np.diag(matrix).tolist()
    return {
        name: ClassScores(
            recall=hits[i] / max(images[i], 1),
            correct=hits[i],
            images=images[i],
            precision=hits[i] / max(predicted[i], 1),
            f1=f1[i],
        )
        for i, name in enumerate(classes)
    }


def _among_best(predictions: Predictions, best: int) -> np.ndarray:
    # A stable sort breaks ties as argmax does, so that a model that says 1/K to everything gains nothing.
    order = np.argsort(-predictions.probabilities, axis=1, kind="stable")[:, :best]  # (N, best)
    return np.asarray((order == predictions.labels[:, None]).any(axis=1))
