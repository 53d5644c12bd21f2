"""Which images are explained, and which class of each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mien.errors import UsageError
from mien.hardware import device_of


def images_for(model: nn.Module, images: Any) -> Tensor:
    """Scaled images (B, C, H, W), NumPy or torch -> floats where the model is. UsageError for other shapes."""
    tensor = torch.as_tensor(images)
    if tensor.ndim != 4 or not len(tensor):
        raise UsageError(f"images have the shape {tuple(tensor.shape)}. Give scaled ones, (B, C, H, W).")
    return tensor.detach().to(device_of(model), torch.float32)


def targets_of(logits: Tensor, targets: Any = None) -> Tensor:
    """Which class of each image is to be explained, int64 (B,).

    logits: (B, K). targets: a class for all images, one for each, or None for the predicted ones.
    Raises UsageError for a class that the model does not have.
    """
    if targets is None:
        return logits.argmax(dim=1)
    images, classes = logits.shape
    wanted = torch.as_tensor(targets, device=logits.device).long()
    if wanted.ndim > 1 or (wanted.ndim == 1 and len(wanted) != images):
        raise UsageError(f"targets have the shape {tuple(wanted.shape)}. Give one class, or one for each of {images}.")
    if len(outside := wanted[(wanted < 0) | (wanted >= classes)].flatten()):
        raise UsageError(f"Class {int(outside[0])} is not one of the model's {classes} (0 to {classes - 1}).")
    return wanted.expand(images)


def chosen(logits: Tensor, targets: Tensor) -> Tensor:
    """Each image's logit of its target, (B, K) and (B,) -> (B,)."""
    return logits.gather(1, targets[:, None]).squeeze(1)  # (B, K) -> (B, 1) -> (B,)
