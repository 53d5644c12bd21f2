"""A run whose processes torchrun or srun starts, on one machine or several."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from mien.config import Recipe
from mien.errors import UsageError
from mien.progress import LOGGER
from mien.runs import read_recipe
from mien.runs.processes import is_first_process, launched
from mien.runs.writing import refuse_used


def shared(recipe: Recipe, *, goes_on: bool = False) -> Recipe:
    """The recipe with as many processes as were started; with its own where it starts them itself.

    goes_on: it may have begun with other processes. Raises UsageError where the recipe wants other ones, or a batch
    cannot be shared among them.
    """
    found = launched()
    if found is None or found.processes == recipe.train.processes:
        return recipe
    if recipe.train.processes != 1 and not goes_on:
        raise UsageError(
            f"{found.launcher} started {found.processes} processes, and `train.processes` is {recipe.train.processes}. "
            "Leave that setting out: the launcher decides."
        )
    return recipe.with_(train={"processes": found.processes})


def quiet_others() -> None:
    """Of several processes the first one speaks; the others say errors alone."""
    if not is_first_process():
        LOGGER.setLevel(logging.ERROR)


def place(recipe: Recipe, out: Path | None, overwrite: bool) -> Path | None:
    """The run folder, which all processes know and which stays the same when they are started again.

    None where neither `out` nor a name of the job says it. Raises UsageError where it is to be overwritten: a start
    after a failure would delete what there is.
    """
    found = launched()
    if overwrite and found:
        raise UsageError(
            f"`overwrite` and {found.launcher}: each time it starts the processes again, they would begin anew. Delete "
            "the folder yourself, or choose another `out`."
        )
    if out is None and found and found.name:
        return Path("runs") / re.sub(r"[^\w.-]", "-", f"{recipe.name}-{found.name}-{recipe.seed}")
    return out


def refuse_other(folder: Path, recipe: Recipe) -> None:
    """Raise UsageError where another recipe was begun in a folder."""
    if read_recipe(folder) != recipe:
        refuse_used(folder, False)
