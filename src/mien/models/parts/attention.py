"""The project's only Attention.

Shapes: B images, N tokens, D = embed_dim, h = num_heads, d = D / h.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.models.parts.dropout import Dropout
from mien.models.parts.positions import RelativePositions


class Attention(nn.Module):
    """Multi-head self-attention, softmax(q k^T / sqrt(d)) v (Vaswani et al. 2017, equation 1).

    Fused by default. With `explicit_attention(model)` it goes through `self.attend` instead, whose
    output is the attention weights (B, h, N, N), within reach of a hook; both give the same answer. It also does where
    it learns in bf16 on a CPU: there torch's fused attention takes some 5 times as long, nearly all of it backward.

    relative: a learned bias for each offset between patches, added to the logits.
    project: without it, the heads' answers are not mixed by a last matrix.
    What was tried beyond this is a subclass, `experimental.attention.VariedAttention`.
    """

    no_weights = ""  # why there are no weights to look at; '' where there are

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
        self.relative = relative
        self.attend = nn.Softmax(dim=-1)
        self.proj = nn.Linear(embed_dim, embed_dim) if project else nn.Identity()
        self.proj_drop = Dropout(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        B, N, D = x.shape
        x = self.gather(*self.split(self.qkv(x)))
        x = x.transpose(1, 2).reshape(B, N, D)  # (B, h, N, d) -> (B, N, D)
        return self.proj_drop(self.proj(x))

    def split(self, qkv: Tensor) -> tuple[Tensor, ...]:
        """What `self.qkv` gives, (B, N, 3D) -> queries, keys and values, each (B, h, N, d)."""
        B, N, D3 = qkv.shape
        heads = qkv.reshape(B, N, 3, self.num_heads, D3 // 3 // self.num_heads)  # (B, N, 3D) -> (B, N, 3, h, d)
        return heads.permute(2, 0, 3, 1, 4).unbind(0)  # (B, N, 3, h, d) -> 3 x (B, h, N, d)

    def gather(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """What each token takes up of the others: three times (B, h, N, d) -> (B, h, N, d)."""
        if self.explicit or _is_slow_backward(q):
            return self.attend(self.logits(q, k)) @ v  # (B, h, N, N) x (B, h, N, d) -> (B, h, N, d)
        return F.scaled_dot_product_attention(q, k, v, self.bias(q.shape[2]))

    def logits(self, q: Tensor, k: Tensor) -> Tensor:
        """What the softmax sees: queries and keys (B, h, N, d) -> (B, h, N, N); -inf where a token may not look."""
        logits, bias = attention_logits(q, k), self.bias(q.shape[2])
        return logits if bias is None else logits + bias

    def bias(self, tokens: int) -> Tensor | None:
        """What is added to the logits, (h, N, N) or (N, N)."""
        return None if self.relative is None else self.relative()


def _is_slow_backward(q: Tensor) -> bool:
    """Whether torch's fused attention would be much slower than its parts (torch 2.13)."""
    return q.dtype == torch.bfloat16 and q.device.type == "cpu" and q.requires_grad


def attention_logits(q: Tensor, k: Tensor) -> Tensor:
    """q k^T / sqrt(d): queries and keys (B, h, N, d) -> (B, h, N, N), before the softmax."""
    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (B, h, N, d) x (B, h, d, N) -> (B, h, N, N)


def attention_names(model: nn.Module) -> list[str]:
    """Names of the modules that attend: those that the model names, else each Attention."""
    if (said := getattr(model, "attention_names", None)) is not None:
        return list(said)
    return [name for name, module in model.named_modules() if isinstance(module, Attention)]


@contextmanager
def explicit_attention(model: nn.Module) -> Iterator[None]:
    """Within it, every Attention of the model that has weights computes them in the open."""
    modules = [module for module in model.modules() if isinstance(module, Attention)]
    before = [module.explicit for module in modules]
    try:
        for module in modules:
            module.explicit = True
        yield
    finally:
        for module, explicit in zip(modules, before, strict=True):
            module.explicit = explicit
