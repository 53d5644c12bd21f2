"""The moving average of a model's weights."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def moving_average(model: nn.Module, decay: float) -> AveragedModel | None:
    """A copy of the model that follows it at each `update_parameters`; None where decay is 0."""
    if not decay:
        return None

    def average(averaged: Any, current: Any, updates: Any) -> None:
        if not averaged[0].is_floating_point():  # counts and tables of places are copied: torch rounds means of these
            for kept, new in zip(averaged, current, strict=True):
                kept.copy_(new)
            return
        # Young averages follow fast, else a short run would keep its random start (as in timm's warm-up).
        now = min(decay, (1 + int(updates)) / (10 + int(updates)))
        get_ema_multi_avg_fn(now)(averaged, current, updates)

    copy = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
    return copy.requires_grad_(False)
