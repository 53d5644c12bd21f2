"""What is counted over the batches of an epoch."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassCalibrationError


class MeanLoss(Metric):
    """The mean over images of losses that are means over batches.

    torchmetrics' MeanMetric checks its input, so a GPU finishes its queue at every step; without the check it ignores
    weights, and a last batch of 5 images counts as much as one of 256.
    """

    total: Tensor
    images: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("total", "images"):
            self.add_state(name, torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, loss: Tensor, images: int) -> None:
        self.total += loss * images
        self.images += images

    def compute(self) -> Tensor:
        return self.total / self.images


class CalibrationError(MulticlassCalibrationError):
    """torchmetrics' l1 error in 15 bins, of logits; a confidence of 1 falls into the last bin, as in mien.evaluate."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, validate_args=False)

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """logits (B, K), labels (B,)."""
        super().update(logits.softmax(dim=1).clamp(max=1 - 1e-6), labels)
