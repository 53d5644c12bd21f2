"""What the page of an explanation needs to show the attention of whichever patch a person points at."""

from __future__ import annotations

import base64
from typing import Any

import matplotlib
import numpy as np

from mien.explain import Explanation

MOST_NUMBERS = 500_000  # of one kind, so that the page stays below 4 MB
STEPS = 2**16 - 1


def pointing(explanation: Explanation) -> dict[str, Any] | None:
    """Attention from every patch to every patch, the heads' mean first, for the page's script.

    Of the mean alone where all heads are too many numbers, None where that is too much as well, and where there is no
    attention.
    """
    weights, logits, tokens = explanation.attention, explanation.attention_logits, explanation.tokens
    if weights is None or logits is None or tokens is None:
        return None
    layers, heads = weights.shape[:2]
    numbers = layers * tokens.grid**4
    if numbers > MOST_NUMBERS:
        return None
    columns = 1 + heads if numbers * (1 + heads) <= MOST_NUMBERS else 1
    kinds = {"weights": weights, "logits": logits}
    return {
        "grid": tokens.grid,
        "columns": columns,
        "colours": _text((matplotlib.colormaps["inferno"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)),
        "kinds": {
            name: _packed(values[:, :, tokens.prefix :, tokens.prefix :], columns) for name, values in kinds.items()
        },
    }


def with_mean(values: np.ndarray) -> np.ndarray:
    """The mean of the heads in front of them, (layers, h, …) -> (layers, 1 + h, …)."""
    return np.concatenate([values.mean(axis=1, keepdims=True), values], axis=1)


def _packed(values: np.ndarray, columns: int) -> dict[str, Any]:
    """(layers, h, g*g, g*g) as whole numbers of two bytes: value = low + step * number."""
    kept = with_mean(values)[:, :columns]
    low = float(kept.min())
    step = (float(kept.max()) - low) / STEPS or 1.0
    return {"low": low, "step": step, "numbers": _text(((kept - low) / step).round().astype("<u2"))}


def _text(numbers: np.ndarray) -> str:
    return base64.b64encode(numbers.tobytes()).decode()
