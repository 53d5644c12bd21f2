"""The Vision Transformer, whole: its parts are in attention, blocks, patch_embed and positions.

Dosovitskiy et al., "An Image is Worth 16x16 Words" (arXiv 2010.11929). Attribute names are timm's,
so that weights travel by name. The initialisation is that of google-research/vision_transformer.

Shapes: B images, N tokens, D = embed_dim.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from mien.models.experimental.approximations import make_approximation
from mien.models.parts.attention import Attention, Reattention
from mien.models.parts.blocks import Block, Mlp
from mien.models.parts.dropout import Dropout
from mien.models.parts.heads import DistilledHead, SequencePool, make_head
from mien.models.parts.patch_embed import PatchEmbed
from mien.models.parts.positions import RelativePositions, make_positions

TRUNCATED_STD = 0.87962566103423978  # standard deviation of a standard normal cut off at -2 and 2


class VisionTransformer(nn.Module):
    """Patches -> tokens (+ class token) + positions -> blocks -> norm -> pooling -> head.

    global_pool: 'token' classifies the class token, 'avg' the mean of the patch tokens, 'flatten' all patch tokens
    side by side, so that the head knows each one's place, 'seq' their weighted mean (see heads.SequencePool).
    pos_embed: 'learn', 'learn2d' (see positions.RowsAndColumns), 'sincos2d' (fixed), 'relative' (added to each
    block's attention, see positions.RelativePositions) or 'none'.
    stem: 'patch' or 'conv'; stem_convs, stem_widths, patch_norm, patch_shift: see PatchEmbed.
    layer_scale, local_attention, reattention: see Block and Attention.
    attention: 'exact', or an approximation for long sequences, 'nystrom', 'performer' or 'linformer', of `landmarks`
    landmarks, features or projected tokens (32 unless given), see experimental.approximations.
    shared_blocks: one block, applied `depth` times (ALBERT, arXiv 1909.11942; Universal Transformer, arXiv
    1807.03819), the parameters of one; every pass has the full drop_path_rate. A trace names the passes blocks.0,
    blocks.0@2, blocks.0@3 ...
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
        patch_shift: bool = False,
        pre_norm: bool = True,
        layer_scale: float | None = None,
        shared_blocks: bool = False,
        local_attention: bool = False,
        reattention: bool = False,
        attention: Literal["exact", "nystrom", "performer", "linformer"] = "exact",
        landmarks: int | None = None,
        distilled: bool = False,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        head_hidden: tuple[int, ...] = (),
        head_batch_norm: bool = False,
        head_drop_rate: float = 0.0,
        init: Literal["official", "torch"] = "official",
    ) -> None:
        super().__init__()
        _check_choices(global_pool, init)
        if distilled and (global_pool != "token" or representation_size):
            raise ValueError("distilled needs global_pool 'token' and no representation_size: DeiT has none.")
        self.global_pool = global_pool
        self.patch_embed = PatchEmbed(
            img_size, patch_size, in_chans, embed_dim, stem, patch_norm, stem_convs, stem_widths, patch_shift
        )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim)) if global_pool == "token" else None
        self.dist_token = nn.Parameter(torch.zeros(1, 1, embed_dim)) if distilled else None
        self.num_prefix_tokens = int(self.cls_token is not None) + int(distilled)
        grid, prefix = self.patch_embed.grid_size, self.num_prefix_tokens
        self.pos_embed = make_positions(pos_embed, grid, embed_dim, prefix)
        self.pos_drop = Dropout(drop_rate)
        if local_attention and grid**2 + prefix < 2:
            raise ValueError("local_attention needs two tokens or more: none may look at itself.")
        self.passes = depth if shared_blocks else 1
        rates = [drop_path_rate] if shared_blocks else torch.linspace(0, drop_path_rate, depth).tolist()
        block = partial(
            Block,
            embed_dim,
            num_heads,
            mlp_ratio,
            qkv_bias,
            drop_rate,
            pre_norm=pre_norm,
            layer_scale=layer_scale,
            local_attention=local_attention,
            reattention=reattention,
        )
        relative = partial(RelativePositions, grid, num_heads, prefix) if pos_embed == "relative" else lambda: None
        approximation = partial(make_approximation, attention, landmarks, grid**2 + prefix, embed_dim // num_heads)
        self.blocks = nn.Sequential(
            *[block(drop_path_rate=rate, relative=relative(), approximation=approximation()) for rate in rates]
        )
        # A post-norm block ends with a norm of its own.
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6) if pre_norm else nn.Identity()
        self.seq_pool = SequencePool(embed_dim) if global_pool == "seq" else None
        pooled = embed_dim * grid**2 if global_pool == "flatten" else embed_dim
        self.pre_logits = _pre_logits(pooled, representation_size)
        classifier = partial(make_head, num_classes=num_classes, hidden=head_hidden, batch_norm=head_batch_norm)
        self.head = classifier(representation_size or pooled, drop_rate=head_drop_rate)
        self.head_dist = classifier(embed_dim, drop_rate=head_drop_rate) if distilled else None
        if init == "official":
            self._start_as_official()

    def _start_as_official(self) -> None:
        self.apply(_init_official)
        if isinstance(self.head, nn.Linear):
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def forward_features(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) -> tokens (B, N, D), the class token first where there is one."""
        return self.encode(self.place(self.patch_embed(x)))

    def place(self, x: Tensor) -> Tensor:
        """Patch embeddings (B, N, D) -> tokens that know their places (B, prefix + N, D), prefix tokens first."""
        prefix = [token.expand(x.shape[0], -1, -1) for token in (self.cls_token, self.dist_token) if token is not None]
        x = torch.cat([*prefix, x], dim=1)  # (B, N, D) -> (B, prefix + N, D)
        if self.pos_embed is not None:
            x = x + (self.pos_embed() if isinstance(self.pos_embed, nn.Module) else self.pos_embed)
        return x

    def encode(self, x: Tensor) -> Tensor:
        """Tokens that know their places, all of an image or some (B, n, D) -> after blocks and norm (B, n, D)."""
        x = self.pos_drop(x)
        for _ in range(self.passes):
            x = self.blocks(x)
        return self.norm(x)

    def pool(self, x: Tensor) -> Tensor:
        """Tokens (B, N, D) -> what the head reads (B, F): (B, 2, D), both prefix tokens, when distilled."""
        if self.head_dist is not None:
            return self.pre_logits(x[:, :2])  # (B, N, D) -> (B, 2, D)
        if self.seq_pool is not None:
            pooled = self.seq_pool(x)  # (B, N, D) -> (B, D)
        elif self.global_pool == "flatten":
            pooled = x.flatten(1)  # (B, N, D) -> (B, N * D)
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


def _check_choices(global_pool: str, init: str) -> None:
    for name, given, known in (
        ("global_pool", global_pool, ("token", "avg", "flatten", "seq")),
        ("init", init, ("official", "torch")),
    ):
        if given not in known:
            raise ValueError(f"{name} '{given}' is not known; there are {', '.join(known)}.")


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
    elif isinstance(module, Reattention):  # visited after its convolution
        module.reset_parameters()
    elif isinstance(module, Mlp):
        for layer in (module.fc1, module.fc2):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)
    elif isinstance(module, nn.Conv2d):  # jax.nn.initializers.lecun_normal, cut off at two standard deviations
        fan_in = module.weight[0].numel()
        std = 1.0 / math.sqrt(fan_in) / TRUNCATED_STD
        nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
