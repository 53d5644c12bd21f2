"""Recipe and checkpoint -> the model that trains, and the model that a run keeps."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from mien import config, hardware, plugins, pretrained
from mien.config import Recipe
from mien.data import Store
from mien.data.batches import gather, images_a_batch
from mien.errors import UsageError
from mien.models import TIMM, accepts, create_model
from mien.models.sizes import FROM_DATA
from mien.pretrained import stem, timm_checkpoint
from mien.pretrained.checkpoint import Checkpoint
from mien.pretrained.own import save_folder
from mien.progress import note
from mien.runs import layout, manifest
from mien.train import freeze, gradient_checkpointing, loggers
from mien.train.masked_task import Filling
from mien.train.task import Task, Training
from mien.words import count

# What a run learns -> how.
TASKS: dict[str, type[Training]] = {"labels": Task, "patches": Filling}


def read_checkpoint(recipe: Recipe) -> Checkpoint | None:
    """The checkpoint that the recipe starts from, None where it starts from random weights."""
    where = recipe.model.checkpoint
    if where is None:
        return None
    found = pretrained.read(where, recipe.model.sizes().get("num_heads"), recipe.model.name)
    if found.norms_anew:
        note(f"{where}: its batch norms were folded into the weights when it was exported, so they start anew.")
    return found


def with_sizes_of(checkpoint: Checkpoint | None, recipe: Recipe) -> Recipe:
    """The recipe with the checkpoint's model, sizes and pixel scale, as the run folder is to remember it.

    Of a checkpoint that starts the stem alone, the pixel scale.
    A network of timm's sees pictures as timm shows them to it, with a checkpoint and without.
    """
    if checkpoint is None:
        return _with_pictures_of(recipe.model.name, recipe)
    if stem.starts(checkpoint, recipe.model.name, recipe.model.sizes()):
        own = recipe.model.model_dump()
    else:
        model = {key: value for key, value in checkpoint.sizes.items() if key not in FROM_DATA}
        own = {"name": checkpoint.model, **model, **recipe.model.sizes(), "init": recipe.model.init}
    mean, std = checkpoint.scale_of(recipe.data.channels)
    scale = {key: value for key, value in (("mean", mean), ("std", std)) if getattr(recipe.data, key) is None}
    found = config.build(config.merge(recipe.model_dump(), {"data": scale}) | {"model": own})
    return _with_pictures_of(found.model.name, found)


def _with_pictures_of(name: str, recipe: Recipe) -> Recipe:
    """The recipe with mean, std, interpolation and crop as timm has them for its network, where they are not set."""
    if not name.startswith(TIMM):
        return recipe
    known = timm_checkpoint.data_settings(name, recipe.data.channels, recipe.data.size)
    if recipe.data.fit == "pad":
        known.pop("resize_size")
    return recipe.with_(data={key: value for key, value in known.items() if getattr(recipe.data, key) is None})


def check_sizes(recipe: Recipe) -> None:
    """Raise UsageError where the model's sizes do not fit each other, MissingError where an extra is not installed.

    Both before minutes of decoding.
    """
    fixed = {"img_size": recipe.data.size, "in_chans": recipe.data.channels, "num_classes": 2}
    create_model(recipe.model.name, **fixed, **recipe.model.sizes())
    loggers.check(recipe)


def refuse_all_held_out(recipe: Recipe, store: Store) -> None:
    """Raise UsageError where no image is left to train on."""
    if not store.has("train"):
        raise UsageError(
            f"`data.val_split` {recipe.data.val_split}: all images are held out, and none is left to train on."
        )


def build_model(recipe: Recipe, store: Store, checkpoint: Checkpoint | None = None) -> nn.Module:
    """The recipe's model with weights drawn from its seed, those of the checkpoint put in their place."""
    torch.manual_seed(recipe.seed)
    num_classes = len(TASKS[recipe.learns].classes_of(store))
    fixed = {"img_size": recipe.data.size, "in_chans": recipe.data.channels, "num_classes": num_classes}
    if checkpoint is None:
        model = create_model(recipe.model.name, **fixed, **recipe.model.sizes())
    elif stem.starts(checkpoint, recipe.model.name, recipe.model.sizes()):
        model = create_model(recipe.model.name, **fixed, **recipe.model.sizes())
        stem.load(checkpoint, model)
    else:
        model = checkpoint.build(tuple(store.classes), **fixed, **recipe.model.sizes())
    if recipe.augment.crop:
        _check_crop(model, recipe)
    gradient_checkpointing.check(model, recipe)
    return model


def build_task(recipe: Recipe, store: Store, checkpoint: Checkpoint | None = None) -> Training:
    """The recipe's model with all that it needs to be trained. Raises UsageError where the two do not fit."""
    _refuse_idle_processes(recipe, store)
    task = TASKS[recipe.learns].of(recipe, build_model(recipe, store, checkpoint), store)
    _refuse_single_images(task, store)
    return task


def _refuse_idle_processes(recipe: Recipe, store: Store) -> None:
    """Raise UsageError where a process would have no validation image, and the others wait for it."""
    held_out, processes = len(store.indices("validation")), recipe.train.processes
    if 0 < held_out < processes:
        raise UsageError(
            f"{count(held_out, 'validation image is', 'validation images are')} too few for `train.processes` "
            f"{processes}: each process scores some. Hold more out (`data.val_split`), or take fewer processes."
        )


def _refuse_single_images(task: Training, store: Store) -> None:
    """Raise UsageError where a batch is one image, of which a batch norm takes no variance."""
    settings, train = task.recipe.train, store.indices("train")
    processes = settings.processes
    share = images_a_batch(len(train), settings.batch_size, processes, settings.accumulate_grad_batches)
    if share != 1 or (processes > 1 and settings.sync_batchnorm):
        return
    try:
        task.initial_loss(gather(store.images, store.targets, train[:1]))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UsageError(
            f"Each batch of a process is one image, and the batch norms of {task.recipe.model.name} learn from two or "
            "more. Take a larger `train.batch_size`, or more training images."
        ) from error


def precision_of(task: Training, device: str) -> str:
    """The precision that a task trains in. What never trains is frozen: it has no backward pass that could be slow."""
    settings = task.recipe.train
    freeze.freeze(task.model, settings, settings.epochs)
    return hardware.choose_precision(settings.precision, device, task.model)


def lay_out(task: Training, device: str) -> None:
    """Lay the weights out as the device convolves fastest.

    An own network stays as it is: it may .view() what a convolution gives.
    """
    if not plugins.is_code(task.recipe.model.name) and hardware.wants_channels_last(device, task.model):
        for network in (task.model, task.trained):  # also the moving average: alike, one step updates all
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def save_model(run: Path, model: nn.Module, recipe: Recipe, store: Store) -> None:
    """Write the model that a run keeps: config.json (model, sizes, labels, preprocessing) and model.safetensors."""
    folder = run / layout.MODEL
    folder.mkdir(exist_ok=True)
    labels = TASKS[recipe.learns].classes_of(store)
    sizes = {
        "img_size": store.preprocessing.size,
        "in_chans": store.preprocessing.channels,
        "num_classes": len(labels),
        **recipe.model.sizes(),
    }
    with manifest.changing(run, *layout.MODEL_FILES):
        save_folder(folder, model, recipe.model.name, sizes, labels, store.preprocessing, recipe=recipe.name)


def _check_crop(model: nn.Module, recipe: Recipe) -> None:
    side = recipe.augment.crop
    if not accepts(model.eval(), recipe.data.channels, side):
        raise UsageError(
            f"`augment.crop` {side}: {recipe.model.name} takes images of {recipe.data.size} pixels only. Use "
            "`augment.scale` and `augment.translate` instead."
        )
