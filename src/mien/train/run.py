"""Recipe -> run folder: data, training, the best weights, their predictions and scores."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from mien import hardware
from mien.config import Recipe
from mien.data import Store, open_store
from mien.data.batches import refuse_too_few
from mien.errors import MienError, MissingError, UsageError
from mien.evaluate.folds import folds_beside
from mien.pretrained.checkpoint import Checkpoint
from mien.progress import note, warn
from mien.runs import Env, is_finished, is_run, layout, read_recipe
from mien.runs.data import anchored, moved, note_images, open_data, refuse_missing
from mien.runs.folder import read_env, runs_in
from mien.runs.history import read_epochs
from mien.runs.processes import is_first_process, launched
from mien.runs.writing import hold, new_folder, refuse_used, release, write_env
from mien.train import features, launch, loggers
from mien.train.build import (
    build_task,
    check_sizes,
    lay_out,
    precision_of,
    read_checkpoint,
    refuse_all_held_out,
    save_model,
    with_sizes_of,
)
from mien.train.callbacks import Pruning, Watch
from mien.train.checkpoints import discard_earlier, whole_checkpoint
from mien.train.environment import as_before, environment, opening
from mien.train.gradient_checkpointing import checkpoint_blocks
from mien.train.more_epochs import is_stretched, lengthen, longer_recipe
from mien.train.task import Task, Training
from mien.train.teachers import Teacher, with_answers
from mien.train.trainer import fit, load_best


def run(recipe: Recipe, out: Path | None = None, *, overwrite: bool = False, watch: Watch | None = None) -> Path:
    """Train a recipe from the start; returns the run folder.

    watch: hears of each epoch's accuracy, and ends the run with `callbacks.PrunedError` where it says so.
    What torchrun or srun starts again goes on where it was. Raises UsageError when `out` exists and overwrite is False.
    """
    launch.quiet_others()
    out = launch.place(recipe, out, overwrite)
    begun = launched() and out and is_run(out)
    if out and is_first_process() and not begun:
        refuse_used(out, overwrite)
    checkpoint = read_checkpoint(recipe)
    own = anchored(with_sizes_of(checkpoint, recipe))
    _refuse_without_folds(own, out)
    if begun and out and is_first_process():
        launch.refuse_other(out, own)
        return resume(out, watch=watch)
    recipe = launch.shared(own)
    device = hardware.choose_device(recipe.device)
    check_sizes(recipe)
    store = open_store(recipe.data)
    refuse_all_held_out(recipe, store)
    # A recipe that cannot be built or trained leaves no folder behind, and none overwritten.
    refuse_too_few(len(store.indices("train")), recipe.train.processes, recipe.train.accumulate_grad_batches)
    task = build_task(recipe, store, checkpoint)
    precision = precision_of(task, device)
    if recipe.distill.teachers and recipe.distill.stored:
        Teacher(recipe, store.classes)  # asked later; one that does not fit is refused here
    folder = new_folder(own, out, overwrite)
    try:
        return _train(task, store, folder, device, precision, checkpoint.fingerprint if checkpoint else None, watch)
    finally:
        release(folder)


def _refuse_without_folds(recipe: Recipe, out: Path | None) -> None:
    """Raise UsageError for a run on everything that nothing could score, or whose schedule watches validation."""
    if recipe.data.fold != "all":
        return
    if recipe.learns == "patches":
        raise UsageError(
            f"`pretrain.method` {recipe.pretrain.method}: `data.fold` all leaves no images on which to see how well "
            "patches are filled in. Leave `data.folds` and `data.fold` out."
        )
    folds_beside(Path("runs/all") if out is None else out, recipe)
    if recipe.train.schedule == "plateau":
        raise UsageError("`train.schedule` plateau watches validation images, which a run on everything has not.")


def resume(folder: Path, epochs: int | None = None, *, watch: Watch | None = None) -> Path:
    """Go on with a run after its last finished epoch. Raises MissingError when `folder` is no run.

    epochs: how many it is to have in all, more than it has; a finished run goes on too, see `more_epochs.lengthen`.
    """
    launch.quiet_others()
    recipe = read_recipe(folder)
    if is_first_process():
        hold(folder)  # first: what is read next, another process that trains in it would be changing
    try:
        if source := read_env(folder).adopted:
            raise UsageError(
                f"{folder} was adopted from {source}: there is nothing to go on with. Train from it: `model.init` "
                f"{folder}."
            )
        if epochs is not None and (is_finished(folder) or epochs != recipe.train.epochs):
            longer = lengthen if is_first_process() else longer_recipe
            recipe = longer(folder, recipe, epochs)
        return _go_on(folder, recipe, watch)
    finally:
        release(folder)


def _go_on(folder: Path, recipe: Recipe, watch: Watch | None) -> Path:
    known = read_env(folder)
    if known.average:
        raise UsageError(
            f"{folder} is an average of runs: there is nothing to train. Average its runs again, with "
            f"`out` {folder} and `overwrite=True`."
        )
    recipe = launch.shared(moved(recipe), goes_on=True)
    store = open_data(folder, recipe)
    device = hardware.choose_device(recipe.device)
    # Once begun, all weights are in last.ckpt; but where features are stored, only the head's are.
    begun = whole_checkpoint(layout.last_checkpoint(folder)) is not None and not features.can_be_stored(recipe)
    checkpoint = None if begun else _same_checkpoint(recipe, known, folder)
    if not recipe.distill.stored or not (folder / layout.TEACHERS_ANSWERS).is_file():
        for source in recipe.distill.teachers:
            refuse_missing(folder, source, "distill.teachers")
    task = build_task(recipe, store, checkpoint)
    precision = precision_of(task, device)
    _refuse_other_teachers(task, known, folder)
    return _train(task, store, folder, device, precision, known.init, watch)


def latest(recipe_name: str, seed: int, runs: Path = Path("runs")) -> Path:
    """The newest run of a recipe and seed that has not finished."""
    unfinished = [folder for folder in runs_in(runs) if not is_finished(folder)]
    found = [folder for folder in unfinished if _is_of(folder, recipe_name, seed)]
    if not found:
        raise MissingError(f"There is no unfinished run of {recipe_name} with seed {seed} under {runs}/.")
    return max(found, key=lambda folder: folder.stat().st_mtime)


def _is_of(folder: Path, recipe_name: str, seed: int) -> bool:
    """Whether a run, whatever its folder is called, is of this recipe and seed."""
    try:
        recipe = read_recipe(folder)
    except MienError:  # a damaged one is said when it is named
        return False
    return (recipe.name, recipe.seed) == (recipe_name, seed)


def _refuse_other_teachers(task: Training, known: Env, folder: Path) -> None:
    """A run or an export that was retrained, or came with another version of mien, is another teacher of one name."""
    before = known.teachers.values() if len(known.teachers) == len(task.teachers) else task.teachers.values()
    for (source, fingerprint), expected in zip(task.teachers.items(), before, strict=True):  # they may have moved
        if fingerprint != expected:
            raise UsageError(f"{source} is no longer the network that {folder} learns from. Start a new run.")


def _same_checkpoint(recipe: Recipe, known: Env, folder: Path) -> Checkpoint | None:
    """The checkpoint that a run starts from. Raises MissingError where it is gone, UsageError for another one."""
    if recipe.model.checkpoint is None:
        return None
    refuse_missing(folder, recipe.model.checkpoint, "model.init")
    checkpoint = read_checkpoint(recipe)
    if checkpoint and known.init not in (None, checkpoint.fingerprint):
        raise UsageError(
            f"{recipe.model.checkpoint} is no longer the network that {folder} starts from. Start a new run."
        )
    return checkpoint


def _train(
    task: Training, store: Store, folder: Path, device: str, precision: str, init: str | None, watch: Watch | None
) -> Path:
    """init: the fingerprint of the checkpoint that the run started from. watch: as `run` has it."""
    recipe = task.recipe
    hardware.keep_freed_memory()
    env = as_before(folder, environment(task, store, device, precision), recipe.train.epochs)
    env = replace(env, init=init)
    stretched = is_stretched(folder, recipe)
    if is_first_process():
        write_env(folder, env)
        note_images(folder, store)
        note(*opening(recipe, env))
        for text in env.warnings:
            warn(text)
    fitted, source = task, store
    if features.can_be_stored(recipe):
        fitted, source, env = _on_features(task, store, env)
    if recipe.distill.teachers and recipe.distill.stored:
        source = with_answers(source, recipe, device, folder)
    lay_out(task, device)
    if recipe.train.gradient_checkpointing:
        checkpoint_blocks(task.model)
    if recipe.train.compile:
        fitted.model.compile()
    warnings: list[str] = []
    own = [*task.callbacks(env, warnings), *([Pruning(watch)] if watch else [])]
    fitted.stretched = stretched
    with loggers.opened(recipe, folder) as logger:
        preparation = env.feature_seconds or 0.0
        if not fit(fitted, source, folder, device, precision, callbacks=own, preparation=preparation, logger=logger):
            return folder
        _finish(task, fitted, store, folder, device, replace(env, warnings=(*env.warnings, *warnings)))
        if logger is not None:
            loggers.log_results(logger, folder, store)
    return folder


def _finish(task: Training, fitted: Training, store: Store, folder: Path, device: str, env: Env) -> None:
    """Write what a run ends with: the best epoch's network, what it cost, and its scores."""
    best = load_best(fitted, folder)
    model = fitted.kept if fitted is task else _with_head(task.model, fitted.trained)
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # as all who read the run have it
    epochs = read_epochs(folder)
    cost = {"seconds": epochs[-1]["seconds"], "best_epoch": best, "epochs": len(epochs)}
    write_env(folder, replace(env, **cast(Any, cost)))
    save_model(folder, model, task.recipe, store)
    discard_earlier(folder)  # before what makes it a finished run, which nobody clears up after
    task.finish(folder, store, model, device)


def _on_features(task: Training, store: Store, env: Env) -> tuple[Training, Store, Env]:
    """The head's own task, what its frozen backbone makes of the images, and the time it took."""
    started = time.perf_counter()
    source = features.store_features(
        task.model, store, env.device or "cpu", env.precision or "fp32", task.recipe.model.name
    )
    env = replace(env, feature_seconds=round(time.perf_counter() - started, 2))
    head = cast(Any, task.model).get_classifier()
    return (
        Task(features.head_recipe(task.recipe), head, None, store.class_counts("train"), classes=store.classes),
        source,
        env,
    )


def _with_head(model: nn.Module, head: nn.Module) -> nn.Module:
    """The whole model with the weights of a head that was trained apart from it."""
    cast(Any, model).get_classifier().load_state_dict(head.state_dict())
    return model
