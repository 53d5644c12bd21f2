"""What an image of each class counts in the loss, where the classes are not equally common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mien import labels
from mien.config import Recipe
from mien.errors import UsageError, nearest

BETA = 0.999  # of effective-number weights; about what 1 / (1 - BETA) images of a class can still add
WIDE = 20.0  # the largest weight over the smallest, from which on a warning is due


def class_weights(recipe: Recipe, counts: np.ndarray, classes: Sequence[str]) -> np.ndarray | None:
    """The weight of each class, float64 (K,), of mean 1 over the training images; None where all count alike.

    counts: training images of each class, (K,). Effective numbers: Cui et al., arXiv 1901.05555. Raises UsageError
    where own weights name a class that the data do not have.
    """
    how = recipe.train.class_weights
    if how == "none":
        return None
    seen = np.maximum(counts, 1).astype(np.float64)
    if how == "inverse":
        weights = 1 / seen
    elif how == "sqrt":
        weights = 1 / np.sqrt(seen)
    elif how == "effective":
        weights = (1 - BETA) / (1 - BETA**seen)
    else:
        weights = np.array(_own(how, classes))
    return np.asarray(weights * counts.sum() / (weights * seen).sum())


def ignorant_loss(recipe: Recipe, counts: np.ndarray, weights: np.ndarray | None) -> float:
    """The loss, in nats, of the one answer for all images that training with these weights (K,) favours."""
    shares = counts[counts > 0] / counts.sum()
    favoured = np.ones(len(shares)) if recipe.train.sampler == "balanced" else shares.copy()
    favoured *= 1 if weights is None else weights[counts > 0]
    return float(-(shares * np.log(favoured / favoured.sum())).sum())


def too_wide(recipe: Recipe, counts: np.ndarray, classes: Sequence[str]) -> str:
    """A warning where an image of one class counts, or is drawn, more than 20 times as often as another's; else ''."""
    weights = class_weights(recipe, counts, classes)
    drawn = recipe.train.sampler == "balanced"
    pull = (1 if weights is None else weights) * (1 / np.maximum(counts, 1) if drawn else np.ones(len(counts)))
    there = np.flatnonzero(counts)
    most, least = there[pull[there].argmax()], there[pull[there].argmin()]
    ratio = pull[most] / max(pull[least], 1e-12)
    if ratio <= WIDE:
        return ""
    advice = "`train.class_weights` sqrt or effective" + (" with `train.sampler` shuffle" if drawn else "")
    return (
        f"An image of {classes[most]} ({counts[most]:,} there are) counts {ratio:.0f} times as much as one of "
        f"{classes[least]} ({counts[least]:,}): the network may learn those few by heart. Try {advice}."
    )


def _own(given: object, classes: Sequence[str]) -> list[float]:
    """The user's weights in the order of the classes; a class that is not named counts 1."""
    assert isinstance(given, Mapping)
    known = {labels.canonical(name): name for name in classes}
    for name in given:
        if labels.canonical(name) not in known:
            raise UsageError(
                f"`train.class_weights` names '{name}', which is no class of the data.{nearest(name, classes)} There "
                f"are {', '.join(classes[:10])}."
            )
    weights = {labels.canonical(name): float(weight) for name, weight in given.items()}
    if len(weights) < len(given):
        raise UsageError(f"`train.class_weights` weighs one class twice: {', '.join(map(str, given))}. Say it once.")
    return [weights.get(label, 1.0) for label in known]
