"""What a CNN makes of an image on its way: the filters of the first layer, and the feature maps of each stage."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mien.explain.capture import Trace, module_at, network_of
from mien.models import protocol
from mien.models.parts.attention import attention_names

# They make maps smaller, or leave some out, and add nothing to see.
THINNING = (
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Dropout,
    nn.Dropout2d,
)


def first_filters(model: nn.Module) -> np.ndarray | None:
    """The filters that see the pixels: a convolution's, or how a ViT embeds its patches, (filters, C, k, k).

    None for a model without convolutions.
    """
    found = protocol.first_filters(network_of(model))
    return None if found is None else found.detach().cpu().numpy().copy()


def stages(model: nn.Module, trace: Trace) -> list[str]:
    """Names of a trace: the last feature maps (B, C, h, w) at each size, before they are pooled; first size first.

    For resnet that is each of its layers, for cnn_v2 what comes before each pooling.
    """
    if (said := protocol.map_names(network_of(model))) is not None:
        return [name for name in said if name in trace and trace[name].ndim == 4]
    last: dict[tuple[int, ...], str] = {}
    thinned: list[Tensor] = []
    attention = attention_names(network_of(model))
    for name in trace.modules:
        if any(name.startswith(f"{path}.") for path in attention):  # heads are no maps of the image
            continue
        output = trace[name]
        if output.ndim != 4 or min(output.shape[2:]) < 2:  # 1 x 1 is no map: squeeze-excitation's gates
            continue
        # A container that ends with a pooling gives what the pooling gave.
        if isinstance(module_at(model, name), THINNING) or any(torch.equal(output, other) for other in thinned):
            thinned.append(output)
        else:
            last[tuple(output.shape[2:])] = name
    return list(last.values())


def feature_maps(model: nn.Module, trace: Trace) -> dict[str, np.ndarray]:
    """Feature maps of the first convolution and of each stage of the image in a trace, (C, h, w) by name."""
    found = stages(model, trace)
    first = next((name for name in trace.modules if trace[name].ndim == 4), None) if found else None
    names = ([] if first is None else [first]) + found
    maps = {name: as_maps(module_at(model, name), trace[name], network_of(model)) for name in dict.fromkeys(names)}
    return {name: found[0].float().cpu().numpy() for name, found in maps.items()}


def as_maps(module: nn.Module, output: Tensor, network: nn.Module) -> Tensor:
    """What a module gives, maps (B, D, h, w), also of networks whose maps are (B, h, w, D)."""
    last = getattr(network, "output_fmt", "NCHW") == "NHWC" and not isinstance(module, nn.Conv2d)
    return output.permute(0, 3, 1, 2) if last else output  # (B, h, w, D) -> (B, D, h, w)
