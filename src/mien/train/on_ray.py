"""The runs of a sweep as tasks of Ray: one task a run, as many at once as there is room for."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import torch

from mien import config, plugins
from mien.cluster import address_of, connected
from mien.config.sweep_plan import Plan, Trial
from mien.locks import lock
from mien.progress import note
from mien.train.sweep import Outcome, Sweep, accuracy, source_of, train

RETRIES = 3  # how often Ray starts a run again whose process has ended
PATIENCE = 60.0  # seconds until what another machine wrote must be seen here, and a process that was killed be gone


def run_all(sweep: Sweep, on: str) -> Iterator[Trial]:
    """Train every run of a sweep that has not finished; yields each once it has finished or failed.

    on: 'ray' or 'ray:ADDRESS', see `mien.cluster`. Each run takes a core, and a GPU where the cluster has any and its
    recipe does not say 'cpu'; Ray knows when there is room. Folder and data lie where every machine finds them under
    the same path. A run whose process ends goes on in another one. What is training when this ends, by Ctrl-C say, is
    stopped, and goes on when the sweep does.
    """
    with connected(address_of(on)):
        running: dict[Any, Trial] = {}
        try:
            for trial in sweep.unfinished():
                if sweep.is_finished(trial):
                    yield trial
                    continue
                sweep.announce(trial)
                running[_begun(sweep, trial)] = trial
                while len(running) >= _room(sweep.plan.build(trial.settings).device):
                    yield _over(sweep, running)
            while running:
                yield _over(sweep, running)
        finally:
            _stop(list(running))


def _room(device: str) -> int:
    """How many runs Ray may have at once; clusters grow and shrink. device: where they train, 'cpu' say."""
    there = ray.cluster_resources()
    return max(1, int((device != "cpu" and there.get("GPU")) or there.get("CPU", 1)))


def _begun(sweep: Sweep, trial: Trial) -> Any:
    """The task of a run."""
    recipe = sweep.plan.build(trial.settings)
    gpus = 1 if recipe.device != "cpu" and ray.cluster_resources().get("GPU") else 0
    task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)(_train_there)
    return task.remote(sweep.plan, sweep.folder.absolute(), trial, config.code_of(recipe), os.getcwd())


def _over(sweep: Sweep, running: dict[Any, Trial]) -> Trial:
    """The run that ends first, noted in its sweep."""
    (first, *_), _ = ray.wait(list(running), num_returns=1)
    trial = running.pop(first)
    outcome = _outcome(sweep, trial, first)
    reached = f", accuracy {accuracy(sweep.folder / trial.name):.1%}" if outcome == Outcome() else ""
    note("", f"Over: {trial.label}{reached}")
    sweep.settle(trial, outcome)
    return trial


def _outcome(sweep: Sweep, trial: Trial, task: Any) -> Outcome:
    """What became of a task; raises what it raised, as a sweep without Ray does."""
    try:
        outcome: Outcome = ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        why = str(error).strip().partition("\n")[0].rstrip(".")
        if isinstance(error, ray.exceptions.WorkerCrashedError):
            return Outcome(f"The process that trained it ended, and so did {RETRIES} others after it ({why}).")
        return Outcome(f"Ray could not train it ({why}).")
    if outcome == Outcome() and not _is_seen(sweep, trial):
        return Outcome(f"It was trained on a machine whose {sweep.folder} is not the one here. Choose a shared `out`.")
    return outcome


def _is_seen(sweep: Sweep, trial: Trial) -> bool:
    """Whether the scores of a run are here: network drives show the files of others after some seconds."""
    end = time.monotonic() + PATIENCE
    while not sweep.is_finished(trial):
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True


def _stop(tasks: list[Any]) -> None:
    """End what is training still, and wait until it has let go of its run."""
    for task in tasks:
        ray.cancel(task, force=True)
    if tasks:
        ray.wait(tasks, num_returns=len(tasks), timeout=PATIENCE)


def _train_there(plan: Plan, folder: Path, trial: Trial, code: list[str], start: str) -> Outcome:
    """Train in a process of Ray's, or go on with what is there.

    code: own networks and readers, which the command has allowed. start: the folder in which it was given.
    """
    try:
        os.chdir(start)
    except OSError as error:
        return Outcome(f"{socket.gethostname()} has no {start} ({error.strerror}). Start where every machine has it.")
    torch.set_num_threads(1)  # the core that Ray gave it
    plugins.look_in(start)
    with plugins.allowing(code):
        _wait_until_free(folder / trial.name)
        return train(plan, folder, trial, source_of(plan, folder).watch(trial) if plan.prune else None)


def _wait_until_free(run: Path) -> None:
    """Wait for a process that trains in a run: one whose command was killed takes seconds to end."""
    end = time.monotonic() + PATIENCE
    while run.is_dir() and time.monotonic() < end:
        try:
            handle = lock(run)
        except BlockingIOError:
            time.sleep(0.5)
            continue
        if handle is not None:
            os.close(handle)
        return
