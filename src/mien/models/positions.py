"""Where a token lies in the image: embeddings that are added to it.

Shapes: N tokens of a g x g grid, D = embed_dim.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sincos_positions(grid_size: int, embed_dim: int) -> Tensor:
    """Fixed 2-D sine-cosine positions, (g * g, D): sin x, cos x, sin y, cos y, a quarter of D each.

    MoCo-v3's order, as in SimpleViT (arXiv 2205.01580); omega_k = 10000^(-k / (D/4 - 1)).
    """
    if embed_dim % 4 or embed_dim < 8:
        raise ValueError(f"embed_dim (={embed_dim}) must be a multiple of 4, at least 8, for sincos2d positions.")
    y, x = torch.meshgrid(torch.arange(grid_size), torch.arange(grid_size), indexing="ij")
    omega = 10000.0 ** -(torch.arange(embed_dim // 4) / (embed_dim // 4 - 1))  # (D/4,)
    x, y = x.flatten()[:, None] * omega, y.flatten()[:, None] * omega  # 2 x (N, D/4)
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1)  # (N, D)


class Positions2d(nn.Module):
    """A learned embedding for each row and one for each column, half the width each, side by side.

    The 2-D positions of the ViT paper (arXiv 2010.11929, appendix D.4). Prefix tokens have no place: zeros.
    """

    def __init__(self, grid_size: int, embed_dim: int, prefix: int) -> None:
        super().__init__()
        if embed_dim % 2:
            raise ValueError(f"embed_dim (={embed_dim}) must be even for learn2d positions.")
        self.prefix = prefix
        self.pos_embed_rows = nn.Parameter(torch.randn(grid_size, embed_dim // 2) * 0.02)
        self.pos_embed_columns = nn.Parameter(torch.randn(grid_size, embed_dim // 2) * 0.02)

    def forward(self) -> Tensor:
        """One embedding a token, (1, prefix + N, D)."""
        side = len(self.pos_embed_rows)
        rows = self.pos_embed_rows[:, None].expand(-1, side, -1)  # (g, D/2) -> (g, g, D/2)
        columns = self.pos_embed_columns.expand(side, -1, -1)  # (g, D/2) -> (g, g, D/2)
        both = torch.cat([rows, columns], dim=2).flatten(0, 1)  # (g, g, D) -> (N, D)
        return F.pad(both, (0, 0, self.prefix, 0))[None]


def make_positions(kind: str, grid_size: int, embed_dim: int, prefix: int) -> nn.Parameter | nn.Module | None:
    """What is added to the tokens; None for 'none', and for 'relative', which is added to the attention's logits."""
    if kind in ("none", "relative"):
        return None
    if kind == "learn2d":
        return Positions2d(grid_size, embed_dim, prefix)
    if kind == "learn":
        tokens = grid_size**2 + prefix
        return nn.Parameter(torch.randn(1, tokens, embed_dim) * 0.02)
    if kind != "sincos2d":
        kinds = "'learn', 'learn2d', 'sincos2d', 'relative' and 'none'"
        raise ValueError(f"pos_embed '{kind}' is not known; there are {kinds}.")
    fixed = sincos_positions(grid_size, embed_dim)[None]  # (1, N, D)
    fixed = F.pad(fixed, (0, 0, prefix, 0))  # class and distillation tokens have no place: zeros
    return nn.Parameter(fixed, requires_grad=False)
