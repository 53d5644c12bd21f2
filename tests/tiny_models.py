"""Tiny models of every kind, with random weights that do something."""

from __future__ import annotations

import torch
from torch import nn

from mien.models import create_model
from mien.preprocessing import Preprocessing
from mien.pretrained import Classifier

SIZES = {
    "vit": {"img_size": 21, "patch_size": 7, "embed_dim": 20, "depth": 3, "num_heads": 2},
    "vit_avg": {"img_size": 21, "patch_size": 7, "embed_dim": 20, "depth": 2, "num_heads": 1, "global_pool": "avg"},
    "vit_flatten": {"img_size": 21, "patch_size": 7, "embed_dim": 20, "depth": 2, "global_pool": "flatten"}
    | {"num_heads": 2, "pos_embed": "sincos2d", "pre_norm": False},
    "vit_conv": {"img_size": 24, "patch_size": 8, "embed_dim": 28, "depth": 2, "num_heads": 2, "stem": "conv"},
    "vit_distilled": {"img_size": 21, "patch_size": 7, "embed_dim": 20, "depth": 2, "num_heads": 2, "distilled": True},
    "vit_relative": {"img_size": 21, "patch_size": 7, "embed_dim": 20, "depth": 2, "num_heads": 2}
    | {"pos_embed": "relative", "layer_scale": 0.5},
    "vit_seq": {"img_size": 21, "patch_size": 7, "embed_dim": 20, "depth": 3, "num_heads": 2, "global_pool": "seq"}
    | {"pos_embed": "learn2d", "shared_blocks": True},
    "shallow_vit": {"img_size": 22, "patch_size": 11, "embed_dim": 12, "num_heads": 3, "init": "scaled"},
    "vtff": {"img_size": 14, "widths": (3, 5), "layers": (1, 1), "embed_dim": 22, "depth": 3, "num_heads": 2},
    "lenet": {"img_size": 29},
    "cnn_v1": {"img_size": 23, "widths": (3, 5)},
    "cnn_v2": {"img_size": 29, "widths": (3, 5, 7)},
    "resnet": {"img_size": 23, "widths": (3, 5), "layers": (1, 1), "squeeze_excitation": True},
}
VITS = [name for name in SIZES if "vit" in name or name == "vtff"]
CNNS = [name for name in SIZES if name not in VITS]


def network(kind: str, in_chans: int = 1, seed: int = 0, **more) -> nn.Module:
    """A model of five classes whose prediction depends on the image."""
    torch.manual_seed(seed)
    name = "vit" if kind.startswith("vit") else kind
    model = create_model(name, in_chans=in_chans, num_classes=5, **SIZES[kind] | more)
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.ndim > 1:
            nn.init.normal_(parameter, std=1.5 * parameter[0].numel() ** -0.5)
    return model.eval()


def images(kind: str, count: int = 3, in_chans: int = 1) -> torch.Tensor:
    side = SIZES[kind]["img_size"]
    return torch.randn(count, in_chans, side, side, generator=torch.Generator().manual_seed(1))


def classifier(kind: str, in_chans: int = 1) -> Classifier:
    name = "vit" if kind.startswith("vit") else kind
    sizes = SIZES[kind] | {"in_chans": in_chans, "num_classes": 5}
    preprocessing = Preprocessing(size=SIZES[kind]["img_size"], channels=in_chans)
    return Classifier(network(kind, in_chans), name, sizes, ("ant", "bee", "cat", "dog", "elk"), preprocessing)
