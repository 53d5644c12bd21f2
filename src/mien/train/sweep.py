"""A plan and a folder -> its runs, one after the other; a sweep that was stopped goes on where it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from mien.atomic import read_json, write_json
from mien.config import Recipe
from mien.config.sweep_plan import Plan, Trial, is_sweep, refuse_changed
from mien.data import open_store
from mien.errors import MienError, UsageError
from mien.progress import note
from mien.runs import is_finished, is_run, layout
from mien.runs.folder import read_scores
from mien.train import build, freeze
from mien.train import run as training
from mien.train.callbacks import PrunedError, Watch


@dataclass(frozen=True)
class Outcome:
    """What became of a run. problem: why it failed, or ''. given_up: after which epoch, None if it was not."""

    problem: str = ""
    given_up: int | None = None


class Source(Protocol):
    """Where the next run comes from: a grid knows them all, a search proposes each after the one before."""

    @property
    def trials(self) -> list[Trial]: ...
    @property
    def pruned(self) -> set[str]: ...
    def __iter__(self) -> Iterator[Trial]: ...
    def watch(self, trial: Trial) -> Watch | None: ...
    def drop(self, trial: Trial) -> None: ...
    def tell(self, trial: Trial, accuracy: float | None) -> None: ...


class Grid:
    """All runs of a plan, in its order; none is given up."""

    def __init__(self, plan: Plan) -> None:
        self.trials = plan.trials()
        self.pruned: set[str] = set()

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials)

    def watch(self, trial: Trial) -> None:
        """Nobody watches."""

    def drop(self, trial: Trial) -> None:
        """Never called."""

    def tell(self, trial: Trial, accuracy: float | None) -> None:
        """A grid learns nothing from its runs."""


class Sweep:
    """The runs of a plan in one folder. problems: what went wrong, by the names of the runs that failed."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.folder = folder
        self.source = source_of(plan, folder)
        self.problems: dict[str, str] = read_json(folder / "failed.json", {}, "Delete it, then resume the sweep.")

    @property
    def trials(self) -> list[Trial]:
        """Every run that is known by now, in order."""
        return self.source.trials

    @property
    def total(self) -> int:
        """How many runs there are to be."""
        return self.plan.search or len(self.trials)

    def run(self, on: str | None = None) -> Iterator[Trial]:
        """Train every run that has not finished; yields each once it has finished or failed.

        A run that fails is noted in `problems`, and the others go on. One that was killed before its page was written
        is yielded too. on: 'ray' or 'ray:ADDRESS' trains several at once, see `mien.train.on_ray`.
        """
        if on is None:
            yield from map(self._trained, self.unfinished())
        else:
            from mien.train.on_ray import run_all

            yield from run_all(self, on)

    def unfinished(self) -> Iterator[Trial]:
        """The runs that are to be trained, each when it is asked for, and those that lack but their page."""
        done = sum(map(self.is_finished, self.trials))
        if done:
            note(f"{done} of {self.total} runs have finished already.")
        for trial in self.source:
            if not self.is_finished(trial):
                yield trial
                continue
            self.source.tell(trial, accuracy(self.folder / trial.name))
            if not (self.folder / trial.name / layout.REPORT).is_file():
                yield trial

    def is_finished(self, trial: Trial) -> bool:
        """Whether a run has its scores."""
        return is_finished(self.folder / trial.name)

    def announce(self, trial: Trial) -> None:
        """Say which run begins."""
        note("", f"Run {self.trials.index(trial) + 1} of {self.total}: {trial.label}")

    def _trained(self, trial: Trial) -> Trial:
        if not self.is_finished(trial):
            self.announce(trial)
            self.settle(trial, train(self.plan, self.folder, trial, self.source.watch(trial)))
        return trial

    def settle(self, trial: Trial, outcome: Outcome) -> None:
        """Note what became of a run."""
        self.problems.pop(trial.name, None)
        if outcome.given_up is not None:
            note(f"Given up after epoch {outcome.given_up}: most runs were better by then.")
            self.source.drop(trial)
            return
        if outcome.problem:
            self.problems[trial.name] = outcome.problem
            note(f"This run failed: {outcome.problem}")
        self.source.tell(trial, None if outcome.problem else accuracy(self.folder / trial.name))
        if self.problems:
            write_json(self.folder / "failed.json", self.problems)
        else:
            (self.folder / "failed.json").unlink(missing_ok=True)


def train(plan: Plan, folder: Path, trial: Trial, watch: Watch | None) -> Outcome:
    """Train a run of a sweep, or go on with it where it was stopped."""
    run = folder / trial.name
    how: dict[str, Any] = {"watch": watch} if watch else {}
    try:
        if is_run(run):
            training.resume(run, **how)
        else:
            training.run(plan.build(trial.settings), run, **how)
    except PrunedError as pruned:
        return Outcome(given_up=pruned.epoch)
    except MienError as error:
        return Outcome(str(error))
    except RuntimeError as error:  # torch's for a device that is full, CPU and MPS too
        if "memory" not in str(error):
            raise
        return Outcome("The device ran out of memory. Try a smaller `train.batch_size`.")
    return Outcome()


def start(plan: Plan, folder: Path) -> Sweep:
    """The sweep of a plan in `folder`, new or begun before.

    Raises UsageError when the folder holds something else, or a model that cannot be built is among the runs.
    """
    if is_sweep(folder):
        refuse_changed(folder, plan)
    elif folder.is_file() or (folder.exists() and any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not a sweep. Choose another `out`.")
    if plan.search:
        import_module("mien.train.search")  # a missing Optuna is said before the data is read
    check(plan)
    sweep = Sweep(plan, folder)
    plan.save(folder)
    return sweep


def check(plan: Plan) -> None:
    """Build every kind of model of a plan on its data, so that a wrong size is known before anything trains."""
    seen: set[Any] = set()
    for settings in plan.probes():
        recipe = plan.build(settings)
        _refuse_processes(recipe)
        _refuse_pretraining(recipe)
        when = (recipe.train.trainable, recipe.train.last_blocks, str(recipe.train.unfreeze), recipe.train.epochs)
        kind = (recipe.data, recipe.model, recipe.augment.crop, recipe.train.layer_decay, when)
        if kind in seen:
            continue
        seen.add(kind)
        try:
            checkpoint = build.read_checkpoint(recipe)
            recipe = build.with_sizes_of(checkpoint, recipe)
            freeze.check(build.build_model(recipe, open_store(recipe.data), checkpoint), recipe)
        except UsageError as error:
            raise UsageError(f"{plan.label(settings)}: {error}") from error


def accuracy(run: Path) -> float:
    """The validation accuracy of a finished run, 0..1."""
    return read_scores(run)["validation"].accuracy


def source_of(plan: Plan, folder: Path) -> Source:
    """Where the runs of a plan come from."""
    if not plan.search:
        return Grid(plan)
    from mien.train.search import Search

    return Search(plan, folder)


def _refuse_processes(recipe: Recipe) -> None:
    # The processes of a run are started with the sweep's own command line and would each make a sweep.
    if recipe.train.processes > 1:
        raise UsageError(
            f"train.processes {recipe.train.processes}: the runs of a sweep take one process each. Leave it at 1, or "
            "start the runs one by one."
        )


def _refuse_pretraining(recipe: Recipe) -> None:
    if recipe.learns == "patches":
        raise UsageError(
            f"pretrain.method {recipe.pretrain.method}: a sweep ranks its runs by accuracy, and pretraining has none. "
            "Pretrain in a run of its own, then sweep the runs that start from it (`model.init`)."
        )
