"""A run folder, made and filled: each file whole or not at all."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mien import config, drafts
from mien.atomic import write_json, written_whole
from mien.config import Recipe
from mien.errors import MienError, UsageError
from mien.locks import lock
from mien.runs import layout, manifest
from mien.runs.folder import is_run, read_record
from mien.runs.predictions import Predictions
from mien.runs.processes import is_first_process
from mien.runs.records import ChangeScore, Env, Scores, to_dict

_held: dict[Path, int] = {}  # folders that this process trains in, and the handles that lock them
FOLDER_VARIABLE = "MIEN_RUN_FOLDER"  # tells the processes of one run where rank 0 writes


def new_folder(recipe: Recipe, out: Path | None, overwrite: bool) -> Path:
    """`out`, or runs/RECIPE-DATE-SEED, with the recipe in it; only the first process makes it.

    The others are told `out`; of a folder with a date they know nothing, and need not.
    """
    if not is_first_process():
        return out or Path(os.environ.get(FOLDER_VARIABLE, "."))  # which an earlier run of this process may have set
    if out and not refuse_used(out, overwrite):
        try:
            out.mkdir(parents=True, exist_ok=True)
            hold(out)
            _begin(out, recipe)
        except OSError as error:
            raise _unwritable(out, error) from error
        folder = out
    else:
        with filling(recipe, out, overwrite) as filled:
            pass
        folder = filled.place
    os.environ[FOLDER_VARIABLE] = str(folder)
    return folder


@dataclass
class Filled:
    """A run folder that is being filled at `folder`; at its end it lies at `place`."""

    folder: Path
    place: Path


@contextmanager
def filling(recipe: Recipe, out: Path | None, overwrite: bool) -> Iterator[Filled]:
    """Within it a run folder with the recipe is filled in a draft; at the end it goes to its place, whole.

    That is `out`, where one that is to be overwritten stays until then, or runs/RECIPE-DATE-SEED. This process
    holds it. Raises UsageError as `refuse_used` does, and while another process trains in the folder.
    """
    parent = out.parent if out else Path("runs")
    if out:
        refuse_used(out, overwrite)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with drafts.draft(parent, folder=True) as draft:
            new = draft / (out or _named(recipe)).name
            new.mkdir()
            hold(new)
            try:
                _begin(new, recipe)
                filled = Filled(new, new)
                yield filled
                filled.place = _replace(new, out) if out else _put_unused(new)
            except BaseException:
                release(new)
                raise
    except OSError as error:
        raise _unwritable(out or parent, error) from error


def _replace(new: Path, out: Path) -> Path:
    """Move a run from its draft to `out`. Raises UsageError while another process trains there."""
    if out.exists():
        hold(out)
    try:
        with drafts.aside(out):
            new.rename(out)
    finally:
        release(out)
    return _hold_at(out, new)


def _put_unused(new: Path) -> Path:
    """Move a run from its draft to runs/NAME, or NAME-2 and so on where another process has that in this second."""
    for number in itertools.count(1):
        folder = Path("runs") / (new.name if number == 1 else f"{new.name}-{number}")
        try:
            if not folder.exists():
                new.rename(folder)  # which replaces no folder with something in it
                return _hold_at(folder, new)
        except OSError:
            if not folder.exists():
                raise
    raise AssertionError


def _hold_at(folder: Path, before: Path) -> Path:
    """A lock goes with its folder when that is moved."""
    if (handle := _held.pop(before, None)) is not None:
        _held[folder] = handle
    return folder


def _unwritable(folder: Path, error: OSError) -> MienError:
    return MienError(f"Cannot write to {folder}: {error.strerror}. Choose another place with `out`.")


def _begin(folder: Path, recipe: Recipe) -> None:
    """Write the recipe into a folder that this process holds; where that fails, others may have the folder again."""
    try:
        if is_run(folder):  # another process has begun it since we looked
            refuse_used(folder, False)
        write_recipe(folder, recipe)
    except BaseException:
        release(folder)
        raise


def write_recipe(run: Path, recipe: Recipe) -> None:
    """Write the recipe of a run."""
    with manifest.changing(run, layout.RECIPE), written_whole(run / layout.RECIPE) as file:
        file.write(config.dump(recipe))


def discard_results(run: Path, export: str) -> Path | None:
    """Remove what a run ended with, so that it is unfinished; its last weights and its test readings stay.

    export: the name that the run's export gets. Returns its new place, None where there is no export.
    """
    names = [layout.SCORES, layout.ROBUSTNESS, layout.MISTAKE_MAPS, layout.RECONSTRUCTIONS, layout.REPORT]
    for split in ("train", "validation", "test"):
        names += [layout.predictions(run, split, suffix).name for suffix in (".npz", ".csv")]
    there = [name for name in names if (run / name).is_file()]
    with manifest.changing(run, *there):
        for name in there:
            (run / name).unlink()
    shutil.rmtree(run / layout.EXPLANATIONS, ignore_errors=True)
    if not (run / layout.EXPORT).is_file():
        return None
    return (run / layout.EXPORT).rename(run / export)


def _named(recipe: Recipe) -> Path:
    return Path("runs") / f"{recipe.name}-{time.strftime('%Y%m%d-%H%M%S')}-{recipe.seed}"


def hold(folder: Path) -> None:
    """Keep a run folder for this process, until it ends. Raises UsageError while another process trains in it."""
    if folder in _held:
        return
    try:
        handle = lock(folder)
    except BlockingIOError:
        raise UsageError(f"Another process is training in {folder}. Wait for it, or choose another `out`.") from None
    if handle is not None:
        _held[folder] = handle


def release(folder: Path) -> None:
    """Let other processes have a run folder again."""
    if (handle := _held.pop(folder, None)) is not None:
        os.close(handle)


def refuse_used(folder: Path, overwrite: bool) -> bool:
    """Whether the folder holds a run that is to be overwritten; raises UsageError for one that must not be."""
    drafts.clear(folder.parent)  # one that a killed process was overwriting comes back
    if not folder.is_file() and not (folder.exists() and _files(folder)):
        return False
    if overwrite and not is_run(folder):
        raise UsageError(f"{folder} is no run folder, so `overwrite` leaves it alone. Choose another `out`.")
    if not overwrite:
        raise UsageError(
            f"{folder} exists. Choose another `out`, or `overwrite` it; a run goes on with "
            f"`mien.resume({str(folder)!r})`."
        )
    return True


def _files(folder: Path) -> list[str]:
    """What is in a folder, but for what a start that was killed at once leaves there."""
    return [name for name in os.listdir(folder) if name != layout.MANIFEST and not name.endswith(drafts.SUFFIX)]


def write_env(run: Path, env: Env) -> None:
    """Write what a run notes of its environment."""
    _write(run, layout.ENV, to_dict(env))


def write_scores(run: Path, split: str, scores: Scores, predictions: Predictions, *, csv: bool = False) -> None:
    """Write the predictions of a split and, last, its scores, which say that the split was evaluated.

    csv: the predictions also as a table. One that is there already, from an older version say, is kept in step.
    """
    table, arrays = layout.predictions(run, split, ".csv"), layout.predictions(run, split)
    for path in (table, arrays) if csv or table.is_file() else (arrays,):
        with manifest.changing(run, path.name):
            predictions.save(path)
    _add(run, layout.SCORES, {split: to_dict(scores)})


def write_robustness(run: Path, split: str, rows: Sequence[ChangeScore]) -> None:
    """Write the accuracies on a split's changed images."""
    _add(run, layout.ROBUSTNESS, {split: [to_dict(row) for row in rows]})


def note_test_reading(run: Path) -> None:
    """Add the present date to those of every reading of the test split."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    with manifest.locked(run):
        write_test_reads(run, [*read_record(run, layout.TEST_READS, []), now])


def write_test_reads(run: Path, dates: Sequence[str]) -> None:
    """Write the dates of every reading of the test split."""
    _write(run, layout.TEST_READS, list(dates))


def _add(run: Path, name: str, values: Mapping[str, Any]) -> None:
    """Add to a record what belongs to one split; another process may add another split's at the same time."""
    with manifest.locked(run):
        _write(run, name, read_record(run, name, {}) | dict(values))


def _write(run: Path, name: str, values: Any) -> None:
    with manifest.changing(run, name):
        write_json(run / name, values)
