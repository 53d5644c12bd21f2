"""Batch norm over the whole batch where several processes share it: with torch's own on GPUs, with this elsewhere.

torch.nn.SyncBatchNorm takes no tensors of a CPU, and in place of timm's batch norms, which end with an activation, it
would leave that out.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist
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
        axes, shape = [0, *range(2, x.dim())], [1, -1, *[1] * (x.dim() - 2)]
        values = x.float()
        mean = _Mean.apply(values.mean(axes))  # (C,)
        centred = values - mean.view(shape)
        variance = _Mean.apply(centred.square().mean(axes))  # (C,)
        if norm.track_running_stats:
            self._track(norm, mean.detach(), variance.detach(), x.numel() // x.shape[1] * dist.get_world_size())
        scaled = centred * (variance + norm.eps).rsqrt().view(shape)
        if norm.affine:
            scaled = scaled * norm.weight.view(shape) + norm.bias.view(shape)
        scaled = scaled.to(x.dtype)
        return norm.act(norm.drop(scaled)) if _has_activation(self) else scaled

    @staticmethod
    def _track(norm: Any, mean: Tensor, variance: Tensor, count: int) -> None:
        """count: numbers of each channel, over all processes."""
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked += 1
        share = norm.momentum if norm.momentum is not None else 1 / float(cast(Tensor, norm.num_batches_tracked))
        norm.running_mean.lerp_(mean, share)
        norm.running_var.lerp_(variance * count / max(count - 1, 1), share)


class _Mean(torch.autograd.Function):
    """The mean over all processes, of the values and of their gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _mean(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _mean(gradients[0])


def _mean(values: Tensor) -> Tensor:
    total = values.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()
