"""Less memory for more time: what happens inside a block is not kept for the gradients, but computed again.

Chen et al., "Training Deep Nets with Sublinear Memory Cost" (arXiv 1604.06174).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mien.config import Recipe
from mien.errors import UsageError
from mien.models.protocol import block_names


def check(model: nn.Module, recipe: Recipe) -> None:
    """Raise UsageError where gradients are to be checkpointed and the network has no blocks."""
    if recipe.train.gradient_checkpointing and not block_names(model):
        raise UsageError(
            f"train.gradient_checkpointing computes a network's blocks again, and '{recipe.model.name}' has none. "
            "Leave it out, or take a vit or a resnet."
        )


def checkpoint_blocks(model: nn.Module) -> None:
    """Let each block of a network (models.protocol.block_names) keep its inputs and outputs alone while it trains.

    Gradients, weights and random numbers stay what they are. timm's own set_grad_checkpointing is not used: there the
    second pass moves the running averages of batch norms once more.
    """
    for name in block_names(model):
        block: Any = model.get_submodule(name)
        block.forward = partial(_forward, block, block.forward)


def _forward(block: nn.Module, forward: Callable[..., Any], *inputs: Any, **keywords: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **keywords)
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=partial(_contexts, block), **keywords)


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """What is around the first pass, and around the second."""
    return nullcontext(), _without_averages(block)


@contextmanager
def _without_averages(block: nn.Module) -> Iterator[None]:
    """Within it, batch norms in train mode leave their running averages, and the count of their batches, alone."""
    norms: list[Any] = [each for each in block.modules() if getattr(each, "track_running_stats", False)]
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, count in before:
            norm.momentum, norm.num_batches_tracked = momentum, count
