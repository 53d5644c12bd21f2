"""From the image to tokens.

Shapes: B images of C channels, H x W pixels; g x g patches of p x p pixels; N tokens of D = embed_dim numbers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class PatchEmbed(nn.Module):
    """Cuts the image into patches and maps each to a token, by one convolution with stride = patch_size.

    stem='conv' puts a convolution, batch norm and ReLU of stride 2 in front for each halving
    (Xiao et al., "Early Convolutions Help Transformers See Better", arXiv 2106.14881). stem_convs convolutions
    in place of the one (the last has the stride) make it a small VGG; stem_widths are the halvings' channels,
    each half of the next by default.
    norm=True normalises each patch's pixels before and each token after the convolution (Kumar et al.,
    "Dual PatchNorm", arXiv 2302.01327): light and contrast of the photo no longer drown its content.
    shift: what puts half-shifted copies of the image beside it first, see experimental.shifted_patches.
    """

    def __init__(
        self,
        img_size: int,
        patch_size: int,
        in_chans: int,
        embed_dim: int,
        stem: str = "patch",
        norm: bool = False,
        stem_convs: int = 1,
        stem_widths: tuple[int, ...] | None = None,
        shift: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if img_size % patch_size:
            below = img_size // patch_size * patch_size
            nearest = " or ".join(str(size) for size in (below, below + patch_size) if size)
            raise ValueError(
                f"img_size (={img_size}) must be divisible by patch_size (={patch_size}): `img_size` {nearest}."
            )
        self.grid_size = img_size // patch_size
        self.patch_size = patch_size
        self.in_chans = in_chans
        self.overlaps = stem == "conv" or shift is not None  # whether a token sees pixels beyond its own patch
        self.normalise = norm
        if shift is not None and (stem == "conv" or norm):
            other = "stem 'conv'" if stem == "conv" else "patch_norm"
            raise ValueError(f"patch_shift and {other} are two ways to make the same tokens. Take one of them.")
        self.shift = nn.Identity() if shift is None else shift
        in_chans = in_chans if shift is None else 5 * in_chans
        halvings = int(math.log2(patch_size)) if stem == "conv" else 0
        if stem == "conv" and 2**halvings != patch_size:
            raise ValueError(f"stem 'conv' needs a patch_size that is a power of two, not {patch_size}.")
        widths = stem_widths or tuple(embed_dim // 2 ** (halvings - step) for step in range(halvings))
        if len(widths) != halvings:
            raise ValueError(f"stem_widths (={widths}) must name {halvings} widths, one for each halving.")
        layers: list[nn.Module] = []
        for width in widths:
            for convolution in range(1, stem_convs + 1):
                stride = 2 if convolution == stem_convs else 1
                layers += [
                    nn.Conv2d(in_chans, width, 3, stride, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                ]
                in_chans = width
        self.stem = nn.Sequential(*layers)
        stride = patch_size // 2**halvings
        self.proj = nn.Conv2d(in_chans, embed_dim, kernel_size=stride, stride=stride)
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, D), row by row."""
        if self.normalise:
            x = normalise_patches(x, self.patch_size)
        x = self.proj(self.stem(self.shift(x)))  # (B, D, g, g)
        return self.norm(x.flatten(2).transpose(1, 2))  # (B, D, g, g) -> (B, D, N) -> (B, N, D)


class StageEmbed(nn.Module):
    """Maps of a residual network's stages, each place of them mapped to a token by a 1x1 convolution.

    The hybrid of Dosovitskiy et al. (arXiv 2010.11929); `backbone` and `proj` are timm's names (its HybridEmbed).
    backbone: (B, in_chans, H, W) -> (B, width, g, g), with g = img_size / patch_size.
    """

    overlaps = True  # a token sees pixels beyond its own patch

    def __init__(
        self, img_size: int, patch_size: int, in_chans: int, embed_dim: int, backbone: nn.Module, width: int
    ) -> None:
        super().__init__()
        self.grid_size = img_size // patch_size
        self.patch_size = patch_size
        self.in_chans = in_chans
        self.backbone = backbone
        self.proj = nn.Conv2d(width, embed_dim, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, D), row by row."""
        return self.proj(self.backbone(x)).flatten(2).transpose(1, 2)  # (B, D, g, g) -> (B, D, N) -> (B, N, D)


def normalise_patches(x: Tensor, patch_size: int, eps: float = 1e-3) -> Tensor:
    """Each p x p patch of (B, C, H, W) with mean 0 and variance 1; eps keeps the noise of flat patches small."""
    B, C, H, W = x.shape
    p = patch_size
    patches = x.reshape(B, C, H // p, p, W // p, p)  # (B, C, H, W) -> (B, C, h, p, w, p)
    variance, mean = torch.var_mean(patches, dim=(1, 3, 5), keepdim=True, correction=0)
    return ((patches - mean) * torch.rsqrt(variance + eps)).reshape(B, C, H, W)
