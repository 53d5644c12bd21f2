"""A CNN and a ViT by the share of the training images that they learn from: "use a CNN when samples are few", drawn.

Every run is one network on one share (--data.train_fraction) with one seed; the runs of a recipe make a line of the
chart, the mean over the seeds of a share its points. At each share the first recipe is set against each other one, run
against run of the same seed, on the same validation images: difference, paired 95 % interval, McNemar's p.

Command   mien run fer2013_tiny --data.path FER2013 --data.train_fraction 0.1 --train.epochs 30 --train.warmup_epochs 1
          mien run fer2013_vit_small --data.path FER2013 --data.train_fraction 0.1 --train.epochs 30
          … with 0.01 and 60 epochs, 0.5 and 12, 1 and 8
          python benchmarks/shares.py RUN [RUN ...] [--figure shares.svg] [--json shares.json]
Time      a second; the runs took between two minutes and half an hour each on one thread.
Expected  results/shares.json
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from mien.evaluate.compare import compare
from mien.evaluate.metrics import score
from mien.report.style import drawing, inline_svg, save_svg, series
from mien.runs import read_recipe
from mien.runs.folder import RunFolder

Point = dict[str, Any]


def points(runs: list[Path]) -> dict[str, list[Point]]:
    """Recipe -> what became of each of its runs, by rising share and seed."""
    found: dict[str, list[Point]] = defaultdict(list)
    for run in runs:
        recipe, folder = read_recipe(run), RunFolder.open(run)
        scores = score(folder.predictions("validation"))
        found[recipe.name].append(
            {
                "share": recipe.data.train_fraction,
                "images": folder.env.store.images["train"],
                "epochs": recipe.train.epochs,
                "seed": recipe.seed,
                "accuracy": scores.accuracy,
                "interval": scores.interval,
                "macro_f1": scores.macro_f1,
                "train_accuracy": folder.history["train_accuracy"][-1],
                "run": run,
            }
        )
    return {name: sorted(rows, key=lambda row: (row["share"], row["seed"])) for name, rows in found.items()}


def differences(first: list[Point], second: list[Point]) -> list[Point]:
    """Accuracy of the first minus that of the second where share and seed are the same."""
    partners = {(row["share"], row["seed"]): row["run"] for row in second}
    found = []
    for row in first:
        partner = partners.get((row["share"], row["seed"]))
        if partner is not None:
            (pair,) = compare([row["run"], partner]).pairs
            shared = {key: row[key] for key in ("share", "images", "seed")}
            found.append(shared | {"difference": pair.difference, "interval": pair.interval, "p_value": pair.p_value})
    return found


def draw(found: Mapping[str, list[Point]]) -> str:
    """Accuracy by training images, each run a dot, the mean of a share on the line; as SVG."""
    with drawing():
        figure = Figure(figsize=(7.6, 3.4))
        axes = figure.subplots()
        for index, (name, rows) in enumerate(found.items()):
            means = defaultdict(list)
            for row in rows:
                means[row["images"]].append(row["accuracy"])
            look = series(index)
            axes.plot(list(means), [statistics.mean(values) for values in means.values()], label=name, **look)
            axes.plot([row["images"] for row in rows], [row["accuracy"] for row in rows], "o", color=look["color"])
        images = sorted({row["images"] for rows in found.values() for row in rows})
        axes.set_xscale("log")
        axes.set_xticks(images, [f"{count:,}" for count in images], minor=False)
        axes.minorticks_off()
        axes.set(xlabel="training images", ylabel="validation accuracy")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.legend(loc="upper left")
        return inline_svg(figure, "shares", "Validation accuracy by the number of training images")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = points(options.runs)
    first, *others = found
    pairs = {f"{first} - {other}": differences(found[first], found[other]) for other in others}
    runs = {name: [{**row, "run": row["run"].name} for row in rows] for name, rows in found.items()}
    result = json.loads(
        json.dumps({"runs": runs, "differences": pairs}), parse_float=lambda text: round(float(text), 4)
    )
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if options.figure:
        save_svg(draw(found), options.figure)


if __name__ == "__main__":
    main()
