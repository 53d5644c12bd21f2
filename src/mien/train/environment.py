"""What is known of a run before its first step: env.json, and the lines that a run begins with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import torch

from mien import hardware
from mien.config import Recipe
from mien.data import Store, open_store, preprocessing_of
from mien.data.batches import gather
from mien.data.listing import SPLITS
from mien.errors import MienError
from mien.models import count_flops, count_parameters
from mien.runs import Env, RunFolder
from mien.runs.data import Images
from mien.runs.folder import read_env
from mien.runs.records import DataFacts
from mien.runtime.network import Network, is_export
from mien.train import freeze
from mien.train.class_weights import too_wide
from mien.train.optimizers import outlasted
from mien.train.task import Training

SAME_PICTURES = {"ferplus": "fer2013"}  # under other labels
ANY_PICTURES = ("folder", "table")  # whose name does not say which pictures they are


def environment(task: Training, store: Store, device: str, precision: str) -> Env:
    """What is known before the first step: versions, hardware, counts, the loss of the untrained network, warnings."""
    recipe = task.recipe
    counts = store.class_counts("train")
    most = max(32, 512 * 48**2 // recipe.data.size**2)  # images that stand for all, fewer where they are large
    chosen = store.indices("train")[:: max(1, int(counts.sum()) // most)][:most]
    first = gather(store.images, store.targets, chosen)
    loss, error = task.initial_loss(first)
    env = Env(
        **hardware.environment(),
        device=device,
        precision=precision,
        threads=torch.get_num_threads(),
        processes=recipe.train.processes,
        seed=recipe.seed,
        started=datetime.now().astimezone().isoformat(timespec="seconds"),
        classes=tuple(store.classes),
        parameters=count_parameters(task.kept),
        flops=count_flops(task.kept, recipe.data.size, recipe.data.channels),
        initial_loss=loss,
        initial_loss_images=len(chosen),
        teachers=task.teachers,
        trained=tuple(freeze.history(task.model, recipe.train)),
        store=facts_of(store),
        **task.facts(store),
    )
    return replace(env, warnings=(*_warnings(recipe, store), *_badly_scaled(recipe, env, error)))


def _badly_scaled(recipe: Recipe, env: Env, error: float) -> Iterator[str]:
    """Of random weights alone; a checkpoint's may be far off for other classes.

    error: the standard error of the loss, which on a few images is high or low by chance.
    """
    loss, uniform = env.initial_loss, env.ln_classes
    if loss is None or uniform is None or recipe.model.checkpoint is not None:
        return
    if loss - 2 * error > 1.25 * uniform:
        yield (
            f"The loss before training is {loss:.2f}, a uniform guess has ln({len(env.classes)}) = {uniform:.2f}: the "
            "initialisation is badly scaled."
        )


def _warnings(recipe: Recipe, store: Store) -> list[str]:
    """What is probably not meant: a frozen backbone that knows nothing, images that are not as new as they seem."""
    found = []
    if recipe.pretrain.method == "none" and (unequal := too_wide(recipe, store.class_counts("train"), store.classes)):
        found.append(unequal)
    if freeze.freezes(recipe.train) and recipe.model.checkpoint is None:
        found.append("What is frozen has random weights and stays so. Start from trained ones: `model.init`.")
    if recipe.train.freeze_batch_norm and recipe.model.checkpoint is None:
        found.append(
            "Batch norms that have seen nothing keep mean 0 and variance 1. Start from trained ones: `model.init`."
        )
    for source in filter(None, (recipe.model.checkpoint, *recipe.distill.teachers)):
        if seen := max((_seen(run, recipe, store) for run in _runs_behind(source)), default=0):
            found.append(
                f"{source} learned from {seen:,} of this run's {len(store.indices('validation')):,} validation images, "
                "so this run's scores will be too good. Start and learn from runs with the same split."
            )
    for source in filter(is_export, recipe.distill.teachers):
        if _may_have_seen(source, recipe, store):
            found.append(
                f"{source} comes from the same data as this run, and held other images out: it may have learned from "
                "this run's validation images, whose scores would then be too good. Take a teacher with the same split."
            )
    return found


def _runs_behind(source: str) -> Iterator[RunFolder]:
    """A run and those that it started from or learned from, as far as their folders are there and can be read."""
    waiting, known = [source], set[Path]()
    while waiting:
        folder = Path(waiting.pop())
        folder = folder.parent if folder.name == "model" else folder
        if folder in known:
            continue
        known.add(folder)
        try:
            run = RunFolder.open(folder)
        except MienError:  # no run, or one of a version that this one does not read
            continue
        yield run
        waiting += filter(None, (run.recipe.model.checkpoint, *run.recipe.distill.teachers))


def _seen(run: RunFolder, recipe: Recipe, store: Store) -> int:
    """How many of the validation images another run learned from, and did not hold out.

    They are known by their pixels wherever they lie; else, of a run of mien 0.1 or of another size, by their names.
    """
    known = Images.of(run.path)
    if known is not None and _form(run.recipe) == _form(recipe):
        trained_on = known.splits == SPLITS.index("train")
        learned = set(map(bytes, known.digests[trained_on])) - set(map(bytes, known.digests[~trained_on]))
        return sum(bytes(digest) in learned for digest in store.digests[store.indices("validation")])
    if run.recipe.data.source != recipe.data.source or _place(run.recipe) != _place(recipe):
        return 0
    if run.has_predictions():
        held_out = set(run.predictions().names)
    else:  # a pretraining
        other = open_store(run.recipe.data)
        held_out = {other.names[i] for i in other.indices("validation")}
    return len({store.names[i] for i in store.indices("validation")} - held_out)


def _form(recipe: Recipe) -> tuple[object, ...]:
    """What makes the same picture the same pixels."""
    return preprocessing_of(recipe.data).decoding


def _place(recipe: Recipe) -> str | None:
    """Where a recipe's images lie; runs of mien 0.1 may have a relative path."""
    return None if recipe.data.path is None else os.path.abspath(recipe.data.path)


def _may_have_seen(export: str, recipe: Recipe, store: Store) -> bool:
    """Whether an export was trained on the same kind of data and held out other images than these validation images."""
    try:
        card = Network.open(export, threads=1).card or {}
    except MienError:  # its answers are stored, and it may go
        return False
    held_out = [card.get("content", {}).get(split) for split in SPLITS[1:]]
    data = SAME_PICTURES.get(recipe.data.source, recipe.data.source)
    same = data == card.get("data") and data not in ANY_PICTURES
    return same and store.content("validation") not in held_out


def as_before(folder: Path, env: Env, epochs: int) -> Env:
    """The environment of a resumed run keeps what its first start noted of itself, and the epochs it was given since.

    epochs: of its recipe; a start that was killed before it had changed the recipe gave it none.
    """
    known = read_env(folder)
    if known.started is None:
        return env
    return replace(
        env,
        started=known.started,
        warnings=known.warnings,
        initial_loss=known.initial_loss,
        extensions=tuple(part for part in known.extensions if part.epochs <= epochs),
    )


def facts_of(store: Store) -> DataFacts:
    """What a run notes of its data."""
    counts = {split: store.class_counts(split).tolist() for split in ("train", "validation", "test")}
    return DataFacts(
        fingerprint=store.fingerprint,
        images={split: sum(numbers) for split, numbers in counts.items()},
        counts=counts,
        left_out=store.left_out,
        unreadable=len(store.unreadable),
        preprocessing=store.preprocessing.to_dict(),
    )


def opening(recipe: Recipe, env: Env) -> list[str]:
    """What a run says before its first epoch, in lines."""
    images = env.store.images
    at_start = f"loss before training {env.initial_loss:.3f}"
    if env.ln_classes is not None:
        at_start += (
            f", ln({len(env.classes)}) = {env.ln_classes:.3f}, entropy of the class frequencies {env.prior_entropy:.3f}"
        )
    lines = [
        f"{recipe.name}: {recipe.model.name}, {env.parameters:,} parameters, "
        f"{(env.flops or 0) / 1e6:,.1f} MFLOPs an image",
        f"{images['train']:,} train and {images['validation']:,} validation images, {len(env.classes)} classes; "
        f"{env.device}, {env.precision}, {env.hardware}",
        *([f"starts from {recipe.model.checkpoint}"] if recipe.model.checkpoint else []),
        at_start,
    ]
    lines += [freeze.describe(env.trained)] if env.trained else []
    lines += filter(None, [outlasted(recipe.train)])
    lines += [f"goes on to {part.epochs} epochs after {part.after}" for part in env.extensions[-1:]]
    return lines
