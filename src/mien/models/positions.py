"""Where a token lies in the image: positions that are added to the tokens.

Shapes: g x g patches, N = g * g tokens, D = embed_dim.
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


def make_positions(kind: str, grid_size: int, embed_dim: int, prefix: int) -> nn.Parameter | None:
    if kind == "none":
        return None
    if kind == "learn":
        tokens = grid_size**2 + prefix
        return nn.Parameter(torch.randn(1, tokens, embed_dim) * 0.02)
    if kind != "sincos2d":
        raise ValueError(f"pos_embed '{kind}' is not known; there are 'learn', 'sincos2d' and 'none'.")
    fixed = sincos_positions(grid_size, embed_dim)[None]  # (1, N, D)
    fixed = F.pad(fixed, (0, 0, prefix, 0))  # class and distillation tokens have no place: zeros
    return nn.Parameter(fixed, requires_grad=False)
