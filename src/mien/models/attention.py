"""The project's only Attention, and what can be added to its logits.

Shapes: B images, N tokens, D = embed_dim, h = num_heads, d = D / h.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head self-attention, softmax(q k^T / sqrt(d)) v (Vaswani et al. 2017, equation 1).

    Fused by default. With `explicit_attention(model)` it goes through `self.attend` instead, whose
    output is the attention weights (B, h, N, N), within reach of a hook; both give the same answer.
    relative: positions that are added to the logits, None for content alone.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        qkv_bias: bool = True,
        drop_rate: float = 0.0,
        project: bool = True,
        relative: RelativePositions | None = None,
    ) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim (={embed_dim}) must be divisible by num_heads (={num_heads}).")
        self.num_heads = num_heads
        self.explicit = False
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim, bias=qkv_bias)
        self.attend = nn.Softmax(dim=-1)
        self.proj = nn.Linear(embed_dim, embed_dim) if project else nn.Identity()
        self.proj_drop = nn.Dropout(drop_rate)
        self.relative = relative

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        B, N, D = x.shape
        q, k, v = self.split(self.qkv(x))
        if self.explicit:
            weights = self.attend(self.logits(q, k))  # (B, h, N, N)
            x = weights @ v  # (B, h, N, N) x (B, h, N, d) -> (B, h, N, d)
        else:
            bias = None if self.relative is None else self.relative().to(q.dtype)  # (1, h, N, N)
            x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)  # (B, h, N, d)
        x = x.transpose(1, 2).reshape(B, N, D)  # (B, h, N, d) -> (B, N, D)
        return self.proj_drop(self.proj(x))

    def split(self, qkv: Tensor) -> tuple[Tensor, ...]:
        """What `self.qkv` gives, (B, N, 3D) -> queries, keys and values, each (B, h, N, d)."""
        B, N, D3 = qkv.shape
        heads = qkv.reshape(B, N, 3, self.num_heads, D3 // 3 // self.num_heads)  # (B, N, 3D) -> (B, N, 3, h, d)
        return heads.permute(2, 0, 3, 1, 4).unbind(0)  # (B, N, 3, h, d) -> 3 x (B, h, N, d)

    def logits(self, q: Tensor, k: Tensor) -> Tensor:
        """q k^T / sqrt(d), plus the relative positions' bias: queries and keys (B, h, N, d) -> (B, h, N, N)."""
        content = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (B, h, N, d) x (B, h, d, N) -> (B, h, N, N)
        return content if self.relative is None else content + self.relative()


class RelativePositions(nn.Module):
    """A learned number for each head and each offset between two patches, added to the attention logits.

    Swin's relative position bias (Liu et al., arXiv 2103.14030, equation 4) over the whole grid. Class and
    distillation tokens have no place: their rows and columns are 0.
    """

    index: Tensor

    def __init__(self, grid_size: int, num_heads: int, prefix: int) -> None:
        super().__init__()
        self.prefix = prefix
        self.table = nn.Parameter(torch.randn(num_heads, (2 * grid_size - 1) ** 2) * 0.02)
        place = torch.arange(grid_size)
        y, x = torch.meshgrid(place, place, indexing="ij")
        down = y.flatten()[:, None] - y.flatten() + grid_size - 1  # (N, N), 0 to 2 g - 2
        right = x.flatten()[:, None] - x.flatten() + grid_size - 1
        self.register_buffer("index", down * (2 * grid_size - 1) + right, persistent=False)

    def forward(self) -> Tensor:
        """The bias, (1, h, N, N)."""
        bias = self.table[:, self.index]  # (h, (2g-1)^2) -> (h, g*g, g*g)
        return F.pad(bias, (self.prefix, 0, self.prefix, 0))[None]


@contextmanager
def explicit_attention(model: nn.Module) -> Iterator[None]:
    """Within it, every Attention of the model computes its weights in the open."""
    modules = [module for module in model.modules() if isinstance(module, Attention)]
    before = [module.explicit for module in modules]
    try:
        for module in modules:
            module.explicit = True
        yield
    finally:
        for module, explicit in zip(modules, before, strict=True):
            module.explicit = explicit
