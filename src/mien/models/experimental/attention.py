"""What was tried on attention and showed no gain yet: locality, re-attention, approximations.

Shapes: B images, N tokens, h heads, d channels a head.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.models.parts.attention import Attention


class VariedAttention(Attention):
    """Attention with one or several of these.

    local: each head learns how sharp its softmax is, and no token sees itself (locality self-attention, Lee et al.,
    arXiv 2112.13492). `logit_scale` starts at 1 and multiplies 1 / sqrt(d): their learned temperature, inverted.
    reattention: the heads' weights are mixed before they meet the values (see Reattention); always explicit, since
    no fused kernel mixes heads. `self.attend` still gives the weights before the mixing, whose rows sum to 1.
    approximation: what stands in for the softmax, (q, k, v) -> (B, h, N, d), see approximations. It has no weights,
    explicit or not, so ValueError refuses it beside relative positions and the two options above, which change them.
    project, plain: as Attention takes them.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        project: bool = True,
        local: bool = False,
        reattention: bool = False,
        approximation: nn.Module | None = None,
        **plain: Any,
    ) -> None:
        super().__init__(embed_dim, num_heads, project=False, **plain)
        changes = {
            "relative positions": self.relative is not None,
            "local_attention": local,
            "reattention": reattention,
        }
        if approximation is not None and any(changes.values()):
            given = ", ".join(name for name, there in changes.items() if there)
            raise ValueError(
                f"{type(approximation).__name__} attention has no weights for {given} to change. "
                "Take attention 'exact', or leave that out."
            )
        self.logit_scale = nn.Parameter(torch.ones(num_heads)) if local else None
        self.reattend = Reattention(num_heads) if reattention else None
        self.approximation = approximation
        dropout = self.proj_drop
        del self.proj, self.proj_drop  # they come last, as saved optimizers count the parameters
        self.proj = nn.Linear(embed_dim, embed_dim) if project else nn.Identity()
        self.proj_drop = dropout

    @property
    def no_weights(self) -> str:  # type: ignore[override]
        """Why there are no weights to look at: an approximation has none."""
        if self.approximation is None:
            return ""
        return (
            f"{type(self.approximation).__name__} attention has no weights: it never compares every token with every "
            "other."
        )

    def gather(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Three times (B, h, N, d) -> (B, h, N, d)."""
        if self.approximation is not None:
            return self.approximation(q, k, v)
        if self.reattend is not None:
            return self.reattend(self.attend(self.logits(q, k))) @ v  # (B, h, N, N) x (B, h, N, d) -> (B, h, N, d)
        if self.explicit:
            return super().gather(q, k, v)
        return F.scaled_dot_product_attention(self._sharpened(q), k, v, self.bias(q.shape[2]))

    def logits(self, q: Tensor, k: Tensor) -> Tensor:
        """Queries and keys (B, h, N, d) -> (B, h, N, N)."""
        return super().logits(self._sharpened(q), k)

    def bias(self, tokens: int) -> Tensor | None:
        """What is added to the logits, (h, N, N) or (N, N); -inf from a token to itself where attention is local."""
        bias = super().bias(tokens)
        if self.logit_scale is None:
            return bias
        itself = torch.eye(tokens, dtype=torch.bool, device=self.logit_scale.device)
        return (self.logit_scale.new_zeros(tokens, tokens) if bias is None else bias).masked_fill(itself, -math.inf)

    def _sharpened(self, q: Tensor) -> Tensor:
        return q if self.logit_scale is None else q * self.logit_scale[:, None, None]  # (B, h, N, d) x (h, 1, 1)


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
