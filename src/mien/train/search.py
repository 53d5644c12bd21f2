"""Settings proposed one after the other by Optuna's TPE, each in the light of the runs before.

Bergstra et al. (2011), Algorithms for Hyper-Parameter Optimization. Needs the `tune` extra.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState

from mien.config.sweep_plan import Plan, Range, Settings, Trial
from mien.errors import DataError
from mien.train.callbacks import Watch


class Search:
    """A study that maximises validation accuracy, kept in FOLDER/optuna.log.

    The sampler is seeded anew for each run, with the recipe's seed plus the run's number: a search that was
    stopped proposes what it would have proposed without the stop.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        first = plan.build(plan.probes()[0])
        self.seed = first.seed
        folder.mkdir(parents=True, exist_ok=True)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.log = str(folder / "optuna.log")
        lock = JournalFileOpenLock(self.log)  # a file: the default, a link, needs rights that Windows keeps back
        with self._reading():
            storage = JournalStorage(JournalFileBackend(self.log, lock_obj=lock))
            self.study = optuna.create_study(
                storage=storage, study_name="sweep", direction="maximize", load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=first.train.epochs // 4 + 1),
            )  # fmt: skip

    @property
    def trials(self) -> list[Trial]:
        """Every run proposed so far."""
        with self._reading():
            return [self._trial(known.number, known.params) for known in self.study.get_trials(deepcopy=False)]

    def __iter__(self) -> Iterator[Trial]:
        """Runs that were stopped, then new ones until there are enough; failed ones count and are not repeated."""
        stopped = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        yield from [self._trial(known.number, known.params) for known in stopped]
        for number in range(len(self.study.get_trials(deepcopy=False)), self.plan.search):
            self.study.sampler = optuna.samplers.TPESampler(seed=self.seed + number)
            asked = self.study.ask({key: _distribution(values) for key, values in self.plan.fields.items()})
            yield self._trial(asked.number, asked.params)

    @property
    def pruned(self) -> set[str]:
        """Names of the runs that were given up."""
        known = self.study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
        return {self._trial(each.number, each.params).name for each in known}

    def watch(self, trial: Trial) -> Watch | None:
        """What hears of the accuracy of each epoch of a run and says whether to give it up; None without pruning.

        Given up is a run whose best accuracy so far is below the median of what the others had reached by that epoch;
        not among the first five, and not in the first quarter of its epochs.
        """
        if not self.plan.prune:
            return None
        known = self.study.get_trials(deepcopy=False)[_number(trial)]
        begun = optuna.trial.Trial(self.study, known._trial_id)

        def watch(epoch: int, accuracy: float) -> bool:
            if epoch not in begun.storage.get_trial(known._trial_id).intermediate_values:  # else it was resumed
                begun.report(accuracy, epoch)
            return begun.should_prune()

        return watch

    def drop(self, trial: Trial) -> None:
        """A run was given up."""
        self.study.tell(_number(trial), state=TrialState.PRUNED)

    def tell(self, trial: Trial, accuracy: float | None) -> None:
        """The validation accuracy (0..1) of a run that has finished; None for one that failed."""
        if accuracy is None:
            self.study.tell(_number(trial), state=TrialState.FAIL)
        else:
            self.study.tell(_number(trial), accuracy)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Raise DataError for a log that Optuna cannot make sense of."""
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError) as error:
            raise DataError(
                f"{self.log} is damaged ({type(error).__name__}: {error}). Start the sweep again in another folder."
            ) from error

    def _trial(self, number: int, params: dict[str, Any]) -> Trial:
        settings: Settings = {key: self._value(key, values, params) for key, values in self.plan.fields.items()}
        made = self.plan.named([settings])[0]
        return Trial(f"{number + 1:03},{made.name}", made.label, settings)  # numbered: two runs may look alike

    def _value(self, key: str, values: list[Any] | Range, params: dict[str, Any]) -> Any:
        """What the log proposes for a field. Raises DataError where the plan does not: the log is a file, too."""
        with suppress(KeyError, TypeError, ValueError):
            value = params[key] if isinstance(values, Range) else json.loads(params[key])
            if isinstance(value, int | float) if isinstance(values, Range) else value in values:
                return value
        raise DataError(
            f"{self.log} is not of this sweep: it proposes {key} {params.get(key)}. Start the sweep again in another "
            "folder."
        )


def _number(trial: Trial) -> int:
    return int(trial.name.partition(",")[0]) - 1


def _distribution(values: list[Any] | Range) -> BaseDistribution:
    if not isinstance(values, Range):
        return CategoricalDistribution([json.dumps(value) for value in values])  # Optuna keeps no lists
    if isinstance(values.low, int) and isinstance(values.high, int):
        return IntDistribution(values.low, values.high, log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)
