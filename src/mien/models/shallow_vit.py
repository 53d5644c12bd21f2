"""The shallow Vision Transformer that two of the source reports wrote by hand (reports 1 and 2).

Four 16x16 patches of a 32x32 image, a 256x32 embedding matrix without bias, learned positions, and
one block LayerNorm(ReLU(x + attention(x))) without MLP and without output projection, applied twice
with the same weights; all tokens are flattened for the head.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from mien.models.parts.attention import Attention


class SharedBlock(nn.Module):
    """LayerNorm(ReLU(x + attention(x))): no MLP, no output projection."""

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self.attn = Attention(embed_dim, num_heads, qkv_bias=False, project=False)
        self.norm = nn.LayerNorm(embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return self.norm(torch.relu(x + self.attn(x)))


class ShallowViT(nn.Module):
    """Two passes through one shared block.

    init: 'report' draws the head from N(0, 1) * sqrt(N * D), which puts the first loss far above
    ln(classes); 'scaled' divides by sqrt(fan-in) instead, and starts at ln(classes).
    """

    def __init__(
        self,
        img_size: int = 32,
        patch_size: int = 16,
        in_chans: int = 1,
        num_classes: int = 7,
        embed_dim: int = 32,
        depth: int = 2,
        num_heads: int = 4,
        init: Literal["report", "scaled"] = "report",
    ) -> None:
        super().__init__()
        if img_size % patch_size:
            raise ValueError(f"img_size (={img_size}) must be divisible by patch_size (={patch_size}).")
        if init not in ("report", "scaled"):
            raise ValueError(f"init '{init}' is not known; there are 'report' and 'scaled'.")
        tokens = (img_size // patch_size) ** 2
        pixels = in_chans * patch_size**2
        self.patch_size = patch_size
        self.depth = depth
        self.embed = nn.Linear(pixels, embed_dim, bias=False)
        self.pos_embed = nn.Parameter(torch.randn(1, tokens, embed_dim))
        self.block = SharedBlock(embed_dim, num_heads)
        self.head = nn.Linear(tokens * embed_dim, num_classes, bias=False)
        self._initialise(init, pixels, embed_dim // num_heads, tokens * embed_dim)

    def _initialise(self, init: str, pixels: int, head_dim: int, features: int) -> None:
        nn.init.normal_(self.embed.weight, std=pixels**-0.5)
        if init == "report":
            nn.init.normal_(self.block.attn.qkv.weight, std=head_dim**-0.5)
            nn.init.normal_(self.head.weight, std=features**0.5)
        else:
            nn.init.normal_(self.block.attn.qkv.weight, std=self.embed.out_features**-0.5)
            nn.init.normal_(self.pos_embed, std=0.02)
            nn.init.normal_(self.head.weight, std=0.1 * features**-0.5)

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, D)."""
        B, C, H, W = x.shape
        p = self.patch_size
        x = x.reshape(B, C, H // p, p, W // p, p)  # (B, C, H, W) -> (B, C, h, p, w, p)
        x = x.permute(0, 2, 4, 1, 3, 5).reshape(B, -1, C * p * p)  # -> (B, h, w, C, p, p) -> (B, N, C*p*p)
        x = self.embed(x) + self.pos_embed  # (B, N, D)
        for _ in range(self.depth):
            x = self.block(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, K)."""
        return self.head(self.forward_features(x).flatten(1))  # (B, N, D) -> (B, N*D) -> (B, K)
