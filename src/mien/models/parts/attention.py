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
    output is the attention weights (B, h, N, N), within reach of a hook; both give the same answer.

    relative: a learned bias for each offset between patches, added to the logits.
    local: each head learns how sharp its softmax is, and no token sees itself (locality self-attention, Lee et al.,
    arXiv 2112.13492). `logit_scale` starts at 1 and multiplies 1 / sqrt(d): their learned temperature, inverted.
    reattention: the heads' weights are mixed before they meet the values (see Reattention); always explicit, since
    no fused kernel mixes heads. `self.attend` still gives the weights before the mixing, whose rows sum to 1.
    approximation: what stands in for the softmax, (q, k, v) -> (B, h, N, d), see experimental.approximations. It has no
    weights, explicit or not, so ValueError refuses it beside the three options above, which change them.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        qkv_bias: bool = True,
        drop_rate: float = 0.0,
        project: bool = True,
        relative: RelativePositions | None = None,
        local: bool = False,
        reattention: bool = False,
        approximation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim (={embed_dim}) must be divisible by num_heads (={num_heads}).")
        of_weights = {"relative positions": relative is not None, "local_attention": local, "reattention": reattention}
        if approximation is not None and any(of_weights.values()):
            given = ", ".join(name for name, there in of_weights.items() if there)
            raise ValueError(
                f"{type(approximation).__name__} attention has no weights for {given} to change. "
                "Take attention 'exact', or leave that out."
            )
        self.num_heads = num_heads
        self.explicit = False
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim, bias=qkv_bias)
        self.relative = relative
        self.logit_scale = nn.Parameter(torch.ones(num_heads)) if local else None
        self.attend = nn.Softmax(dim=-1)
        self.reattend = Reattention(num_heads) if reattention else None
        self.approximation = approximation
        self.proj = nn.Linear(embed_dim, embed_dim) if project else nn.Identity()
        self.proj_drop = Dropout(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        B, N, D = x.shape
        q, k, v = self.split(self.qkv(x))
        if self.approximation is not None:
            x = self.approximation(q, k, v)  # (B, h, N, d)
        elif self.explicit or self.reattend is not None:
            weights = self.attend(self.logits(q, k))  # (B, h, N, N)
            if self.reattend is not None:
                weights = self.reattend(weights)
            x = weights @ v  # (B, h, N, N) x (B, h, N, d) -> (B, h, N, d)
        else:
            x = F.scaled_dot_product_attention(self._sharpened(q), k, v, self._bias(N))  # (B, h, N, d)
        x = x.transpose(1, 2).reshape(B, N, D)  # (B, h, N, d) -> (B, N, D)
        return self.proj_drop(self.proj(x))

    def split(self, qkv: Tensor) -> tuple[Tensor, ...]:
        """What `self.qkv` gives, (B, N, 3D) -> queries, keys and values, each (B, h, N, d)."""
        B, N, D3 = qkv.shape
        heads = qkv.reshape(B, N, 3, self.num_heads, D3 // 3 // self.num_heads)  # (B, N, 3D) -> (B, N, 3, h, d)
        return heads.permute(2, 0, 3, 1, 4).unbind(0)  # (B, N, 3, h, d) -> 3 x (B, h, N, d)

    def logits(self, q: Tensor, k: Tensor) -> Tensor:
        """What the softmax sees: queries and keys (B, h, N, d) -> (B, h, N, N); -inf where a token may not look."""
        logits, bias = attention_logits(self._sharpened(q), k), self._bias(q.shape[2])
        return logits if bias is None else logits + bias

    def _sharpened(self, q: Tensor) -> Tensor:
        return q if self.logit_scale is None else q * self.logit_scale[:, None, None]  # (B, h, N, d) x (h, 1, 1)

    def _bias(self, tokens: int) -> Tensor | None:
        """What is added to the logits, (h, N, N) or (N, N)."""
        bias = None if self.relative is None else self.relative()
        if self.logit_scale is None:
            return bias
        itself = torch.eye(tokens, dtype=torch.bool, device=self.logit_scale.device)
        return (self.logit_scale.new_zeros(tokens, tokens) if bias is None else bias).masked_fill(itself, -math.inf)


class Reattention(nn.Module):
    """DeepViT's re-attention: each head's weights become a learned mixture of all heads' (arXiv 2103.11886).

    A' = BatchNorm(Theta A), Theta of h x h starting as the identity. The rows of A' need not sum to 1.
    """

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        if num_heads < 2:
            raise ValueError(f"reattention mixes heads; num_heads (={num_heads}) must be at least 2.")
        self.mix = nn.Conv2d(num_heads, num_heads, kernel_size=1, bias=False)  # the norm has one
        self.norm = nn.BatchNorm2d(num_heads)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.dirac_(self.mix.weight)

    def forward(self, weights: Tensor) -> Tensor:
        """(B, h, N, N) -> (B, h, N, N)."""
        return self.norm(self.mix(weights))


def attention_logits(q: Tensor, k: Tensor) -> Tensor:
    """q k^T / sqrt(d): queries and keys (B, h, N, d) -> (B, h, N, N), before the softmax."""
    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (B, h, N, d) x (B, h, d, N) -> (B, h, N, N)


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
