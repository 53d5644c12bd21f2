"""What is known of a run before its first step: env.json, and the lines that a run begins with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mien import hardware
from mien.config import Recipe
from mien.data import Store, open_store
from mien.data.batches import gather
from mien.errors import MienError
from mien.models import count_flops, count_parameters
from mien.runs.folder import RunFolder, read_record
from mien.runtime.network import Network, is_export
from mien.train import freeze
from mien.train.task import Task, Training

SAME_PICTURES = {"ferplus": "fer2013"}  # under other labels
ANY_PICTURES = ("folder", "table")  # whose name does not say which pictures they are


def environment(task: Training, store: Store, device: str, precision: str) -> dict[str, Any]:
    """env.json before the first step: versions, hardware, counts, the loss of the untrained network, warnings."""
    recipe = task.recipe
    counts = store.class_counts("train")
    most = max(32, 512 * 48**2 // recipe.data.size**2)  # images that stand for all, fewer where they are large
    chosen = store.indices("train")[:: max(1, int(counts.sum()) // most)][:most]
    first = gather(store.images, store.targets, chosen)
    env = hardware.environment() | {
        "device": device,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "processes": recipe.train.processes,
        "seed": recipe.seed,
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "classes": store.classes,
        "parameters": count_parameters(task.kept),
        "flops": count_flops(task.kept, recipe.data.size, recipe.data.channels),
        "initial_loss": task.initial_loss(first),
        "initial_loss_images": len(chosen),
        "warnings": _warnings(recipe, store),
        "teachers": teachers_of(task),
        "trained": freeze.history(task.model, recipe.train),
        "store": _describe(store),
    }
    if not recipe.pretrain.is_off():
        return env
    env |= {"ln_classes": math.log(len(store.classes)), "prior_entropy": entropy(counts)}
    balanced = recipe.train.sampler == "balanced" or recipe.train.class_weights
    env["ignorant_loss"] = env["ln_classes"] if balanced else env["prior_entropy"]
    if env["initial_loss"] > 1.25 * env["ln_classes"] and recipe.model.checkpoint is None:
        env["warnings"].append(
            f"The loss before training is {env['initial_loss']:.2f}, a uniform guess has ln({len(store.classes)}) = "
            f"{env['ln_classes']:.2f}: the initialisation is badly scaled."
        )
    return env


def _warnings(recipe: Recipe, store: Store) -> list[str]:
    """What is probably not meant: a frozen backbone that knows nothing, images that are not as new as they seem."""
    found = []
    if freeze.freezes(recipe.train) and recipe.model.checkpoint is None:
        found.append("What is frozen has random weights and stays so. Start from trained ones: --model.init RUN.")
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
    """How many of the validation images another run of the same data did not hold out, and so learned from."""
    if (run.recipe.data.source, run.recipe.data.path) != (recipe.data.source, recipe.data.path):
        return 0
    if run.has_predictions():
        held_out = set(run.predictions().names)
    else:  # a pretraining
        other = open_store(run.recipe.data)
        held_out = {other.names[i] for i in other.indices("validation")}
    return len({store.names[i] for i in store.indices("validation")} - held_out)


def _may_have_seen(export: str, recipe: Recipe, store: Store) -> bool:
    """Whether an export was trained on the same kind of data and held out other images than these validation images."""
    try:
        card = Network.open(export, threads=1).card or {}
    except MienError:  # its answers are stored, and it may go
        return False
    held_out = [digest for split, digest in card.get("content", {}).items() if split != "all"]
    data = SAME_PICTURES.get(recipe.data.source, recipe.data.source)
    same = data == card.get("data") and data not in ANY_PICTURES
    return same and store.content("validation") not in held_out


def teachers_of(task: Training) -> dict[str, str]:
    """Which networks the task asks, by their fingerprints: mien:base, or a run's name, may mean another one later."""
    teacher = task.teacher[0] if isinstance(task, Task) else None
    return {} if teacher is None else teacher.fingerprints


def earlier(folder: Path) -> dict[str, Any]:
    """What a resumed run keeps of its first start."""
    known = read_record(folder, "env.json", {})
    return {key: known[key] for key in ("started", "warnings", "initial_loss") if key in known}


def _describe(store: Store) -> dict[str, Any]:
    counts = {split: store.class_counts(split).tolist() for split in ("train", "validation", "test")}
    return {
        "fingerprint": store.fingerprint,
        "images": {split: sum(numbers) for split, numbers in counts.items()},
        "counts": counts,
        "left_out": store.left_out,
        "unreadable": len(store.unreadable),
        "preprocessing": store.preprocessing.to_dict(),
    }


def opening(recipe: Recipe, env: dict[str, Any]) -> str:
    """What a run says before its first epoch."""
    images = env["store"]["images"]
    at_start = f"loss before training {env['initial_loss']:.3f}"
    if recipe.pretrain.is_off():
        at_start += (
            f", ln({len(env['classes'])}) = {env['ln_classes']:.3f}, "
            f"entropy of the class frequencies {env['prior_entropy']:.3f}"
        )
    lines = [
        f"{recipe.name}: {recipe.model.name}, {env['parameters']:,} parameters, "
        f"{env['flops'] / 1e6:,.1f} MFLOPs an image",
        f"{images['train']:,} train and {images['validation']:,} validation images, {len(env['classes'])} classes; "
        f"{env['device']}, {env['precision']}, {env['hardware']}",
        *([f"starts from {recipe.model.checkpoint}"] if recipe.model.checkpoint else []),
        at_start,
    ]
    lines += [freeze.describe(env["trained"])] if env["trained"] else []
    return "\n".join(lines + [f"warning: {text}" for text in env["warnings"]])


def entropy(counts: np.ndarray) -> float:
    """Of a class distribution, in nats: the loss of an output that knows only the class frequencies."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
