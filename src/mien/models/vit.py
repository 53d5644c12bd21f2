"""The Vision Transformer, whole: its parts are in attention, blocks, patch_embed and positions.

Dosovitskiy et al., "An Image is Worth 16x16 Words" (arXiv 2010.11929). Attribute names are timm's,
so that weights travel by name. The initialisation is that of google-research/vision_transformer.

Shapes: B images, N tokens, D = embed_dim.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mien.models.experimental.approximations import make_approximation
from mien.models.experimental.attention import Reattention, VariedAttention
from mien.models.experimental.shifted_patches import ShiftedPatches
from mien.models.parts import steps
from mien.models.parts.attention import Attention
from mien.models.parts.blocks import Block, Mlp, evidence_layer
from mien.models.parts.dropout import Dropout
from mien.models.parts.heads import DistilledHead, SequencePool, make_head
from mien.models.parts.patch_embed import PatchEmbed, StageEmbed
from mien.models.parts.positions import RelativePositions, make_positions
from mien.models.protocol import Step, Tokens
from mien.models.resnet import Stages
from mien.models.vit_sizes import VitSizes

TRUNCATED_STD = 0.87962566103423978  # standard deviation of a standard normal cut off at -2 and 2


class VisionTransformer(nn.Module):
    """Patches -> tokens (+ class token) + positions -> blocks -> norm -> pooling -> head.

    global_pool: 'token' classifies the class token, 'avg' the mean of the patch tokens, 'flatten' all patch tokens
    side by side, so that the head knows each one's place, 'seq' their weighted mean (see heads.SequencePool).
    pos_embed: 'learn', 'learn2d' (see positions.RowsAndColumns), 'sincos2d' (fixed), 'relative' (added to each
    block's attention, see positions.RelativePositions) or 'none'.
    stem: 'patch' or 'conv'; stem_convs, stem_widths, patch_norm, patch_shift: see PatchEmbed. 'resnet': the stages of a
    ResNet of these widths and of stem_convs blocks each, see StageEmbed; `model.init` with such a ResNet starts them.
    layer_scale, norm_eps, act_layer: see Block. local_attention, reattention: see experimental.attention.
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

    def __init__(self, sizes: VitSizes) -> None:
        super().__init__()
        dim, prefix = sizes.embed_dim, sizes.num_prefix_tokens
        self.sizes = sizes
        self.patch_embed = _patch_embed(sizes)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim)) if sizes.global_pool == "token" else None
        self.dist_token = nn.Parameter(torch.zeros(1, 1, dim)) if sizes.distilled else None
        self.num_prefix_tokens = prefix
        self.pos_embed = make_positions(sizes.pos_embed, sizes.grid_size, dim, prefix)
        self.pos_drop = Dropout(sizes.drop_rate)
        self.passes = sizes.depth if sizes.shared_blocks else 1
        self.blocks = nn.Sequential(*[_block(sizes, rate) for rate in _drop_path_rates(sizes)])
        # A post-norm block ends with a norm of its own.
        self.norm = nn.LayerNorm(dim, eps=sizes.norm_eps) if sizes.pre_norm else nn.Identity()
        self.seq_pool = SequencePool(dim) if sizes.global_pool == "seq" else None
        pooled = dim * sizes.grid_size**2 if sizes.global_pool == "flatten" else dim
        self.pre_logits = _pre_logits(pooled, sizes.representation_size)
        self.head = _head(sizes, sizes.representation_size or pooled)
        self.head_dist = _head(sizes, dim) if sizes.distilled else None
        if sizes.init == "official":
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
        elif self.sizes.global_pool == "flatten":
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

    @property
    def tokens(self) -> Tokens:
        """How its tokens lie over the image."""
        return Tokens(self.num_prefix_tokens, self.sizes.grid_size, self.sizes.patch_size, self.sizes.global_pool)

    @property
    def block_names(self) -> list[str]:
        """blocks.0, blocks.1 ...; one where all share their weights."""
        return [f"blocks.{i}" for i in range(len(self.blocks))]

    @property
    def evidence(self) -> str:
        """What the last attention reads; where the head reads every token in its own way, what the head reads."""
        return "norm" if self.sizes.global_pool == "flatten" else evidence_layer(self.blocks, before="pos_drop")

    def steps(self, trace: Mapping[str, Tensor]) -> list[Step]:
        """From the image to the logits."""
        found = [
            steps.patches(self.tokens, self.sizes.in_chans),
            steps.embedding(trace, "patch_embed", _embedding(self.patch_embed)),
            *steps.placed(trace, "pos_drop", self.num_prefix_tokens, self.pos_embed),
            *steps.blocks(self, trace, self.block_names),
            steps.pooling(self.tokens, self.sizes.embed_dim),
        ]
        if "pre_logits.act" in trace:
            width = steps.shape(trace, "pre_logits.act")
            found.append(Step("hidden layer", width, "A matrix and a tanh bring it to this width."))
        return [*found, steps.head(trace)]


def _embedding(embed: PatchEmbed | StageEmbed) -> str:
    """What turns a patch into a token, and its verb."""
    convolutions = [module for module in embed.modules() if isinstance(module, nn.Conv2d) and module is not embed.proj]
    if isinstance(embed, StageEmbed):
        return f"The stages of a residual network ({len(convolutions)} convolutions) and a last one turn"
    if not convolutions:
        return "One matrix turns"
    halvings = sum(convolution.stride[0] > 1 for convolution in convolutions)
    return f"{len(convolutions)} convolutions, {halvings} of them of stride 2, and a last one turn"


def _patch_embed(sizes: VitSizes) -> PatchEmbed | StageEmbed:
    if sizes.stem == "resnet":
        backbone, width = Stages(sizes.stages), sizes.stages.widths[-1]
        return StageEmbed(sizes.img_size, sizes.patch_size, sizes.in_chans, sizes.embed_dim, backbone, width)
    return PatchEmbed(
        sizes.img_size,
        sizes.patch_size,
        sizes.in_chans,
        sizes.embed_dim,
        sizes.stem,
        sizes.patch_norm,
        sizes.stem_convs,
        sizes.stem_widths,
        ShiftedPatches(sizes.in_chans, sizes.patch_size) if sizes.patch_shift else None,
    )


def _drop_path_rates(sizes: VitSizes) -> list[float]:
    """Of each block that has weights of its own: rising with depth; where one block serves for all, the full rate."""
    if sizes.shared_blocks:
        return [sizes.drop_path_rate]
    return torch.linspace(0, sizes.drop_path_rate, sizes.depth).tolist()


def _block(sizes: VitSizes, drop_path_rate: float) -> Block:
    return Block(
        sizes.embed_dim,
        sizes.num_heads,
        sizes.mlp_ratio,
        sizes.drop_rate,
        drop_path_rate,
        sizes.pre_norm,
        sizes.layer_scale,
        _attention(sizes),
        sizes.norm_eps,
        sizes.act_layer,
    )


def _attention(sizes: VitSizes) -> Attention:
    """Plain attention, or what showed no gain yet."""
    grid, prefix = sizes.grid_size, sizes.num_prefix_tokens
    tokens = grid**2 + prefix
    if sizes.local_attention and tokens < 2:
        raise ValueError("local_attention needs two tokens or more: none may look at itself.")
    relative = RelativePositions(grid, sizes.num_heads, prefix) if sizes.pos_embed == "relative" else None
    approximation = make_approximation(sizes.attention, sizes.landmarks, tokens, sizes.embed_dim // sizes.num_heads)
    plain: dict[str, Any] = {"qkv_bias": sizes.qkv_bias, "drop_rate": sizes.drop_rate, "relative": relative}
    if not (sizes.local_attention or sizes.reattention or approximation):
        return Attention(sizes.embed_dim, sizes.num_heads, **plain)
    return VariedAttention(
        sizes.embed_dim,
        sizes.num_heads,
        local=sizes.local_attention,
        reattention=sizes.reattention,
        approximation=approximation,
        **plain,
    )


def _head(sizes: VitSizes, in_features: int) -> nn.Module:
    return make_head(in_features, sizes.num_classes, sizes.head_hidden, sizes.head_batch_norm, sizes.head_drop_rate)


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
