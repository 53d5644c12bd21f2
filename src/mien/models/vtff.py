"""VTFF: image and local binary pattern, each through a CNN, fused and read as a sequence of words by a transformer.

Ma, Sun and Li, "Facial Expression Recognition with Visual Transformers and Attentional Selective Fusion"
(arXiv 2103.16854). Re-implementations differ in the fusion; `SelectiveFusion` has their variants and one of ours.

Shapes: B images, C channels of the branches' maps, g x g places, N = g * g words, D = embed_dim.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.models.parts import steps
from mien.models.parts.attention import Attention
from mien.models.parts.blocks import Block, evidence_layer
from mien.models.parts.dropout import Dropout
from mien.models.parts.heads import make_head
from mien.models.protocol import Step, Tokens
from mien.models.resnet import Stages
from mien.models.resnet_sizes import ResNetSizes
from mien.models.vtff_sizes import VTFFSizes

# Row and column of each neighbour in the 3 x 3 window, clockwise from the top left: bit 0 to bit 7.
NEIGHBOURS = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
# Scaled values this near count as equal: a warp's rounding is no texture. Grey levels lie 40 times as far or more,
# the lumas of two colours at least twice as far.
TOLERANCE = 1e-4
PATTERN = (
    "Beside the image stands its local binary pattern: of each pixel, which of its eight neighbours are at least as "
    "bright. No gradient passes here, so methods that follow gradients see the image alone."
)


class LocalBinaryPattern(nn.Module):
    """The 3 x 3 operator of Ojala et al. (1996): which of a pixel's eight neighbours are at least as bright as it.

    One bit a neighbour, sum 2^p [g_p >= g_c], 0 to 255, here brought to 0..1. It does not change with the image's
    light and contrast, so it may be taken after scaling by one mean and deviation; where each colour has its own, the
    luma is another, and so are some bits (0.2 % of the codes of a photo with ImageNet's). Beyond the border the image
    goes on with its last pixel.
    Its gradient is 0 everywhere: what explains by gradients does not see it.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 1, H, W) or (B, 3, H, W), whose luma (ITU-R 601) is taken -> (B, 1, H, W)."""
        H, W = x.shape[2:]
        grey = x if x.shape[1] == 1 else 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]  # (B, 1, H, W)
        least, padded = grey - TOLERANCE, F.pad(grey, (1, 1, 1, 1), mode="replicate")  # (B, 1, H + 2, W + 2)
        bits = [padded[:, :, row : row + H, column : column + W] >= least for row, column in NEIGHBOURS]
        return torch.stack([bit * 2.0**p for p, bit in enumerate(bits)]).sum(0) / 255  # 8 x (B, 1, H, W)


class SelectiveFusion(nn.Module):
    """Attentional selective fusion: for each channel and place, how much of the pattern's and the image's maps goes on.

    U = W_L X_L + W_C X_C; g from the mean of U over all places (B, C, 1, 1), l from each place (B, 1, g, g), both
    through a bottleneck of C / reduction channels. GL = sigmoid(g) + sigmoid(l), and the fused maps are for kind

    'P'  X_L GL + X_C (1 - GL), weights from -1 to 2,
    'S'  X_C sigmoid(GL) + X_L sigmoid(1 - GL), weights that do not sum to 1,
    'F'  X_L M + X_C (1 - M) with M = sigmoid(g + l), a mean of both, as in AFF (arXiv 2009.14082).

    No convolution has a bias: every one ends, without a non-linearity between, in a batch norm that would take it away.
    """

    def __init__(self, channels: int, kind: Literal["F", "P", "S"] = "F", reduction: int = 8) -> None:
        super().__init__()
        self.kind = kind
        self.lbp = nn.Conv2d(channels, channels, 1, bias=False)
        self.image = nn.Conv2d(channels, channels, 1, bias=False)
        hidden = max(1, channels // reduction)
        self.everywhere = _bottleneck(channels, hidden, channels)
        self.here = _bottleneck(channels, hidden, 1)

    def forward(self, image: Tensor, lbp: Tensor) -> Tensor:
        """Maps of the image X_C and of its pattern X_L, each (B, C, g, g) -> (B, C, g, g)."""
        both = self.lbp(lbp) + self.image(image)  # U
        overall = self.everywhere(both.mean((2, 3), keepdim=True))  # (B, C, g, g) -> (B, C, 1, 1)
        local = self.here(both)  # (B, 1, g, g)
        if self.kind == "F":
            return _mean(lbp, image, (overall + local).sigmoid())  # M, (B, C, 1, 1) + (B, 1, g, g) -> (B, C, g, g)
        gates = overall.sigmoid() + local.sigmoid()  # GL, (B, C, g, g)
        if self.kind == "P":
            return _mean(lbp, image, gates)
        return image * gates.sigmoid() + lbp * (1 - gates).sigmoid()


class VTFF(nn.Module):
    """Two ResNets -> fusion -> words (+ class token) + positions -> blocks -> norm -> head on the class token.

    fusion: see SelectiveFusion. widths, layers, stem: of both ResNets, see ResNet; they share no weights.
    Of 224-pixel colour images with resnet18's sizes (stem 'conv7x7', widths (64, 128, 256, 512), layers (2, 2, 2, 2)),
    embed_dim 768 and num_heads 8 it has the published size, 51.8 M parameters at depth 4, 80.1 M at depth 8.
    The counts do not tell the rest; pre-norm blocks, a norm after them, no dropout and ReLU in the fusion's bottleneck
    are our choice, and not switches.
    head_hidden, head_batch_norm, head_drop_rate: an MLP in place of the linear head, see `heads.make_head`.
    Raises ValueError for in_chans other than 1 and 3 and for an img_size that is not a whole number of words.
    """

    def __init__(self, sizes: VTFFSizes) -> None:
        super().__init__()
        dim, branch = sizes.embed_dim, _branch_sizes(sizes)
        self.sizes = sizes
        self.image_branch = Stages(branch)
        self.lbp = LocalBinaryPattern()
        self.lbp_branch = Stages(branch.model_copy(update={"in_chans": 1}))
        self.tokens = Tokens(prefix=1, grid=sizes.img_size // sizes.reduction, patch_size=sizes.reduction, pool="token")
        self.fusion = SelectiveFusion(sizes.widths[-1], sizes.fusion)
        self.proj = nn.Linear(sizes.widths[-1], dim)
        self.num_prefix_tokens = 1
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + self.tokens.grid**2, dim) * 0.02)
        self.pos_drop = Dropout(sizes.drop_rate)
        rates = torch.linspace(0, sizes.drop_path_rate, sizes.depth).tolist()
        self.blocks = nn.Sequential(*[_block(sizes, rate) for rate in rates])
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = make_head(dim, sizes.num_classes, sizes.head_hidden, sizes.head_batch_norm, sizes.head_drop_rate)

    def forward_features(self, x: Tensor) -> Tensor:
        """Images (B, in_chans, H, W) -> tokens (B, 1 + N, D), the class token first."""
        fused = self.fusion(self.image_branch(x), self.lbp_branch(self.lbp(x)))  # (B, C, g, g)
        words = self.proj(fused.flatten(2).transpose(1, 2))  # (B, C, g, g) -> (B, C, N) -> (B, N, C) -> (B, N, D)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), words], dim=1)  # (B, N, D) -> (B, 1 + N, D)
        return self.norm(self.blocks(self.pos_drop(x + self.pos_embed)))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Tokens (B, 1 + N, D) -> logits (B, K), or with pre_logits the class token, (B, D)."""
        token = x[:, 0]  # (B, 1 + N, D) -> (B, D)
        return token if pre_logits else self.head(token)

    def get_classifier(self) -> nn.Module:
        """The head: class token (B, D) -> logits (B, K)."""
        return self.head

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, in_chans, H, W) -> logits (B, K)."""
        return self.forward_head(self.forward_features(x))

    @property
    def block_names(self) -> list[str]:
        """blocks.0, blocks.1 ..."""
        return [f"blocks.{i}" for i in range(len(self.blocks))]

    @property
    def evidence(self) -> str:
        """What the last attention reads."""
        return evidence_layer(self.blocks, before="pos_drop")

    def steps(self, trace: Mapping[str, Tensor]) -> list[Step]:
        """From the image to the logits."""
        maps = steps.shape(trace, "fusion")
        each = f"{maps[0]} maps of {maps[1]} x {maps[2]} numbers each, one of the image, one of the pattern."
        gate = "For each map and place, a gate weighs what comes from the image and the pattern."
        return [
            Step("binary pattern", steps.shape(trace, "lbp"), PATTERN),
            Step("branches", (2, *maps), f"Two residual networks make {each}"),
            Step("fusion", maps, gate),
            steps.embedding(trace, "proj", of="place"),
            *steps.placed(trace, "pos_drop", self.num_prefix_tokens, self.pos_embed),
            *steps.blocks(self, trace, self.block_names),
            steps.pooling(self.tokens, self.sizes.embed_dim),
            steps.head(trace),
        ]


def _branch_sizes(sizes: VTFFSizes) -> ResNetSizes:
    """Of both ResNets, the one that reads the image."""
    return ResNetSizes(
        img_size=sizes.img_size, in_chans=sizes.in_chans, widths=sizes.widths, layers=sizes.layers, stem=sizes.stem
    )


def _block(sizes: VTFFSizes, drop_path_rate: float) -> Block:
    attn = Attention(sizes.embed_dim, sizes.num_heads, sizes.qkv_bias, sizes.drop_rate)
    return Block(sizes.embed_dim, sizes.num_heads, sizes.mlp_ratio, sizes.drop_rate, drop_path_rate, attn=attn)


def _mean(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    return x * weight + y * (1 - weight)


def _bottleneck(channels: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1, bias=False),
        nn.BatchNorm2d(hidden),
        nn.ReLU(),
        nn.Conv2d(hidden, out, 1, bias=False),
        nn.BatchNorm2d(out),
    )
