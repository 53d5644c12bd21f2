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


class Search:
    """A study that maximises validation accuracy, kept in FOLDER/optuna.log.

    The sampler is seeded anew for each run, with the recipe's seed plus the run's number: a search that was
    stopped proposes what it would have proposed without the stop.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.seed = plan.build(plan.probes()[0]).seed
        folder.mkdir(parents=True, exist_ok=True)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.log = str(folder / "optuna.log")
        lock = JournalFileOpenLock(self.log)  # a file: the default, a link, needs rights that Windows keeps back
        with self._reading():
            storage = JournalStorage(JournalFileBackend(self.log, lock_obj=lock))
            self.study = optuna.create_study(
                storage=storage, study_name="sweep", direction="maximize", load_if_exists=True
            )

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

    def tell(self, trial: Trial, accuracy: float | None) -> None:
        """The validation accuracy (0..1) of a run that has finished; None for one that failed."""
        number = int(trial.name.partition(",")[0]) - 1
        if accuracy is None:
            self.study.tell(number, state=TrialState.FAIL)
        else:
            self.study.tell(number, accuracy)

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


def _distribution(values: list[Any] | Range) -> BaseDistribution:
    if not isinstance(values, Range):
        return CategoricalDistribution([json.dumps(value) for value in values])  # Optuna keeps no lists
    if isinstance(values.low, int) and isinstance(values.high, int):
        return IntDistribution(values.low, values.high, log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)
