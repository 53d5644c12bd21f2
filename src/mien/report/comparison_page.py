"""A Comparison -> the values of templates/comparison.html.j2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from mien.config import Data
from mien.data import Store
from mien.evaluate.compare import Changed, ComparedRun, Comparison
from mien.evaluate.mistakes import Mistake, confusions
from mien.evaluate.significance import Pair
from mien.report import figures
from mien.report.mistake_pictures import MistakeMaps, Tile, address, addresses, mending, read_maps, store_of, tiles
from mien.runs import ClassScores, RunFolder, layout

CONFUSIONS = 8
PICTURES = 48  # mistakes of all runs together; keeps a page of many runs small
A_RUN = 6  # of them at most

Source = tuple[Store | None, str | Exception, MistakeMaps]


def context(comparison: Comparison, folder: Path) -> dict[str, Any]:
    """Everything the page of a comparison shows. folder: where the page will lie."""
    rows = comparison.rows
    ranked = sorted(rows, key=lambda row: -row.scores.accuracy)
    pairs = [better_first(pair) for pair in comparison.pairs]
    return {
        "comparison": comparison,
        "rows": rows,
        "ranked": ranked,
        "leading": _leading(pairs, ranked),
        "pairs": pairs,
        "accuracies": figures.accuracies(
            [row.label for row in rows],
            [row.scores.accuracy for row in rows],
            [row.scores.interval for row in rows],
        ),
        "curves": curves(rows),
        "legend_names": [(row.label, i) for i, row in enumerate(rows) if row.curve.get("epoch")],
        "reports": reports(rows, folder),
        "recalls": recalls(comparison),
        "confused": confused(comparison),
        **wrong_pictures(comparison),
        **files(comparison, folder),
        "changed": changed_images(comparison),
        "unmeasured": unmeasured(comparison),
        "one_machine": len({row.hardware for row in rows}) == 1,
    }


def better_first(pair: Pair) -> Pair:
    """The same pair, the run with more right answers first."""
    if pair.difference >= 0:
        return pair
    low, high = pair.interval
    return replace(
        pair,
        first=pair.second,
        second=pair.first,
        only_first=pair.only_second,
        only_second=pair.only_first,
        difference=-pair.difference,
        interval=(-high, -low),
    )


def curves(rows: list[ComparedRun]) -> list[tuple[Markup, Markup]]:
    """Accuracy, loss and, where every run has it, calibration error, each at equal epochs and at equal seconds.

    A run without a curve, such as an average, is left out; nothing where no run has one.
    """
    by_label = {row.label: row.curve for row in rows}
    drawn = [curve for curve in by_label.values() if curve.get("epoch")]
    if not drawn:
        return []
    calibrated = all("val_calibration_error" in curve for curve in drawn)  # not in the runs of an older version
    return [
        (figures.run_curves(by_label, "epoch", measure), figures.run_curves(by_label, "seconds", measure))
        for measure in ("accuracy", "loss", *(["calibration_error"] if calibrated else []))
    ]


def recalls(comparison: Comparison) -> list[tuple[str, list[tuple[ClassScores, bool]]]]:
    """For each class, each run's recall and whether it is the best of the row; nothing is best of equals."""
    table = []
    for name in comparison.classes:
        found = [row.scores.per_class[name] for row in comparison.rows]
        best = max(each.correct for each in found)
        all_alike = all(each.correct == best for each in found)
        table.append((name, [(each, each.correct == best and not all_alike) for each in found]))
    return table


def confused(comparison: Comparison) -> list[tuple[str, str, list[tuple[int, int, bool]]]]:
    """(true class, predicted class, for each run its images, those of the class, whether it has the fewest).

    The commonest of all runs together first; nothing is fewest of equals.
    """
    matrices = [np.array(row.scores.confusion_matrix) for row in comparison.rows]
    table = []
    for label, predicted, _ in confusions(np.sum(matrices, axis=0), comparison.classes)[:CONFUSIONS]:
        place = comparison.classes.index(label), comparison.classes.index(predicted)
        found = [(int(matrix[place]), int(matrix[place[0]].sum())) for matrix in matrices]
        least, most = min(found)[0], max(found)[0]
        table.append((label, predicted, [(images, total, images == least < most) for images, total in found]))
    return table


def wrong_pictures(comparison: Comparison) -> dict[str, Any]:
    """mistakes: each run's surest, and why pictures are missing. disputed: each disagreement with its surest.

    mapped: whether a map stands beside any of them.
    """
    known = _sources(comparison.rows)
    shown = max(1, min(A_RUN, PICTURES // len(comparison.rows)))
    mistakes = [(row, _tiles(row.mistakes[:shown], known[row.label]), known[row.label][1]) for row in comparison.rows]
    disputed = [(each, _tiles(each.surest, known[each.wrong])) for each in comparison.disagreements]
    galleries = [*(found for _, found, _ in mistakes), *(found for _, found in disputed)]
    mapped = any(heat for found in galleries for _, _, heat in found)
    return {"mistakes": mistakes, "disputed": disputed, "mapped": mapped}


def reports(rows: Sequence[ComparedRun], folder: Path) -> dict[str, str]:
    """The address of each run's own report, by its label; of those that have one."""
    pages = {row.label: Path(row.folder) / layout.REPORT for row in rows}
    return {label: address(page, folder) for label, page in pages.items() if page.is_file()}


def files(comparison: Comparison, folder: Path) -> dict[str, Any]:
    """files: the addresses of the pictures that are files. mending: what to do about a wrong label."""
    runs = [RunFolder.open(Path(row.folder)) for row in comparison.rows]
    shown = [mistake for row in comparison.rows for mistake in row.mistakes]
    shown += [mistake for each in comparison.disagreements for mistake in each.surest]
    found = {name: link for run in runs for name, link in addresses(shown, run, folder).items()}
    return {"files": found, "mending": mending(runs[0])}


def changed_images(comparison: Comparison) -> dict[str, Any] | None:
    """The figure and the table of accuracy on changed images; None where no run was measured.

    A row of the table is a change, its strength in words, and for each run accuracy, loss against unchanged images and
    whether it is the best; nothing is best of equals.
    """
    if not comparison.robustness:
        return None
    whole: list[float | None] = [row.scores.accuracy for row in comparison.rows]
    table = []
    for each in comparison.robustness:
        known = [value for value in each.accuracy if value is not None]
        cells = [
            (value, None if value is None or before is None else value - before, value == max(known) > min(known))
            for value, before in zip(each.accuracy, whole, strict=True)
        ]
        table.append((each.change, strength(each), cells))
    names = ["unchanged", *(f"{change} {how}".strip() for change, how, _ in table)]
    levels = [whole, *(each.accuracy for each in comparison.robustness)]
    return {"figure": figures.changed([row.label for row in comparison.rows], names, levels), "table": table}


def unmeasured(comparison: Comparison) -> list[ComparedRun]:
    """The runs that were not scored on changed images."""
    changes = comparison.robustness
    return [row for i, row in enumerate(comparison.rows) if all(each.accuracy[i] is None for each in changes)]


def strength(changed: Changed) -> str:
    """'0.1 of the side'; '' for a change that has but one."""
    return f"{abs(changed.strength):g} {changed.unit}" if changed.unit else ""


def _sources(rows: Sequence[ComparedRun]) -> dict[str, Source]:
    """Of each run, by its label, the images of its data or why they cannot be opened, and its maps."""
    opened: dict[tuple[Data, str], tuple[Store | None, str | Exception]] = {}
    found = {}
    for row in rows:
        run = RunFolder.open(Path(row.folder))
        data = (run.recipe.data, run.env.store.fingerprint)
        if data not in opened:  # runs of the same data share it
            opened[data] = store_of(run)
        found[row.label] = (*opened[data], read_maps(run.path))
    return found


def _tiles(mistakes: Sequence[Mistake], source: Source) -> list[Tile]:
    store, _, maps = source
    return tiles(mistakes, store, maps)


def _leading(pairs: list[Pair], ranked: list[ComparedRun]) -> Pair:
    """The pair of the best run and the next."""
    best = {ranked[0].label, ranked[1].label}
    return next(pair for pair in pairs if {pair.first, pair.second} == best)
