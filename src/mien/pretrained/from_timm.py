"""timm's Vision Transformers (jx_vit_base_p16_224-80ecf9dd.pth among them), DeiT's files, and ResNet-18/34.

Our names are timm's, so nothing is renamed. ResNets by torchvision carry the same names.
"""

from __future__ import annotations

import re
from typing import Any

from mien.errors import DataError
from mien.pretrained import timm_settings as settings
from mien.pretrained.checkpoint import Checkpoint, Weights, known_in_vit, vit_sizes

RESNET = re.compile(r"(conv1|bn1|fc|layer\d+\.\d+\.(conv[12]|bn[12]|downsample\.[01]|se\.fc[12]))\.\w+")


def fits(weights: Weights) -> bool:
    """Whether the names are timm's: a ViT with one fused projection, or a ResNet."""
    return "blocks.0.attn.qkv.weight" in weights or "layer1.0.conv1.weight" in weights


def known(weights: Weights) -> list[str]:
    """The tensors that such a network has by name."""
    return max(known_in_vit(weights), [name for name in weights if RESNET.fullmatch(name)], key=len)


def convert(weights: Weights, config: dict[str, Any], source: str, num_heads: int | None = None) -> Checkpoint:
    """config: a timm repository's config.json; {} where there is only a file.

    Without it, ViTs are taken to be scaled by .5 and DeiTs and ResNets by ImageNet's mean and deviation.
    """
    resnet = "layer1.0.conv1.weight" in weights
    about = settings.of_config(config, source, resnet)
    if resnet:
        sizes, by_imagenet = resnet_sizes(weights, source), True
        sizes["img_size"] = settings.input_size_of(about, sizes["in_chans"]) or sizes["img_size"]
    else:
        sizes = vit_sizes(weights, settings.num_heads_of(about) or num_heads, source) | settings.sizes_of(about)
        by_imagenet = sizes["distilled"] or "deit" in source.lower()
    settings.refuse_other_sizes(about, sizes)
    labels = settings.labels_of(about, sizes["num_classes"])
    scale = settings.scale_of(about, by_imagenet)
    pixels = settings.pixels_of(about, settings.input_size_of(about, sizes["in_chans"]) or sizes["img_size"])
    return Checkpoint("resnet" if resnet else "vit", sizes, weights, source, *scale, labels, preprocessing=pixels)


def resnet_sizes(weights: Weights, source: str) -> dict[str, Any]:
    """Sizes of a ResNet of basic blocks with the 7x7 stem. Raises DataError for bottleneck blocks."""
    if "layer1.0.conv3.weight" in weights:
        raise DataError(f"{source} is a ResNet of bottleneck blocks (50 layers or more); mien builds 18 and 34.")
    if "conv1.weight" not in weights:
        raise DataError(f"{source} is a ResNet with a stem of several convolutions; mien builds those with one.")
    stages = range(1, 1 + sum(f"layer{stage}.0.conv1.weight" in weights for stage in range(1, 9)))
    return {
        "img_size": 224,
        "in_chans": weights["conv1.weight"].shape[1],
        "num_classes": len(weights["fc.bias"]) if "fc.bias" in weights else 0,
        "widths": tuple(weights[f"layer{stage}.0.conv1.weight"].shape[0] for stage in stages),
        "layers": tuple(
            len({name.split(".")[1] for name in weights if name.startswith(f"layer{stage}.")}) for stage in stages
        ),
        "stem": "conv7x7" if weights["conv1.weight"].shape[-1] == 7 else "conv3x3",
        "squeeze_excitation": "layer1.0.se.fc1.weight" in weights,
    }
