"""Where a token lies in the image: positions added to the tokens, or to the attention between them.

Shapes: g x g patches, N = g * g tokens, D = embed_dim, h = num_heads. Prefix tokens (class, distillation) come first.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RowsAndColumns(nn.Module):
    """A learned vector for each row and one for each column, half of D each, side by side.

    Side by side as in sincos2d, not summed: half the numbers to learn, and row and column stay apart. 2 g vectors
    of D / 2 stand for the g * g vectors of D that 'learn' has. Prefix tokens have no place: zeros.
    """

    def __init__(self, grid_size: int, embed_dim: int, prefix: int) -> None:
        super().__init__()
        if embed_dim % 2:
            raise ValueError(f"embed_dim (={embed_dim}) must be even for learn2d positions: half of it is the row's.")
        self.prefix = prefix
        self.rows = nn.Parameter(torch.randn(grid_size, embed_dim // 2) * 0.02)
        self.columns = nn.Parameter(torch.randn(grid_size, embed_dim // 2) * 0.02)

    def forward(self) -> Tensor:
        """Positions of all tokens, (1, prefix + N, D)."""
        g = len(self.rows)
        rows = self.rows[:, None].expand(-1, g, -1)  # (g, D/2) -> (g, g, D/2)
        columns = self.columns.expand(g, -1, -1)  # (g, D/2) -> (g, g, D/2)
        places = torch.cat([rows, columns], dim=2).flatten(0, 1)  # (g, g, D) -> (N, D)
        return F.pad(places, (0, 0, self.prefix, 0))[None]  # (N, D) -> (1, prefix + N, D)


class RelativePositions(nn.Module):
    """A learned bias for each head and each offset (rows, columns) between two patches, for the attention logits.

    Swin's table (arXiv 2103.14030, equation 4), starting from N(0, 0.02). Prefix tokens have no place: their bias is 0.
    """

    index: Tensor

    def __init__(self, grid_size: int, num_heads: int, prefix: int) -> None:
        super().__init__()
        self.prefix = prefix
        self.table = nn.Parameter(torch.randn((2 * grid_size - 1) ** 2, num_heads) * 0.02)
        self.register_buffer("index", relative_index(grid_size), persistent=False)

    def forward(self) -> Tensor:
        """The bias from each token (row) to each other, (h, prefix + N, prefix + N)."""
        bias = self.table[self.index].permute(2, 0, 1)  # (N, N, h) -> (h, N, N)
        return F.pad(bias, (self.prefix, 0, self.prefix, 0))


def relative_index(grid_size: int) -> Tensor:
    """For each pair of patches the number of their offset, (N, N), from 0 to (2g - 1)^2 - 1."""
    places = torch.cartesian_prod(torch.arange(grid_size), torch.arange(grid_size))  # (N, 2): row, column
    offsets = places[:, None] - places[None] + grid_size - 1  # (N, N, 2), from 0 to 2g - 2
    return offsets[..., 0] * (2 * grid_size - 1) + offsets[..., 1]


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


def make_positions(kind: str, grid_size: int, embed_dim: int, prefix: int) -> nn.Parameter | RowsAndColumns | None:
    """What is added to the tokens, (1, prefix + N, D): a parameter, a module that gives it, or nothing."""
    if kind in ("none", "relative"):
        return None
    if kind == "learn":
        tokens = grid_size**2 + prefix
        return nn.Parameter(torch.randn(1, tokens, embed_dim) * 0.02)
    if kind == "learn2d":
        return RowsAndColumns(grid_size, embed_dim, prefix)
    if kind != "sincos2d":
        known = "'learn', 'learn2d', 'sincos2d', 'relative' and 'none'"
        raise ValueError(f"pos_embed '{kind}' is not known; there are {known}.")
    fixed = sincos_positions(grid_size, embed_dim)[None]  # (1, N, D)
    fixed = F.pad(fixed, (0, 0, prefix, 0))  # class and distillation tokens have no place: zeros
    return nn.Parameter(fixed, requires_grad=False)


def are_learned(positions: object) -> bool:
    """Whether position embeddings can change in training: not fixed ones, nor None."""
    return isinstance(positions, nn.Module) or (isinstance(positions, Tensor) and positions.requires_grad)
