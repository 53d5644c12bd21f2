"""Pretraining without labels: a ViT fills in the masked patches of images (see mien.models.masked)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from mien.atomic import write_arrays
from mien.config import Pretrain, Recipe
from mien.data import Store
from mien.data.augment import moved, stream
from mien.data.batches import Batch
from mien.errors import UsageError
from mien.models.masked import Masked, MaskedAutoencoder, SimMIM
from mien.models.vit import VisionTransformer
from mien.preprocessing import Preprocessing
from mien.runs import layout, manifest
from mien.train.task import Training

VALIDATION = 1_000_033  # keeps the stream of validation masks apart from the streams of epochs
SHOWN = 8  # validation images in the report


class Filling(Training):
    """Trains a ViT to fill in masked patches; what is kept of it is the encoder, which has no head.

    A step's masks come from the same stream as its augmentation. Validation images have the same masks in every
    epoch and however many processes share them, so that their loss can be compared.
    validation_images: how many there are.
    Raises UsageError when the encoder cannot be pretrained by that method.
    """

    def __init__(
        self, recipe: Recipe, encoder: nn.Module, preprocessing: Preprocessing, validation_images: int
    ) -> None:
        super().__init__(recipe, wrapped(encoder, recipe.pretrain), preprocessing)
        self.validation_masks = self._masks(validation_images)

    @classmethod
    def of(cls, recipe: Recipe, model: nn.Module, store: Store) -> Filling:
        """Raises UsageError when the encoder cannot be pretrained by the recipe's method."""
        return cls(recipe, model, store.preprocessing, len(store.indices("validation")))

    @staticmethod
    def classes_of(store: Store) -> tuple[str, ...]:
        """None: the labels are not looked at."""
        return ()

    def facts(self, store: Store) -> dict[str, Any]:
        """Nothing besides."""
        return {}

    @property
    def kept(self) -> nn.Module:
        """The encoder."""
        return cast(Masked, self.trained).encoder

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step on this process's part of the batch; returns its mean loss. The labels are not looked at."""
        pixels, _ = self._changed(batch[0])
        masked = cast(Masked, self.model).draw(self._images_a_step(len(pixels)), self.random)
        loss = self.model(self._scaled(pixels), moved(self._own(masked, len(pixels)), pixels.device))
        self._log("train", loss.detach(), len(pixels))
        return loss

    def on_validation_epoch_start(self) -> None:
        self.seen = 0

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images = batch[0]
        own = self.validation_masks[self.global_rank :: self.trainer.world_size]  # as data.batches shares the images
        masked = own[self.seen : self.seen + len(images)]
        self.seen += len(images)
        self._log("val", self.trained(self._inputs(images), moved(masked, images.device)), len(images))

    def finish(self, run: Path, store: Store, model: nn.Module, device: str) -> None:
        """Write some validation images, what of them was visible and how they were filled.

        Three arrays, uint8 (n, C, S, S). Raises MienError when it cannot be written.
        """
        chosen = np.linspace(0, len(self.validation_masks) - 1, SHOWN).astype(int)  # of several classes
        images = torch.from_numpy(store.images[store.indices("validation")[chosen]])
        network, masked = cast(Masked, self.trained.eval()), self.validation_masks[chosen]
        with torch.inference_mode():
            inputs = self._inputs(images)
            visible, filled = (self._pixels(made(inputs, masked)) for made in (network.hide, network.fill))
        with manifest.changing(run, layout.RECONSTRUCTIONS):
            write_arrays(run / layout.RECONSTRUCTIONS, image=images.numpy(), visible=visible, filled=filled)

    def _plain_loss(self, batch: Batch) -> Tensor:
        return self.model(self._inputs(batch[0]), self._masks(len(batch[0])))

    def _masks(self, images: int) -> Tensor:
        return cast(Masked, self.model).draw(images, stream(self.recipe.seed, VALIDATION))

    def _pixels(self, inputs: Tensor) -> np.ndarray:
        """The model's inputs (n, C, S, S) as uint8 pixels."""
        pixels = cast(Preprocessing, self.preprocessing).unscale(inputs)
        return (255 * pixels).round().clamp(0, 255).to(torch.uint8).numpy()


def wrapped(encoder: nn.Module, settings: Pretrain) -> Masked:
    """The encoder with what its method needs around it. Raises UsageError when the two do not fit."""
    network = cast(VisionTransformer, encoder)  # config refuses every other model
    try:
        if settings.method == "simmim":
            return SimMIM(network, settings.mask_ratio)
        return MaskedAutoencoder(network, settings.mask_ratio, settings.decoder_dim, settings.decoder_depth)
    except ValueError as error:
        raise UsageError(f"pretrain.method {settings.method}: {error}") from error
