"""The runs of a sweep side by side: scores, curves, the spread over seeds, and which settings are best."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from mien.atomic import written_whole
from mien.cells import cell
from mien.config.sweep_plan import REPEATS, Plan, Range, Settings, Trial
from mien.errors import MissingError
from mien.evaluate.folds import PooledFolds, pool
from mien.evaluate.metrics import scores_of, warning
from mien.runs import RunFolder, Scores, is_run

State = Literal["finished", "pruned", "failed", "stopped", "waiting"]
STATES: tuple[State, ...] = ("finished", "pruned", "failed", "stopped", "waiting")


@dataclass(frozen=True)
class SweepRun:
    """One run. scores (of validation) and seconds are None until it has finished; problem is '' unless it failed."""

    name: str
    label: str
    settings: Settings
    state: State
    problem: str = ""
    scores: Scores | None = None
    seconds: float | None = None
    curve: dict[str, list[float]] = field(default_factory=dict)  # epoch, seconds, val_accuracy, val_loss

    @property
    def accuracy(self) -> float | None:
        """Validation accuracy, 0..1."""
        return self.scores.accuracy if self.scores else None

    @property
    def merit(self) -> tuple[float, float]:
        """Sorts runs from the worst to the best: by accuracy, equal ones by their loss; unfinished ones come first."""
        if self.scores is None:
            return (-math.inf, -math.inf)
        return (self.scores.accuracy, -self.scores.negative_log_likelihood)

    def to_dict(self) -> dict[str, Any]:
        """The figures of the row, by the names of sweep.csv."""
        low, high = self.scores.interval if self.scores else (None, None)
        return {
            "run": self.name,
            **self.settings,
            "accuracy": self.accuracy,
            "low": low,
            "high": high,
            "macro_f1": self.scores.macro_f1 if self.scores else None,
            "seconds": self.seconds,
            "epochs": len(self.curve.get("epoch", [])),
            "state": self.state,
            "problem": self.problem,
        }


@dataclass(frozen=True)
class SettingGroup:
    """Runs that differ by their seed, fold or split alone (or one run, where none of these is swept).

    mean: accuracy of the finished runs, None without one. std: sample standard deviation, None below two.
    """

    label: str
    settings: Settings
    rows: list[SweepRun]
    mean: float | None
    std: float | None

    @property
    def finished(self) -> int:
        """How many runs have scores."""
        return sum(row.scores is not None for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Its settings, the mean and standard deviation of their accuracy and how many runs that is of."""
        return {**self.settings, "mean": self.mean, "std": self.std, "runs": self.finished}


@dataclass(frozen=True)
class SweepTable:
    """All runs of a sweep, in its order. total: how many there are to be."""

    plan: Plan
    folder: Path
    rows: list[SweepRun]
    total: int

    @cached_property
    def ranked(self) -> list[SweepRun]:
        """The best accuracy first, of equal ones the lower loss; then what failed, was stopped or waits."""
        by_merit = sorted(self.rows, key=lambda row: row.merit, reverse=True)
        return sorted(by_merit, key=lambda row: STATES.index(row.state))

    @cached_property
    def groups(self) -> list[SettingGroup]:
        """The rows by settings other than seed, fold and split, in the order of the plan."""
        found: dict[str, list[SweepRun]] = {}
        for row in self.rows:
            found.setdefault(repr(_chosen(row.settings)), []).append(row)
        return [self._group(rows) for rows in found.values()]

    @property
    def repeats(self) -> str:
        """What makes the runs of one setting differ: 'seed', 'fold' or 'split', 'run' where several do; '' if none."""
        words = [word for key, word in REPEATS.items() if key in self.plan.fields]
        return words[0] if len(words) == 1 else "run" if words else ""

    @cached_property
    def pooled(self) -> PooledFolds | None:
        """All folds of a cross-validation together; None for other sweeps, and before the last fold has finished."""
        if list(self.plan.fields) != ["data.fold"] or self.plan.search or len(self.rows) < 2:
            return None
        data = self.plan.build(self.rows[0].settings).data
        if sorted(row.settings["data.fold"] for row in self.rows if row.scores) != list(range(data.folds)):
            return None
        try:
            return pool([self.folder / row.name for row in self.rows])
        except MissingError:  # of a run whose predictions were taken away
            return None

    @property
    def best_group(self) -> SettingGroup | None:
        """The settings of the highest mean accuracy, of equal ones of the best run; None before a run has finished."""
        scored = [group for group in self.groups if group.mean is not None]
        return max(scored, key=lambda group: (group.mean, max(row.merit for row in group.rows)), default=None)

    @property
    def best(self) -> SweepRun | None:
        """The best run of the best settings."""
        group = self.best_group
        return max(group.rows, key=lambda row: row.merit) if group else None

    @property
    def tied(self) -> list[SettingGroup]:
        """The other settings whose mean accuracy is that of the best."""
        best = self.best_group
        return [group for group in self.groups if best and group is not best and group.mean == best.mean]

    @property
    def warning(self) -> str:
        """What is to be said where not even the best run beats always giving the commonest answer; else ''."""
        return warning(self.best.scores) if self.best and self.best.scores else ""

    def count(self, state: State) -> int:
        """How many runs are in a state."""
        return sum(row.state == state for row in self.rows)

    def heat_map(self) -> tuple[list[Any], list[Any], dict[tuple[int, int], SettingGroup]] | None:
        """Values of the first field, of the second, and the group of each pair of positions.

        None unless a grid sweeps exactly two fields beside seed, fold and split.
        """
        lists = list(_chosen(self.plan.fields).items())
        if len(lists) != 2 or self.plan.pairs or self.plan.search:
            return None
        (first, rows), (second, columns) = lists
        assert not isinstance(rows, Range)
        assert not isinstance(columns, Range)
        cells = {
            (rows.index(group.settings[first]), columns.index(group.settings[second])): group for group in self.groups
        }
        return rows, columns, cells

    def write_csv(self, path: Path) -> None:
        """The ranked rows as a table."""
        rows = [row.to_dict() for row in self.ranked]
        with written_whole(path) as file:
            writer = csv.DictWriter(file, list(rows[0]) if rows else ["run"])
            writer.writeheader()
            writer.writerows(
                {key: cell(each) if isinstance(each, str) else each for key, each in row.items()} for row in rows
            )

    def _group(self, rows: list[SweepRun]) -> SettingGroup:
        settings = _chosen(rows[0].settings)
        scored = [row.accuracy for row in rows if row.accuracy is not None]
        return SettingGroup(
            label=self.plan.label(settings) or self.plan.recipe or "this recipe",
            settings=settings,
            rows=rows,
            mean=statistics.mean(scored) if scored else None,
            std=statistics.stdev(scored) if len(scored) > 1 else None,
        )


def _chosen(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those among which there is a best one to choose."""
    return {key: value for key, value in settings.items() if key not in REPEATS}


def read_table(
    plan: Plan,
    folder: Path,
    trials: list[Trial],
    problems: Mapping[str, str],
    total: int,
    pruned: Collection[str] = (),
) -> SweepTable:
    """What the runs of a sweep have left in its folder by now. pruned: names of those that were given up."""
    rows = [_row(folder / trial.name, trial, problems) for trial in trials]
    marked = [replace(row, state="pruned") if row.name in pruned else row for row in rows]
    return SweepTable(plan, folder, marked, total)


def _row(path: Path, trial: Trial, problems: Mapping[str, str]) -> SweepRun:
    problem = problems.get(trial.name, "")
    if not is_run(path):
        return SweepRun(trial.name, trial.label, trial.settings, "failed" if problem else "waiting", problem)
    run = RunFolder.open(path)
    scores = scores_of(run)
    state: State = "failed" if problem else "finished" if scores else "stopped"
    columns = ("epoch", "seconds", "val_accuracy", "val_loss")
    curve = {key: run.history[key] for key in columns if key in run.history}
    seconds = next((time for time in reversed(curve.get("seconds", [])) if math.isfinite(time)), None)
    return SweepRun(trial.name, trial.label, trial.settings, state, problem, scores, seconds, curve)
