"""The sizes of the shallow Vision Transformer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mien.models.sizes import Sizes


class ShallowViTSizes(Sizes):
    """Of `shallow_vit.ShallowViT`."""

    img_size: int = Field(default=32, ge=1, description="Side of the square images, in pixels.")
    patch_size: int = Field(default=16, ge=1, description="Side of a patch, in pixels.")
    embed_dim: int = Field(default=32, ge=1, description="Width of a token.")
    depth: int = Field(default=2, ge=0, description="How often the one block is applied.")
    num_heads: int = Field(default=4, ge=1, description="Attention heads; they divide embed_dim.")
    init: Literal["report", "scaled"] = Field(default="report", description="How the weights are drawn.")

    @model_validator(mode="after")
    def _fit(self) -> ShallowViTSizes:
        if self.img_size % self.patch_size:
            raise ValueError(f"img_size (={self.img_size}) must be divisible by patch_size (={self.patch_size}).")
        return self
