"""Lightning's Trainer, set up as a recipe says. No other module makes one."""

from __future__ import annotations

import logging
import re
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import Logger

from mien import hardware
from mien.config import Recipe, Train
from mien.data import Store
from mien.data.batches import Batches, TrainBatches
from mien.errors import MienError
from mien.progress import note
from mien.runs import layout
from mien.runs.processes import Launch, launched
from mien.train.batch_norm import shared_batch_norm
from mien.train.callbacks import Display, Diverged, EarlyStopping, History, ModelCheckpoint, RisingRate
from mien.train.checkpoints import WholeCheckpoints, whole_checkpoint
from mien.train.task import Training


def fit(
    task: Training,
    store: Store,
    folder: Path,
    device: str,
    precision: str,
    *,
    callbacks: Sequence[L.Callback] = (),
    preparation: float = 0.0,
    logger: Logger | None = None,
) -> bool:
    """Train a task on a store, from the last finished epoch of the folder where there is one.

    callbacks: the task's own, beside those of every run. preparation: seconds that count as training.
    Returns whether this is the first of the run's processes. Raises KeyboardInterrupt on Ctrl-C, MienError when the
    folder cannot be written.
    """
    found = _callbacks(task.recipe, folder, callbacks, preparation, store.has("validation"))
    trainer = _trainer(task, folder, device, precision, found, logger)
    train = _batches(task, store, trainer)
    task.steps = train.steps
    shared = {"rank": trainer.global_rank, "processes": trainer.world_size}
    held_out = store.has("validation")  # not in a run on everything, which folds have scored
    validation = Batches(store, store.indices("validation"), **shared) if held_out else None
    last = whole_checkpoint(layout.last_checkpoint(folder))
    try:
        with _interruptible(), _quiet():
            trainer.fit(task, train, validation, ckpt_path=last, weights_only=True)
    except KeyboardInterrupt:
        note(f"Stopped. Everything up to the last checkpoint is kept: `mien.resume({str(folder)!r})`")
        raise
    except RuntimeError as error:
        if trainer.world_size == 1 or not _is_of_others(error):
            raise
        raise MienError(
            f"Another process of this run ended ({_said_by_gloo(error)}). What was trained until the last "
            f"checkpoint is kept in {folder}: start the same command again, where torchrun does not."
        ) from error
    except OSError as error:
        raise MienError(
            f"Saving to {folder} failed ({error.strerror or error}). Free some space, then: "
            f"`mien.resume({str(folder)!r})`"
        ) from error
    return bool(trainer.is_global_zero)


def _is_of_others(error: RuntimeError) -> bool:
    """Whether an error comes from the connection to another process."""
    return isinstance(error, torch.distributed.DistError) or any(word in str(error) for word in ("gloo", "NCCL"))


def _said_by_gloo(error: RuntimeError) -> str:
    """Its first sentence, without the file it comes from."""
    return re.sub(r"^\[\S+:\d+\] ", "", str(error).splitlines()[0]).partition(". ")[0]


def try_rates(
    task: Training, store: Store, folder: str, device: str, precision: str, rates: Sequence[float]
) -> list[float]:
    """Make a step at each learning rate; returns their smoothed losses, as far as it went (see RisingRate)."""
    rising = RisingRate(rates)
    limits = {"max_epochs": -1, "max_steps": len(rates), "limit_val_batches": 0, "enable_checkpointing": False}
    trainer = _trainer(task, Path(folder), device, precision, [rising], None, **limits)
    train = _batches(task, store, trainer)
    task.steps = train.steps
    with _interruptible(), _quiet():
        trainer.fit(task, train)
    return rising.losses


def _batches(task: Training, store: Store, trainer: L.Trainer) -> TrainBatches:
    settings = task.recipe.train
    return TrainBatches(
        store,
        settings.batch_size,
        task.recipe.seed,
        balanced=settings.sampler == "balanced",
        accumulated=settings.accumulate_grad_batches,
        rank=trainer.global_rank,
        processes=trainer.world_size,
    )


def load_best(task: Training, folder: Path) -> int:
    """Give a task the weights of its best epoch; returns the epoch, from 1."""
    best = whole_checkpoint(folder / layout.CHECKPOINTS / layout.BEST)
    assert best is not None  # an epoch has ended
    state = torch.load(best, map_location="cpu", weights_only=True)
    task.load_state_dict(state["state_dict"])
    return int(state["epoch"]) + 1


def _trainer(
    task: Training,
    folder: Path,
    device: str,
    precision: str,
    callbacks: list[L.Callback],
    logger: Logger | None,
    **limits: Any,
) -> L.Trainer:
    settings, started = task.recipe.train, launched()
    with _quiet():
        return L.Trainer(
            accelerator=device,
            devices=started.a_node if started else settings.processes,
            num_nodes=started.nodes if started else 1,
            strategy=_strategy(settings),
            precision=hardware.PRECISIONS[precision],  # type: ignore[arg-type]
            plugins=_plugins(task, started, device),
            benchmark=device == "cuda",
            **{"max_epochs": settings.epochs, **limits},
            accumulate_grad_batches=settings.accumulate_grad_batches,
            gradient_clip_val=settings.gradient_clip or None,
            callbacks=callbacks,
            logger=logger or False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            default_root_dir=folder,
        )


def _callbacks(
    recipe: Recipe, folder: Path, own: Sequence[L.Callback], preparation: float, held_out: bool
) -> list[L.Callback]:
    """held_out: whether there are validation images to choose the best epoch by; without, it is the last."""
    settings = recipe.train
    mode = "max" if recipe.watched == "accuracy" or not held_out else "min"
    watched = f"val_{recipe.watched}" if held_out else "epoch"
    checkpoints, best, last = folder / layout.CHECKPOINTS, Path(layout.BEST).stem, Path(layout.LAST).stem
    history = History(folder, preparation)
    found: list[L.Callback] = [
        history,
        Diverged(),
        *own,
        ModelCheckpoint(checkpoints, best, monitor=watched, mode=mode, enable_version_counter=False),
        # Its own, as save_last saves only what is also the best; after it, so that it remembers which was the best.
        ModelCheckpoint(checkpoints, last, monitor="step", mode="max", enable_version_counter=False),
        Display(history),
    ]
    if settings.logger != "none":
        found.append(LearningRateMonitor("epoch"))
    if settings.checkpoint_every:
        every = settings.checkpoint_every
        found.append(ModelCheckpoint(checkpoints, "{epoch:03d}", every_n_epochs=every, save_top_k=-1))
    if settings.checkpoint_minutes:
        often = timedelta(minutes=settings.checkpoint_minutes)
        found.append(ModelCheckpoint(checkpoints, last, train_time_interval=often, enable_version_counter=False))
    if settings.early_stopping and held_out:
        found.append(EarlyStopping(watched, patience=settings.early_stopping, mode=mode))
    return found


def _plugins(task: Training, started: Launch | None, device: str) -> list[Any]:
    settings = task.recipe.train
    found: list[Any] = [WholeCheckpoints()]
    if started and started.launcher == "srun":
        found.append(SLURMEnvironment())
    if settings.sync_batchnorm and settings.processes > 1:
        found.append(shared_batch_norm(task.model, device))
    return found


def _strategy(settings: Train) -> str:
    if settings.processes == 1:
        return "auto"
    return "ddp_find_unused_parameters_true" if settings.unfreeze else "ddp"  # unused: those still frozen


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C, which lightning turns into an exit, switching the signal off."""
    at_interrupt = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        signal.signal(signal.SIGINT, at_interrupt)
        raise KeyboardInterrupt from None


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
