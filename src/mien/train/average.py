"""The mean of several runs' weights, as a run of its own.

Runs that went on from the same trained weights often lie in one valley of the loss, where their mean may do better than
each (model soups, arXiv 2203.05482); the mean of a network and of what fine-tuning made of it keeps what either is good
at (WiSE-FT, arXiv 2109.01903). It costs no more at prediction than one of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mien import hardware
from mien.data import Store
from mien.errors import UsageError
from mien.evaluate.metrics import scores_of
from mien.evaluate.split import evaluate
from mien.models import sizes_of
from mien.pretrained.own import Classifier, from_run
from mien.runs import Env, RunFolder
from mien.runs.data import moved, note_images, open_data
from mien.runs.folder import read_recipe, refuse_headless
from mien.runs.records import AveragedRun, Cost
from mien.runs.writing import filling, refuse_used, release, write_env, write_test_reads
from mien.train.build import save_model

# What an average shares with the runs it is made of.
SHARED = ("seed", "classes", "parameters", "flops", "ln_classes", "prior_entropy", "store")
WORSE = (
    "The average does worse than each of its runs: their weights do not fit. Average runs that began from the same run."
)


def average(
    runs: Sequence[Path], out: Path | None = None, shares: Sequence[float] = (), *, overwrite: bool = False
) -> Path:
    """Write the run whose weights are the mean of others', scored on their validation images; returns its folder.

    shares: how much each run counts, of any sum; all alike if not given. The recipe is the first run's.
    Raises UsageError for fewer than two runs, runs of different models, classes or images, and shares that do not fit.
    """
    folders = [RunFolder.open(run) for run in runs]
    counts = _normalized(shares, len(runs))
    _refuse_same_folders(runs, out)
    if out:
        refuse_used(out, overwrite)
    for run in runs:
        refuse_headless(run)
    networks = [from_run(run) for run in runs]
    _refuse_other_models(folders, networks)
    first, taught = folders[0], _together([teacher for folder in folders for teacher in folder.recipe.distill.teachers])
    own = {"name": f"{first.recipe.name}_average", "distill": {"teachers": taught}}
    recipe = first.recipe.with_(**own)
    recipe = moved(recipe)
    store = open_data(first.path, recipe)
    _refuse_other_splits(folders, store)
    if not store.has("validation"):
        raise UsageError(
            f"{first.path} was trained on all images, and none are left to score an average on. Average runs that held "
            "some out."
        )
    model = networks[0].model
    model.load_state_dict(mean([network.model.state_dict() for network in networks], counts))
    env = _environment(folders, counts)
    # All of it in a draft: of half an average nothing could be resumed.
    with filling(recipe, out, overwrite) as filled:
        _fill(filled.folder, env, folders, model, store)
    release(filled.place)
    return filled.place


def _fill(folder: Path, env: Env, parts: Sequence[RunFolder], model: nn.Module, store: Store) -> None:
    write_env(folder, env)
    note_images(folder, store)
    if reads := sorted({date for one in parts for date in one.test_reads}):
        write_test_reads(folder, reads)  # made of runs whose figures on test are known
    save_model(folder, model, read_recipe(folder), store)
    scores = evaluate(folder, model=model, store=store)
    if scores.accuracy < min((part.accuracy for part in env.average if part.accuracy), default=0):
        write_env(folder, replace(env, warnings=(*env.warnings, WORSE)))


def mean(states: Sequence[dict[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """The weighted mean of state dicts of equal keys and shapes; what is counted (int64) is the first one's.

    The statistics of batch norm are averaged too: estimated anew on plain images they did worse
    (log/2026-11-21-averaged-weights-reach-66.9.md).
    """
    found = dict(states[0])
    for key, first in found.items():
        if first.is_floating_point():
            stacked = torch.stack([state[key] for state in states])
            found[key] = torch.tensordot(stacked.new_tensor(shares), stacked, dims=1)  # (n), (n, ...) -> (...)
    return found


def _normalized(shares: Sequence[float], runs: int) -> list[float]:
    """Shares that add up to 1."""
    if runs < 2:
        raise UsageError("An average needs two or more runs")
    shares = list(shares) or [1.0] * runs
    if len(shares) != runs or not all(0 < share < math.inf for share in shares):
        raise UsageError(f"`shares`: one number above 0 for each of the {runs} runs, given {len(shares)}: {shares}.")
    return [share / sum(shares) for share in shares]


def _refuse_same_folders(runs: Sequence[Path], out: Path | None) -> None:
    folder, times = Counter(run.resolve() for run in runs).most_common(1)[0]
    if times > 1:
        raise UsageError(f"{folder} is given {times} times. Name each run once; `shares` says how much it counts.")
    if out and out.resolve() in {run.resolve() for run in runs}:
        raise UsageError(f"`out` {out} is one of the runs to average. Choose another `out`.")


def _refuse_other_splits(folders: Sequence[RunFolder], store: Store) -> None:
    """An average of runs with different splits would be scored on images that one of them learned from."""
    prints = [folder.env.store.fingerprint for folder in folders]
    for folder, found in zip(folders, prints, strict=True):
        if found != prints[0] and not store.matches(found or ""):
            raise UsageError(
                f"{folder.path} was trained on other images than {folders[0].path}, or on another split of them. "
                "Average runs of the same data: same settings of data, same share held out."
            )


def _refuse_other_models(folders: Sequence[RunFolder], networks: Sequence[Classifier]) -> None:
    first = _identity(networks[0])
    for folder, network in zip(folders, networks, strict=True):
        own = _identity(network)
        key = next((key for key in first | own if first.get(key) != own.get(key)), None)
        if key:
            raise UsageError(
                f"{folder.path} cannot be averaged with {folders[0].path}: {key} is {own.get(key)}, not "
                f"{first.get(key)}. Average runs of one model that went on from the same weights (`model.init`)."
            )


def _identity(network: Classifier) -> dict[str, Any]:
    """What must be equal for weights to mean the same; rates of dropping and first weights are of training alone."""
    declared = sizes_of(network.name).model_fields
    defaults = {name: field.default for name, field in declared.items() if not field.is_required()}
    sizes = {k: size for k, size in (defaults | network.sizes).items() if k != "init" and not k.endswith("_rate")}
    return {"model": network.name, "labels": network.labels} | sizes | network.preprocessing.to_dict()


def _environment(folders: Sequence[RunFolder], shares: Sequence[float]) -> Env:
    """Of what it was made; hardware, seconds, epochs and warnings are those of its runs together.

    A run that is in it twice, such as in an average of averages, was trained once.
    """
    trainings = {name: cost for folder in folders for name, cost in _trainings(folder).items()}
    seconds = round(sum(cost.seconds for cost in trainings.values()), 2)
    epochs = sum(cost.epochs for cost in trainings.values())
    parts = tuple(_part(folder, share) for folder, share in zip(folders, shares, strict=True))
    started = datetime.now().astimezone().isoformat(timespec="seconds")
    shared = {key: getattr(folders[0].env, key) for key in SHARED}
    trained = {
        key: ", ".join(_together([getattr(folder.env, key) or "unknown" for folder in folders]))
        for key in ("hardware", "device", "precision")
    }
    known = _together([f"{folder.path}: {text}" for folder in folders for text in folder.env.warnings])
    own = {"started": started, "warnings": tuple(known), "average": parts, "trainings": trainings}
    return Env(**{**hardware.environment(), **shared, **trained, **own}, seconds=seconds, epochs=epochs)


def _trainings(folder: RunFolder) -> dict[str, Cost]:
    """Folder -> seconds and epochs of each training behind a run: its own, or those of what it is an average of."""
    env = folder.env
    own = Cost(seconds=env.seconds or 0, epochs=env.epochs or 0)
    return env.trainings or {str(folder.path.resolve()): own}


def _together(values: Sequence[str]) -> list[str]:
    """Each value once, in the order of its first appearance."""
    return list(dict.fromkeys(values))


def _part(folder: RunFolder, share: float) -> AveragedRun:
    scores = scores_of(folder)
    return AveragedRun(
        run=str(folder.path),
        recipe=folder.recipe.name,
        share=round(share, 4),
        accuracy=scores.accuracy if scores else None,
    )
