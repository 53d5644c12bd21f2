"""A run's checkpoints: written whole, the one before kept, a damaged one never taken for whole."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from mien.atomic import is_whole_zip, put, share
from mien.drafts import draft
from mien.errors import DataError
from mien.progress import warn
from mien.runs import layout


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are there whole or not at all, the one before beside them: lightning writes them in place."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint beside its place, then put it there. Raises OSError when it cannot."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft(path.parent) as beside:
            torch.save(checkpoint, beside)
            share(beside)
            with suppress(FileNotFoundError):
                os.replace(path, layout.checkpoint_before(path))
            put(beside, path)


def whole_checkpoint(path: Path) -> Path | None:
    """A checkpoint, or the one before it where it is damaged, which is said; None before the first epoch has ended.

    Raises DataError where both are damaged.
    """
    there = [each for each in (path, layout.checkpoint_before(path)) if each.is_file()]
    whole = next((each for each in there if _is_whole(each)), None)
    if there and whole is None:
        raise DataError(
            f"{path} is damaged, and so is the checkpoint before it. What was trained is lost: start the run anew with "
            "`overwrite`."
        )
    if there and whole != there[0]:
        warn(f"{path} is damaged; the checkpoint before it, of an earlier epoch, takes its place.")
    return whole


def _is_whole(path: Path) -> bool:
    """Whether every part matches its checksum, and torch finds them: zipfile forgives more of a zip than it does."""
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # of damaged bytes torch raises whatever its parts do
        return False
    return is_whole_zip(path)


def discard_earlier(folder: Path) -> None:
    """Remove the checkpoints before the last ones from a run that has finished: its model is written."""
    for name in (layout.BEST, layout.LAST):
        layout.checkpoint_before(folder / layout.CHECKPOINTS / name).unlink(missing_ok=True)
