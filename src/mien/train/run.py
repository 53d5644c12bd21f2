"""Recipe -> run folder: data, training, the best weights, their predictions and scores."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from mien import config, hardware, pretrained
from mien.atomic import write_json
from mien.config import Recipe, Train
from mien.data import Store, open_store
from mien.data.batches import Batches, TrainBatches
from mien.errors import MienError, MissingError, UsageError
from mien.evaluate.split import evaluate, refuse_other_images
from mien.models import accepts, create_model
from mien.pretrained.checkpoint import Checkpoint
from mien.progress import note
from mien.runs.folder import is_finished, is_first_process, read_record, refuse_used
from mien.train import features, freeze
from mien.train.callbacks import Display, Diverged, EarlyStopping, History, StuckWarning, read_history
from mien.train.checkpoint import save_model
from mien.train.distill import Teacher, with_answers
from mien.train.environment import earlier, environment, opening, teachers_of
from mien.train.masked import Filling
from mien.train.task import Task, Training

FOLDER_VARIABLE = "MIEN_RUN_FOLDER"  # tells the processes of one run where rank 0 writes


def run(recipe: Recipe, out: Path | None = None, *, overwrite: bool = False) -> Path:
    """Train a recipe from the start; returns the run folder.

    Raises UsageError when `out` exists and overwrite is False.
    """
    if out and is_first_process():
        refuse_used(out, overwrite)
    checkpoint = read_checkpoint(recipe)
    recipe = with_sizes_of(checkpoint, recipe)
    device, precision = _hardware(recipe)
    # Sizes that do not fit are said before minutes of decoding.
    fixed = {"img_size": recipe.data.size, "in_chans": recipe.data.channels, "num_classes": 2}
    create_model(recipe.model.name, **fixed, **recipe.model.sizes())
    store = open_store(recipe.data)
    # A recipe that cannot be built leaves no folder behind, and none overwritten.
    task = _task(recipe, store, checkpoint)
    if recipe.distill.teachers and recipe.distill.stored:
        Teacher(recipe, store.classes)  # asked later; one that does not fit is refused here
    return _train(task, store, new_folder(recipe, out, overwrite), device, precision)


def resume(folder: Path) -> Path:
    """Go on with a run after its last finished epoch. Raises MissingError when `folder` is no run."""
    recipe = config.read_recipe(folder)
    if read_record(folder, "env.json", {}).get("average"):
        raise UsageError(
            f"{folder} is an average of runs: there is nothing to train. To make it anew: mien average "
            f"RUN RUN --out {folder} --overwrite"
        )
    store = open_store(recipe.data)
    refuse_other_images(folder, store)
    device, precision = _hardware(recipe)
    # Once begun, all weights are in last.ckpt; but where features are stored, only the head's are.
    begun = (folder / "checkpoints" / "last.ckpt").exists() and not features.can_be_stored(recipe)
    task = _task(recipe, store, None if begun else read_checkpoint(recipe))
    _refuse_other_teachers(task, folder)
    return _train(task, store, folder, device, precision)


def latest(recipe_name: str, seed: int, runs: Path = Path("runs")) -> Path:
    """The newest run of a recipe and seed that has not finished, for --resume."""
    unfinished = [path.parent for path in runs.glob("*/recipe.yaml") if not is_finished(path.parent)]
    found = [folder for folder in unfinished if _is_of(folder, recipe_name, seed)]
    if not found:
        raise MissingError(f"--resume: no unfinished run of {recipe_name} with seed {seed} under {runs}/.")
    return max(found, key=lambda folder: folder.stat().st_mtime)


def _is_of(folder: Path, recipe_name: str, seed: int) -> bool:
    """Whether a run, whatever its folder is called, is of this recipe and seed."""
    try:
        recipe = config.read_recipe(folder)
    except MienError:  # a damaged one is said when it is named
        return False
    return (recipe.name, recipe.seed) == (recipe_name, seed)


def read_checkpoint(recipe: Recipe) -> Checkpoint | None:
    """The checkpoint that the recipe starts from, None where it starts from random weights."""
    where = recipe.model.checkpoint
    return None if where is None else pretrained.read(where, recipe.model.num_heads)


def with_sizes_of(checkpoint: Checkpoint | None, recipe: Recipe) -> Recipe:
    """The recipe with the checkpoint's model, sizes and pixel scale, as the run folder is to remember it."""
    if checkpoint is None:
        return recipe
    model = {key: value for key, value in checkpoint.sizes.items() if key in config.Model.model_fields}
    own = {"name": checkpoint.model, **model, **recipe.model.sizes(), "init": recipe.model.init}
    mean, std = checkpoint.scale_of(recipe.data.channels)
    scale = {key: value for key, value in (("mean", mean), ("std", std)) if getattr(recipe.data, key) is None}
    return config.build(config.merge(recipe.model_dump(), {"data": scale}) | {"model": own})


def build_model(recipe: Recipe, store: Store, checkpoint: Checkpoint | None = None) -> nn.Module:
    """The recipe's model with weights drawn from its seed, those of the checkpoint put in their place."""
    torch.manual_seed(recipe.seed)
    num_classes = len(store.classes) if recipe.pretrain.is_off() else 0
    fixed = {"img_size": recipe.data.size, "in_chans": recipe.data.channels, "num_classes": num_classes}
    if checkpoint is None:
        model = create_model(recipe.model.name, **fixed, **recipe.model.sizes())
    else:
        model = checkpoint.build(tuple(store.classes), **fixed, **recipe.model.sizes())
    if recipe.augment.crop:
        _check_crop(model, recipe)
    return model


def lay_out(task: Training, device: str) -> None:
    """Lay the weights out as the device convolves fastest.

    A model of one's own stays as it is: it may .view() what a convolution gives.
    """
    if ":" not in task.recipe.model.name and hardware.wants_channels_last(device, task.model):
        for network in (task.model, task.trained):  # also the moving average: alike, one step updates all
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _hardware(recipe: Recipe) -> tuple[str, str]:
    device = hardware.choose_device(recipe.device)
    return device, hardware.choose_precision(recipe.train.precision, device)


def _task(recipe: Recipe, store: Store, checkpoint: Checkpoint | None) -> Training:
    model = build_model(recipe, store, checkpoint)
    if not recipe.pretrain.is_off():
        return Filling(recipe, model, store.preprocessing, len(store.indices("validation")))
    freeze.check(model, recipe)
    asks = recipe.distill.teachers and not recipe.distill.stored
    teacher = Teacher(recipe, store.classes) if asks else None
    return Task(recipe, model, store.preprocessing, store.class_counts("train"), teacher)


def _refuse_other_teachers(task: Training, folder: Path) -> None:
    """A run or an export that was made anew, or came with another version of mien, is another teacher of one name."""
    known = read_record(folder, "env.json", {}).get("teachers", {})
    for source, fingerprint in teachers_of(task).items():
        if known.get(source, fingerprint) != fingerprint:
            raise UsageError(f"{source} is no longer the network that {folder} learns from. Start a new run.")


def _train(task: Training, store: Store, folder: Path, device: str, precision: str) -> Path:
    recipe = task.recipe
    hardware.keep_freed_memory()
    env = environment(task, store, device, precision) | earlier(folder)
    if is_first_process():
        write_json(folder / "env.json", env)
        note(opening(recipe, env))
    fitted, source = _on_features(task, store, env) if features.can_be_stored(recipe) else (task, store)
    if recipe.distill.teachers and recipe.distill.stored:
        source = with_answers(source, recipe, device, folder)
    lay_out(task, device)
    if recipe.train.compile:
        fitted.model.compile()
    history = History(folder / "metrics.csv", env.get("feature_seconds", 0.0))
    trainer = _trainer(recipe, folder, history, env, device, precision)
    _fit(trainer, fitted, source, folder)
    if not trainer.is_global_zero:
        return folder
    state = torch.load(folder / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=True)
    fitted.load_state_dict(state["state_dict"])
    model = fitted.kept if fitted is task else _with_head(task.model, fitted.trained)
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # as all who read the run have it
    rows = read_history(history.path)
    env |= {"seconds": rows[-1]["seconds"], "best_epoch": state["epoch"] + 1, "epochs": len(rows)}
    write_json(folder / "env.json", env)
    save_model(folder / "model", model, recipe, store)
    if isinstance(task, Filling):
        task.save_pictures(folder, store)
    else:
        evaluate(folder, "validation", model=model.to(device), store=store)  # lightning has moved it to the CPU
    return folder


def _on_features(task: Training, store: Store, env: dict[str, Any]) -> tuple[Training, Store]:
    """The head's own task, and what its frozen backbone makes of the images."""
    started = time.perf_counter()
    source = features.store_features(task.model, store, env["device"], env["precision"])
    env["feature_seconds"] = round(time.perf_counter() - started, 2)
    head = cast(Any, task.model).get_classifier()
    return Task(features.head_recipe(task.recipe), head, None, store.class_counts("train")), source


def _with_head(model: nn.Module, head: nn.Module) -> nn.Module:
    """The whole model with the weights of a head that was trained apart from it."""
    cast(Any, model).get_classifier().load_state_dict(head.state_dict())
    return model


def _trainer(
    recipe: Recipe, folder: Path, history: History, env: dict[str, Any], device: str, precision: str
) -> L.Trainer:
    settings = recipe.train
    mode = "max" if recipe.watched == "accuracy" else "min"
    watched = f"val_{recipe.watched}"
    checkpoints = folder / "checkpoints"
    callbacks: list[L.Callback] = [
        history,
        Diverged(),
        *([StuckWarning(env["ignorant_loss"], env["warnings"])] if recipe.pretrain.is_off() else []),
        ModelCheckpoint(checkpoints, "best", monitor=watched, mode=mode, enable_version_counter=False),
        # Its own, as save_last saves only what is also the best; after it, so that it remembers which was the best.
        ModelCheckpoint(checkpoints, "last", monitor="step", mode="max", enable_version_counter=False),
        Display(history),
    ]
    if settings.checkpoint_every:
        every = settings.checkpoint_every
        callbacks.append(ModelCheckpoint(checkpoints, "{epoch:03d}", every_n_epochs=every, save_top_k=-1))
    if settings.early_stopping:
        callbacks.append(EarlyStopping(watched, patience=settings.early_stopping, mode=mode))
    with _quiet():
        return L.Trainer(
            accelerator=device,
            devices=settings.processes,
            strategy=_strategy(settings),
            precision=hardware.PRECISIONS[precision],  # type: ignore[arg-type]
            benchmark=device == "cuda",
            max_epochs=settings.epochs,
            gradient_clip_val=settings.gradient_clip or None,
            callbacks=callbacks,
            logger=_logger(folder) if settings.tensorboard else False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            default_root_dir=folder,
        )


def _strategy(settings: Train) -> str:
    if settings.processes == 1:
        return "auto"
    return "ddp_find_unused_parameters_true" if settings.unfreeze else "ddp"  # unused: those still frozen


def _fit(trainer: L.Trainer, task: Training, store: Store, folder: Path) -> None:
    """lightning's fit, from the last finished epoch where there is one. Ctrl-C becomes KeyboardInterrupt."""
    settings = task.recipe.train
    shared = {"rank": trainer.global_rank, "processes": trainer.world_size}
    balanced = settings.sampler == "balanced"
    train = TrainBatches(store, settings.batch_size, task.recipe.seed, balanced=balanced, **shared)
    validation = Batches(store, store.indices("validation"), **shared)
    last = folder / "checkpoints" / "last.ckpt"
    at_interrupt = signal.getsignal(signal.SIGINT)
    try:
        with _quiet():
            trainer.fit(task, train, validation, ckpt_path=last if last.exists() else None, weights_only=True)
    except SystemExit:  # lightning turns Ctrl-C into an exit and switches the signal off
        signal.signal(signal.SIGINT, at_interrupt)
        note(f"Stopped. Everything up to the last finished epoch is kept: mien run {folder} --resume")
        raise KeyboardInterrupt from None
    except OSError as error:
        raise MienError(
            f"Saving to {folder} failed ({error.strerror or error}). Free some space, then: mien run {folder} --resume"
        ) from error


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
        (folder / "recipe.yaml").write_text(config.dump(recipe), encoding="utf-8")
    except OSError as error:
        raise MienError(f"Cannot write to {folder}: {error.strerror}. Choose another place with --out.") from error
    os.environ[FOLDER_VARIABLE] = str(folder)
    return folder


def _check_crop(model: nn.Module, recipe: Recipe) -> None:
    side = recipe.augment.crop
    if not accepts(model.eval(), recipe.data.channels, side):
        raise UsageError(
            f"--augment.crop {side}: {recipe.model.name} takes images of {recipe.data.size} pixels only. Use "
            "--augment.scale and --augment.translate instead."
        )


def _logger(folder: Path) -> Any:
    from lightning.pytorch.loggers import TensorBoardLogger

    try:
        return TensorBoardLogger(folder, name="", version="tensorboard")
    except ModuleNotFoundError as error:
        raise MissingError(
            "--train.tensorboard needs the 'tensorboard' extra: pip install 'mien[tensorboard]'"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """lightning's advice on loaders and workers does not apply: batches are slices of one array."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", message=r".*lr_scheduler.step.*|.*does not have many workers.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
