"""More epochs on a run: it goes on from its last weights and optimizer, the schedule stretched to the new length."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from mien import config
from mien.config import Recipe
from mien.errors import MissingError, UsageError
from mien.progress import note
from mien.runs import layout
from mien.runs.folder import read_env
from mien.runs.history import read_epochs
from mien.runs.records import Extension
from mien.runs.writing import discard_results, write_env, write_recipe
from mien.train.checkpoints import whole_checkpoint


def lengthen(folder: Path, recipe: Recipe, epochs: int) -> Recipe:
    """The recipe of a run with more epochs; the run is unfinished from then on, and `resume` goes on with it.

    Its scores, predictions and pages are removed, as they are of the network of before; an export is put aside. Killed
    in between, the run is the one of before, or an unfinished one. Raises UsageError where it has as many epochs
    already, or is an average.
    """
    known, done = read_env(folder), len(read_epochs(folder))
    if known.average:
        raise UsageError(f"{folder} is an average of runs: there is nothing to train. Train its runs on.")
    if epochs <= done:
        raise UsageError(f"{folder} has trained {done} epochs already. Give more, such as `train.epochs` {2 * done}.")
    begun = whole_checkpoint(layout.last_checkpoint(folder)) is not None  # maybe within the first epoch
    if done and not begun:
        raise MissingError(
            f"{folder} has no {layout.CHECKPOINTS}/{layout.LAST} to go on from. Start another run from its network: "
            f"`model.init` {folder}."
        )
    longer = longer_recipe(folder, recipe, epochs)
    if begun:
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        before = tuple(part for part in known.extensions if part.epochs <= recipe.train.epochs)
        part = Extension(after=done, epochs=epochs, date=now)
        write_env(folder, replace(known, extensions=(*before, part)))
    put_aside = discard_results(folder, f"model-{done}-epochs.onnx")
    if put_aside:
        note(f"The export of the network of before is {put_aside} now.")
    write_recipe(folder, longer)
    return longer


def longer_recipe(folder: Path, recipe: Recipe, epochs: int) -> Recipe:
    """The same recipe with more epochs."""
    return config.build(config.merge(recipe.model_dump(), {"train": {"epochs": epochs}}))


def is_stretched(folder: Path, recipe: Recipe) -> bool:
    """Whether what comes next is the first epoch after the run was given more of them."""
    parts = read_env(folder).extensions
    return bool(parts) and parts[-1].epochs == recipe.train.epochs and parts[-1].after == len(read_epochs(folder))
