"""The official JAX checkpoints (.npz) of google-research/vision_transformer and big_vision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mien.errors import DataError
from mien.pretrained.checkpoint import Checkpoint, Weights, rename, vit_sizes
from mien.pretrained.from_hf import fuse_attention

PREFIXES = ("opt/target/", "params/img/", "params/")

NAMES = (
    (r"^cls$", "cls_token"),
    (r"^(Transformer/posembed_input/pos_embedding|pos_embedding)$", "pos_embed"),
    (r"^embedding/", "patch_embed.proj."),
    (r"^Transformer/encoderblock_(\d+)/", r"blocks.\1."),
    (r"MultiHeadDotProductAttention_[01]/(query|key|value)/", r"attn.\1."),
    (r"MultiHeadDotProductAttention_[01]/out/", "attn.proj."),
    (r"LayerNorm_0/", "norm1."),
    (r"LayerNorm_[12]/", "norm2."),
    (r"MlpBlock_[03]/Dense_0/", "mlp.fc1."),
    (r"MlpBlock_[03]/Dense_1/", "mlp.fc2."),
    (r"^Transformer/encoder_norm/", "norm."),
    (r"^pre_logits/", "pre_logits.fc."),
    (r"^head/", "head."),
    (r"\b(kernel|scale)$", "weight"),
)


def fits(weights: Weights) -> bool:
    return any(name.endswith("embedding/kernel") for name in weights)


def convert(weights: Weights, config: dict[str, Any], source: str, num_heads: int | None = None) -> Checkpoint:
    """Kernels are (in, out) there and (out, in) here; attention's are split by head. Pixels are scaled by .5."""
    weights = _separate_blocks(_without_prefix(weights))
    query = next((value for name, value in weights.items() if name.endswith("query/kernel")), None)
    if query is None:
        raise DataError(f"{source} is no ViT of google-research/vision_transformer: it has no attention.")
    embed_dim, heads = query.shape[0], query.shape[1]
    turned = {name: _turned(name, value, embed_dim) for name, value in weights.items()}
    ours = fuse_attention(rename(turned, NAMES), source)
    if "cls_token" in ours and ours["pos_embed"].shape[1] == _patches(ours):  # big_vision: the class token has no place
        ours["pos_embed"] = torch.cat([torch.zeros(1, 1, embed_dim), ours["pos_embed"]], dim=1)
    return Checkpoint("vit", vit_sizes(ours, heads, source), ours, source, resize="bilinear_corners")


def _without_prefix(weights: Weights) -> Weights:
    prefix = next((prefix for prefix in PREFIXES if f"{prefix}embedding/kernel" in weights), "")
    return {name[len(prefix) :]: value for name, value in weights.items() if name.startswith(prefix)}


def _separate_blocks(weights: Weights) -> Weights:
    """Scanned models keep all blocks in one tensor with the depth in front: one tensor a block instead."""
    separate = {}
    for name, value in weights.items():
        if name.startswith("Transformer/encoderblock/"):
            for block, part in enumerate(value):
                separate[name.replace("encoderblock/", f"encoderblock_{block}/")] = part
        else:
            separate[name] = value
    return separate


def _turned(name: str, value: Tensor, embed_dim: int) -> Tensor:
    if name == "embedding/kernel":
        return value.permute(3, 2, 0, 1)  # (P, P, C, D) -> (D, C, P, P)
    if name.endswith("/out/kernel"):
        return value.reshape(-1, embed_dim).T  # (h, d, D) -> (D, D)
    if name.endswith("kernel"):
        return value.reshape(value.shape[0], -1).T  # (D, h, d) or (in, out) -> (out, in)
    if "/MultiHeadDotProductAttention" in name:
        return value.reshape(-1)  # (h, d) -> (D,)
    return value


def _patches(weights: Weights) -> int:
    """n * n if the positions are as many as patches alone: a square, where one more token would not be."""
    tokens = weights["pos_embed"].shape[1]
    return tokens if int(tokens**0.5) ** 2 == tokens else -1
