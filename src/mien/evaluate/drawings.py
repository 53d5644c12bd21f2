"""Pictures for those who want no page: the confusion matrix, and the mistakes made with most confidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from mien.data import Store
from mien.data.show import COLOURS, PAGE, STYLE, save
from mien.evaluate.metrics import confusion_matrix
from mien.evaluate.mistakes import most_confident_errors
from mien.runs import Predictions

WRITTEN = 15  # most classes whose numbers fit into their cells
COLUMNS = 4


def confusion_picture(predictions: Predictions) -> np.ndarray:
    """The confusion matrix, rows the truth, colours the share of each class: uint8 (H, W, 3)."""
    matrix = confusion_matrix(predictions)
    shares = matrix / matrix.sum(axis=1, keepdims=True).clip(min=1)  # (K, K)
    side = 2.4 + 0.55 * min(len(matrix), 2 * WRITTEN)
    with rc_context(STYLE):
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(matrix)), predictions.classes, rotation=60, ha="right")
        axes.set_yticks(range(len(matrix)), predictions.classes)
        axes.set(xlabel="answer", ylabel="truth", title=f"{int(predictions.correct.sum())} of {len(predictions)} right")
        if len(matrix) <= WRITTEN:
            for (row, column), count in np.ndenumerate(matrix):
                colour = PAGE if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)
        return _pixels(figure)


def mistakes_picture(predictions: Predictions, store: Store) -> np.ndarray | None:
    """The mistakes made with most confidence, each below its answer and its label: uint8 (H, W, 3); None without."""
    mistakes = most_confident_errors(predictions)
    if not mistakes:
        return None
    places = {name: i for i, name in enumerate(store.names)}  # of any split: a run on everything is scored by folds
    rows = -(-len(mistakes) // COLUMNS)
    with rc_context(STYLE):
        figure = Figure(figsize=(2.2 * COLUMNS, 2.5 * rows), layout="constrained")
        for axes, mistake in zip(figure.subplots(rows, COLUMNS, squeeze=False).flat, mistakes, strict=False):
            pixels = store.images[places[mistake.name]].transpose(1, 2, 0)  # (C, H, W) -> (H, W, C)
            axes.imshow(pixels.squeeze(), cmap="gray", vmin=0, vmax=255)
            axes.set_title(f"{mistake.predicted} {mistake.confidence:.0%}\nis {mistake.label}", fontsize=8)
        for axes in figure.axes:
            axes.set_axis_off()
        return _pixels(figure)


def draw_rates(rates: Sequence[float], losses: Sequence[float], suggestion: float | None, out: Path) -> None:
    """Draw the loss by the learning rate into `out`, a PNG. Raises MienError when it cannot be written."""
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.plot(rates, losses, color=COLOURS["train"])
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss, smoothed")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))  # matplotlib's own is set in TeX
        axes.xaxis.set_minor_formatter(NullFormatter())
        if suggestion is not None:
            axes.plot([suggestion], [losses[list(rates).index(suggestion)]], "o", color=COLOURS["validation"])
            axes.set_title(f"The loss falls fastest at {suggestion:.2g}")
        save(figure, out)


def _pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
