"""The table of a sweep -> the values of templates/sweep.html.j2."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from mien.config.sweep_plan import REPEATS, Range, shown
from mien.evaluate.metrics import majority
from mien.evaluate.sweep_table import SettingGroup, SweepRun, SweepTable
from mien.report import figures
from mien.report.style import STRONG
from mien.runs import layout

CURVES = 12  # settings with a colour of their own; of more, the best ones
SHADES = (0.06, 0.94)  # of the lowest and the highest accuracy in the heat map


def context(table: SweepTable) -> dict[str, Any]:
    """Everything the page of a sweep shows."""
    coloured = coloured_groups(table)
    return {
        "table": table,
        "plan": table.plan,
        "name": table.folder.resolve().name,
        "best": table.best,
        "best_group": table.best_group,
        "majority": majority(table.best.scores) if table.best and table.best.scores else None,
        "level": level(table),
        "colours": {row.name: i for i, group in enumerate(coloured) for row in group.rows},
        "swept": [(key, swept(values)) for key, values in table.plan.fields.items()],
        "fixed": [(key, shown(value)) for key, value in table.plan.fixed.items()],
        "rows": [(row, report(table, row)) for row in table.ranked],
        "groups": sorted(table.groups, key=lambda group: -(group.mean or 0)) if table.repeats else [],
        "curves": curves(table, coloured),
        "legend_names": legend_names(table, coloured),
        "heat_map": heat_map(table),
        "ranges": ranges(table),
    }


def level(table: SweepTable) -> list[SweepRun]:
    """The runs whose interval reaches up to the best run's accuracy, the best one left out."""
    if not table.best or not table.best.scores:
        return []
    accuracy = table.best.scores.accuracy
    return [row for row in table.ranked if row.scores and row != table.best and row.scores.interval[1] >= accuracy]


def coloured_groups(table: SweepTable) -> list[SettingGroup]:
    """The settings whose curves are told apart, in the order of the plan; without a curve there is no colour."""
    drawn = [group for group in table.groups if any(map(has_curve, group.rows))]
    best = sorted(drawn, key=lambda group: -(group.mean or 0))[:CURVES]
    return [group for group in drawn if group in best]


def has_curve(row: SweepRun) -> bool:
    """Whether there is an epoch to draw: not before the first, nor where the first one diverged."""
    return any(map(math.isfinite, row.curve.get("val_loss", [])))


def curves(table: SweepTable, coloured: list[SettingGroup]) -> list[Markup]:
    """Validation accuracy and loss of all runs by epoch; none before the first epoch of the first run."""
    drawn = [
        (group.label, coloured.index(group) if group in coloured else None, row.curve)
        for group in sorted(table.groups, key=lambda group: group not in coloured)
        for row in group.rows
        if has_curve(row)
    ]
    return [figures.sweep_curves(drawn, measure) for measure in ("accuracy", "loss")] if drawn else []


def legend_names(table: SweepTable, coloured: list[SettingGroup]) -> list[tuple[str, int | None]]:
    """Label and colour of each setting that has one, then the grey others if there are any."""
    others = any(has_curve(row) for group in table.groups if group not in coloured for row in group.rows)
    named: list[tuple[str, int | None]] = [(group.label, i) for i, group in enumerate(coloured)]
    return named + ([("others", None)] if others else [])


def heat_map(table: SweepTable) -> dict[str, Any] | None:
    """Accuracy by the two fields that are swept, in rows of cells; None where it would say nothing."""
    found = table.heat_map()
    if not found or table.best is None:
        return None
    down, across, groups = found
    means = [group.mean for group in groups.values() if group.mean is not None]
    low, span = min(means), max(max(means) - min(means), 1e-9)
    first, second = (key for key in table.plan.fields if key not in REPEATS)
    rows = [
        (shown(value), [_cell(groups.get((i, j)), low, span, table) for j in range(len(across))])
        for i, value in enumerate(down)
    ]
    return {"first": first, "second": second, "columns": [shown(value) for value in across], "rows": rows}


def ranges(table: SweepTable) -> list[tuple[str, Markup]]:
    """For each range of a search, the accuracy of every run by its value."""
    scored = [row for row in table.rows if row.accuracy is not None]
    accuracies = [row.accuracy or 0 for row in scored]
    return [
        (key, figures.accuracy_by(key, [row.settings[key] for row in scored], accuracies, log=values.log))
        for key, values in table.plan.fields.items()
        if isinstance(values, Range) and scored
    ]


def report(table: SweepTable, row: SweepRun) -> str | None:
    """Address of a run's own report, relative to the page; None where there is none."""
    page = table.folder / row.name / layout.REPORT
    return f"{quote(row.name)}/{page.name}" if page.is_file() else None


def swept(values: list[Any] | Range) -> str:
    """The values of a field in words."""
    return str(values) if isinstance(values, Range) else ", ".join(map(shown, values))


def _cell(group: SettingGroup | None, low: float, span: float, table: SweepTable) -> dict[str, Any]:
    if group is None or group.mean is None:
        return {"mean": None, "std": None, "share": 0.0, "strong": False, "best": False}
    share = SHADES[0] + (SHADES[1] - SHADES[0]) * (group.mean - low) / span
    best = group == table.best_group
    return {"mean": group.mean, "std": group.std, "share": share, "strong": share >= STRONG, "best": best}
