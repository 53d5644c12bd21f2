"""Every plot of the reports, one function each: numbers -> inline SVG."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, MaxNLocator, NullFormatter, StrMethodFormatter

from mien.report.style import CARD, INK, LINE, QUIET, Reading, drawing, inline_svg, series
from mien.runs.records import TrainedShare
from mien.words import decimal, percent

Curve = Mapping[str, Sequence[float]]

WIDTH, HEIGHT = 4.2, 3.0  # inches; small, so that the text stays readable when a telephone shrinks the figure
VALIDATION, TRAIN = series(0), series(1)


class Percents(Formatter):
    """Shares (0..1) as percentages, with as many decimals as the ticks need to be told apart: 14.2%, 14.4%."""

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        shares = [100 * tick for tick in values]
        needed = (digits for digits in range(3) if all(abs(share - round(share, digits)) < 1e-6 for share in shares))
        digits = next(needed, 3)
        return [percent(tick, digits) for tick in values]

    def __call__(self, value: float, pos: int | None = None) -> str:
        return self.format_ticks([value])[0]


def loss_curves(
    history: Curve, ln_classes: float | None, prior_entropy: float | None, best_epoch: int | None
) -> Markup:
    """Training and validation loss (nats) by epoch, with the losses of two guesses that ignore the image."""
    with drawing():
        figure, axes = _axes("epoch", "loss")
        readings = _train_and_validation(axes, history, "loss")
        if ln_classes:
            _guess(axes, ln_classes, f"every class alike: {ln_classes:.2f}", above=True)
        if prior_entropy and abs(prior_entropy - (ln_classes or 0)) > 0.02:  # else one line says both
            _guess(axes, prior_entropy, f"class frequencies: {prior_entropy:.2f}", above=False)
        _mark_best(axes, history, "val_loss", best_epoch)
        return inline_svg(figure, "loss", "Training and validation loss by epoch", readings)


def accuracy_curves(history: Curve, majority: float | None, best_epoch: int | None) -> Markup:
    """Training and validation accuracy (0..1) by epoch, with that of always naming the commonest class."""
    with drawing():
        figure, axes = _axes("epoch", "accuracy")
        readings = _train_and_validation(axes, history, "accuracy")
        if majority:
            _guess(axes, majority, f"commonest class: {percent(majority)}", above=False)
        _mark_best(axes, history, "val_accuracy", best_epoch)
        axes.yaxis.set_major_formatter(Percents())
        return inline_svg(figure, "accuracy", "Training and validation accuracy by epoch", readings)


def calibration_curve(history: Curve, best_epoch: int | None) -> Markup:
    """Validation calibration error (0..1) by epoch."""
    with drawing():
        figure, axes = _axes("epoch", "calibration error")
        readings = _train_and_validation(axes, history, "calibration_error")
        _mark_best(axes, history, "val_calibration_error", best_epoch)
        axes.set_ylim(bottom=0)
        return inline_svg(figure, "calibration-epoch", "Validation calibration error by epoch", readings)


def trained_when(rows: Sequence[TrainedShare]) -> Markup:
    """Epochs across, the head on top and the stem at the bottom; a bar where a part trains, pale where only in part.

    rows: one for each epoch, as mien.train.freeze.history gives them.
    """
    with drawing():
        parts = list(reversed(rows[0].parts))
        figure = Figure(figsize=(WIDTH, 0.75 + 0.19 * len(parts)))
        axes = figure.subplots()
        for place, part in enumerate(parts):
            axes.axhline(place, color=LINE, linewidth=0.6, zorder=0)
            for start, width, share in _stretches([row.parts[part] for row in rows]):
                axes.barh(place, width, 0.72, left=start + 0.5, color=CARD)  # hides the line behind a pale bar
                alpha = 1.0 if share == 1 else 0.45
                axes.barh(place, width, 0.72, left=start + 0.5, color=VALIDATION["color"], alpha=alpha)
        axes.set(xlabel="epoch", xlim=(0.5, len(rows) + 0.5), ylim=(len(parts) - 0.5, -0.5))
        axes.set_yticks(range(len(parts)), [part.replace("blocks.", "block ") for part in parts])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        return inline_svg(figure, "trained", "Which parts of the model were trained in which epoch")


def calibration(reliability: Mapping[str, np.ndarray]) -> Markup:
    """Accuracy by confidence (both 0..1) against the diagonal, above a histogram of the confidences."""
    with drawing():
        figure = Figure(figsize=(WIDTH, 3.9))
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        middles, width = (reliability["edges"][:-1] + reliability["edges"][1:]) / 2, 0.9 / len(reliability["count"])
        upper.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=3)
        upper.bar(middles, np.nan_to_num(reliability["accuracy"]), width, color=series(0)["color"])
        _gaps(upper, reliability, middles, width)
        lower.bar(middles, reliability["count"], width, color=series(5)["color"])
        upper.set(ylabel="right", xlim=(0, 1), ylim=(0, 1))
        lower.set(xlabel="confidence", ylabel="images")
        upper.yaxis.set_major_formatter(Percents())
        lower.xaxis.set_major_formatter(Percents())
        lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        return inline_svg(figure, "calibration", "Share of right answers by confidence, and how common each is")


def run_curves(curves: Mapping[str, Curve], axis: str, measure: str) -> Markup:
    """One curve a run: validation 'accuracy', 'loss' or 'calibration_error' by 'epoch' or 'seconds'.

    The vertical line stands where the shortest run ends: to its left all runs can be compared. A run without epochs
    keeps its colour free.
    """
    places = {label: index for index, label in enumerate(curves)}
    curves = {label: curve for label, curve in curves.items() if curve.get("epoch")}
    with drawing():
        factor, unit = _time_unit(curves) if axis == "seconds" else (1.0, "epoch")
        name, readings = measure.replace("_", " "), []
        figure, axes = _axes(unit, name, whole=axis == "epoch")
        for label, curve in curves.items():
            x, y = [value / factor for value in curve[axis]], curve[f"val_{measure}"]
            axes.plot(x, y, **_points(x), **series(places[label]))
            readings.append(_reading(label, places[label], x, y, measure, unit))
        shortest = min(curve[axis][-1] for curve in curves.values()) / factor
        axes.axvline(shortest, color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlim(left=0)
        if measure == "accuracy":
            axes.yaxis.set_major_formatter(Percents())
        return inline_svg(figure, f"{measure}-{axis}", f"Validation {name} of every run by {unit}", readings)


def sweep_curves(curves: Sequence[tuple[str, int | None, Curve]], measure: str) -> Markup:
    """Validation 'accuracy' or 'loss' by epoch of many runs, each with a label and a colour's index.

    Runs of one label (seeds) share a colour; index None is a thin grey line.
    """
    with drawing():
        figure, axes = _axes("epoch", measure)
        readings = []
        for label, index, curve in curves:
            look = series(index) if index is not None else {"color": QUIET, "linewidth": 0.8, "zorder": 1}
            x, y = curve["epoch"], curve[f"val_{measure}"]
            axes.plot(x, y, **_points(x), **look)
            if index is not None:
                readings.append(_reading(label, index, x, y, measure, "epoch"))
        if measure == "accuracy":
            axes.yaxis.set_major_formatter(Percents())
        else:
            _leave_out_outliers(axes, [value for _, _, curve in curves for value in curve["val_loss"]])
        return inline_svg(figure, f"sweep-{measure}", f"Validation {measure} of every run by epoch", readings)


def accuracy_by(name: str, values: Sequence[float], accuracies: Sequence[float], *, log: bool) -> Markup:
    """Accuracy (0..1) of every run as a dot over the value that it was given, on a logarithmic axis or not."""
    with drawing():
        figure, axes = _axes(name, "accuracy", whole=False)
        axes.plot(values, accuracies, "o", color=series(0)["color"], markersize=5, markeredgecolor=CARD)
        if log:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))  # matplotlib's own is set in TeX
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(Percents())
        return inline_svg(figure, f"by-{name.replace('.', '-')}", f"Accuracy of every run by {name}")


def accuracies(labels: Sequence[str], values: Sequence[float], intervals: Sequence[Sequence[float]]) -> Markup:
    """Accuracy (0..1) of every run as a dot with its 95 % interval, the first run on top."""
    with drawing():
        figure = Figure(figsize=(WIDTH, 0.6 + 0.32 * len(labels)))
        axes = figure.subplots()
        for index, (value, (low, high)) in enumerate(zip(values, intervals, strict=True)):
            colour = series(index)["color"]
            axes.plot([low, high], [index, index], color=colour, linewidth=2.5, solid_capstyle="round")
            axes.plot([value], [index], "o", color=colour, markersize=5.5, markeredgecolor=CARD)
            axes.annotate(percent(value), (high, index), (6, 0), textcoords="offset points", va="center", color=INK)
        axes.set_yticks(range(len(labels)), labels)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.margins(x=0.15)
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_formatter(Percents())
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], min_n_ticks=2))
        return inline_svg(figure, "accuracies", "Accuracy of every run with its 95 % interval")


def changed(labels: Sequence[str], names: Sequence[str], levels: Sequence[Sequence[float | None]]) -> Markup:
    """Accuracy (0..1) on changed images: a row for each of `names`, the first on top, and in it a dot for each run.

    levels: for each name the accuracy of each of `labels`, None where it is not known.
    """
    with drawing():
        columns = 1 if max(map(len, labels)) > 20 else 2
        figure = Figure(figsize=(WIDTH, 0.7 + 0.2 * len(names) + 0.18 * math.ceil(len(labels) / columns)))
        axes = figure.subplots()
        for index, label in enumerate(labels):
            known = [(found[index], place) for place, found in enumerate(levels) if found[index] is not None]
            colour = series(index)["color"]
            axes.plot(*zip(*known, strict=True), "o", color=colour, markersize=5.5, markeredgecolor=CARD, label=label)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(axis="x", visible=True)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_formatter(Percents())
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], min_n_ticks=2))
        _legend(axes, columns)
        return inline_svg(figure, "changed", "Accuracy of every run on images with every change")


def _axes(x: str, y: str, *, whole: bool = True) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, HEIGHT))
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=whole, min_n_ticks=1))
    return figure, axes


def _train_and_validation(axes: Axes, history: Curve, measure: str) -> list[Reading]:
    readings, x = [], history["epoch"]
    for index, (prefix, name) in enumerate((("val", "validation"), ("train", "training"))):
        if (y := history.get(f"{prefix}_{measure}")) is not None:
            axes.plot(x, y, **_points(x), **series(index))
            readings.append(_reading(name, index, x, y, measure, "epoch"))
    return readings


def _reading(label: str, index: int, x: Sequence[float], y: Sequence[float], measure: str, unit: str) -> Reading:
    """A curve's points in words: 'epoch 3' or '31 seconds', '57.7%' or '0.690'."""
    at = [f"epoch {value:.0f}" if unit == "epoch" else f"{value:.3g} {unit}" for value in x]
    shown = [percent(value) if measure == "accuracy" else decimal(value) for value in y]
    return Reading(label, index, x, y, at, shown)


def _stretches(shares: Sequence[float]) -> Iterator[tuple[int, int, float]]:
    """(first epoch from 0, epochs, share) of each stretch of epochs in which a part trained alike."""
    start = 0
    for share, stretch in groupby(shares):
        epochs = len(list(stretch))
        if share:
            yield start, epochs, share
        start += epochs


def _points(x: Sequence[float]) -> dict[str, Any]:
    """Dots as well as a line where there are few epochs; a single epoch has no line at all."""
    return {"marker": "o", "markersize": 3.5} if len(x) <= 15 else {}


def _legend(axes: Axes, columns: int) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2, handlelength=1.6)


def _guess(axes: Axes, level: float, words: str, *, above: bool) -> None:
    axes.axhline(level, color=QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    place: dict[str, Any] = {"xytext": (0, 3 if above else -3), "va": "bottom" if above else "top"}
    axes.annotate(
        words, (1, level), xycoords=("axes fraction", "data"), textcoords="offset points",
        ha="right", fontsize=8.5, color=QUIET, **place,
    )  # fmt: skip
    bottom, top = axes.get_ylim()
    room = 0.09 * (top - bottom)  # for the words
    axes.set_ylim(min(bottom, level - room), max(top, level + room))


def _mark_best(axes: Axes, history: Curve, column: str, best_epoch: int | None) -> None:
    if best_epoch is None or best_epoch not in history.get("epoch", ()) or column not in history:
        return
    value = history[column][list(history["epoch"]).index(best_epoch)]
    if math.isfinite(value):
        ring: dict[str, Any] = {
            "markersize": 9,
            "markerfacecolor": "none",
            "markeredgewidth": 1.6,
            "markeredgecolor": INK,
        }
        axes.plot([best_epoch], [value], "o", color="none", zorder=5, **ring)


def _gaps(axes: Axes, reliability: Mapping[str, np.ndarray], middles: np.ndarray, width: float) -> None:
    """Outlines from the accuracy to the mean confidence: what the calibration error adds up."""
    full = reliability["count"] > 0
    low, high = reliability["accuracy"][full], reliability["confidence"][full]
    colour = TRAIN["color"]
    axes.bar(middles[full], high - low, width, bottom=low, color=colour, alpha=0.3)
    axes.bar(middles[full], high - low, width, bottom=low, color="none", edgecolor=colour, linewidth=1.3)


def _leave_out_outliers(axes: Axes, losses: Sequence[float]) -> None:
    """A run that diverges must not press all other curves flat: the axis ends at three times the median."""
    finite = [loss for loss in losses if math.isfinite(loss)]
    if finite and max(finite) > 3 * statistics.median(finite):
        axes.set_ylim(top=3 * statistics.median(finite))


def _time_unit(curves: Mapping[str, Curve]) -> tuple[float, str]:
    longest = max(curve["seconds"][-1] for curve in curves.values())
    return (3600.0, "hours") if longest > 3 * 3600 else (60.0, "minutes") if longest > 300 else (1.0, "seconds")
