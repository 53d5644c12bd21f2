"""Residual networks (He et al., arXiv 1512.03385): for small images with a 3x3 stem and no max-pool, or as published.

Attribute names are timm's and torchvision's, so that weights of resnet18 and resnet34 load by name.
Optional squeeze-excitation (arXiv 1709.01507).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from mien.models.parts.dropout import Dropout
from mien.models.parts.heads import make_head


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

    stem: 'conv3x3' keeps the side of small images, 'conv7x7' quarters it (stride 2 and a max-pool, as published).
    resnet18 is widths (64, 128, 256, 512), layers (2, 2, 2, 2) and stem 'conv7x7'; resnet34 has layers (3, 4, 6, 3).
    head_hidden, head_batch_norm, head_drop_rate: an MLP in place of the linear head, see `heads.make_head`.
    """

    def __init__(
        self,
        img_size: int = 48,
        in_chans: int = 1,
        num_classes: int = 7,
        widths: tuple[int, ...] = (48, 96, 192, 384),
        layers: tuple[int, ...] = (1, 1, 1, 1),
        stem: Literal["conv3x3", "conv7x7"] = "conv3x3",
        squeeze_excitation: bool = False,
        drop_rate: float = 0.0,
        head_hidden: tuple[int, ...] = (),
        head_batch_norm: bool = False,
        head_drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if stem not in ("conv3x3", "conv7x7"):
            raise ValueError(f"stem '{stem}' is not known; there are 'conv3x3' and 'conv7x7'.")
        if len(widths) != len(layers):
            raise ValueError(f"widths (={widths}) and layers (={layers}) must be equally long.")
        self.reduction = 2 ** (len(widths) - 1) * (4 if stem == "conv7x7" else 1)  # side of the image over the maps'
        if img_size < self.reduction:
            raise ValueError(f"img_size (={img_size}) is too small for {len(widths)} stages.")
        kernel, stride = (7, 2) if stem == "conv7x7" else (3, 1)
        self.conv1 = nn.Conv2d(in_chans, widths[0], kernel, stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem == "conv7x7" else nn.Identity()
        self.stages = len(widths)
        width_in = widths[0]
        for stage, (width, count) in enumerate(zip(widths, layers, strict=True), 1):
            blocks = []
            for block in range(count):
                stride = 2 if stage > 1 and block == 0 else 1
                blocks.append(BasicBlock(width_in, width, stride, squeeze_excitation))
                width_in = width
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.drop = Dropout(drop_rate)
        self.fc = make_head(width_in, num_classes, head_hidden, head_batch_norm, head_drop_rate)
        self.apply(_initialise)

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, widths[-1], h, w)."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for stage in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{stage}")(x)
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


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
