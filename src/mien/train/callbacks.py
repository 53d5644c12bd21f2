"""What happens around an epoch: the history, the live display, what becomes of a run that is stuck or diverged."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch import callbacks
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mien.errors import MienError
from mien.intervals import wilson
from mien.progress import console, note, warn
from mien.runs.history import COLUMNS, EpochMetrics, read_epochs, write_epochs

Watch = Callable[[int, float], bool]  # an epoch from 1 and its validation accuracy -> whether to give the run up


class History(L.Callback):
    """Adds each epoch to the history of a run folder; a resumed run goes on after its last finished epoch.

    preparation: seconds spent before the first step, which count as training.
    """

    def __init__(self, run: Path, preparation: float = 0.0) -> None:
        self.run = run
        self.preparation = preparation
        self.rows: list[EpochMetrics] = []
        self.seconds_before = 0.0

    def on_train_start(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        self.rows = [row for row in read_epochs(self.run) if row["epoch"] <= trainer.current_epoch]
        until_then = self.rows[-1]["seconds"] if self.rows else self.preparation
        self.seconds_before = max(until_then, self.seconds_before)
        self.started = time.perf_counter()
        self.on_train_epoch_start(trainer, task)  # which lightning leaves out where it goes on within an epoch

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds_before + time.perf_counter() - self.started}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds_before = state_dict["seconds"]

    def on_train_epoch_start(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        self.images = 0
        self.training = 0.0
        self.epoch_started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, task: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        self.images += len(batch[0]) * trainer.world_size
        self.training = time.perf_counter() - self.epoch_started

    def on_train_epoch_end(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        row = {name: float(value) for name, value in trainer.callback_metrics.items() if name in COLUMNS}
        row["epoch"] = trainer.current_epoch + 1
        row["seconds"] = round(self.seconds_before + time.perf_counter() - self.started, 2)
        row["images_per_second"] = round(self.images / max(self.training, 1e-9), 1)
        row["lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append(row)
        write_epochs(self.run, self.rows)


class Display(L.Callback):
    """Loss, accuracy, images/s and the time left: a live bar on a terminal, a line an epoch elsewhere."""

    def __init__(self, history: History) -> None:
        self.history = history
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            TimeRemainingColumn(),
        )
        shown = console()
        self.bar = Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal)

    def on_train_start(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        steps = int(trainer.num_training_batches) * (trainer.max_epochs or 1)
        done = int(trainer.num_training_batches) * trainer.current_epoch
        self.line = self.bar.add_task("training", total=steps, completed=done, state="")
        self.bar.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, task: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        self.bar.advance(self.line)
        if index % 10 == 0 and not self.bar.disable:  # reading the loss makes a GPU wait for itself
            speed = self.history.images / max(self.history.training, 1e-9)
            state = f"loss {outputs['loss'].item():.3f}{_accuracy_so_far(task)} {speed:,.0f} images/s"
            self.bar.update(self.line, state=state, description=f"epoch {trainer.current_epoch + 1}")

    def on_train_epoch_end(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        if trainer.is_global_zero:
            note(epoch_line(self.history.rows[-1], trainer.max_epochs or 1, self.history.preparation))

    def on_exception(self, trainer: L.Trainer, task: L.LightningModule, exception: BaseException) -> None:
        self.bar.stop()

    def teardown(self, trainer: L.Trainer, task: L.LightningModule, stage: str) -> None:
        self.bar.stop()


def _accuracy_so_far(task: L.LightningModule) -> str:
    """That of the epoch's images of this process; '' where training has none, as in pretraining."""
    metric = getattr(task, "train_accuracy", None)
    if metric is None:
        return ""
    return f" acc {(metric.tp / (metric.tp + metric.fn)).item():.1%}"  # in compute() processes wait for each other


def epoch_line(row: EpochMetrics, epochs: int, preparation: float = 0.0) -> str:
    """One epoch in one line, with the time left at the present speed."""
    left = (row["seconds"] - preparation) / row["epoch"] * (epochs - row["epoch"])
    held_out = f"  validation {_result(row, 'val')}" if "val_loss" in row else ""
    return (
        f"epoch {row['epoch']:>3.0f}/{epochs}  train {_result(row, 'train')}{held_out}"
        f"  {row['images_per_second']:,.0f} images/s  {left / 60:.1f} min left"
    )


def _result(row: EpochMetrics, split: str) -> str:
    accuracy = f" acc {row[f'{split}_accuracy']:.1%}" if f"{split}_accuracy" in row else ""
    return f"loss {row[f'{split}_loss']:.3f}{accuracy}"


class ModelCheckpoint(callbacks.ModelCheckpoint):
    """lightning's, which forgets which epoch was the best where the run was moved.

    Within an epoch it saves after whole steps alone, and not after the last, as the end of the epoch saves too.
    """

    def on_train_batch_end(
        self, trainer: L.Trainer, task: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        if not trainer.is_last_batch and (index + 1) % trainer.accumulate_grad_batches == 0:
            super().on_train_batch_end(trainer, task, outputs, batch, index)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state for one of this folder."""
        here, names = Path(str(self.dirpath)), ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: str(here / Path(state_dict[name]).name) for name in names if state_dict.get(name)}
        best = {str(here / Path(path).name): score for path, score in state_dict.get("best_k_models", {}).items()}
        super().load_state_dict(state_dict | moved | {"dirpath": self.dirpath, "best_k_models": best})


class EarlyStopping(callbacks.EarlyStopping):
    """lightning's, which forgets that it had stopped: a finished run that is resumed would train on.

    One that was given more epochs does, and waits anew.
    """

    def on_train_start(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        if getattr(task, "stretched", False):
            self.wait_count = 0
        trainer.should_stop = self.wait_count >= self.patience


class Diverged(L.Callback):
    """Stops a run whose loss is not a number any more; no further epoch would bring it back."""

    def on_train_epoch_end(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        found = trainer.callback_metrics
        losses = [float(found[name]) for name in ("train_loss", "val_loss") if name in found]
        if not all(map(math.isfinite, losses)):
            raise MienError(
                f"The training in {trainer.default_root_dir} diverged in epoch {trainer.current_epoch + 1}: its loss "
                "is not a number any more. Try a smaller `train.lr`, or `train.gradient_clip` 1."
            )


class StuckWarning(L.Callback):
    """Warns when the validation loss stays within 1 % of the loss of an output that ignores the input.

    It does so after 3 epochs and 100 steps, as an epoch of a small data set has but a few; and not where the accuracy
    shows that the input is not ignored. majority: share of the commonest class of the validation images.
    """

    def __init__(self, ignorant_loss: float, majority: float, images: int, warnings: list[str]) -> None:
        self.ignorant_loss, self.majority, self.images = ignorant_loss, majority, images
        self.warnings = warnings
        self.epochs = self.steps_before = 0
        self.said = False

    def on_train_epoch_end(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        loss = float(trainer.callback_metrics["val_loss"])
        accuracy = float(trainer.callback_metrics["val_accuracy"])
        near = abs(loss - self.ignorant_loss) <= 0.01 * self.ignorant_loss
        learned = wilson(round(accuracy * self.images), self.images)[0] > self.majority
        if not near or learned:
            self.epochs, self.steps_before = 0, trainer.global_step
            return
        self.epochs += 1
        if self.epochs < 3 or trainer.global_step - self.steps_before < 100 or self.said:
            return
        self.said = True
        text = (
            f"The validation loss has stayed within 1 % of {self.ignorant_loss:.3f} for {self.epochs} epochs "
            f"(until epoch {trainer.current_epoch + 1}): the loss of class frequencies alone. The output ignores "
            "the input. Try a smaller `train.lr` or `train.warmup_epochs`; a ViT, `model.global_pool` flatten."
        )
        self.warnings.append(text)
        if trainer.is_global_zero:
            warn(text)


class RisingRate(L.Callback):
    """Makes each step at the next learning rate, every group of parameters at its share of it.

    losses: of the steps, smoothed; the last is not finite, or 4 times the least, where the rates became too large.
    """

    SMOOTHING, TOO_MUCH = 0.98, 4.0  # as in fastai and lightning

    def __init__(self, rates: Sequence[float]) -> None:
        self.rates = rates
        self.losses: list[float] = []
        self.average = 0.0
        self.batches: list[float] = []  # losses of those of a step

    def on_train_start(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        groups = trainer.optimizers[0].param_groups
        self.shares = [group["lr"] / groups[0]["lr"] for group in groups]

    def on_train_batch_start(self, trainer: L.Trainer, task: L.LightningModule, batch: Any, index: int) -> None:
        for group, share in zip(trainer.optimizers[0].param_groups, self.shares, strict=True):
            group["lr"] = self.rates[len(self.losses)] * share

    def on_train_batch_end(
        self, trainer: L.Trainer, task: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        self.batches.append(outputs["loss"].item())
        if len(self.batches) < trainer.accumulate_grad_batches:
            return
        loss = sum(self.batches) / len(self.batches)
        self.batches = []
        self.average = self.SMOOTHING * self.average + (1 - self.SMOOTHING) * loss
        self.losses.append(self.average / (1 - self.SMOOTHING ** (len(self.losses) + 1)))
        if not self.losses[-1] <= self.TOO_MUCH * min(self.losses):
            trainer.should_stop = True


class PrunedError(Exception):
    """A run was given up after an epoch (from 1), because others do better."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"given up after epoch {epoch}")
        self.epoch = epoch


class Pruning(L.Callback):
    """Tells `watch` the validation accuracy after each epoch; where it answers True, the run ends with PrunedError."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_train_epoch_end(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if self.watch(epoch, float(trainer.callback_metrics["val_accuracy"])):
            raise PrunedError(epoch)
