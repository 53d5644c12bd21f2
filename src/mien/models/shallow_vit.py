"""The shallow Vision Transformer that two of the source reports wrote by hand (reports 1 and 2).

Four 16x16 patches of a 32x32 image, a 256x32 embedding matrix without bias, learned positions, and
one block LayerNorm(ReLU(x + attention(x))) without MLP and without output projection, applied twice
with the same weights; all tokens are flattened for the head.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mien.models.parts import steps
from mien.models.parts.attention import Attention
from mien.models.protocol import Step, Tokens
from mien.models.shallow_vit_sizes import ShallowViTSizes


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

    def __init__(self, sizes: ShallowViTSizes) -> None:
        super().__init__()
        dim, patch, grid = sizes.embed_dim, sizes.patch_size, sizes.img_size // sizes.patch_size
        pixels = sizes.in_chans * patch**2
        self.sizes = sizes
        self.tokens = Tokens(prefix=0, grid=grid, patch_size=patch, pool="flatten")
        self.embed = nn.Linear(pixels, dim, bias=False)
        self.pos_embed = nn.Parameter(torch.randn(1, grid**2, dim))
        self.block = SharedBlock(dim, sizes.num_heads)
        self.head = nn.Linear(grid**2 * dim, sizes.num_classes, bias=False)
        self._initialise(sizes.init, pixels, dim // sizes.num_heads, grid**2 * dim)

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
        p = self.sizes.patch_size
        x = x.reshape(B, C, H // p, p, W // p, p)  # (B, C, H, W) -> (B, C, h, p, w, p)
        x = x.permute(0, 2, 4, 1, 3, 5).reshape(B, -1, C * p * p)  # -> (B, h, w, C, p, p) -> (B, N, C*p*p)
        x = self.embed(x) + self.pos_embed  # (B, N, D)
        for _ in range(self.sizes.depth):
            x = self.block(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Tokens (B, N, D) -> logits (B, K), or with pre_logits what the head would read, (B, N * D)."""
        flat = x.flatten(1)  # (B, N, D) -> (B, N * D)
        return flat if pre_logits else self.head(flat)

    def get_classifier(self) -> nn.Module:
        """The head: all tokens side by side (B, N * D) -> logits (B, K)."""
        return self.head

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, K)."""
        return self.forward_head(self.forward_features(x))

    evidence = "block"

    def first_filters(self) -> Tensor:
        """How it embeds its patches, (D, C, p, p)."""
        p = self.sizes.patch_size
        return self.embed.weight.reshape(self.sizes.embed_dim, -1, p, p)  # (D, C*p*p) -> (D, C, p, p)

    def steps(self, trace: Mapping[str, Tensor]) -> list[Step]:
        """From the image to the logits."""
        return [
            steps.patches(self.tokens, self.sizes.in_chans),
            steps.embedding(trace, "embed"),
            *steps.placed(trace, "embed", 0, self.pos_embed),
            *steps.blocks(self, trace, ["block"]),
            steps.pooling(self.tokens, self.sizes.embed_dim),
            steps.head(trace),
        ]
