"""Residual networks (He et al., arXiv 1512.03385): for small images with a 3x3 stem and no max-pool, or as published.

Attribute names are timm's and torchvision's, so that weights of resnet18 and resnet34 load by name.
Optional squeeze-excitation (arXiv 1709.01507).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from mien.models.parts import steps
from mien.models.parts.dropout import Dropout
from mien.models.parts.heads import make_head
from mien.models.protocol import Step
from mien.models.resnet_sizes import STEMS, ResNetSizes


class SqueezeExcitation(nn.Module):
    """Weighs each channel by a gate computed from all channels' means."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, max(8, channels // reduction), 1)
        self.fc2 = nn.Conv2d(max(8, channels // reduction), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        gate = self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True))))  # (B, C, H, W) -> (B, C, 1, 1)
        return x * gate.sigmoid()


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is projected where the shape changes."""

    def __init__(self, in_chans: int, width: int, stride: int, squeeze_excitation: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_chans, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.se = SqueezeExcitation(width) if squeeze_excitation else nn.Identity()
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_chans != width:
            projection = nn.Conv2d(in_chans, width, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, width, H / stride, W / stride)."""
        out = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.se(self.bn2(self.conv2(out))) + self.downsample(x))


class ResNet(nn.Module):
    """Stem, one stage of blocks per width (each after the first halves the side), mean pooling, head.

    stem: 'conv3x3' keeps the side of small images, 'conv5x5' halves it (stride 2: a quarter of the work), 'conv7x7'
    quarters it (stride 2 and a max-pool, as published).
    resnet18 is widths (64, 128, 256, 512), layers (2, 2, 2, 2) and stem 'conv7x7'; resnet34 has layers (3, 4, 6, 3).
    head_hidden, head_batch_norm, head_drop_rate: an MLP in place of the linear head, see `heads.make_head`.
    """

    def __init__(self, sizes: ResNetSizes) -> None:
        super().__init__()
        self.sizes = sizes
        widths = sizes.widths
        kernel, stride, _ = STEMS[sizes.stem]
        self.conv1 = nn.Conv2d(sizes.in_chans, widths[0], kernel, stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if sizes.stem == "conv7x7" else nn.Identity()
        befores = (widths[0], *widths)
        for stage, width in enumerate(widths, 1):
            blocks = []
            for block in range(sizes.layers[stage - 1]):
                before, stride = (befores[stage - 1], 1 if stage == 1 else 2) if block == 0 else (width, 1)
                blocks.append(BasicBlock(before, width, stride, sizes.squeeze_excitation))
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.drop = Dropout(sizes.drop_rate)
        self.fc = make_head(
            widths[-1], sizes.num_classes, sizes.head_hidden, sizes.head_batch_norm, sizes.head_drop_rate
        )
        self.apply(_initialise)

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, widths[-1], h, w)."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for name in self.block_names:
            x = self.get_submodule(name)(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """(B, D, h, w) -> logits (B, K), or with pre_logits what the head would read, (B, D)."""
        pooled = self.drop(x.mean((2, 3)))  # (B, D, h, w) -> (B, D)
        return pooled if pre_logits else self.fc(pooled)

    def get_classifier(self) -> nn.Module:
        """The head: pooled features (B, D) -> logits (B, K)."""
        return self.fc

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, K)."""
        return self.forward_head(self.forward_features(x))

    @property
    def block_names(self) -> list[str]:
        """Its stages: layer1, layer2 ..."""
        return [f"layer{stage}" for stage in range(1, len(self.sizes.widths) + 1)]

    def steps(self, trace: Mapping[str, Tensor]) -> list[Step]:
        """From the image to the logits."""
        maxpool = ", 1 max-pooling" if self.sizes.stem == "conv7x7" else ""
        stem = f"1 convolution, 1 batch norm, 1 ReLU{maxpool}"
        found = [steps.maps("stem", steps.shape(trace, "maxpool"), stem)]
        found += [
            steps.maps(name, steps.shape(trace, name), _told(cast(nn.Sequential, self.get_submodule(name))))
            for name in self.block_names
        ]
        width = self.sizes.widths[-1]
        dropout = " Dropout, which only training uses." if self.sizes.drop_rate else ""
        return [*found, Step("vector", (width,), f"The mean of each map.{dropout}"), *steps.layers(self, "fc")]


class Stages(ResNet):
    """A ResNet without its head, of which the maps are wanted."""

    def __init__(self, sizes: ResNetSizes) -> None:
        super().__init__(sizes)
        del self.drop, self.fc

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_chans, H, W) -> (B, widths[-1], h, w)."""
        return self.forward_features(x)


def _told(stage: nn.Sequential) -> str:
    """What happens in a stage of blocks."""
    blocks = [block for block in stage if isinstance(block, BasicBlock)]
    own = sum(not isinstance(block.downsample, nn.Identity) for block in blocks)
    gates = ", each map weighed by a gate (squeeze-excitation)" if isinstance(blocks[0].se, SqueezeExcitation) else ""
    shortcut = "a shortcut" if len(blocks) == 1 else f"{len(blocks)} shortcuts"
    beside = f"{'' if len(blocks) == 1 else ', the first'} with its own convolution and batch norm" if own else ""
    many = 2 * len(blocks)
    return f"{many} convolutions, {many} batch norms, {many} ReLUs{gates}, beside {shortcut}{beside}"


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
