"""Hugging Face's ViTForImageClassification and ViTModel: names on disk (old) and in memory of transformers 5 (new)."""

from __future__ import annotations

import re
from typing import Any

import torch

from mien.errors import DataError
from mien.pretrained import hf_settings as settings
from mien.pretrained.checkpoint import Checkpoint, Weights, known_in_vit, rename, vit_sizes

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


def known(weights: Weights) -> list[str]:
    """The tensors that such a network has by name."""
    return known_in_vit(weights, NAMES)


def convert(weights: Weights, config: dict[str, Any], source: str, num_heads: int | None = None) -> Checkpoint:
    """config: the repository's config.json, its preprocessor_config.json under 'preprocessor' where there is one."""
    about = settings.of_config(config, source)
    processor = settings.processor_of(config, source)
    weights = fuse_attention(rename(weights, NAMES), source)
    sizes = vit_sizes(weights, about.side("num_attention_heads", num_heads), source) | settings.sizes_of(about)
    settings.refuse_other_sizes(about, sizes)
    labels = settings.labels_of(about, sizes["num_classes"])
    pixels = settings.pixels_of(processor, sizes["img_size"])
    scale = settings.scale_of(processor)
    return Checkpoint("vit", sizes, weights, source, *scale, labels, resize="bicubic", preprocessing=pixels)


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
