"""The sizes of the Vision Transformer."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator

from mien.models.resnet_sizes import ResNetSizes
from mien.models.sizes import BlockSizes


class VitSizes(BlockSizes):
    """Of `vit.VisionTransformer`, which says what each does."""

    has_patches: ClassVar[bool] = True

    patch_size: int = Field(default=8, ge=1, description="Side of a patch, in pixels.")
    pos_embed: Literal["learn", "learn2d", "sincos2d", "relative", "none"] = Field(
        default="learn",
        description="Positions: learned, learned by row and column, fixed, learned in the attention, or none.",
    )
    global_pool: Literal["token", "avg", "flatten", "seq"] = Field(
        default="token",
        description="What the head reads: the class token, the patch tokens' mean, all of them, or a learned mean.",
    )
    representation_size: int | None = Field(
        default=None, ge=1, description="Width of a tanh layer before the head; none leaves it out."
    )
    stem: Literal["patch", "conv", "resnet"] = Field(
        default="patch", description="Plain patches, a convolutional stem, or the stages of a residual network."
    )
    stem_convs: int = Field(
        default=1, ge=1, description="Convolutions of the conv stem a halving; of the resnet stem, blocks a stage."
    )
    stem_widths: tuple[PositiveInt, ...] | None = Field(
        default=None,
        description="Channels of the conv stem's halvings, such as 24,48,96; of the resnet stem, of its stages.",
    )
    patch_norm: bool = Field(default=False, description="Normalise patches before and after embedding.")
    pre_norm: bool = Field(default=True, description="LayerNorm before (True) or after the branches.")
    norm_eps: float = Field(default=1e-6, gt=0, description="Added to the variance in each LayerNorm.")
    act_layer: Literal["gelu", "gelu_tanh", "quick_gelu", "relu", "silu"] = Field(
        default="gelu", description="Activation in the blocks' MLPs: the exact GELU, approximations of it, or others."
    )
    layer_scale: float | None = Field(
        default=None, gt=0, description="Start of LayerScale's factors, such as 1e-4; none leaves them out."
    )
    shared_blocks: bool = Field(default=False, description="One block, applied depth times.")
    distilled: bool = Field(default=False, description="A distillation token with its own head (DeiT).")
    init: Literal["official", "torch"] = Field(default="official", description="How the weights are drawn.")
    # What showed no gain yet, see models.experimental.
    patch_shift: bool = Field(default=False, description="Patches with four half-shifted copies (SPT).")
    local_attention: bool = Field(
        default=False, description="Each head learns its temperature, no token sees itself (LSA)."
    )
    reattention: bool = Field(default=False, description="Attention weights mixed over the heads (DeepViT).")
    attention: Literal["exact", "nystrom", "performer", "linformer"] = Field(
        default="exact", description="Exact, or an approximation, which pays from some hundreds of tokens on."
    )
    landmarks: int | None = Field(
        default=None, ge=1, description="Landmarks, random features or projected tokens of the approximation."
    )

    @model_validator(mode="after")
    def _fit(self) -> VitSizes:
        if self.distilled and (self.global_pool != "token" or self.representation_size):
            raise ValueError("distilled needs global_pool 'token' and no representation_size: DeiT has none.")
        if self.stem == "resnet":
            self._fit_stages()
        return self

    def _fit_stages(self) -> None:
        stages = self.stages
        if self.patch_shift or self.patch_norm:
            other = "patch_shift" if self.patch_shift else "patch_norm"
            raise ValueError(f"{other} and stem 'resnet' are two ways to make the tokens. Take one of them.")
        if stages.reduction != self.patch_size:
            count = f"stem 'resnet' of {len(stages.widths)} stages (stem_widths)"
            raise ValueError(f"{count} makes a token of {stages.reduction} pixels a side: patch_size {stages.reduction}.")
        if self.img_size % self.patch_size:
            raise ValueError(f"img_size (={self.img_size}) must be divisible by patch_size (={self.patch_size}).")

    @property
    def stages(self) -> ResNetSizes:
        """Of the residual network whose stages are stem 'resnet'; its widths are our ResNet's unless given."""
        widths = self.stem_widths or ResNetSizes().widths
        layers = (self.stem_convs,) * len(widths)
        return ResNetSizes(img_size=self.img_size, in_chans=self.in_chans, widths=widths, layers=layers)

    @property
    def grid_size(self) -> int:
        """Patches along a side."""
        return self.img_size // self.patch_size

    @property
    def num_prefix_tokens(self) -> int:
        """Class token and distillation token, where there are any."""
        return int(self.global_pool == "token") + int(self.distilled)
