"""Append the scores of run folders to results/runs.csv, the source of every number that is quoted anywhere.

python benchmarks/record.py RUN [RUN …]
python benchmarks/record.py --clean RUN [RUN …]   the accuracy on clean images alone, of runs on FER2013 that were
                                                  recorded before near copies were known

With --clean a RUN may be an export that ships (mien:base) and whose run is gone: its card says the figure. A run's
comes from its stored predictions and the list in results/fer2013_copies.csv.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mien import config
from mien.atomic import written_whole
from mien.evaluate.metrics import accuracy
from mien.runs import Accuracy, read_recipe
from mien.runs.data import Images, open_data
from mien.runs.folder import RunFolder
from mien.runs.records import from_dict
from mien.runtime.network import Network

MOST_CLASSES = 20  # beyond, a row for the recall of each would drown the rest
TABLE = Path(__file__).parent.parent / "results" / "runs.csv"
COPIES = TABLE.with_name("fer2013_copies.csv")
NEAR_CLEAN = "near_clean_accuracy"
COLUMNS = [
    "recipe",
    "settings",
    "seed",
    "split",
    "metric",
    "value",
    "low",
    "high",
    "images",
    "epochs",
    "best_epoch",
    "seconds",
    "parameters",
    "hardware",
    "precision",
    "commit",
    "started",
]


def rows(run: Path) -> list[dict[str, object]]:
    """One row a metric and split."""
    recipe = read_recipe(run)
    env = json.loads((run / "env.json").read_text())
    shared = {key: env[key] for key in COLUMNS if key in env} | {
        "recipe": recipe.name,
        "settings": averaged(env["average"]) if "average" in env else changed(recipe),
    }
    found: list[dict[str, object]] = []
    if "initial_loss" in env:  # an average was never trained
        first = {"split": "train", "metric": "initial_loss", "value": round(env["initial_loss"], 4)}
        found = [shared | first | {"images": env.get("initial_loss_images", "")}]
    if recipe.learns == "patches":  # without labels there is only the loss of the masked patches
        loss = min(RunFolder.open(run).history["val_loss"])
        images = env["store"]["images"]["validation"]
        masked = {"split": "validation", "metric": "masked_patch_loss", "value": round(loss, 4), "images": images}
        return [*found, shared | masked]
    for split, scores in json.loads((run / "evaluation.json").read_text()).items():
        for metric, value, interval, images in metrics(scores):
            low, high = interval or ("", "")
            found.append(
                shared | {"split": split, "metric": metric, "value": value, "low": low, "high": high, "images": images}
            )
    for row in RunFolder.open(run).robustness.get("validation", []):
        changed_images = {"metric": f"accuracy, {row.change} {row.strength}", "value": round(row.accuracy, 4)}
        found.append(shared | changed_images | {"split": "validation", "images": env["store"]["images"]["validation"]})
    return found


def clean_score(name: str) -> tuple[dict[str, str], Accuracy]:
    """What tells the recorded rows of a run or a shipped export, and its accuracy on the clean validation images."""
    if name.startswith("mien:"):
        card = Network.open(name).card or {}
        return {key: card[key] for key in ("recipe", "commit")}, from_dict(Accuracy, card["clean"])
    run = RunFolder.open(name)
    images = Images.of(run.path) or open_data(run.path)  # a run of mien 0.1 keeps no hashes
    with COPIES.open(newline="") as file:
        rows = list(csv.DictReader(file))
    trained = {row["photograph"] for row in rows if row["split"] == "train"}
    copies = {row["pixels"] for row in rows if row["split"] == "validation" and row["photograph"] in trained}
    digests = {name: each.tobytes().hex() for name, each in zip(images.names, images.digests, strict=True)}
    found = run.predictions()
    kept = np.array([digests[name] not in copies for name in found.names])
    return {"recipe": run.recipe.name, "started": str(run.env.started)}, accuracy(found.correct[kept])


def with_clean(known: list[dict[str, object]], name: str) -> list[dict[str, object]]:
    """The rows with one more for a run, behind its accuracy on images without identical copies."""
    key, score = clean_score(name)
    own = [i for i, row in enumerate(known) if all(row[part] == value for part, value in key.items())]
    (place,) = [i for i in own if known[i]["metric"] == "clean_accuracy"]
    if any(known[i]["metric"] == NEAR_CLEAN for i in own):
        return known
    low, high = (round(edge, 4) for edge in score.interval)
    figures = {"metric": NEAR_CLEAN, "value": round(score.accuracy, 4), "low": low, "high": high}
    return [*known[: place + 1], known[place] | figures | {"images": score.images}, *known[place + 1 :]]


def metrics(scores: dict[str, Any]) -> list[tuple[str, float, list[float] | None, int]]:
    """(name, value, interval, images) of the figures that are quoted."""
    images = scores["images"]
    found = [("accuracy", scores["accuracy"], scores["interval"], images)]
    old = scores.get("without_identical")  # what version 0.1, and the column of that name, call clean
    named = {"clean_accuracy": old or scores.get("clean"), NEAR_CLEAN: old and scores.get("clean")}
    for name, clean in named.items():
        if clean:
            found.append((name, clean["accuracy"], clean["interval"], clean["images"]))
    for name in ("macro_f1", "weighted_f1", "calibration_error", "negative_log_likelihood"):
        found.append((name, scores[name], None, images))
    if len(scores["per_class"]) <= MOST_CLASSES:
        found += [(f"recall_{name}", row["recall"], None, row["images"]) for name, row in scores["per_class"].items()]
    return [
        (name, round(value, 4), interval and [round(edge, 4) for edge in interval], count)
        for name, value, interval, count in found
        if value is not None
    ]


def averaged(parts: list[dict[str, Any]]) -> str:
    """What an average is made of, 'average of 0.5 fer2013_cnn_best, 0.5 fer2013_cnn_best_noise'."""
    return "average of " + ", ".join(f"{part['share']} {part['recipe']}" for part in parts)


def changed(recipe: config.Recipe) -> str:
    """What the run changed of its recipe, 'train.lr=0.0001'; '' for the recipe as it is."""
    from mien.recipes import load, names

    if recipe.name not in names():
        return ""
    original = load(recipe.name)[0].model_dump(mode="json")
    own = recipe.model_dump(mode="json")
    differences = [
        f"{section}.{key}={named(value)}"
        for section, values in own.items()
        if isinstance(values, dict)
        for key, value in values.items()
        if value != original[section].get(key) and key != "path"  # another network has other sizes
    ]
    return " ".join(differences)


def identity(row: dict[str, object]) -> tuple[str, ...]:
    """Which run a row is of; two may begin in one second."""
    return tuple(str(row[key]) for key in ("recipe", "settings", "seed", "started"))


def named(value: object) -> object:
    """A setting as it is quoted: a run folder by its recipe, as its path says nothing to others."""
    if isinstance(value, list):
        return ",".join(str(named(each)) for each in value)
    is_run = isinstance(value, str) and (Path(value) / "recipe.yaml").is_file()
    return read_recipe(Path(str(value))).name if is_run else value


def main() -> None:
    known: list[dict[str, object]] = []
    if TABLE.exists():
        with TABLE.open(newline="") as file:
            known = list(csv.DictReader(file))
    if not sys.argv[1:]:
        sys.exit(__doc__)
    only_clean = sys.argv[1] == "--clean"
    for name in sys.argv[2:] if only_clean else ():
        known = with_clean(known, name)
    new = [row for run in ([] if only_clean else sys.argv[1:]) for row in rows(Path(run))]
    again = {identity(row) for row in new}
    known = [row for row in known if identity(row) not in again]
    with written_whole(TABLE) as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(known + new)
    print(f"{len(known) + len(new)} rows, {len(new)} of them new -> {TABLE.name}")


if __name__ == "__main__":
    main()
