"""Hugging Face's ViTForImageClassification and ViTModel: names on disk (old) and in memory of transformers 5 (new)."""

from __future__ import annotations

import re
from typing import Any

import torch

from mien.errors import DataError
from mien.pretrained.checkpoint import Checkpoint, Weights, one_or_each, rename, vit_sizes

NAMES = (
    (r"^(vit|deit)\.", ""),  # ViTModel alone has no prefix
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.distillation_token$", "dist_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"^layers\.(\d+)\.", r"blocks.\1."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.attention\.(query|key|value)\.", r".attn.\1."),
    (r"\.attention\.q_proj\.", ".attn.query."),
    (r"\.attention\.k_proj\.", ".attn.key."),
    (r"\.attention\.v_proj\.", ".attn.value."),
    (r"\.attention\.(output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"^layernorm\.", "norm."),
    (r"^pooler\.dense\.", "pre_logits.fc."),
    (r"^(cls_)?classifier\.", "head."),
    (r"^distillation_classifier\.", "head_dist."),
)


def fits(weights: Weights) -> bool:
    return any(name.endswith("embeddings.patch_embeddings.projection.weight") for name in weights)


def convert(weights: Weights, config: dict[str, Any], source: str, num_heads: int | None = None) -> Checkpoint:
    """config: the repository's config.json, its preprocessor_config.json under 'preprocessor' where there is one."""
    weights = fuse_attention(rename(weights, NAMES), source)
    sizes = vit_sizes(weights, config.get("num_attention_heads") or num_heads, source)
    if config.get("hidden_act", "gelu") != "gelu":
        raise DataError(f"{source} uses the activation {config['hidden_act']}; mien's ViT has the exact GELU only.")
    preprocessor = config.get("preprocessor", {})
    names = config.get("id2label", {})
    labels = tuple(names[key] for key in sorted(names, key=int)) if len(names) == sizes["num_classes"] else ()
    mean, std = (one_or_each(preprocessor.get(key) or 0.5) for key in ("image_mean", "image_std"))
    return Checkpoint("vit", sizes, weights, source, mean, std, labels, resize="bicubic")


def fuse_attention(weights: Weights, source: str) -> Weights:
    """Separate projections of queries, keys and values (D, D) stacked into one (3D, D)."""
    fused = {name: value for name, value in weights.items() if not re.search(r"\.attn\.(query|key|value)\.", name)}
    for name in weights:
        if ".attn.query." not in name:
            continue
        parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        lacking = [part for part in parts if part not in weights]
        if lacking:
            raise DataError(f"{source} lacks {lacking[0]}, the partner of {name}.")
        fused[name.replace(".query.", ".qkv.")] = torch.cat([weights[part] for part in parts])
    return fused
