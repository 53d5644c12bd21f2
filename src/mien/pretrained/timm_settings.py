"""config.json of a timm repository (architecture, model_args, pretrained_cfg): what of it changes an answer.

Parity with timm: tests/parity/test_settings.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from mien.models.parts.blocks import ACTIVATIONS
from mien.pretrained.checkpoint import IMAGENET_MEAN, IMAGENET_STD, Scale, one_or_each
from mien.pretrained.foreign import Foreign

INTERPOLATIONS = ("bicubic", "bilinear", "nearest", "lanczos", "box", "hamming")
RESNETS = r"(gluon_|ssl_|swsl_|tv_)?(se)?resnet(18|34)"  # others with these tensors have another stem, pooling or blur
KNOWN = ("architecture", "num_classes", "num_features", "global_pool", "pretrained_cfg", "model_args", "preprocessor")
KNOWN_LABELS = ("label_names", "label_descriptions")
KNOWN_PRETRAINED = {
    *("url", "file", "hf_hub_id", "hf_hub_filename", "source", "architecture", "tag", "custom_load", "license"),
    *("input_size", "test_input_size", "min_input_size", "fixed_input_size", "interpolation", "crop_pct", "crop_mode"),
    *("test_crop_pct", "mean", "std", "num_classes", "label_offset", *KNOWN_LABELS, "pool_size", "test_pool_size"),
    *("first_conv", "classifier", "description", "origin_url", "paper_name", "paper_ids", "notes", "in_chans"),
}
# Arguments of timm's constructors that mien reads off the weights, or that only training reads.
KNOWN_ARGS = {
    *("img_size", "patch_size", "in_chans", "num_classes", "embed_dim", "depth", "num_heads", "mlp_ratio", "qkv_bias"),
    *("init_values", "drop_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate", "attn_drop_rate"),
    *("drop_path_rate", "weight_init", "fix_init", "dynamic_img_size", "strict_img_size", "device", "dtype"),
    *("drop_block_rate", "zero_init_last", "layers", "channels", "stem_width"),
}
# ... and the values that mien's networks have of the others.
VIT_ARGS: dict[str, tuple[Any, ...]] = {
    "act_layer": tuple(ACTIVATIONS),
    "norm_layer": ("layernorm",),
    "global_pool": ("token",),
    **dict.fromkeys(("class_token", "final_norm", "proj_bias"), (True,)),
    **dict.fromkeys(("qk_norm", "pre_norm", "fc_norm", "no_embed_class", "dynamic_img_pad"), (False,)),
    **dict.fromkeys(("pool_include_prefix", "scale_attn_norm", "scale_mlp_norm"), (False,)),
    "reg_tokens": (0,),
    "pos_embed": ("learn",),
}
RESNET_ARGS: dict[str, tuple[Any, ...]] = {
    "act_layer": ("relu",),
    "norm_layer": ("batchnorm", "batchnorm2d"),
    "global_pool": ("avg",),
    "output_stride": (32,),
    "cardinality": (1,),
    "base_width": (64,),
    "stem_type": ("",),
    **dict.fromkeys(("replace_stem_pool", "avg_down"), (False,)),
    "down_kernel_size": (1,),
    "block_reduce_first": (1,),
}


def of_config(config: Mapping[str, Any], source: str, resnet: bool) -> Foreign:
    """What config.json says of the network. Raises DataError for one that mien's networks do not answer as."""
    found = Foreign(config, source, "config.json")
    found.name_rest((*KNOWN, *KNOWN_LABELS))
    allowed, what = (RESNET_ARGS, "ResNet") if resnet else (VIT_ARGS, "ViT")
    args = found.part("model_args")
    for key, values in allowed.items():
        args.only({key: values}, f"mien's {what} has {' or '.join(map(repr, values))}")
    new = sorted(args.values.keys() - KNOWN_ARGS - allowed.keys())
    if new:
        args.refuse(new[0], f"mien's {what} has no such argument")
    found.only({"global_pool": allowed["global_pool"]}, f"mien reads timm's {what} with {allowed['global_pool'][0]}")
    name = str(config.get("architecture") or "")
    if resnet and name and not re.fullmatch(RESNETS, name.partition(".")[0]):
        found.refuse(
            "architecture", "of timm's ResNets with such tensors mien has resnet18, resnet34 and their se ones"
        )
    return found


def sizes_of(config: Foreign) -> dict[str, Any]:
    """The sizes of a ViT that no weight tells, where they are not the defaults."""
    args = config.part("model_args").values
    named = "quick_gelu" if "quickgelu" in str(config.values.get("architecture")) else "gelu"
    act = args.get("act_layer") or named
    return {} if act == "gelu" else {"act_layer": act}


def num_heads_of(config: Foreign) -> int | None:
    """Heads, where the constructor was told."""
    return config.part("model_args").side("num_heads", None)


def refuse_other_sizes(config: Foreign, sizes: Mapping[str, Any]) -> None:
    """Raise DataError where config.json and the weights are of two networks."""
    config.same("num_classes", sizes["num_classes"])
    args = config.part("model_args")
    for key in ("embed_dim", "depth", "in_chans", "num_classes"):
        if key in sizes:
            args.same(key, sizes[key])


def labels_of(config: Foreign, num_classes: int) -> tuple[str, ...]:
    """Names of the head's classes, () where they are not told."""
    for part in (config, config.part("pretrained_cfg")):
        names = part.values.get("label_names")
        if not names:
            continue
        if isinstance(names, Mapping):  # index -> name
            names = [names.get(str(place)) for place in range(len(names))]
        if not isinstance(names, list) or len(names) != num_classes or None in names:
            part.refuse("label_names", f"the head has {num_classes} classes")
        return tuple(map(str, names))
    return ()


def scale_of(config: Foreign, by_imagenet: bool) -> tuple[Scale, Scale]:
    """Mean and deviation of pixels in 0..1; where they are not told, ImageNet's or .5."""
    cfg = config.part("pretrained_cfg")
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if by_imagenet else ((0.5,), (0.5,))
    return one_or_each(cfg.colours("mean", mean)), one_or_each(cfg.colours("std", std))


def input_size_of(config: Foreign, in_chans: int) -> int | None:
    """Side of the images the network was trained on."""
    side, cfg = side_of(config), config.part("pretrained_cfg")
    if side is not None and cfg.values["input_size"][0] != in_chans:
        cfg.refuse("input_size", f"the weights take [{in_chans}, S, S]")
    return side


def side_of(config: Foreign) -> int | None:
    """Side of the images, None where it is not told. Raises DataError for images that are no squares."""
    cfg = config.part("pretrained_cfg")
    size = cfg.values.get("input_size")
    if size is None:
        return None
    if not (isinstance(size, list) and len(size) == 3 and size[1] == size[2] and all(isinstance(n, int) for n in size)):
        cfg.refuse("input_size", "mien's networks see squares, such as [3, 224, 224]")
    return int(size[1])


def pixels_of(config: Foreign, side: int) -> dict[str, Any]:
    """How pictures become squares, as timm's evaluation does it: `fit`, `interpolation`, `resize_size`.

    side: that of the images the network sees. {} where config.json says nothing of pictures.
    """
    cfg = config.part("pretrained_cfg")
    if not cfg.values:
        return {}
    cfg.name_rest(KNOWN_PRETRAINED)
    cfg.only({"crop_mode": ("center", "squash")}, "mien's pictures have no borders")
    cfg.only({"interpolation": INTERPOLATIONS}, f"mien has {', '.join(INTERPOLATIONS)}")
    share = cfg.number("crop_pct", 0.875)
    if share > 1:
        cfg.refuse("crop_pct", "it is a share of the side, 1 at most")
    fit = "stretch" if cfg.values.get("crop_mode") == "squash" else "crop"
    interpolation = cfg.values.get("interpolation") or "bicubic"
    return {"fit": fit, "interpolation": interpolation, "resize_size": math.floor(side / share)}
