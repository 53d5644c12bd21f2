"""The network that a run keeps, read back."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from mien.preprocessing import Preprocessing
from mien.pretrained.own import from_run
from mien.runs.folder import refuse_headless


def load_model(run: Path) -> tuple[nn.Module, tuple[str, ...], Preprocessing]:
    """A run's model in eval mode, its labels and its preprocessing.

    Raises MissingError when the run has no model yet, UsageError when it has no head, DataError when a file is damaged.
    """
    refuse_headless(run)
    found = from_run(run)
    return found.model, found.labels, found.preprocessing
