"""The models. A model's name is its module here; `create_model` builds it, `list_models` lists them.

What several are made of is for networks of one's own too: `from mien.models import Attention, Block, Tokens`.
Importing this package, and reading the sizes of a network of ours, needs no torch.
"""

from __future__ import annotations

import fnmatch
import importlib
from typing import TYPE_CHECKING, Any

from mien import plugins
from mien.errors import UsageError, missing_extra, nearest

if TYPE_CHECKING:
    from pydantic import BaseModel
    from torch import nn

    from mien.models.parts.attention import Attention
    from mien.models.parts.blocks import Block
    from mien.models.parts.patch_embed import PatchEmbed
    from mien.models.protocol import Step, Tokens
    from mien.models.sizes import Sizes

__all__ = [
    "Attention",
    "Block",
    "PatchEmbed",
    "Sizes",
    "Step",
    "Tokens",
    "accepts",
    "count_flops",
    "count_parameters",
    "create_model",
    "list_models",
    "model_class",
    "sizes_of",
]

NETWORKS = {
    "cnn_v1": ("CnnV1", "CnnV1Sizes"),
    "cnn_v2": ("CnnV2", "CnnV2Sizes"),
    "lenet": ("LeNet", "LeNetSizes"),
    "resnet": ("ResNet", "ResNetSizes"),
    "shallow_vit": ("ShallowViT", "ShallowViTSizes"),
    "vit": ("VisionTransformer", "VitSizes"),
    "vtff": ("VTFF", "VTFFSizes"),
}  # module -> its class, and the class of its sizes in the module NAME_sizes
ADOPTED = {
    "onnx_file": ("OnnxFile", "OnnxFileSizes"),
    "transformers_classifier": ("TransformersClassifier", "TransformersClassifierSizes"),
}  # as NETWORKS: what holds other people's networks as they are. mien.adopt names them, no recipe does
BUILT_IN = NETWORKS | ADOPTED
DEFAULT = "vit"
TIMM = "timm:"  # before a name of timm's

PARTS = {
    "Attention": "parts.attention",
    "Block": "parts.blocks",
    "PatchEmbed": "parts.patch_embed",
    "Sizes": "sizes",
    "Step": "protocol",
    "Tokens": "protocol",
}  # imported on first use


def __getattr__(name: str) -> Any:
    if name in PARTS:
        return getattr(importlib.import_module(f"mien.models.{PARTS[name]}"), name)
    raise AttributeError(f"module 'mien.models' has no attribute '{name}'")


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models that match a pattern such as '*vit*'."""
    return fnmatch.filter(sorted(NETWORKS), pattern)


def create_model(name: str, **sizes: Any) -> nn.Module:
    """Build a model with random weights; calling it maps (B, in_chans, img_size, img_size) to logits (B, K).

    name: one of `list_models()`, 'timm:NAME' for one of timm's, or 'package.module:Class' for a model of your own.
    sizes: img_size, in_chans, num_classes and what else the model takes, in timm's words.
    Raises UsageError for an unknown model, a size it does not have or a value it refuses; MissingError without torch.
    """
    from mien.models.sizes import Sizes, judged

    declared = sizes_of(name)
    chosen = judged(name, declared, sizes)
    if name.startswith(TIMM):
        return _timm().build(name, chosen)
    found = model_class(name)
    try:
        if isinstance(chosen, Sizes):
            return found(chosen)
        return found(**{size: getattr(chosen, size) for size in sizes})
    except ValueError as error:
        raise UsageError(f"Model '{name}': {error}") from error


def sizes_of(name: str) -> type[BaseModel]:
    """The sizes of a network: a class whose fields have type, default, bounds and description.

    Those of a network of ours are read without torch; of timm's and of your own, which are imported, the constructor's
    parameters.
    Raises UsageError for an unknown model.
    """
    if name.startswith(TIMM):
        return _timm().sizes_of(name)
    if name in BUILT_IN:
        return getattr(importlib.import_module(f"mien.models.{name}_sizes"), BUILT_IN[name][1])
    from mien.models.sizes import of_constructor

    return of_constructor(model_class(name), name)


def accepts(model: nn.Module, in_chans: int, img_size: int) -> bool:
    """Whether a model, in eval mode, takes images of this side: random crops, where it was made for whole ones."""
    import torch

    try:
        with torch.no_grad():
            model(torch.zeros(1, in_chans, img_size, img_size))
    except (RuntimeError, ValueError):  # linformer's own check is a ValueError
        return False
    return True


def count_parameters(model: nn.Module) -> int:
    """Numbers in the model's parameters, the frozen ones too."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_flops(model: nn.Module, img_size: int, in_chans: int) -> int:
    """Floating-point operations of one forward pass of one image (a multiply and an add are two).

    Convolutions, matrix products and attention are counted; norms and activations are not.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    device = next(model.parameters()).device
    was_training = model.training
    # torch's counter does not know the fused attention of every device; two matrix products cost the same.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, in_chans, img_size, img_size, device=device))
    model.train(was_training)
    return int(counter.get_total_flops())


def _timm() -> Any:
    """The module of timm's networks. Raises MissingError without torch."""
    try:
        return importlib.import_module("mien.models.timm_network")
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from error


def model_class(name: str) -> type[nn.Module]:
    """The class of a model. Raises UsageError when there is none of this name, or it is no torch.nn.Module."""
    if ":" not in name and name not in BUILT_IN:
        raise UsageError(f"Unknown model '{name}'.{nearest(name, NETWORKS)} There are {', '.join(NETWORKS)}.")
    found = plugins.load(name if ":" in name else f"mien.models.{name}:{BUILT_IN[name][0]}", f"Model '{name}'")
    from torch import nn

    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise UsageError(f"Model '{name}' is no torch.nn.Module.")
    return found
