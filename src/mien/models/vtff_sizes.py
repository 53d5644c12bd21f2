"""The sizes of VTFF."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from mien.models.resnet_sizes import StageSizes
from mien.models.sizes import BlockSizes


class VTFFSizes(BlockSizes, StageSizes):
    """Of `vtff.VTFF`, which says what each does."""

    embed_dim: int = Field(default=128, ge=1, description="Width of a token.")
    depth: int = Field(default=4, ge=1, description="Number of transformer blocks.")
    num_heads: int = Field(default=4, ge=1, description="Attention heads; they divide embed_dim.")
    widths: tuple[PositiveInt, ...] = Field(
        default=(24, 48, 96, 192), description="Channels of each stage of both branches, such as 24,48,96,192."
    )
    fusion: Literal["F", "P", "S"] = Field(
        default="F", description="How image and binary pattern are weighed; F is their mean by a learned gate."
    )

    @model_validator(mode="after")
    def _words(self) -> VTFFSizes:
        if self.in_chans not in (1, 3):
            raise ValueError(f"in_chans (={self.in_chans}) must be 1 (grey) or 3 (RGB): the binary pattern is of grey.")
        if self.img_size % self.reduction:
            raise ValueError(f"img_size (={self.img_size}) must be divisible by {self.reduction}, the side of a word.")
        return self
