"""What a Vision Transformer attends to: weights, their reach, and what becomes of them over the layers.

Shapes: B images, N tokens, h heads, g x g patches. The prefix tokens (class token, distillation token) come first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mien.errors import UsageError
from mien.explain.capture import attends_itself, capture, evaluating, network_of, no_weights
from mien.explain.targets import chosen, targets_of
from mien.explain.watching import Watching
from mien.models import protocol
from mien.models.parts.attention import Attention, explicit_attention
from mien.models.protocol import Tokens


def has_tokens(model: nn.Module) -> bool:
    """Whether the network says how its tokens lie, so that its attention can be laid over the image."""
    return protocol.tokens_of(network_of(model)) is not None


def require_weights(model: nn.Module) -> None:
    """Raise UsageError where there are no attention weights over patches: of a CNN, and of approximate attention."""
    tokens_of(model)
    if reason := no_weights(model):
        raise UsageError(reason)


def tokens_of(model: nn.Module) -> Tokens:
    """How the network's tokens lie over the image. Raises UsageError when it has none, or does not say."""
    network = network_of(model)
    if (found := protocol.tokens_of(network)) is None:
        raise UsageError(
            f"{type(network).__name__} has no attention over patches. Take a Vision Transformer; your own network says "
            "how its tokens lie with an attribute 'tokens', a mien.models.Tokens."
        )
    return found


def weights(model: nn.Module, images: Tensor) -> np.ndarray:
    """Attention weights of every layer and head, (layers, B, h, N, N); rows (queries) sum to 1.

    images: (B, C, H, W), scaled. A block that is used twice counts as two layers. Raises UsageError for a CNN
    and for approximate attention.
    """
    require_weights(model)
    with torch.no_grad(), evaluating(model), capture(model) as trace:
        model(images)
    return torch.stack(_over_all_tokens(trace.attention_weights, model)).float().cpu().numpy()


def mean_attention_distance(weights: np.ndarray, patch_size: int, prefix: int) -> np.ndarray:
    """How far each head looks, in pixels, (layers, h): the mean distance from patch to patch, weighted by attention.

    weights: (layers, B, h, N, N). Prefix tokens are left out and the rows made to sum to 1 again.
    Dosovitskiy et al. (arXiv 2010.11929), figure 7, right.
    """
    between = weights[..., prefix:, prefix:]  # (layers, B, h, N, N) -> (layers, B, h, g*g, g*g)
    between = between / between.sum(axis=-1, keepdims=True)
    centres = patch_size * grid_points(math.isqrt(between.shape[-1]))
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)  # (g*g, g*g)
    return np.asarray((between * distances).sum(axis=-1).mean(axis=(1, 3)))  # (layers, B, h, g*g) -> (layers, h)


def rollout(weights: np.ndarray) -> np.ndarray:
    """How much of each token at the input reaches each token at the output, (B, N, N); rows sum to 1.

    weights: (layers, B, h, N, N). The product over the layers of half the heads' mean and half the identity, which
    stands for the residual branch. Abnar and Zuidema (arXiv 2005.00928).
    """
    identity = np.eye(weights.shape[-1])
    rolled = np.broadcast_to(identity, (weights.shape[1], *identity.shape))
    for layer in weights.mean(axis=2):  # (layers, B, h, N, N) -> layers x (B, N, N)
        mixed = 0.5 * layer + 0.5 * identity
        rolled = mixed / mixed.sum(axis=-1, keepdims=True) @ rolled
    return rolled


def relevance(model: nn.Module, images: Tensor, targets: Any = None) -> np.ndarray:
    """How much each token at the input speaks for the target class through each token at the output, (B, N, N).

    images: (B, C, H, W), scaled. targets: see `targets_of`. R starts as the identity; each layer adds
    mean over heads of relu(dy/dA * A), times R. Chefer et al. (arXiv 2103.15679), equations 5 and 6.
    Raises UsageError for a CNN and for approximate attention.
    """
    require_weights(model)
    with torch.enable_grad(), evaluating(model), _weights_in_the_open(model) as found:
        logits = model(images.detach().clone().requires_grad_())
        maps = _over_all_tokens(found, model)
        gradients = torch.autograd.grad(chosen(logits, targets_of(logits, targets)).sum(), maps)
    relevances = torch.eye(maps[0].shape[-1], device=images.device).expand(len(images), -1, -1)
    for attention, gradient in zip(maps, gradients, strict=True):
        update = (gradient * attention.detach()).relu().mean(dim=1)  # (B, h, N, N) -> (B, N, N)
        relevances = relevances + update @ relevances
    return relevances.cpu().numpy()


def to_map(matrix: np.ndarray, model: nn.Module) -> np.ndarray:
    """What the head sees of a token matrix such as a rollout, (B, N, N) -> (B, g, g).

    The class token's row for global_pool 'token' (with a distillation token, the mean of both; registers are read by
    none), the mean of the
    patches' rows for 'avg', 'flatten' and 'seq'. Raises UsageError for a CNN.
    """
    tokens = tokens_of(model)
    read = tokens.prefix if tokens.read is None else tokens.read
    rows = matrix[:, :read] if tokens.pool == "token" else matrix[:, tokens.prefix :]
    seen = rows.mean(axis=1)[:, tokens.prefix :]  # (B, rows, N) -> (B, N) -> (B, g*g)
    return np.asarray(seen.reshape(-1, tokens.grid, tokens.grid))  # (B, g*g) -> (B, g, g)


@contextmanager
def _weights_in_the_open(model: nn.Module) -> Iterator[list[Tensor]]:
    """Within it, the weights of each attention, (B, h, N, N), are collected, and the answer depends on them."""
    maps: list[Tensor] = []
    if not attends_itself(model):
        with Watching(lambda logits, weights: maps.append(weights), explicit=True):
            yield maps
        return
    attends = [module.attend for module in network_of(model).modules() if isinstance(module, Attention)]
    handles = [attend.register_forward_hook(lambda module, inputs, output: maps.append(output)) for attend in attends]
    try:
        with explicit_attention(model):
            yield maps
    finally:
        for handle in handles:
            handle.remove()


def _over_all_tokens(maps: list[Tensor], model: nn.Module) -> list[Tensor]:
    """The same; raises UsageError where a layer's are not over all tokens, as in windows or with pooled keys."""
    if attends_itself(model):
        return maps
    tokens = tokens_of(model)
    whole = tokens.prefix + tokens.grid**2
    if other := next((each.shape for each in maps if each.shape[2:] != (whole, whole)), None):
        raise UsageError(
            f"{type(network_of(model)).__name__} attends over {other[2]} x {other[3]} tokens in one of its layers, not "
            f"over all {whole}. Take a map of pixels such as integrated_gradients."
        )
    return maps


def grid_points(grid: int) -> np.ndarray:
    """Row and column of each patch, in the order of the tokens, float (g*g, 2)."""
    return np.stack(np.meshgrid(np.arange(grid), np.arange(grid), indexing="ij"), axis=-1).reshape(-1, 2).astype(float)
