"""The pages that docs/generate.py writes from records: the results of runs, and the index of the log."""

from __future__ import annotations

import csv
from itertools import groupby
from pathlib import Path
from typing import Any

from page_parts import NOTE, ROOT, table

from mien import recipes

RESULTS = """\
Every finished run whose figures are quoted anywhere ([recipes](reference/recipes.md) say what each is), from
`results/runs.csv`, where all metrics stand (recall by class, calibration, loss, accuracy under noise, blur and so
on); `benchmarks/record.py RUN` adds a run. Scores are those of the validation split, of the best epoch, without
test-time augmentation; no run has read the private test of FER2013. "No identical copy" leaves out the validation
images that are pixel-identical to a training image (280 of FER2013's 3,589), "clean" near copies too (623 more); where
a run's answers are gone, clean images were not scored. Names in `_average` are means of weights (`mien
average`); their seconds are those of all runs that they are made of.

Machines: on 2026-11-20 two cores of an AMD EPYC with bf16; on 2026-11-21 and the night before, where it says fp32,
an older one without bf16 ([what it
does](https://github.com/mien-toolkit/mien/blob/main/log/2026-11-21-a-machine-without-bf16.md)); on 2026-11-22, where
it says bf16, one with AVX-512 and bf16. Most runs had one of the two cores, with another training on the other one,
those with `train.processes=2` had both, so the seconds are upper bounds. On 2026-11-22 convolutions ran without
channels last before the middle of the day, but for `cnn_v2_balanced`, `resnet_mixup`, `resnet_noise`, `tiny_taught`
and `vtff`.
"""
SHOWN = ("accuracy", "clean_accuracy", "near_clean_accuracy", "macro_f1")


def results() -> str:
    """One table a data set, best accuracy first, one row a run of results/runs.csv."""
    runs = sorted(recorded(), key=lambda run: (data_set(run), -float(run["accuracy"]["value"])))
    parts = [NOTE, "# Results", "", RESULTS]
    for name, found in groupby(runs, key=data_set):
        head = (
            "recipe",
            "changed",
            "accuracy (95 %)",
            "no identical copy",
            "clean",
            "macro-F1",
            "parameters",
            "epochs",
            "seconds",
            "hardware",
            "seed",
            "date",
        )
        parts += [f"## {name}", "", table(head, map(result, found))]
    return "\n".join(parts)


def recorded() -> list[dict[str, Any]]:
    """The runs of results/runs.csv: what all rows of a run share, and the rows of the metrics shown."""
    with (ROOT / "results" / "runs.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "validation" and row["metric"] in SHOWN]
    runs: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        identity = tuple(row[key] for key in ("recipe", "settings", "seed", "started"))
        runs.setdefault(identity, dict(row))[row["metric"]] = row
    return list(runs.values())


def data_set(run: dict[str, Any]) -> str:
    """The data of a run: its recipe's, and of a folder or an average, that of what it is named after."""
    named_after = run["recipe"].removesuffix("_average")
    if named_after.startswith("folder_"):
        return "Dogs vs Cats, in two folders"
    source = recipes.load(named_after)[0].data.source if named_after in recipes.names() else named_after
    return {"fer2013": "FER2013", "dogs_vs_cats": "Dogs vs Cats", "tiny_imagenet": "Tiny ImageNet"}.get(
        source, "Drawn faces"
    )


def result(run: dict[str, Any]) -> list[str]:
    accuracy, unequal, clean = run["accuracy"], run.get("clean_accuracy"), run.get("near_clean_accuracy")
    copies = unequal and unequal["images"] != accuracy["images"]
    return [
        f"`{run['recipe']}`",
        f"`{run['settings']}`" if run["settings"] else "",
        f"{percent(accuracy['value'])} ({percent(accuracy['low'], '')} to {percent(accuracy['high'], '')})",
        percent(unequal["value"]) if copies else "",
        percent(clean["value"]) if clean and clean["images"] != accuracy["images"] else "not scored" if copies else "",
        f"{float(run['macro_f1']['value']):.3f}".lstrip("0"),
        f"{int(run['parameters']):,}",
        run["epochs"],
        f"{round(float(run['seconds'])):,}" if run["seconds"] else "",
        f"{run['hardware']}, {run['precision']}",
        run["seed"],
        run["started"][:10],
    ]


def percent(value: str, unit: str = " %") -> str:
    return f"{100 * float(value):.1f}{unit}"


# ---- the log ----

LOG = """\
What was tried, one experiment a file, newest first; what failed is kept, its verdict in the title. Each entry has a
question, a setup, a result and a decision. Figures are those of FER2013's validation split (PublicTest) unless said,
of single runs, on two cores of an AMD EPYC: with bf16 on 20 November 2026, without on the 21st, with AVX-512 and
bf16 on the 22nd (two trainings at a time, one thread each, unless said). Runs that went to their end are in
[results/runs.csv](../results/runs.csv); short trials that were stopped are only here.
"""


def log_index() -> str:
    """Every entry by date, newest first."""
    entries = sorted((ROOT / "log").glob("2*.md"), key=lambda path: path.name)
    parts = [NOTE, "# Log", "", LOG]
    for date, found in groupby(reversed(entries), key=lambda path: path.name[:10]):
        titles = [f"- [{title(path)}]({path.name})" for path in sorted(found, key=lambda path: path.name)]
        parts += [f"## {date}", "", *titles, ""]
    return "\n".join(parts)


def title(entry: Path) -> str:
    return entry.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
