"""Shifted patch tokenization, see `vit_sizes.VitSizes.patch_shift`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ShiftedPatches(nn.Module):
    """Shifted patch tokenization: the image and its four copies shifted diagonally by half a patch (arXiv 2112.13492).

    Each patch of the five, 5 C p p numbers that reach beyond it, then passes a LayerNorm.
    """

    def __init__(self, in_chans: int, patch_size: int) -> None:
        super().__init__()
        if patch_size < 2:
            raise ValueError(f"patch_shift needs a patch_size of at least 2, not {patch_size}: it shifts by half.")
        self.patch_size = patch_size
        self.norm = nn.LayerNorm([5 * in_chans, patch_size, patch_size])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 5C, H, W): the image, then its content moved down right, down left, up right, up left."""
        B, C, H, W = x.shape
        p, s = self.patch_size, self.patch_size // 2
        padded = F.pad(x, (s, s, s, s))
        corners = [padded[:, :, top : top + H, left : left + W] for top in (0, 2 * s) for left in (0, 2 * s)]
        x = torch.cat([x, *corners], dim=1)  # (B, 5C, H, W)
        patches = x.reshape(B, 5 * C, H // p, p, W // p, p).permute(0, 2, 4, 1, 3, 5)  # -> (B, h, w, 5C, p, p)
        patches = self.norm(patches)
        return patches.permute(0, 3, 1, 4, 2, 5).reshape(B, 5 * C, H, W)  # (B, h, w, 5C, p, p) -> (B, 5C, H, W)
