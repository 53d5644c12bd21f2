"""The way back: a ViT of mien's in Hugging Face's format, for `ViTForImageClassification.from_pretrained`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from torch import Tensor

from mien.atomic import write_json
from mien.errors import UsageError
from mien.models.vit import VisionTransformer
from mien.preprocessing import Interpolation, Preprocessing
from mien.pretrained.weight_files import write_weights

PROCESSOR = "preprocessor_config.json"
NAMES = (
    (r"^(cls_token)$", r"vit.embeddings.\1"),
    (r"^pos_embed$", "vit.embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "vit.embeddings.patch_embeddings.projection."),
    (r"^blocks\.(\d+)\.", r"vit.encoder.layer.\1."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.(query|key|value)\.", r".attention.attention.\1."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
    (r"^norm\.", "vit.layernorm."),
    (r"^head\.", "classifier."),
)

HIDDEN_ACT = {
    "gelu": "gelu",
    "gelu_tanh": "gelu_pytorch_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
}  # our name of an activation -> theirs


def save(model: VisionTransformer, folder: Path, labels: tuple[str, ...], preprocessing: Preprocessing) -> None:
    """Write config.json, preprocessor_config.json and model.safetensors under the names transformers keeps on disk.

    Raises UsageError for a ViT that transformers cannot express (another pooling or stem, post-norm, patch norm), and
    for pictures with bars.
    """
    if found := _obstacles(model, preprocessing):
        raise UsageError(f"transformers' ViT cannot express this model: it has {', '.join(found)}.")
    weights: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        for own, part in _separate(name, value):
            for pattern, replacement in NAMES:
                own = re.sub(pattern, replacement, own)
            weights[own] = part.contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder / "model.safetensors", weights)
    write_json(folder / "config.json", _config(model, labels))
    write_json(folder / PROCESSOR, preprocessor(preprocessing))


def can_express(model: VisionTransformer, preprocessing: Preprocessing) -> bool:
    """Whether transformers' ViT answers as this one does."""
    return not _obstacles(model, preprocessing)


def names_of(labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The names of the classes as a config.json of transformers has them."""
    return {
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }


def _separate(name: str, value: Tensor) -> list[tuple[str, Tensor]]:
    if ".attn.qkv." not in name:
        return [(name, value)]
    return [
        (name.replace("qkv", part), rows) for part, rows in zip(("query", "key", "value"), value.chunk(3), strict=True)
    ]


def _config(model: VisionTransformer, labels: tuple[str, ...]) -> dict[str, Any]:
    block: Any = model.blocks[0]
    projection = model.patch_embed.proj
    return {
        "architectures": ["ViTForImageClassification"],
        "model_type": "vit",
        "hidden_size": projection.out_channels,
        "num_hidden_layers": len(model.blocks),
        "num_attention_heads": block.attn.num_heads,
        "intermediate_size": block.mlp.fc1.out_features,
        "hidden_act": HIDDEN_ACT[model.sizes.act_layer],
        "layer_norm_eps": block.norm1.eps,
        "image_size": model.patch_embed.grid_size * projection.kernel_size[0],
        "patch_size": projection.kernel_size[0],
        "num_channels": projection.in_channels,
        "qkv_bias": block.attn.qkv.bias is not None,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        **names_of(labels),
    }


def preprocessor(preprocessing: Preprocessing) -> dict[str, Any]:
    """The preprocessor_config.json that prepares pictures in this way; it has no bars, fit 'pad'."""

    def each(value: float | tuple[float, ...]) -> list[float]:
        return list(value) if isinstance(value, tuple) else [value] * preprocessing.channels

    first, side = preprocessing.resize_size or preprocessing.size, preprocessing.size
    whole = preprocessing.fit == "stretch"
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": first, "width": first} if whole else {"shortest_edge": first},
        "do_center_crop": not whole or first > side,
        "crop_size": {"height": side, "width": side},
        "resample": get_args(Interpolation).index(preprocessing.interpolation),  # as Pillow counts them
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": each(preprocessing.mean),
        "image_std": each(preprocessing.std),
    }


def _obstacles(model: VisionTransformer, preprocessing: Preprocessing) -> list[str]:
    """What transformers' ViT has not."""
    sizes = model.sizes
    reasons = {
        "no class token": sizes.global_pool != "token",
        "a distillation token": sizes.distilled,
        "a convolutional stem": sizes.stem != "patch",
        "patch norm": sizes.patch_norm,
        "shifted patches": sizes.patch_shift,
        "no positions": sizes.pos_embed == "none",
        "relative positions": sizes.pos_embed == "relative",
        "positions by row and column": sizes.pos_embed == "learn2d",
        "layer scale": sizes.layer_scale is not None,
        "shared blocks": sizes.shared_blocks and sizes.depth > 1,
        "local attention": sizes.local_attention,
        "re-attention": sizes.reattention,
        "approximate attention": sizes.attention != "exact",
        "norms after the branches": not sizes.pre_norm,
        "a layer before the head": sizes.representation_size is not None,
        "an MLP head": bool(sizes.head_hidden),
        "bars around its pictures (fit 'pad')": preprocessing.fit == "pad",
    }
    return [reason for reason, there in reasons.items() if there]
