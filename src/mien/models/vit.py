"""The Vision Transformer, whole, and the project's only Attention.

Dosovitskiy et al., "An Image is Worth 16x16 Words" (arXiv 2010.11929). Attribute names are timm's,
so that weights travel by name. The initialisation is that of google-research/vision_transformer.

Shapes: B images, N tokens, D = embed_dim, h = num_heads, d = D / h.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.models.heads import DistilledHead, make_head


class Attention(nn.Module):
    """Multi-head self-attention, softmax(q k^T / sqrt(d)) v (Vaswani et al. 2017, equation 1).

    Fused by default. With `explicit_attention(model)` it goes through `self.attend` instead, whose
    output is the attention weights (B, h, N, N), within reach of a hook; both give the same answer.
    """

    def __init__(
        self, embed_dim: int, num_heads: int, qkv_bias: bool = True, drop_rate: float = 0.0, project: bool = True
    ) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim (={embed_dim}) must be divisible by num_heads (={num_heads}).")
        self.num_heads = num_heads
        self.explicit = False
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim, bias=qkv_bias)
        self.attend = nn.Softmax(dim=-1)
        self.proj = nn.Linear(embed_dim, embed_dim) if project else nn.Identity()
        self.proj_drop = nn.Dropout(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        B, N, D = x.shape
        q, k, v = self.split(self.qkv(x))
        if self.explicit:
            weights = self.attend(attention_logits(q, k))  # (B, h, N, N)
            x = weights @ v  # (B, h, N, N) x (B, h, N, d) -> (B, h, N, d)
        else:
            x = F.scaled_dot_product_attention(q, k, v)  # (B, h, N, d)
        x = x.transpose(1, 2).reshape(B, N, D)  # (B, h, N, d) -> (B, N, D)
        return self.proj_drop(self.proj(x))

    def split(self, qkv: Tensor) -> tuple[Tensor, ...]:
        """What `self.qkv` gives, (B, N, 3D) -> queries, keys and values, each (B, h, N, d)."""
        B, N, D3 = qkv.shape
        heads = qkv.reshape(B, N, 3, self.num_heads, D3 // 3 // self.num_heads)  # (B, N, 3D) -> (B, N, 3, h, d)
        return heads.permute(2, 0, 3, 1, 4).unbind(0)  # (B, N, 3, h, d) -> 3 x (B, h, N, d)


def attention_logits(q: Tensor, k: Tensor) -> Tensor:
    """q k^T / sqrt(d): queries and keys (B, h, N, d) -> (B, h, N, N), before the softmax."""
    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (B, h, N, d) x (B, h, d, N) -> (B, h, N, N)


@contextmanager
def explicit_attention(model: nn.Module) -> Iterator[None]:
    """Within it, every Attention of the model computes its weights in the open."""
    modules = [module for module in model.modules() if isinstance(module, Attention)]
    before = [module.explicit for module in modules]
    try:
        for module in modules:
            module.explicit = True
        yield
    finally:
        for module, explicit in zip(modules, before, strict=True):
            module.explicit = explicit


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


class Block(nn.Module):
    """Attention and MLP, each on a residual branch.

    pre_norm: x + f(LN(x)), as in the ViT paper; otherwise LN(x + f(x)), as in the first transformer.
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
    ) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.norm1 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.attn = Attention(embed_dim, num_heads, qkv_bias, drop_rate)
        self.norm2 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.mlp = Mlp(embed_dim, int(embed_dim * mlp_ratio), drop_rate)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        if self.pre_norm:
            x = x + self.drop_path(self.attn(self.norm1(x)))
            return x + self.drop_path(self.mlp(self.norm2(x)))
        x = self.norm1(x + self.drop_path(self.attn(x)))
        return self.norm2(x + self.drop_path(self.mlp(x)))


class PatchEmbed(nn.Module):
    """Cuts the image into patches and maps each to a token, by one convolution with stride = patch_size.

    stem='conv' puts a convolution, batch norm and ReLU of stride 2 in front for each halving
    (Xiao et al., "Early Convolutions Help Transformers See Better", arXiv 2106.14881). stem_convs convolutions
    in place of the one (the last has the stride) make it a small VGG; stem_widths are the halvings' channels,
    each half of the next by default.
    norm=True normalises each patch's pixels before and each token after the convolution (Kumar et al.,
    "Dual PatchNorm", arXiv 2302.01327): light and contrast of the photo no longer drown its content.
    """

    def __init__(
        self,
        img_size: int,
        patch_size: int,
        in_chans: int,
        embed_dim: int,
        stem: str = "patch",
        norm: bool = False,
        stem_convs: int = 1,
        stem_widths: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        if img_size % patch_size:
            raise ValueError(f"img_size (={img_size}) must be divisible by patch_size (={patch_size}).")
        self.grid_size = img_size // patch_size
        halvings = int(math.log2(patch_size)) if stem == "conv" else 0
        if stem == "conv" and 2**halvings != patch_size:
            raise ValueError(f"stem 'conv' needs a patch_size that is a power of two, not {patch_size}.")
        widths = stem_widths or tuple(embed_dim // 2 ** (halvings - step) for step in range(halvings))
        if len(widths) != halvings:
            raise ValueError(f"stem_widths (={widths}) must name {halvings} widths, one for each halving.")
        layers: list[nn.Module] = []
        for width in widths:
            for convolution in range(1, stem_convs + 1):
                stride = 2 if convolution == stem_convs else 1
                layers += [
                    nn.Conv2d(in_chans, width, 3, stride, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                ]
                in_chans = width
        self.stem = nn.Sequential(*layers)
        stride = patch_size // 2**halvings
        self.patch_size = patch_size if norm else None
        self.proj = nn.Conv2d(in_chans, embed_dim, kernel_size=stride, stride=stride)
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, D), row by row."""
        if self.patch_size is not None:
            x = normalise_patches(x, self.patch_size)
        x = self.proj(self.stem(x))  # (B, D, g, g)
        return self.norm(x.flatten(2).transpose(1, 2))  # (B, D, g, g) -> (B, D, N) -> (B, N, D)


def normalise_patches(x: Tensor, patch_size: int, eps: float = 1e-3) -> Tensor:
    """Each p x p patch of (B, C, H, W) with mean 0 and variance 1; eps keeps the noise of flat patches small."""
    B, C, H, W = x.shape
    p = patch_size
    patches = x.reshape(B, C, H // p, p, W // p, p)  # (B, C, H, W) -> (B, C, h, p, w, p)
    variance, mean = torch.var_mean(patches, dim=(1, 3, 5), keepdim=True, correction=0)
    return ((patches - mean) * torch.rsqrt(variance + eps)).reshape(B, C, H, W)


class VisionTransformer(nn.Module):
    """Patches -> tokens (+ class token) + positions -> blocks -> norm -> pooling -> head.

    global_pool: 'token' classifies the class token, 'avg' the mean of the patch tokens, 'flatten' all patch tokens
    side by side, so that the head knows each one's place.
    pos_embed: 'learn', 'sincos2d' (fixed) or 'none'. stem: 'patch' or 'conv'; stem_convs,
    stem_widths, patch_norm: see PatchEmbed.
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
        pos_embed: Literal["learn", "sincos2d", "none"] = "learn",
        global_pool: Literal["token", "avg", "flatten"] = "token",
        representation_size: int | None = None,
        stem: Literal["patch", "conv"] = "patch",
        stem_convs: int = 1,
        stem_widths: tuple[int, ...] | None = None,
        patch_norm: bool = False,
        pre_norm: bool = True,
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
        self.pos_embed = _positions(pos_embed, self.patch_embed.grid_size, embed_dim, self.num_prefix_tokens)
        self.pos_drop = nn.Dropout(drop_rate)
        self.blocks = nn.Sequential(
            *[
                Block(embed_dim, num_heads, mlp_ratio, qkv_bias, drop_rate, rate, pre_norm)
                for rate in torch.linspace(0, drop_path_rate, depth).tolist()
            ]
        )
        # A post-norm block ends with a norm of its own.
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6) if pre_norm else nn.Identity()
        pooled = embed_dim * self.patch_embed.grid_size**2 if global_pool == "flatten" else embed_dim
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
        if self.pos_embed is not None:
            x = x + self.pos_embed
        return self.norm(self.blocks(self.pos_drop(x)))

    def pool(self, x: Tensor) -> Tensor:
        """Tokens (B, N, D) -> what the head reads (B, F): (B, 2, D), both prefix tokens, when distilled."""
        if self.head_dist is not None:
            return self.pre_logits(x[:, :2])  # (B, N, D) -> (B, 2, D)
        if self.global_pool == "flatten":
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


def sincos_positions(grid_size: int, embed_dim: int) -> Tensor:
    """Fixed 2-D sine-cosine positions, (g * g, D): sin x, cos x, sin y, cos y, a quarter of D each.

    MoCo-v3's order, as in SimpleViT (arXiv 2205.01580); omega_k = 10000^(-k / (D/4 - 1)).
    """
    if embed_dim % 4 or embed_dim < 8:
        raise ValueError(f"embed_dim (={embed_dim}) must be a multiple of 4, at least 8, for sincos2d positions.")
    y, x = torch.meshgrid(torch.arange(grid_size), torch.arange(grid_size), indexing="ij")
    omega = 10000.0 ** -(torch.arange(embed_dim // 4) / (embed_dim // 4 - 1))  # (D/4,)
    x, y = x.flatten()[:, None] * omega, y.flatten()[:, None] * omega  # 2 x (N, D/4)
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1)  # (N, D)


def _positions(kind: str, grid_size: int, embed_dim: int, prefix: int) -> nn.Parameter | None:
    if kind == "none":
        return None
    if kind == "learn":
        tokens = grid_size**2 + prefix
        return nn.Parameter(torch.randn(1, tokens, embed_dim) * 0.02)
    if kind != "sincos2d":
        raise ValueError(f"pos_embed '{kind}' is not known; there are 'learn', 'sincos2d' and 'none'.")
    fixed = sincos_positions(grid_size, embed_dim)[None]  # (1, N, D)
    fixed = F.pad(fixed, (0, 0, prefix, 0))  # class and distillation tokens have no place: zeros
    return nn.Parameter(fixed, requires_grad=False)


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
