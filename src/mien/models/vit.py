"""The Vision Transformer.

Dosovitskiy et al., "An Image is Worth 16x16 Words" (arXiv 2010.11929). Attribute names are timm's,
so that weights travel by name. The initialisation is that of google-research/vision_transformer.

Shapes: B images, N tokens, D = embed_dim, h = num_heads, d = D / h.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from mien.models.attention import Attention, RelativePositions
from mien.models.heads import DistilledHead, make_head
from mien.models.patch_embed import PatchEmbed
from mien.models.positions import make_positions


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them, applied to each token."""

    def __init__(self, embed_dim: int, hidden_dim: int, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, hidden_dim)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden_dim, embed_dim)
        self.drop = nn.Dropout(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))


class DropPath(nn.Module):
    """Stochastic depth: while training, leaves a residual branch out for some images (arXiv 1603.09382)."""

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, ...); kept branches are scaled by 1 / (1 - rate)."""
        if not self.training or self.rate == 0.0:
            return x
        kept = torch.rand(x.shape[0], *[1] * (x.dim() - 1), device=x.device) >= self.rate  # (B, 1, ...)
        return x * kept / (1.0 - self.rate)


class LayerScale(nn.Module):
    """A learned factor for each channel of a branch, small at first (Touvron et al., arXiv 2103.17239)."""

    def __init__(self, embed_dim: int, init: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((embed_dim,), init))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return x * self.gamma


class Block(nn.Module):
    """Attention and MLP, each on a residual branch.

    pre_norm: x + f(LN(x)), as in the ViT paper; otherwise LN(x + f(x)), as in the first transformer.
    layer_scale: first value of a factor for each channel of a branch; None leaves it out.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        pre_norm: bool = True,
        layer_scale: float | None = None,
        relative: RelativePositions | None = None,
    ) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.norm1 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.attn = Attention(embed_dim, num_heads, qkv_bias, drop_rate, relative=relative)
        self.ls1 = nn.Identity() if layer_scale is None else LayerScale(embed_dim, layer_scale)
        self.norm2 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.mlp = Mlp(embed_dim, int(embed_dim * mlp_ratio), drop_rate)
        self.ls2 = nn.Identity() if layer_scale is None else LayerScale(embed_dim, layer_scale)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        if self.pre_norm:
            x = x + self.drop_path(self.ls1(self.attn(self.norm1(x))))
            return x + self.drop_path(self.ls2(self.mlp(self.norm2(x))))
        x = self.norm1(x + self.drop_path(self.ls1(self.attn(x))))
        return self.norm2(x + self.drop_path(self.ls2(self.mlp(x))))


class VisionTransformer(nn.Module):
    """Patches -> tokens (+ class token) + positions -> blocks -> norm -> pooling -> head.

    global_pool: 'token' classifies the class token, 'avg' the mean of the patch tokens, 'flatten' all patch tokens
    side by side, so that the head knows each one's place, 'seq' a mean whose weights are learned (sequence pooling,
    arXiv 2104.05704).
    pos_embed: 'learn' (one vector a token), 'learn2d' (rows and columns), 'sincos2d' (fixed), 'relative' (in the
    attention, see RelativePositions) or 'none'. shared_blocks: one block, applied `depth` times (arXiv 1909.11942).
    stem: 'patch' or 'conv'; stem_convs, stem_widths, patch_norm: see PatchEmbed.
    representation_size: width of a tanh layer before the head; None leaves it out.
    distilled: a second token with a head of its own after the class token, the mean of both heads' logits
    (DeiT, arXiv 2012.12877).
    head_hidden, head_batch_norm, head_drop_rate: an MLP in place of the linear head, see `heads.make_head`.
    init: 'official' (google-research/vision_transformer) or 'torch' (each layer's own default).
    """

    def __init__(
        self,
        img_size: int = 48,
        patch_size: int = 8,
        in_chans: int = 1,
        num_classes: int = 7,
        embed_dim: int = 192,
        depth: int = 6,
        num_heads: int = 3,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        pos_embed: Literal["learn", "learn2d", "sincos2d", "relative", "none"] = "learn",
        global_pool: Literal["token", "avg", "flatten", "seq"] = "token",
        representation_size: int | None = None,
        stem: Literal["patch", "conv"] = "patch",
        stem_convs: int = 1,
        stem_widths: tuple[int, ...] | None = None,
        patch_norm: bool = False,
        pre_norm: bool = True,
        layer_scale: float | None = None,
        shared_blocks: bool = False,
        distilled: bool = False,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        head_hidden: tuple[int, ...] = (),
        head_batch_norm: bool = False,
        head_drop_rate: float = 0.0,
        init: Literal["official", "torch"] = "official",
    ) -> None:
        super().__init__()
        self.global_pool = global_pool
        self.patch_embed = PatchEmbed(
            img_size, patch_size, in_chans, embed_dim, stem, patch_norm, stem_convs, stem_widths
        )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim)) if global_pool == "token" else None
        self.dist_token = nn.Parameter(torch.zeros(1, 1, embed_dim)) if distilled else None
        self.num_prefix_tokens = int(self.cls_token is not None) + int(distilled)
        self.pos_embed = make_positions(pos_embed, self.patch_embed.grid_size, embed_dim, self.num_prefix_tokens)
        self.pos_drop = nn.Dropout(drop_rate)
        self.repeats = depth if shared_blocks else 1
        grid = self.patch_embed.grid_size

        def block(rate: float) -> Block:
            places = RelativePositions(grid, num_heads, self.num_prefix_tokens) if pos_embed == "relative" else None
            return Block(embed_dim, num_heads, mlp_ratio, qkv_bias, drop_rate, rate, pre_norm, layer_scale, places)

        rates = torch.linspace(0, drop_path_rate, 1 if shared_blocks else depth).tolist()
        self.blocks = nn.Sequential(*[block(rate) for rate in rates])
        # A post-norm block ends with a norm of its own.
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6) if pre_norm else nn.Identity()
        pooled = embed_dim * self.patch_embed.grid_size**2 if global_pool == "flatten" else embed_dim
        self.seq_pool = nn.Linear(embed_dim, 1) if global_pool == "seq" else None
        self.pre_logits = _pre_logits(pooled, representation_size)
        options = (num_classes, head_hidden, head_batch_norm, head_drop_rate)
        self.head = make_head(representation_size or pooled, *options)
        self.head_dist = make_head(embed_dim, *options) if distilled else None
        if distilled and (global_pool != "token" or representation_size):
            raise ValueError("distilled needs global_pool 'token' and no representation_size: DeiT has none.")
        if init == "official":
            self.apply(_init_official)
            if isinstance(self.head, nn.Linear):
                nn.init.zeros_(self.head.weight)
                nn.init.zeros_(self.head.bias)
        elif init != "torch":
            raise ValueError(f"init '{init}' is not known; there are 'official' and 'torch'.")

    def forward_features(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) -> tokens (B, N, D), the class token first where there is one."""
        x = self.patch_embed(x)  # (B, N, D)
        prefix = [token.expand(x.shape[0], -1, -1) for token in (self.cls_token, self.dist_token) if token is not None]
        x = torch.cat([*prefix, x], dim=1)  # (B, N, D) -> (B, prefix + N, D)
        places = self.positions()
        x = self.pos_drop(x if places is None else x + places)
        for _ in range(self.repeats):
            x = self.blocks(x)
        return self.norm(x)

    def positions(self) -> Tensor | None:
        """What is added to the tokens, (1, N, D), prefix tokens first; None where nothing is."""
        return self.pos_embed() if isinstance(self.pos_embed, nn.Module) else self.pos_embed

    def pool(self, x: Tensor) -> Tensor:
        """Tokens (B, N, D) -> what the head reads (B, F): (B, 2, D), both prefix tokens, when distilled."""
        if self.head_dist is not None:
            return self.pre_logits(x[:, :2])  # (B, N, D) -> (B, 2, D)
        if self.global_pool == "flatten":
            pooled = x.flatten(1)  # (B, N, D) -> (B, N * D)
        elif self.seq_pool is not None:
            shares = self.seq_pool(x).softmax(dim=1)  # (B, N, D) -> (B, N, 1)
            pooled = (shares * x).sum(dim=1)  # (B, N, D) -> (B, D)
        else:
            pooled = x[:, 0] if self.cls_token is not None else x.mean(dim=1)  # (B, N, D) -> (B, D)
        return self.pre_logits(pooled)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Tokens (B, N, D) -> logits (B, K), or with pre_logits what the head would read."""
        pooled = self.pool(x)
        return pooled if pre_logits else self.get_classifier()(pooled)

    def get_classifier(self) -> nn.Module:
        """The head: pooled tokens -> logits (B, K)."""
        return self.head if self.head_dist is None else DistilledHead(self.head, self.head_dist)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) -> logits (B, K)."""
        return self.forward_head(self.forward_features(x))


def _pre_logits(pooled: int, representation_size: int | None) -> nn.Module:
    if representation_size is None:
        return nn.Identity()
    layers = nn.Sequential()
    layers.add_module("fc", nn.Linear(pooled, representation_size))
    layers.add_module("act", nn.Tanh())
    return layers


def _init_official(module: nn.Module) -> None:
    if isinstance(module, Attention):
        for projection in module.qkv.weight.chunk(3):  # Xavier sees each D x D matrix, not the fused 3D x D
            nn.init.xavier_uniform_(projection)
        if module.qkv.bias is not None:
            nn.init.zeros_(module.qkv.bias)
        if isinstance(module.proj, nn.Linear):
            nn.init.xavier_uniform_(module.proj.weight)
            nn.init.zeros_(module.proj.bias)
    elif isinstance(module, Mlp):
        for layer in (module.fc1, module.fc2):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)
    elif isinstance(module, nn.Conv2d):  # LeCun normal, truncated
        fan_in = module.weight[0].numel()
        nn.init.trunc_normal_(module.weight, std=1.0 / math.sqrt(fan_in))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
