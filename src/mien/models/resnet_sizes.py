"""The sizes of the residual network."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from mien.models.sizes import HeadSizes, Sizes

STEMS = {"conv3x3": (3, 1, 1), "conv5x5": (5, 2, 2), "conv7x7": (7, 2, 4)}  # kernel, stride, side before over after


class StageSizes(Sizes):
    """Of a residual network's stages."""

    widths: tuple[PositiveInt, ...] = Field(
        default=(48, 96, 192, 384), description="Channels of each stage, such as 24,48,64,92."
    )
    layers: tuple[PositiveInt, ...] = Field(default=(1, 1, 1, 1), description="Blocks in each stage, such as 1,1,1,1.")
    stem: Literal["conv3x3", "conv5x5", "conv7x7"] = Field(
        default="conv3x3",
        description="conv3x3 keeps the side of small images, conv5x5 halves it, conv7x7 quarters it, as published.",
    )

    @model_validator(mode="after")
    def _fit(self) -> StageSizes:
        if len(self.widths) != len(self.layers):
            raise ValueError(f"widths (={self.widths}) and layers (={self.layers}) must be equally long.")
        if self.img_size < self.reduction:
            raise ValueError(f"img_size (={self.img_size}) is too small for {len(self.widths)} stages.")
        return self

    @property
    def reduction(self) -> int:
        """Side of the image over that of the last stage's maps."""
        return int(2 ** (len(self.widths) - 1)) * STEMS[self.stem][2]


class ResNetSizes(HeadSizes, StageSizes):
    """Of `resnet.ResNet`, which says what each does."""

    squeeze_excitation: bool = Field(default=False, description="Squeeze-excitation in the blocks.")
    drop_rate: float = Field(default=0.0, ge=0, lt=1, description="Dropout probability before the head.")
