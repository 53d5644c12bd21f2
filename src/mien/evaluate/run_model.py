"""The network that a run keeps, read back."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from mien import config
from mien.errors import UsageError
from mien.preprocessing import Preprocessing
from mien.pretrained.own import from_run


def refuse_headless(run: Path) -> None:
    """Raise UsageError when a run was pretrained without labels, and so answers nothing."""
    if (run / "recipe.yaml").is_file() and not (pretrain := config.read_recipe(run).pretrain).is_off():
        raise UsageError(
            f"{run} was pretrained without labels (pretrain.method {pretrain.method}): it has no head and names no "
            f"classes yet. Train it on labelled images first: mien run RECIPE --model.init {run}"
        )


def load_model(run: Path) -> tuple[nn.Module, tuple[str, ...], Preprocessing]:
    """A run's model in eval mode, its labels and its preprocessing.

    Raises MissingError when the run has no model yet, UsageError when it has no head, DataError when a file is damaged.
    """
    refuse_headless(run)
    found = from_run(run)
    return found.model, found.labels, found.preprocessing
