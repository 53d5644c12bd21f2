"""A picture of a data set: how many images each class has, and samples of each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mien.atomic import put, share
from mien.data.listing import SPLITS
from mien.data.store import Store
from mien.drafts import draft
from mien.errors import MienError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, QUIET, LINE, PAGE = "#1d2126", "#565e6b", "#d9d6cf", "#faf9f6"
COLOURS = dict(zip(SPLITS, ("#0b5fa8", "#d2560c", "#2b9a73"), strict=True))
SAMPLES = 12  # of each class
CLASSES = 24  # most that get a row of samples
GAP = 0.08  # between samples, share of their side
WIDTH = 9.6  # inches

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called '$5 note'
    "axes.labelcolor": QUIET,
    "axes.edgecolor": LINE,
    "axes.facecolor": PAGE,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titlepad": 10,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "figure.facecolor": PAGE,
}


def show(store: Store, out: Path) -> None:
    """Draw the label distribution of every split and a grid of samples of every class into `out`, a PNG.

    The samples are drawn at random, the same ones every time. Raises MienError when `out` cannot be written.
    """
    shown = store.classes[:CLASSES]
    grid_height = (WIDTH - 1.1) * len(shown) / SAMPLES
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.6 + grid_height), layout="constrained")
        figure.suptitle(_title(store), x=0.01, ha="left", fontsize=13, fontweight="bold")
        bars, grid = figure.subplots(2, 1, height_ratios=(2.4, grid_height))
        _draw_counts(bars, store)
        _draw_samples(grid, store, len(shown))
        save(figure, out)


def sample_grid(store: Store, classes: int) -> np.ndarray:
    """Samples as one picture, a row for each of the first `classes` classes: uint8 (H, W, 3).

    Training images come first, images of no split are not shown; spare places keep the page's colour.
    """
    side = store.preprocessing.size
    step = side + max(1, round(GAP * side))
    random = np.random.default_rng(0)
    page = np.array([int(PAGE[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.uint8)
    picture = np.tile(page, (classes * step, SAMPLES * step, 1))
    for label in range(classes):
        for place, i in enumerate(_samples(store, label, random)):
            y, x = label * step, place * step
            picture[y : y + side, x : x + side] = store.images[i].transpose(1, 2, 0)  # (C, H, W) -> (H, W, C)
    return picture


def _samples(store: Store, label: int, random: np.random.Generator) -> np.ndarray:
    mine = random.permutation(np.flatnonzero((store.labels == label) & (store.splits < len(SPLITS))))
    return mine[np.argsort(store.splits[mine], kind="stable")][:SAMPLES]


def _title(store: Store) -> str:
    size = store.preprocessing.size
    colour = "grey" if store.preprocessing.channels == 1 else "colour"
    out = ", ".join(f"{count:,} {why}" for why, count in store.left_out.items() if count)
    images = int((store.splits < len(SPLITS)).sum())
    title = f"{images:,} images of {len(store.classes)} classes, {size}x{size} pixels, {colour}"
    return title + (f" (left out: {out})" if out else "")


def _draw_counts(axes: Axes, store: Store) -> None:
    splits = [split for split in SPLITS if store.has(split)]
    places, width = np.arange(len(store.classes)), 0.8 / len(splits)
    for position, split in enumerate(splits):
        counts = store.class_counts(split)
        offset = (position - (len(splits) - 1) / 2) * width
        bars = axes.bar(places + offset, counts, width * 0.92, color=COLOURS[split], label=f"{split} {counts.sum():,}")
        if len(places) * len(splits) <= 24:
            axes.bar_label(bars, fmt="{:,.0f}", fontsize=8, color=QUIET, padding=2)
    axes.set_title("Images of each class")
    axes.set_xticks(places, store.classes, rotation=0 if len(places) <= 10 else 60)
    axes.set_xlim(-0.6, len(places) - 0.4)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.legend(frameon=False, ncols=len(splits), loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)


def _draw_samples(axes: Axes, store: Store, classes: int) -> None:
    picture = sample_grid(store, classes)
    step = len(picture) // classes
    side = store.preprocessing.size
    axes.imshow(picture, interpolation="nearest" if side < 64 else "antialiased")
    more = len(store.classes) - classes
    axes.set_title("Samples, drawn at random" + (f" (the first {classes} classes; {more} more)" if more else ""))
    axes.set_yticks(np.arange(classes) * step + side / 2, store.classes[:classes], color=INK)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def save(figure: Figure, out: Path) -> None:
    """Write a figure as a PNG, whole or not at all. Raises MienError when it cannot be written."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with draft(out.parent) as beside:
            FigureCanvasAgg(figure).print_figure(beside, format="png", dpi=120)
            share(beside)
            put(beside, out)
    except OSError as error:
        raise MienError(f"Cannot write {out}: {error.strerror}. Choose another place with `out`.") from error
