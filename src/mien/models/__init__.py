"""The models. A model's name is its module here; `create_model` builds it, `list_models` lists them."""

from __future__ import annotations

import fnmatch
import inspect
from typing import TYPE_CHECKING, Any

from mien import plugins
from mien.errors import UsageError, nearest

if TYPE_CHECKING:
    from torch import nn

CLASSES = {
    "cnn_v1": "CnnV1",
    "cnn_v2": "CnnV2",
    "lenet": "LeNet",
    "resnet": "ResNet",
    "shallow_vit": "ShallowViT",
    "vit": "VisionTransformer",
    "vtff": "VTFF",
}


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models that match a pattern such as '*vit*'."""
    return fnmatch.filter(sorted(CLASSES), pattern)


def create_model(name: str, **sizes: Any) -> nn.Module:
    """Build a model with random weights; calling it maps (B, in_chans, img_size, img_size) to logits (B, K).

    name: one of `list_models()`, or 'package.module:Class' for a model of your own.
    sizes: img_size, in_chans, num_classes and what else the model takes, in timm's words.
    Raises UsageError for an unknown model, a size it does not have or a value it refuses; MissingError without torch.
    """
    found = model_class(name)
    accepted = inspect.signature(found.__init__).parameters
    for size in sizes:
        if size not in accepted:
            known = [parameter for parameter in accepted if parameter != "self"]
            raise UsageError(f"Model '{name}' has no size '{size}'.{nearest(size, known)} It has {', '.join(known)}.")
    try:
        return found(**sizes)
    except ValueError as error:
        raise UsageError(f"Model '{name}': {error}") from error


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


def model_class(name: str) -> type[nn.Module]:
    """The class of a model. Raises UsageError when there is none of this name, or it is no torch.nn.Module."""
    if ":" not in name and name not in CLASSES:
        raise UsageError(f"Unknown model '{name}'.{nearest(name, CLASSES)} There are {', '.join(CLASSES)}.")
    found = plugins.load(name if ":" in name else f"mien.models.{name}:{CLASSES[name]}", f"Model '{name}'")
    from torch import nn

    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise UsageError(f"Model '{name}' is no torch.nn.Module.")
    return found
