"""Batch norm over the whole batch where several processes share it: with torch's own on GPUs, with this elsewhere.

torch.nn.SyncBatchNorm takes no tensors of a CPU, and in place of timm's batch norms, which end with an activation, it
would leave that out.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from lightning.pytorch.plugins.layer_sync import LayerSync, TorchSyncBatchNorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def shared_batch_norm(model: nn.Module, device: str) -> LayerSync:
    """What shares the batch norms of a model among the processes that train it."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    return TorchSyncBatchNorm() if device == "cuda" and all(map(_is_plain, norms)) else SharedBatchNorm()


def _is_plain(norm: nn.Module) -> bool:
    """Whether it computes what torch's batch norm does, and nothing more."""
    return type(norm).forward is _BatchNorm.forward


def _has_activation(norm: nn.Module) -> bool:
    """Whether it is timm's BatchNormAct2d, or one like it."""
    return isinstance(getattr(norm, "drop", None), nn.Module) and isinstance(getattr(norm, "act", None), nn.Module)


class SharedBatchNorm(LayerSync):
    """Makes the batch norms of a model those of all processes, and their own ones again.

    One that computes what nobody here knows stays that of its process.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """Each batch norm keeps its parameters and its name."""
        for module in model.modules():
            if isinstance(module, _BatchNorm) and (_is_plain(module) or _has_activation(module)):
                module.__class__ = type(type(module).__name__, (_Shared, type(module)), {})
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """Undo `apply`."""
        for module in model.modules():
            if isinstance(module, _Shared):
                module.__class__ = type(module).__mro__[2]
        return model


class _Shared(nn.Module):
    """In front of a batch norm's class: mean and variance are those of all processes, which have equal shares."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> (B, C, ...)."""
        if not self.training:
            return super().forward(x)
        norm: Any = self
        mean, variance = _over_all(x.detach())
        if norm.track_running_stats:
            self._track(norm, mean, variance, x.numel() // x.shape[1] * dist.get_world_size())
        weight = norm.weight if norm.affine else torch.ones_like(mean)
        bias = norm.bias if norm.affine else torch.zeros_like(mean)
        scaled = cast(Tensor, _Normalised.apply(x, weight, bias, mean, variance, norm.eps))
        return norm.act(norm.drop(scaled)) if _has_activation(self) else scaled

    @staticmethod
    def _track(norm: Any, mean: Tensor, variance: Tensor, count: int) -> None:
        """count: numbers of each channel, over all processes."""
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked += 1
        share = norm.momentum if norm.momentum is not None else 1 / float(cast(Tensor, norm.num_batches_tracked))
        norm.running_mean.lerp_(mean, share)
        norm.running_var.lerp_(variance * count / max(count - 1, 1), share)


def _over_all(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (C,), float32, of each channel of (B, C, ...) over all processes."""
    unused = torch.zeros(2, x.shape[1], device=x.device)  # float32 beside a bfloat16 x: so are the results
    own = torch.stack(torch.ops.aten.batch_norm_update_stats(x, *unused, 0.0))  # mean, variance (2, C)
    gathered = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, own)
    means, variances = torch.stack(gathered, dim=1)  # (W, C) each
    mean = means.mean(dim=0)
    return mean, (variances + (means - mean).square()).mean(dim=0)


class _Normalised(torch.autograd.Function):
    """Batch norm by a mean and a variance that were worked out before, as torch's own in one pass; its gradients know
    that both come from x, here and in the other processes."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps = eps
        return F.batch_norm(x, mean, variance, weight, bias, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance = ctx.saved_tensors
        # As if mean and variance were constants: of x, and the sums of gradient * normalised x, and of the gradient.
        direct, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradients[0], x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack([of_weight, of_bias])
        dist.all_reduce(sums)
        by_scaled, alone = sums / (x.numel() // x.shape[1] * dist.get_world_size())
        # Through them: a multiple of x and a constant for each channel.
        per_unit = (variance + ctx.eps).rsqrt()
        slope = -weight * per_unit.square() * by_scaled
        constant = -weight * per_unit * alone - slope * mean
        through = F.batch_norm(x, torch.zeros_like(mean), torch.ones_like(mean), slope, constant, eps=0.0)
        return direct.add_(through), of_weight, of_bias, None, None, None
