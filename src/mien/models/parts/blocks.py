"""A transformer block and what is in it. Attribute names are timm's.

Shapes: B images, N tokens, D = embed_dim.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from mien.models.parts.attention import Attention
from mien.models.parts.dropout import Dropout


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the approximation of the GELU that CLIP was trained with (arXiv 1606.08415)."""

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape, kept."""
        return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "quick_gelu": QuickGELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
}  # timm's names of what stands between the layers of an MLP


class Mlp(nn.Module):
    """Two linear layers with an activation (see ACTIVATIONS) between them, applied to each token."""

    def __init__(self, embed_dim: int, hidden_dim: int, drop_rate: float = 0.0, act_layer: str = "gelu") -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, hidden_dim)
        self.act = ACTIVATIONS[act_layer]()
        self.fc2 = nn.Linear(hidden_dim, embed_dim)
        self.drop = Dropout(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))


class DropPath(nn.Module):
    """Stochastic depth: while training, leaves a residual branch out for some images (arXiv 1603.09382)."""

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, ...); kept branches are scaled by 1 / (1 - rate)."""
        if not self.training or self.rate == 0.0:
            return x
        kept = torch.rand(x.shape[0], *[1] * (x.dim() - 1), device=x.device) >= self.rate  # (B, 1, ...)
        return x * kept / (1.0 - self.rate)


class LayerScale(nn.Module):
    """A learned factor for each channel of a residual branch, small at first (CaiT, arXiv 2103.17239)."""

    def __init__(self, embed_dim: int, start: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((embed_dim,), start))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return x * self.gamma


class Block(nn.Module):
    """Attention and MLP, each on a residual branch.

    pre_norm: x + f(LN(x)), as in the ViT paper; otherwise LN(x + f(x)), as in the first transformer.
    layer_scale: where the factors of a branch start, see LayerScale; None leaves them out.
    attn: the attention, maps (B, N, D) to (B, N, D); a plain `Attention(embed_dim, num_heads)` unless given.
    norm_eps: added to the variance in both norms. act_layer: the MLP's activation, see ACTIVATIONS.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        pre_norm: bool = True,
        layer_scale: float | None = None,
        attn: nn.Module | None = None,
        norm_eps: float = 1e-6,
        act_layer: str = "gelu",
    ) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.norm1 = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.attn = Attention(embed_dim, num_heads, drop_rate=drop_rate) if attn is None else attn
        self.ls1 = nn.Identity() if layer_scale is None else LayerScale(embed_dim, layer_scale)
        self.norm2 = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.mlp = Mlp(embed_dim, int(embed_dim * mlp_ratio), drop_rate, act_layer)
        self.ls2 = nn.Identity() if layer_scale is None else LayerScale(embed_dim, layer_scale)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        if self.pre_norm:
            x = x + self.drop_path(self.ls1(self.attn(self.norm1(x))))
            return x + self.drop_path(self.ls2(self.mlp(self.norm2(x))))
        x = self.norm1(x + self.drop_path(self.ls1(self.attn(x))))
        return self.norm2(x + self.drop_path(self.ls2(self.mlp(x))))


def evidence_layer(blocks: nn.Sequential, before: str, name: str = "blocks") -> str:
    """The last module of a stack of Blocks called `name` that still has a place for everything.

    After the last attention, a class token's gradient reaches no patch any more. before: what stands before the stack.
    """
    last = len(blocks) - 1
    if blocks[last].pre_norm:
        return f"{name}.{last}.norm1"
    return f"{name}.{last - 1}" if last else before
