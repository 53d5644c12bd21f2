"""The project's only Attention.

Shapes: B images, N tokens, D = embed_dim, h = num_heads, d = D / h.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head self-attention, softmax(q k^T / sqrt(d)) v (Vaswani et al. 2017, equation 1).

    Fused by default. With `explicit_attention(model)` it goes through `self.attend` instead, whose
    output is the attention weights (B, h, N, N), within reach of a hook; both give the same answer.
    """

    def __init__(
        self, embed_dim: int, num_heads: int, qkv_bias: bool = True, drop_rate: float = 0.0, project: bool = True
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

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        B, N, D = x.shape
        q, k, v = self.split(self.qkv(x))
        if self.explicit:
            weights = self.attend(attention_logits(q, k))  # (B, h, N, N)
            x = weights @ v  # (B, h, N, N) x (B, h, N, d) -> (B, h, N, d)
        else:
            x = F.scaled_dot_product_attention(q, k, v)  # (B, h, N, d)
        x = x.transpose(1, 2).reshape(B, N, D)  # (B, h, N, d) -> (B, N, D)
        return self.proj_drop(self.proj(x))

    def split(self, qkv: Tensor) -> tuple[Tensor, ...]:
        """What `self.qkv` gives, (B, N, 3D) -> queries, keys and values, each (B, h, N, d)."""
        B, N, D3 = qkv.shape
        heads = qkv.reshape(B, N, 3, self.num_heads, D3 // 3 // self.num_heads)  # (B, N, 3D) -> (B, N, 3, h, d)
        return heads.permute(2, 0, 3, 1, 4).unbind(0)  # (B, N, 3, h, d) -> 3 x (B, h, N, d)


def attention_logits(q: Tensor, k: Tensor) -> Tensor:
    """q k^T / sqrt(d): queries and keys (B, h, N, d) -> (B, h, N, N), before the softmax."""
    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (B, h, N, d) x (B, h, d, N) -> (B, h, N, N)


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
