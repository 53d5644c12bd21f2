"""torchvision's vit_b_16 and its kin, from their state dict."""

from __future__ import annotations

from typing import Any

from mien.pretrained.checkpoint import IMAGENET_MEAN, IMAGENET_STD, Checkpoint, Weights, known_in_vit, rename, vit_sizes

NAMES = (
    (r"^class_token$", "cls_token"),
    (r"^encoder\.pos_embedding$", "pos_embed"),
    (r"^conv_proj\.", "patch_embed.proj."),
    (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
    (r"\.ln_1\.", ".norm1."),
    (r"\.ln_2\.", ".norm2."),
    (r"\.self_attention\.in_proj_", ".attn.qkv."),
    (r"\.self_attention\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.(0|linear_1)\.", ".mlp.fc1."),  # linear_1 and linear_2 in files from before 0.13
    (r"\.mlp\.(3|linear_2)\.", ".mlp.fc2."),
    (r"^encoder\.ln\.", "norm."),
    (r"^heads\.pre_logits\.", "pre_logits.fc."),
    (r"^heads\.head\.", "head."),
)


def fits(weights: Weights) -> bool:
    return "encoder.layers.encoder_layer_0.ln_1.weight" in weights


def known(weights: Weights) -> list[str]:
    """The tensors that such a network has by name."""
    return known_in_vit(weights, NAMES)


def convert(weights: Weights, config: dict[str, Any], source: str, num_heads: int | None = None) -> Checkpoint:
    """torchvision's weights expect pixels scaled by ImageNet's mean and deviation."""
    weights = rename(weights, NAMES)
    sizes = vit_sizes(weights, num_heads, source)
    return Checkpoint("vit", sizes, weights, source, IMAGENET_MEAN, IMAGENET_STD, resize="bicubic_corners")
