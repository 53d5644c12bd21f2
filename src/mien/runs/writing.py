"""A run folder, made and filled: each file whole or not at all."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mien import config
from mien.atomic import write_json, written_whole
from mien.config import Recipe
from mien.errors import MienError, UsageError
from mien.runs import layout
from mien.runs.folder import is_run, read_record
from mien.runs.predictions import Predictions
from mien.runs.records import ChangeScore, Env, Scores, to_dict

FOLDER_VARIABLE = "MIEN_RUN_FOLDER"  # tells the processes of one run where rank 0 writes


def is_first_process() -> bool:
    """Of the processes that share a run, the first one makes the folder, evaluates and reports."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


def new_folder(recipe: Recipe, out: Path | None, overwrite: bool) -> Path:
    """`out`, or runs/RECIPE-DATE-SEED, with the recipe in it; only the first process makes it."""
    if not is_first_process():
        return Path(os.environ.get(FOLDER_VARIABLE) or out or ".")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = out or Path("runs") / f"{recipe.name}-{stamp}-{recipe.seed}"
    if refuse_used(folder, overwrite):
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(folder / layout.RECIPE) as file:
            file.write(config.dump(recipe))
    except OSError as error:
        raise MienError(f"Cannot write to {folder}: {error.strerror}. Choose another place with `out`.") from error
    os.environ[FOLDER_VARIABLE] = str(folder)
    return folder


def refuse_used(folder: Path, overwrite: bool) -> bool:
    """Whether the folder holds a run that is to be overwritten; raises UsageError for one that must not be."""
    if not folder.is_file() and not (folder.exists() and any(folder.iterdir())):
        return False
    if overwrite and not is_run(folder):
        raise UsageError(f"{folder} is no run folder, so `overwrite` leaves it alone. Choose another `out`.")
    if not overwrite:
        raise UsageError(
            f"{folder} exists. Choose another `out`, or `overwrite` it; a run goes on with "
            f"`mien.resume({str(folder)!r})`."
        )
    return True


def write_env(run: Path, env: Env) -> None:
    """Write what a run notes of its environment."""
    write_json(run / layout.ENV, to_dict(env))


def write_scores(run: Path, split: str, scores: Scores, predictions: Predictions, *, csv: bool = False) -> None:
    """Write the predictions of a split and, last, its scores, which say that the split was evaluated.

    csv: the predictions also as a table. One that is there already, from an older version say, is kept in step.
    """
    table = layout.predictions(run, split, ".csv")
    if csv or table.is_file():
        predictions.save(table)
    predictions.save(layout.predictions(run, split))
    _add(run, layout.SCORES, {split: to_dict(scores)})


def write_robustness(run: Path, split: str, rows: Sequence[ChangeScore]) -> None:
    """Write the accuracies on a split's changed images."""
    _add(run, layout.ROBUSTNESS, {split: [to_dict(row) for row in rows]})


def note_test_reading(run: Path) -> None:
    """Add the present date to those of every reading of the test split."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    write_test_reads(run, [*read_record(run, layout.TEST_READS, []), now])


def write_test_reads(run: Path, dates: Sequence[str]) -> None:
    """Write the dates of every reading of the test split."""
    write_json(run / layout.TEST_READS, list(dates))


def _add(run: Path, name: str, values: Mapping[str, Any]) -> None:
    write_json(run / name, read_record(run, name, {}) | dict(values))
