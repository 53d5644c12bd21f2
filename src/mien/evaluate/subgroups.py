"""Whom does it fail? The scores of each subgroup of a split, and whether it differs from the rest by more than chance.

A subgroup is tested against all other images by Fisher's exact test; two runs within a subgroup by McNemar's. Both are
adjusted for the number of tests (Holm). A test asks whether a subgroup differs, not why: subgroups may hold other
classes, and pictures of one person are less than as many independent ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.config import Data
from mien.data import Store
from mien.data.columns import subgroups_of, values_of
from mien.errors import DataError
from mien.evaluate.clean import is_clean
from mien.evaluate.metrics import accuracy, macro_f1
from mien.evaluate.significance import Pair, fisher_exact, holm, pairs_of
from mien.progress import printable
from mien.runs import Accuracy, Predictions, RunFolder, Subgroup, Subgroups
from mien.runs.data import moved, open_data
from mien.runs.folder import read_recipe

SMALL = 30  # images; below, only a gross difference shows
FEW_SAY_LITTLE = f"; fewer than {SMALL} images say little"


@dataclass(frozen=True)
class ComparedSubgroup:
    """Several runs on the images that share a value of a column. accuracies: in the order of the runs.

    pairs: of every two runs, adjusted for the number of pairs of all subgroups together.
    """

    value: str
    images: int
    small: bool
    accuracies: list[Accuracy]
    pairs: list[Pair]


@dataclass(frozen=True)
class ComparedSubgroups:
    """Several runs within each subgroup that a column makes; quarters as in `Subgroups`."""

    column: str
    quarters: bool
    groups: list[ComparedSubgroup]


def values_of_images(
    store: Store, indices: np.ndarray, data: Data, column: str, table: Path | None = None
) -> list[str]:
    """The value of a column for each image of a store. Raises what `mien.data.columns.values_of` does."""
    return values_of(data, [store.names[i] for i in indices], column, table)


def values_of_run(run: Path, split: str, column: str, table: Path | None = None) -> tuple[list[str], Store]:
    """The value of a column for each image of a split of a run, in the order of its predictions, and its images.

    The run's own table may have gained columns, or lie elsewhere; its pictures must be those that the run learned from.
    Raises what `mien.data.columns.values_of` does, and what `mien.runs.data.open_data` does.
    """
    store = open_data(run)
    return values_of_images(store, store.indices(split), moved(read_recipe(run)).data, column, table), store


def subgroups_of_run(run: RunFolder, split: str, column: str, table: Path | None = None) -> Subgroups:
    """The subgroups of what a run has predicted. Raises what `values_of_run` and `score_subgroups` do."""
    values, store = values_of_run(run.path, split, column, table)
    return score_subgroups(run.predictions(split), values, column, is_clean(store, split))


def score_subgroups(
    predictions: Predictions, values: Sequence[str], column: str, clean: np.ndarray | None = None
) -> Subgroups:
    """The scores of each subgroup, the least accurate first, and of each the test against the rest.

    values: N, of the column. clean: bool (N,), as for `mien.evaluate.metrics.score`.
    Raises UsageError where the column makes no subgroups, see `mien.data.columns.subgroups_of`.
    """
    if len(values) != len(predictions):
        raise DataError(f"{len(values):,} values of {column} for {len(predictions):,} predictions.")
    names, quarters = subgroups_of(values, column)
    members = {name: np.array(names) == name for name in dict.fromkeys(names)}
    p_values = [against_the_rest(predictions.correct, chosen) for chosen in members.values()]
    found = zip(members.items(), p_values, holm(p_values), strict=True)
    groups = [_subgroup(predictions, name, chosen, clean, p, adjusted) for (name, chosen), p, adjusted in found]
    return Subgroups(column=column, quarters=quarters, groups=sorted(groups, key=lambda group: group.accuracy))


def compare_subgroups(
    labels: Sequence[str], correct: Sequence[np.ndarray], values: Sequence[str], column: str
) -> ComparedSubgroups:
    """Several runs within each subgroup, tested two by two; adjusted for the number of all these tests.

    labels: of the runs. correct: of each run, bool (N,). values: N, of the column.
    """
    names, quarters = subgroups_of(values, column)
    members = {name: np.array(names) == name for name in sorted({*names})}
    pairs = {name: pairs_of(labels, [right[chosen] for right in correct]) for name, chosen in members.items()}
    adjusted = iter(holm([pair.p_value for found in pairs.values() for pair in found]))
    groups = [
        ComparedSubgroup(
            value=name,
            images=int(chosen.sum()),
            small=int(chosen.sum()) < SMALL,
            accuracies=[accuracy(right[chosen]) for right in correct],
            pairs=[pair.adjusted(next(adjusted)) for pair in pairs[name]],
        )
        for name, chosen in members.items()
    ]
    return ComparedSubgroups(column, quarters, groups)


def against_the_rest(correct: np.ndarray, chosen: np.ndarray) -> float:
    """Fisher's exact p-value for: the images `chosen` are answered correctly as often as the others. Both bool (N,)."""
    return fisher_exact(
        int(correct[chosen].sum()), int((~correct[chosen]).sum()),
        int(correct[~chosen].sum()), int((~correct[~chosen]).sum()),
    )  # fmt: skip


def describe_subgroups(found: Subgroups) -> list[str]:
    """The subgroups in words, a line each."""
    return [f"{_made(found.column, found.quarters)}, the least accurate first:", *map(_line, found.groups)]


def describe_compared(found: ComparedSubgroups) -> list[str]:
    """Which run is ahead in each subgroup, a line for each pair of runs."""
    told = _made(found.column, found.quarters)
    lines = [f"  {_heading(group)}: {pair.verdict}" for group in found.groups for pair in group.pairs]
    return [f"{told}, adjusted for {len(lines)} tests:", *lines]


def _made(column: str, quarters: bool) -> str:
    return f"by {printable(column)}{' (numbers, in quarters of the images)' if quarters else ''}"


def _heading(group: ComparedSubgroup) -> str:
    return f"{printable(group.value)}, {group.images:,} images" + (FEW_SAY_LITTLE if group.small else "")


def _line(group: Subgroup) -> str:
    low, high = group.interval
    words = f"  {printable(group.value)}: {group.accuracy:.1%} ({low:.1%} to {high:.1%}) on {group.images:,}"
    if group.clean and group.clean.images:
        words += f", clean {group.clean.accuracy:.1%} on {group.clean.images:,}"
    words += f", macro-F1 {group.macro_f1:.3f}, {100 * group.difference:+.1f} points against the rest"
    chance = "more than chance" if group.more_than_chance else "no more than chance would give"
    words += f", {chance} (Fisher p = {group.adjusted_p_value:.2g})"
    return words + (FEW_SAY_LITTLE if group.small else "")


def _subgroup(
    predictions: Predictions, name: str, chosen: np.ndarray, clean: np.ndarray | None, p_value: float, adjusted: float
) -> Subgroup:
    own = predictions.correct[chosen]
    return Subgroup(
        **vars(accuracy(own)),
        value=name,
        clean=None if clean is None else accuracy(predictions.correct[chosen & clean]),
        macro_f1=macro_f1(predictions.only(chosen)),
        difference=float(own.mean() - predictions.correct[~chosen].mean()),
        p_value=p_value,
        adjusted_p_value=adjusted,
        more_than_chance=adjusted < 0.05,
        small=len(own) < SMALL,
    )
