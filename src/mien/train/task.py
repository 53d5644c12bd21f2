"""How a model trains: loss, optimizer, schedule, moving average of the weights."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from mien.config import Recipe
from mien.data import Store
from mien.data.augment import Augmentation, Draws, stream
from mien.data.batches import Batch
from mien.evaluate.folds import score_by_folds
from mien.evaluate.split import evaluate
from mien.preprocessing import Preprocessing
from mien.progress import note
from mien.runs import Env
from mien.train import freeze
from mien.train.callbacks import StuckWarning
from mien.train.class_weights import class_weights, ignorant_loss
from mien.train.metrics import CalibrationError, MeanLoss
from mien.train.moving_average import moving_average
from mien.train.optimizers import make_optimizer, rate
from mien.train.teachers import Teacher, two_answers


class Training(L.LightningModule, ABC):
    """`model` trained as the recipe says, whatever its loss.

    Task (labels) and masked_task.Filling (patches) answer what depends on what a run learns: loss, classes, callbacks,
    and what a run ends with.

    Every random number of a step (augmentation, masks, dropout, drop-path) comes from (seed, epoch, step), so
    a run that is interrupted and resumed goes through the same steps as one that was not.

    preprocessing: None when the batches hold features in place of images, and `model` is a head.
    steps: in an epoch; lightning's estimate would open the batches before it knows with which one to go on.
    stretched: whether training goes on where a run was given more epochs, with the states of a shorter schedule.
    """

    steps = 0
    stretched = False
    counted: Mapping[str, Mapping[str, Tensor]] = {}  # by a checkpoint within an epoch

    def __init__(
        self, recipe: Recipe, model: nn.Module, preprocessing: Preprocessing | None, num_classes: int = 0
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.preprocessing = preprocessing
        self.model = model
        self.averaged = moving_average(model, recipe.train.ema)
        self.augmentation = Augmentation(recipe.augment, num_classes)
        for split in ("train", "val"):
            self.add_module(f"{split}_loss", MeanLoss())

    @classmethod
    @abstractmethod
    def of(cls, recipe: Recipe, model: nn.Module, store: Store) -> Training:
        """The task of a recipe on the data of a store."""

    @staticmethod
    @abstractmethod
    def classes_of(store: Store) -> tuple[str, ...]:
        """The classes that the network tells apart; () where it has no head."""

    @abstractmethod
    def facts(self, store: Store) -> dict[str, Any]:
        """What the run notes in its `Env` besides what every run does."""

    @abstractmethod
    def finish(self, run: Path, store: Store, model: nn.Module, device: str) -> None:
        """Write what the run ends with. model: the network that is kept, on the CPU, where lightning leaves it."""

    def callbacks(self, env: Env, warnings: list[str]) -> Sequence[L.Callback]:
        """What is to happen around an epoch, besides what does in every run; warnings are added to the list."""
        return ()

    @property
    def teachers(self) -> dict[str, str]:
        """Which networks the task asks, by their fingerprints: a name such as mien:base may mean another one later."""
        return {}

    @property
    def trained(self) -> nn.Module:
        """The network that is evaluated: the moving average where there is one."""
        return self.averaged.module if self.averaged is not None else self.model

    @property
    def kept(self) -> nn.Module:
        """The network that goes into the run's model/."""
        return self.trained

    def setup(self, stage: str) -> None:
        """Optimizer and processes are made for all that will ever train; what is frozen until then has no gradient."""
        freeze.freeze(self.model, self.recipe.train, self.recipe.train.epochs)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Within an epoch, keep what all processes have counted so far."""
        if not self.trainer.is_last_batch:
            total = partial(self.trainer.strategy.reduce, reduce_op="sum")
            checkpoint["counted"] = {
                name: {key: total(value.clone()) for key, value in state.items()} for name, state in self._counted()
            }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let a stretched schedule keep its own length; whether it is one, the first process knows."""
        self.stretched = self.trainer.strategy.broadcast(self.stretched)
        self.counted = checkpoint.get("counted", {})
        for state in checkpoint["lr_schedulers"] if self.stretched else ():
            for key in ("total_steps", "_schedule_phases"):  # of a one-cycle schedule
                state.pop(key, None)

    def on_train_start(self) -> None:
        """Go on within an epoch; begin a stretched schedule at its own rate, not where the shorter one ended."""
        self.on_train_epoch_start()
        if self.trainer.is_global_zero:  # what all processes have counted
            for name, state in self._counted():
                for key, value in self.counted.get(name, {}).items():
                    state[key].copy_(value)
        group = self.trainer.optimizers[0].param_groups[0]
        before = group["lr"]
        for schedule in self.trainer.lr_scheduler_configs if self.stretched else ():
            if schedule.monitor is None:
                schedule.scheduler.last_epoch -= 1
                cast(Any, schedule.scheduler).step()
        if self.trainer.is_global_zero and group["lr"] != before:
            restart = ", a warm restart" if group["lr"] > before else ""
            note(
                f"The schedule ends after {self.recipe.train.epochs} epochs now{restart}: the learning rate goes from "
                f"{before:.2g} to {group['lr']:.2g}."
            )

    def on_train_epoch_start(self) -> None:
        freeze.freeze(self.model, self.recipe.train, self.current_epoch + 1)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        step, self.part = divmod(batch_idx, self.recipe.train.accumulate_grad_batches)
        self.random = stream(self.recipe.seed, self.current_epoch, step)
        # Dropout and drop-path draw from torch's own generator; each process its own numbers.
        torch.manual_seed(stream(self.recipe.seed, self.current_epoch, batch_idx, 1 + self.global_rank).initial_seed())

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """lightning's step, which the moving average follows."""
        super().optimizer_step(*args, **kwargs)
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """lightning's step; one that watches the validation loss is made when the epoch ends, before it is saved."""
        if metric is None:
            super().lr_scheduler_step(scheduler, metric)

    def on_train_epoch_end(self) -> None:
        for schedule in self.trainer.lr_scheduler_configs:
            if schedule.monitor is not None:
                cast(Any, schedule.scheduler).step(self.trainer.callback_metrics[schedule.monitor])

    def configure_optimizers(self) -> Any:
        """The optimizer and, unless it is constant without warm-up, the schedule."""
        optimizer = make_optimizer(self.model, self.recipe.train)
        settings = self.recipe.train
        steps = self.steps * settings.epochs
        rising = min(settings.warmup_epochs / settings.epochs, 0.5)  # a run cut short warms up for half of it
        if settings.schedule == "plateau":
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}
        if settings.schedule == "one_cycle":
            steps = max(steps, 10)  # torch's schedule divides by zero in a run of two steps
            rising = max(rising or 0.3, 2 / steps)
            peaks = [group["lr"] for group in optimizer.param_groups]
            moves = settings.optimizer != "muon"  # whose momentum stays, as its steps have one size
            schedule: Any = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, peaks, steps, pct_start=rising, cycle_momentum=moves
            )
        else:
            cosine = settings.schedule == "cosine"
            share = partial(rate, steps=steps, warmup=rising * steps, cosine=cosine)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def initial_loss(self, batch: Batch) -> tuple[float, float]:
        """The loss before any step and its standard error, on one batch as training sees it but without augmentation.

        ln(classes) is the loss of a uniform guess; far above it, the initialisation is badly scaled.
        """
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        # As in the first step: a batch norm that has seen nothing cannot be evaluated, a frozen one must be.
        freeze.freeze(self.model, self.recipe.train, 1)
        with torch.no_grad():
            losses = self._plain_loss(batch).float()
        for name, buffer in self.model.named_buffers():
            buffer.copy_(buffers[name])
        error = losses.std().item() / math.sqrt(losses.numel()) if losses.numel() > 1 else 0.0
        return losses.mean().item(), error

    @abstractmethod
    def _plain_loss(self, batch: Batch) -> Tensor:
        """The loss of `model` on each image of a batch that is not augmented, (B,); or the mean, where that is all."""

    def _inputs(self, images: Tensor) -> Tensor:
        return images if self.preprocessing is None else self._scaled(images.float() / 255)

    def _scaled(self, pixels: Tensor) -> Tensor:
        return pixels if self.preprocessing is None else self.preprocessing.scale(pixels)

    def _changed(self, images: Tensor) -> tuple[Tensor, Draws]:
        """Images (B, C, H, W) augmented as floats 0..1, and what was drawn for them."""
        draws = self.augmentation.draw(self._images_a_step(len(images)), self.random)
        own = {name: self._own(values, len(images)) for name, values in draws.items()}
        with torch.autocast(images.device.type, enabled=False):  # in bf16 a warp would miss its pixels
            return self.augmentation.apply(images.float() / 255, own), own

    def _counted(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """The sums of the training's metrics, by their names."""
        for name, metric in self.named_children():
            if name.startswith("train_") and isinstance(metric, Metric):
                yield name, {key: value for key, value in metric.metric_state.items() if isinstance(value, Tensor)}

    def _images_a_step(self, share: int) -> int:
        """share: of this process, of one of the batches that make a step."""
        return share * self.trainer.world_size * self.recipe.train.accumulate_grad_batches

    def _own(self, drawn: Tensor, share: int) -> Tensor:
        """This process's rows, of this batch, of what was drawn for the whole step."""
        start = (self.part * self.trainer.world_size + self.global_rank) * share
        return drawn[start : start + share]

    def _log(self, split: str, loss: Tensor, images: int) -> None:
        cast(MeanLoss, self.get_submodule(f"{split}_loss")).update(loss, images)
        if self.trainer.is_last_batch or split == "val":  # lightning's bookkeeping is slow, once an epoch is enough
            metrics = {name: part for name, part in self.named_children() if name.startswith(f"{split}_")}
            self.log_dict(cast(Any, metrics), on_step=False, on_epoch=True)


class Task(Training):
    """Trains a classifier on labelled images.

    class_counts: training images of each class, (K,). teacher: whose answers are learned beside the labels. classes:
    their names, where the recipe has weights for some of them.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        recipe: Recipe,
        model: nn.Module,
        preprocessing: Preprocessing | None,
        class_counts: np.ndarray,
        teacher: Teacher | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        super().__init__(recipe, model, preprocessing, len(class_counts))
        self.teacher = teacher  # no module of the task: its weights go into no checkpoint, its mode is its own
        weights = class_weights(recipe, class_counts, classes)
        self.ignorant_loss = ignorant_loss(recipe, class_counts, weights)
        kept = None if weights is None else torch.from_numpy(weights).float()
        self.register_buffer("class_weights", kept, persistent=False)
        for split in ("train", "val"):
            accuracy = MulticlassAccuracy(len(class_counts), average="micro", validate_args=False)
            self.add_module(f"{split}_accuracy", accuracy)
        self.val_calibration_error = CalibrationError(len(class_counts))

    @classmethod
    def of(cls, recipe: Recipe, model: nn.Module, store: Store) -> Task:
        """Raises UsageError where the model cannot be frozen, or a teacher cannot teach, as the recipe says."""
        freeze.check(model, recipe)
        asks = recipe.distill.teachers and not recipe.distill.stored
        teacher = Teacher(recipe, store.classes) if asks else None
        return cls(recipe, model, store.preprocessing, store.class_counts("train"), teacher, store.classes)

    @staticmethod
    def classes_of(store: Store) -> tuple[str, ...]:
        """Those of the data."""
        return tuple(store.classes)

    def facts(self, store: Store) -> dict[str, Any]:
        """The losses of outputs that ignore the input, in nats."""
        uniform, prior = math.log(len(store.classes)), entropy(store.class_counts("train"))
        return {"ln_classes": uniform, "prior_entropy": prior, "ignorant_loss": self.ignorant_loss}

    def callbacks(self, env: Env, warnings: list[str]) -> Sequence[L.Callback]:
        """A warning where the network goes on ignoring its input."""
        held_out = env.store.counts["validation"]
        if env.ignorant_loss is None or not sum(held_out):
            return ()
        images = max(sum(held_out), 1)
        return (StuckWarning(env.ignorant_loss, max(held_out) / images, images, warnings),)

    def finish(self, run: Path, store: Store, model: nn.Module, device: str) -> None:
        """Score the run on validation; one on everything has the scores of the folds beside it."""
        if not store.has("validation"):
            score_by_folds(run)
            return
        evaluate(run, "validation", model=model.to(device), store=store)

    @property
    def teachers(self) -> dict[str, str]:
        """Those that are asked at each step."""
        return {} if self.teacher is None else self.teacher.fingerprints

    def forward(self, images: Tensor) -> Tensor:
        """uint8 images (B, C, H, W) or features (B, D) -> logits (B, K) of the network that is kept."""
        return self.trained(self._inputs(images))

    def on_fit_start(self) -> None:
        if self.teacher is not None:
            self.teacher.to(self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step on this process's part of the batch, labels (B,) or soft labels (B, K); returns its mean loss."""
        images, labels = batch
        pixels, targets = self._augmented(images, labels)
        if self.teacher is None:
            logits = self.model(self._scaled(pixels)).float()
            loss = self._loss(logits, targets)
        else:
            logits, taught = two_answers(self.model, self._scaled(pixels))
            by_teacher = self.teacher.loss(taught, self.teacher(pixels))
            loss = torch.lerp(self._loss(logits, targets), by_teacher, self.recipe.distill.weight)
        self._count("train", loss.detach(), logits.detach(), targets)  # of a mixed image, the larger part is right
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, labels = batch
        logits = self(images).float()
        self.val_calibration_error.update(logits, hard(labels))
        self._count("val", F.cross_entropy(logits, labels), logits, labels)

    def _plain_loss(self, batch: Batch) -> Tensor:
        images, labels = batch
        return F.cross_entropy(self.model(self._inputs(images)), labels, reduction="none")

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        smoothing = self.recipe.train.label_smoothing
        return F.cross_entropy(logits, targets, weight=self.class_weights, label_smoothing=smoothing)

    def _augmented(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if self.preprocessing is None:
            return images, labels
        pixels, draws = self._changed(images)
        return self.augmentation.mix(pixels, labels, draws)

    def _count(self, split: str, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        cast(MulticlassAccuracy, self.get_submodule(f"{split}_accuracy")).update(logits, hard(labels))
        self._log(split, loss, len(labels))


def entropy(counts: np.ndarray) -> float:
    """Of a class distribution, in nats: the loss of an output that knows only the class frequencies."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def hard(labels: Tensor) -> Tensor:
    """Labels (B,) as they are, soft labels (B, K) as their most probable class, (B,)."""
    return labels if labels.ndim == 1 else labels.argmax(dim=1)
