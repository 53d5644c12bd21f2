"""A Comparison -> the values of templates/comparison.html.j2."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from markupsafe import Markup

from mien.evaluate.compare import Changed, Comparison, Pair, Row
from mien.report import figures


def context(comparison: Comparison) -> dict[str, Any]:
    """Everything the page of a comparison shows."""
    rows = comparison.rows
    ranked = sorted(rows, key=lambda row: -row.scores["accuracy"])
    pairs = [better_first(pair) for pair in comparison.pairs]
    return {
        "comparison": comparison,
        "rows": rows,
        "ranked": ranked,
        "leading": _leading(pairs, ranked),
        "pairs": pairs,
        "accuracies": figures.accuracies(
            [row.label for row in rows],
            [row.scores["accuracy"] for row in rows],
            [row.scores["interval"] for row in rows],
        ),
        "curves": curves(rows),
        "recalls": recalls(comparison),
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


def curves(rows: list[Row]) -> list[tuple[Markup, Markup]]:
    """Accuracy and loss, each at equal epochs and at equal seconds; none where a run has no curve."""
    if not all(row.curve.get("epoch") for row in rows):
        return []
    by_label = {row.label: row.curve for row in rows}
    return [
        (figures.run_curves(by_label, "epoch", measure), figures.run_curves(by_label, "seconds", measure))
        for measure in ("accuracy", "loss")
    ]


def recalls(comparison: Comparison) -> list[tuple[str, list[tuple[dict[str, Any], bool]]]]:
    """For each class, each run's recall and whether it is the best of the row; nothing is best of equals."""
    table = []
    for name in comparison.classes:
        found = [row.scores["per_class"][name] for row in comparison.rows]
        best = max(each["correct"] for each in found)
        all_alike = all(each["correct"] == best for each in found)
        table.append((name, [(each, each["correct"] == best and not all_alike) for each in found]))
    return table


def changed_images(comparison: Comparison) -> dict[str, Any] | None:
    """The figure and the table of accuracy on changed images; None where no run was measured.

    A row of the table is a change, its strength in words, and for each run accuracy, loss against unchanged images and
    whether it is the best; nothing is best of equals.
    """
    if not comparison.robustness:
        return None
    whole = [row.scores["accuracy"] for row in comparison.rows]
    table = []
    for each in comparison.robustness:
        known = [value for value in each.accuracy if value is not None]
        cells = [
            (value, None if value is None else value - before, value == max(known) > min(known))
            for value, before in zip(each.accuracy, whole, strict=True)
        ]
        table.append((each.change, strength(each), cells))
    names = ["unchanged", *(f"{change} {how}".strip() for change, how, _ in table)]
    levels = [whole, *(each.accuracy for each in comparison.robustness)]
    return {"figure": figures.changed([row.label for row in comparison.rows], names, levels), "table": table}


def unmeasured(comparison: Comparison) -> list[Row]:
    """The runs that were not scored on changed images."""
    changes = comparison.robustness
    return [row for i, row in enumerate(comparison.rows) if all(each.accuracy[i] is None for each in changes)]


def strength(changed: Changed) -> str:
    """'0.1 of the side'; '' for a change that has but one."""
    return f"{abs(changed.strength):g} {changed.unit}" if changed.unit else ""


def _leading(pairs: list[Pair], ranked: list[Row]) -> Pair:
    """The pair of the best run and the next."""
    best = {ranked[0].label, ranked[1].label}
    return next(pair for pair in pairs if {pair.first, pair.second} == best)
