"""The optimizer of a run, which parameters it spares, and how the learning rate goes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from mien import hardware
from mien.config import Train
from mien.train import freeze
from mien.train.muon import Muon, matrices_in
from mien.words import count

# Names of parameters that weight decay spares.
EMBEDDINGS = ("pos_embed", "rows", "columns", "table", "cls_token", "dist_token", "mask_token")


def make_optimizer(model: nn.Module, settings: Train) -> torch.optim.Optimizer:
    """SGD (Nesterov), Adam, AdamW or Muon. Weight decay spares biases, norms, tokens and positions.

    The first group has the full learning rate; with layer_decay, the later ones have less and less of it.
    """
    groups = _parameter_groups(model, settings)
    if settings.optimizer == "muon":
        bf16 = hardware.choose_precision(settings.precision, hardware.device_of(model).type, model) == "bf16"
        return Muon(groups, settings.lr, dtype=torch.bfloat16 if bf16 else torch.float32)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, settings.lr, settings.momentum, nesterov=settings.momentum > 0)
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    # lightning does not clip the gradients of a fused optimizer under mixed precision.
    return kind(groups, settings.lr, settings.betas, fused=not settings.gradient_clip)


def outlasted(settings: Train) -> str | None:
    """What is to be said of a warm-up that is longer than half of the run: it is cut to that; None where it fits."""
    if settings.schedule == "plateau" or settings.warmup_epochs <= settings.epochs / 2:
        return None
    return (
        f"`train.warmup_epochs` {settings.warmup_epochs:g} is more than half of {count(settings.epochs, 'epoch')}: the "
        "warm-up is cut to half of the run, and the learning rate is low for much of it."
    )


def rate(step: int, steps: int, warmup: float, cosine: bool) -> float:
    """Share of the peak learning rate at a step: linear warm-up, then constant or half a cosine."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if not cosine:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, steps - warmup)))


def _parameter_groups(model: nn.Module, settings: Train) -> list[dict[str, Any]]:
    shares, muon = freeze.rates(model, settings.layer_decay), settings.optimizer == "muon"
    matrices = matrices_in(model) if muon else {}
    groups: dict[tuple[float, bool, int], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            spared = parameter.dim() < 2 or _is_embedding(name)
            parts = 0 if spared else matrices.get(parameter, 0)
            groups.setdefault((-shares[name], spared, -parts), []).append(parameter)
    found = []
    for key in sorted(groups):
        share, spared, parts = -key[0], key[1], -key[2]
        lr = share * (settings.adam_lr if muon and not parts else settings.lr)
        group = {"params": groups[key], "lr": lr, "weight_decay": 0.0 if spared else settings.weight_decay}
        found.append(group | ({"matrices": parts} if muon else {}))
    return found


def _is_embedding(name: str) -> bool:
    return name.rpartition(".")[2] in EMBEDDINGS
