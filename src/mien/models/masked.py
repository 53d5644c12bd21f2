"""A ViT that learns without labels: some patches of an image are hidden, and it fills them in.

MAE: He et al., "Masked Autoencoders Are Scalable Vision Learners" (arXiv 2111.06377).
SimMIM: Xie et al., "SimMIM: a Simple Framework for Masked Image Modeling" (arXiv 2111.09886).
The encoder of both is a VisionTransformer without a head, as it is; what surrounds it is thrown away afterwards.

Shapes: B images of C channels, N patches of p x p pixels, V of them visible; D = embed_dim, d = decoder_dim.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import cast

import torch
from torch import Tensor, nn

from mien.models.experimental.approximations import Linformer, Nystrom
from mien.models.experimental.attention import Reattention
from mien.models.parts.blocks import Block
from mien.models.parts.positions import RelativePositions, make_positions
from mien.models.vit import VisionTransformer

HEAD_DIM = 32  # width of a head of MAE's decoder, as in its paper
# Parts whose weights or statistics are those of all patches, by the setting that asks for them.
OF_ALL_PATCHES = {
    RelativePositions: "pos_embed 'relative'",
    Linformer: "attention 'linformer'",
    Reattention: "reattention",
}


class Masked(nn.Module, ABC):
    """What MAE and SimMIM share: an encoder, masks, and a loss on the masked patches alone.

    mask_ratio: the share of the patches that is hidden; int(N (1 - mask_ratio)) of every image stay visible.
    Raises ValueError when fewer than two patches would.
    """

    def __init__(self, encoder: VisionTransformer, mask_ratio: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.patch_size = encoder.patch_embed.patch_size
        self.patches = encoder.patch_embed.grid_size**2
        self.visible = int(self.patches * (1 - mask_ratio))
        if self.visible < 2:
            raise ValueError(
                f"mask_ratio {mask_ratio} leaves {self.visible} of {self.patches} patches visible; two are needed. "
                "Mask less, or cut the image into smaller patches."
            )
        for unused in (encoder.seq_pool, encoder.pre_logits):  # several processes wait for every gradient
            if unused is not None:
                unused.requires_grad_(False)

    @property
    def block_names(self) -> list[str]:
        """The encoder's."""
        return [f"encoder.{name}" for name in self.encoder.block_names]

    def draw(self, batch: int, generator: torch.Generator) -> Tensor:
        """Which patches are masked, bool (B, N): in each image those with the most noise (MAE, appendix A.1)."""
        noise = torch.rand(batch, self.patches, generator=generator)
        return noise.argsort(dim=1).argsort(dim=1) >= self.visible  # the second argsort gives each patch its rank

    def forward(self, images: Tensor, masked: Tensor) -> Tensor:
        """Scaled images (B, C, H, W) and their masks, bool (B, N) -> the loss, a mean over all masked patches."""
        penalties = self.penalty(self.predict(images, masked).float(), patchify(images, self.patch_size))  # (B, N)
        return (penalties * masked).sum() / masked.sum()

    def fill(self, images: Tensor, masked: Tensor) -> Tensor:
        """Scaled images (B, C, H, W) -> the same with what is predicted in the place of each masked patch."""
        patches = patchify(images, self.patch_size)  # (B, N, p * p * C)
        found = self.pixels(self.predict(images, masked).float(), patches)
        return unpatchify(torch.where(masked[..., None], found, patches), self.patch_size, images.shape[1])

    def hide(self, images: Tensor, masked: Tensor) -> Tensor:
        """Scaled images (B, C, H, W) with 0, the mean of all pixels, in the place of each masked patch."""
        patches = patchify(images, self.patch_size).masked_fill(masked[..., None], 0.0)
        return unpatchify(patches, self.patch_size, images.shape[1])

    @abstractmethod
    def predict(self, images: Tensor, masked: Tensor) -> Tensor:
        """What the network says about every patch, (B, N, p * p * C), seeing the visible ones only."""

    @abstractmethod
    def penalty(self, predicted: Tensor, patches: Tensor) -> Tensor:
        """How far a prediction is from the patches' pixels, both (B, N, p * p * C), for each patch (B, N)."""

    def pixels(self, predicted: Tensor, patches: Tensor) -> Tensor:
        """A prediction (B, N, p * p * C) as pixels; `patches` are the true ones."""
        return predicted


class MaskedAutoencoder(Masked):
    """MAE: the encoder sees the visible patches only; a small decoder, which sees where the others lie, fills them in.

    The loss is the squared error of each patch's normalised pixels. Names of the decoder's parts are those of
    facebookresearch/mae; its positions are fixed, its heads 32 wide.
    Raises ValueError for an encoder that would see hidden pixels, or cannot leave patches out.
    """

    def __init__(
        self, encoder: VisionTransformer, mask_ratio: float = 0.75, decoder_dim: int = 128, decoder_depth: int = 2
    ) -> None:
        super().__init__(encoder, mask_ratio)
        _refuse_whole_images(encoder, self.visible)
        embed, prefix = encoder.patch_embed, encoder.num_prefix_tokens
        self.decoder_embed = nn.Linear(embed.proj.out_channels, decoder_dim)
        self.mask_token = nn.Parameter(torch.empty(1, 1, decoder_dim))
        positions = make_positions("sincos2d", embed.grid_size, decoder_dim, prefix)
        self.decoder_pos_embed = cast(nn.Parameter, positions)  # fixed
        heads = max(1, decoder_dim // HEAD_DIM)
        self.decoder_blocks = nn.Sequential(*[Block(decoder_dim, heads) for _ in range(decoder_depth)])
        self.decoder_norm = nn.LayerNorm(decoder_dim, eps=1e-6)
        self.decoder_pred = nn.Linear(decoder_dim, embed.patch_size**2 * embed.in_chans)
        for part in (self.decoder_embed, self.decoder_blocks, self.decoder_pred):
            part.apply(_init_linear)
        nn.init.normal_(self.mask_token, std=0.02)

    def encode(self, images: Tensor, kept: Tensor) -> Tensor:
        """Images (B, C, H, W) and the numbers of their visible patches (B, V) -> tokens (B, prefix + V, D)."""
        tokens = self.encoder.place(self.encoder.patch_embed(images))  # (B, prefix + N, D)
        prefix, patches = tokens.split([self.encoder.num_prefix_tokens, self.patches], dim=1)
        visible = patches.gather(1, kept[..., None].expand(-1, -1, patches.shape[2]))  # (B, N, D) -> (B, V, D)
        return self.encoder.encode(torch.cat([prefix, visible], dim=1))

    def decode(self, tokens: Tensor, kept: Tensor) -> Tensor:
        """The encoder's tokens (B, prefix + V, D) and their patches' numbers (B, V) -> (B, N, p * p * C)."""
        x = self.decoder_embed(tokens)  # (B, prefix + V, d)
        prefix, visible = x.split([self.encoder.num_prefix_tokens, self.visible], dim=1)
        hidden = self.mask_token.to(x.dtype).expand(len(x), self.patches, -1)  # (1, 1, d) -> (B, N, d)
        patches = hidden.scatter(1, kept[..., None].expand(-1, -1, x.shape[2]), visible)  # each in its own place
        x = torch.cat([prefix, patches], dim=1) + self.decoder_pos_embed  # (B, prefix + N, d)
        x = self.decoder_norm(self.decoder_blocks(x))
        return self.decoder_pred(x[:, prefix.shape[1] :])  # (B, prefix + N, d) -> (B, N, d) -> (B, N, p * p * C)

    def predict(self, images: Tensor, masked: Tensor) -> Tensor:
        """Every patch's normalised pixels, (B, N, p * p * C)."""
        kept = masked.int().argsort(dim=1, stable=True)[:, : self.visible]  # (B, V): visible patches come first
        return self.decode(self.encode(images, kept), kept)

    def penalty(self, predicted: Tensor, patches: Tensor) -> Tensor:
        """Mean squared error of each patch's normalised pixels, (B, N) (section 3, "Reconstruction target")."""
        mean, deviation = moments(patches)
        return (predicted - (patches - mean) / deviation).square().mean(dim=2)

    def pixels(self, predicted: Tensor, patches: Tensor) -> Tensor:
        """Each patch's pixels with the true patch's brightness and contrast, which the loss does not ask for."""
        mean, deviation = moments(patches)
        return predicted * deviation + mean


class SimMIM(Masked):
    """SimMIM: the encoder sees every token, the masked ones replaced; one linear layer gives their pixels.

    The loss is the absolute error of the raw (scaled) pixels. A learned token takes the place of a masked patch's
    embedding. Where a token sees beyond its own patch (a stem of convolutions, shifted patches) that would leak hidden
    pixels through its neighbours, so there the pixels are blanked before the stem instead, and no token is learned.
    """

    def __init__(self, encoder: VisionTransformer, mask_ratio: float = 0.6) -> None:
        super().__init__(encoder, mask_ratio)
        embed = encoder.patch_embed
        embed_dim = embed.proj.out_channels
        self.mask_token = None if embed.overlaps else nn.Parameter(torch.randn(1, 1, embed_dim) * 0.02)
        self.decoder = nn.Linear(embed_dim, embed.patch_size**2 * embed.in_chans)

    def predict(self, images: Tensor, masked: Tensor) -> Tensor:
        """Every patch's pixels, (B, N, p * p * C)."""
        x = self.encoder.encode(self.encoder.place(self.embed(images, masked)))  # (B, prefix + N, D)
        return self.decoder(x[:, self.encoder.num_prefix_tokens :])  # -> (B, N, D) -> (B, N, p * p * C)

    def embed(self, images: Tensor, masked: Tensor) -> Tensor:
        """Patch embeddings (B, N, D) that hold nothing of the masked patches."""
        if self.mask_token is None:
            return self.encoder.patch_embed(self.hide(images, masked))
        return torch.where(masked[..., None], self.mask_token, self.encoder.patch_embed(images))

    def penalty(self, predicted: Tensor, patches: Tensor) -> Tensor:
        """Mean absolute error of each patch's pixels, (B, N) (equation 1)."""
        return (predicted - patches).abs().mean(dim=2)


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """Images (B, C, H, W) -> patches (B, N, p * p * C), row by row.

    Within a patch the channels of a pixel lie together, as in facebookresearch/mae.
    """
    B, C, H, W = images.shape
    p = patch_size
    x = images.reshape(B, C, H // p, p, W // p, p)  # (B, C, H, W) -> (B, C, h, p, w, p)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(B, -1, p * p * C)  # -> (B, h, w, p, p, C) -> (B, N, p * p * C)


def unpatchify(patches: Tensor, patch_size: int, in_chans: int) -> Tensor:
    """The inverse of `patchify`: patches of a square image (B, N, p * p * C) -> (B, C, H, W)."""
    B, N, _ = patches.shape
    p, C, g = patch_size, in_chans, round(N**0.5)
    x = patches.reshape(B, g, g, p, p, C).permute(0, 5, 1, 3, 2, 4)  # (B, N, p * p * C) -> ... -> (B, C, g, p, g, p)
    return x.reshape(B, C, g * p, g * p)  # (B, C, g, p, g, p) -> (B, C, H, W)


def moments(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each patch's numbers, (B, N, p * p * C) -> 2 x (B, N, 1); unbiased, eps 1e-6 as in MAE."""
    variance, mean = torch.var_mean(patches, dim=2, keepdim=True)
    return mean, (variance + 1e-6).sqrt()


def _refuse_whole_images(encoder: VisionTransformer, visible: int) -> None:
    if encoder.patch_embed.overlaps:
        by = "patch_shift" if encoder.sizes.stem == "patch" else f"stem '{encoder.sizes.stem}'"
        raise ValueError(
            f"MAE's encoder must not see a masked pixel, but with {by} the tokens of visible patches hold some. "
            "Take simmim, or plain patches: stem 'patch'."
        )
    tokens = visible + encoder.num_prefix_tokens
    for module in encoder.modules():
        if part := OF_ALL_PATCHES.get(type(module)):
            raise ValueError(f"{part} is made for all patches, and MAE's encoder sees some. Take simmim.")
        if isinstance(module, Nystrom) and module.landmarks > tokens:
            raise ValueError(
                f"nystrom has {module.landmarks} landmarks, and MAE's encoder sees {tokens} tokens. Lower "
                "model.landmarks, or take simmim."
            )


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
