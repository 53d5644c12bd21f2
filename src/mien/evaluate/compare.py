"""Several runs side by side, on the same images: scores, learning curves and paired tests.

Two models that saw the same images are compared image by image. Where both are right or both are wrong
says nothing about which is better; McNemar's test asks whether the rest falls evenly on the two.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import UsageError
from mien.evaluate.alignment import Alignment, LeftOut, align
from mien.evaluate.metrics import score
from mien.evaluate.mistakes import Disagreement, Mistake, disagreements, most_confident_errors
from mien.evaluate.significance import Interval, Pair, pairs_of
from mien.evaluate.subgroups import ComparedSubgroups, compare_subgroups, values_of_run
from mien.runs import ChangeScore, Predictions, RunFolder, Scores
from mien.runs.records import plain

CURVE = ("epoch", "seconds", "val_accuracy", "val_loss", "val_calibration_error")


@dataclass(frozen=True)
class ComparedRun:
    """One run: what it cost and what it scored. Costs are None where the run did not write them."""

    label: str
    folder: str
    recipe: str
    model: str
    seed: int
    parameters: int | None
    flops: int | None
    seconds: float | None
    epochs: int
    hardware: str
    scores: Scores
    curve: dict[str, list[float]]  # the columns of CURVE that the run's history has
    mistakes: list[Mistake]  # the most confident first


@dataclass(frozen=True)
class SeedGroup:
    """Runs of one recipe under several seeds; std is the sample standard deviation."""

    recipe: str
    seeds: list[int]
    mean: float
    std: float


@dataclass(frozen=True)
class Equal:
    """Best validation accuracy of each run (None: no epoch yet) within the same epochs or seconds."""

    limit: float
    accuracy: list[float | None]


@dataclass(frozen=True)
class Changed:
    """Accuracy of each run, in the order of the rows, on images with one change at one strength (see robustness.py).

    None where a run was not measured.
    """

    change: str
    strength: float
    unit: str
    accuracy: list[float | None]
    intervals: list[Interval | None]


@dataclass(frozen=True)
class Comparison:
    """What `compare` found; rows in the order given. robustness is empty where no run has measured it.

    disagreements: of the two most accurate runs, each way. subgroups: None where no column was asked for.
    left_out: images of runs on differing tables that are not compared; None where all are.
    """

    split: str
    images: int
    classes: tuple[str, ...]
    rows: list[ComparedRun]
    pairs: list[Pair]
    groups: list[SeedGroup]
    equal_epochs: Equal | None
    equal_seconds: Equal | None
    robustness: list[Changed]
    disagreements: list[Disagreement]
    subgroups: ComparedSubgroups | None = None
    left_out: LeftOut | None = None

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON types; a loss that is not a number becomes None."""
        values = asdict(self)
        for row in values["rows"]:
            row["scores"] = plain(row["scores"])
            row["curve"] = {key: [_finite(x) for x in column] for key, column in row["curve"].items()}
        return values


def compare(
    runs: Sequence[Path], split: str = "validation", *, by: str | None = None, table: Path | None = None
) -> Comparison:
    """Compare two or more runs on the images of a split.

    by: a column of the first run's table, or of `table`, within whose subgroups to compare them as well.
    Raises UsageError for fewer than two runs, MissingError for a path that is no run or has no predictions
    of the split, DataError when the runs were not evaluated on the same images and labels; of runs on a table, where a
    label was corrected, say, most must be the same, and the others are left out.
    """
    if len(runs) < 2:
        raise UsageError(f"Comparing needs at least two runs, given {len(runs)}. Try: `mien.compare(RUN, RUN)`")
    folders = [RunFolder.open(path) for path in runs]
    names = run_labels(folders)
    aligned = align(folders, split)
    rows, correct = [], []
    for run, name in enumerate(names):  # one at a time: the probabilities of many runs may be more than memory holds
        predictions = aligned.predictions(run)
        rows.append(_row(name, aligned, run, predictions))
        correct.append(predictions.correct)
    best, next_best = sorted(range(len(rows)), key=lambda i: -rows[i].scores.accuracy)[:2]
    return Comparison(
        split=split,
        images=len(correct[0]),
        classes=aligned.classes,
        rows=rows,
        pairs=pairs_of(names, correct),
        groups=_groups(rows),
        equal_epochs=at_equal(rows, "epoch"),
        equal_seconds=at_equal(rows, "seconds"),
        robustness=[] if aligned.left_out else on_changed_images([each.robustness.get(split, []) for each in folders]),
        disagreements=disagreements(*((names[i], aligned.predictions(i)) for i in (best, next_best))),
        subgroups=_subgroups(aligned, names, correct, by, table) if by else None,
        left_out=aligned.left_out,
    )


def _subgroups(
    aligned: Alignment, names: list[str], correct: list[np.ndarray], by: str, table: Path | None
) -> ComparedSubgroups:
    """The runs within the subgroups of a column of the first run's table, or of `table`."""
    values = values_of_run(aligned.folders[0].path, aligned.split, by, table)[0]
    order = aligned.orders[0]
    chosen = values if order is None else [values[i] for i in order]
    return compare_subgroups(names, correct, chosen, by)


def at_equal(rows: Sequence[ComparedRun], axis: str) -> Equal | None:
    """Best validation accuracy within the 'epoch' or 'seconds' that every run has had; None without curves."""
    if not all(row.curve.get(axis) and row.curve.get("val_accuracy") for row in rows):
        return None
    limit = min(row.curve[axis][-1] for row in rows)
    return Equal(limit, [_best_until(row.curve, axis, limit) for row in rows])


def on_changed_images(measured: Sequence[Sequence[ChangeScore]]) -> list[Changed]:
    """What each run has measured -> a row for every change and strength that any of them has."""
    by_run = [{(row.change, row.strength): row for row in rows} for rows in measured]
    units = {key: row.unit for rows in by_run for key, row in rows.items()}
    return [
        Changed(
            *key,
            unit=unit,
            accuracy=[rows[key].accuracy if key in rows else None for rows in by_run],
            intervals=[rows[key].interval if key in rows else None for rows in by_run],
        )
        for key, unit in units.items()
    ]


def run_labels(folders: Sequence[RunFolder]) -> list[str]:
    """The shortest names that tell runs apart: the recipe, with the seed, else the folder."""
    choices = (
        [folder.recipe.name for folder in folders],
        [f"{folder.recipe.name}, seed {folder.recipe.seed}" for folder in folders],
        [folder.path.resolve().name for folder in folders],
        [str(folder.path) for folder in folders],
    )
    distinct = [names for names in choices if len(set(names)) == len(names)]
    if not distinct:
        twice = Counter(choices[-1]).most_common(1)[0][0]
        raise UsageError(f"{twice} is given twice. Name each run once.")
    return distinct[0]


def _row(label: str, aligned: Alignment, run: int, predictions: Predictions) -> ComparedRun:
    folder = aligned.folders[run]
    scores = score(predictions) if aligned.left_out else _scores(folder, aligned.split, predictions)
    env, history = folder.env, folder.history
    return ComparedRun(
        label=label,
        folder=str(folder.path),
        recipe=folder.recipe.name,
        model=folder.recipe.model.name,
        seed=folder.recipe.seed,
        parameters=env.parameters,
        flops=env.flops,
        seconds=env.seconds,
        epochs=env.epochs or len(history.get("epoch", [])),
        hardware=env.hardware or "unknown",
        scores=scores,
        curve={key: history[key] for key in CURVE if key in history},
        mistakes=most_confident_errors(predictions),
    )


def _scores(folder: RunFolder, split: str, aligned: Predictions) -> Scores:
    """The saved scores; where the run orders or writes its classes otherwise, those of the aligned predictions."""
    saved = folder.scores.get(split) or score(aligned)
    if list(saved.per_class) == list(aligned.classes):
        return saved
    kept = ("clean", "without_identical", "label_disagreement")
    return replace(score(aligned), **{name: getattr(saved, name) for name in kept})


def _groups(rows: Sequence[ComparedRun]) -> list[SeedGroup]:
    by_recipe: dict[str, list[ComparedRun]] = {}
    for row in filter(lambda row: row.curve, rows):  # an average was not trained with a seed of its own
        by_recipe.setdefault(row.recipe, []).append(row)
    # Runs of one recipe that share a seed differ in settings: their spread says nothing about seeds.
    return [
        _group(recipe, members)
        for recipe, members in by_recipe.items()
        if len({row.seed for row in members}) == len(members) > 1
    ]


def _group(recipe: str, members: Sequence[ComparedRun]) -> SeedGroup:
    found = [row.scores.accuracy for row in members]
    return SeedGroup(recipe, [row.seed for row in members], statistics.mean(found), statistics.stdev(found))


def _best_until(curve: dict[str, list[float]], axis: str, limit: float) -> float | None:
    reached = [value for at, value in zip(curve[axis], curve["val_accuracy"], strict=True) if at <= limit]
    return max(reached, default=None)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
