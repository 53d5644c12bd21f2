"""What an export does to a network's tensors, and how they come back: other names, and norms folded into layers.

Exporting folds a batch norm into the convolution or linear layer in front of it (Jacob et al., arXiv 1712.05877,
section 3.2): with s = gamma / sqrt(var + eps), the kernel becomes w' = s w and the bias b' = beta + s (b - mean).
With gamma, mean, var and b at hand both are undone. Without them, a norm with gamma 1, mean 0 and var 1 - eps only
adds its beta, which is b', and the kernel stays w'.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from mien.pretrained.checkpoint import Weights

Arrays = Mapping[str, np.ndarray]
LAYERS = (nn.Conv2d, nn.Linear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
OF_A_NORM = ("weight", "bias", "running_mean", "running_var")


def record(model: nn.Module, arrays: Arrays) -> dict[str, Any]:
    """What must be known beside an export's arrays to have the model's tensors again; ready for JSON.

    arrays: those of the exported file in fp32, by their names in its graph. Returns `folded`: the layers that a norm
    was folded into; `moved`: {tensor: [array, transposed]} of those that have another name in the file; `stored`: the
    tensors that it no longer holds, as safetensors in base64.
    """
    own = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    own = {name: tensor for name, tensor in own.items() if not name.endswith("num_batches_tracked")}
    places = {_key(array): name for name, array in reversed(list(arrays.items()))}
    folded = {layer: norm for layer, norm in norms_behind(model).items() if _changed(own, arrays, f"{layer}.weight")}
    gone = {f"{norm}.{name}" for norm in folded.values() for name in OF_A_NORM} | {f"{layer}.bias" for layer in folded}
    moved: dict[str, tuple[str, bool]] = {}
    stored: Weights = {}
    for name in sorted(own.keys() - {f"{layer}.weight" for layer in folded}):
        array = own[name].numpy()
        if name in gone:
            stored[name] = own[name].contiguous()
        elif name in arrays and not _changed(own, arrays, name):
            continue
        elif place := places.get(_key(array)):
            moved[name] = (place, False)
        elif array.ndim == 2 and (place := places.get(_key(array.T))):
            moved[name] = (place, True)
        else:
            stored[name] = own[name].contiguous()
    return {"folded": sorted(folded), "moved": moved, "stored": base64.b64encode(save(stored)).decode()}


def restore(model: nn.Module, arrays: Arrays, known: Mapping[str, Any]) -> Weights:
    """The tensors of a model, by its names, from an export's arrays and what `record` noted ({}: nothing was).

    model: of the export's architecture; its weights do not matter. What cannot be found is left out.
    """
    stored = load(base64.b64decode(known["stored"])) if known else {}
    found = dict(stored)
    for name in model.state_dict():
        place, transposed = known.get("moved", {}).get(name, (name, False))
        if name not in stored and place in arrays:
            array = arrays[place].T if transposed else arrays[place]
            found[name] = torch.from_numpy(np.array(array, dtype=np.float32))
    for layer, norm in norms_behind(model).items():
        if layer in known["folded"] if known else f"{norm}.running_var" not in arrays:
            found |= _unfolded(model, layer, norm, found, arrays)
    return found


def norms_behind(model: nn.Module) -> dict[str, str]:
    """The batch norm right behind each convolution or linear layer, in the order of the modules: {layer: norm}.

    A norm of timm's holds an activation, and between a layer and its norm it may leave a place empty.
    """
    leaves = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, NORMS) or not (list(module.children()) or isinstance(module, nn.Identity))
    ]
    return {
        layer: norm
        for (layer, one), (norm, other) in itertools.pairwise(leaves)
        if isinstance(one, LAYERS) and isinstance(other, NORMS) and len(one.weight) == other.num_features
    }


def _unfolded(model: nn.Module, layer: str, norm: str, found: Weights, arrays: Arrays) -> Weights:
    """Kernel and bias of a layer and the tensors of its norm, from what is known of them so far.

    beta is what makes the bias that of the file, where it may have been rounded to fp16.
    """
    kernel, eps = found[f"{layer}.weight"], float(getattr(model.get_submodule(norm), "eps", 0.0))
    channels = len(kernel)
    own = found.get(f"{layer}.bias", torch.zeros(channels)) if f"{layer}.bias" in model.state_dict() else None
    name = next((name for name in (f"{layer}.weight_bias", f"{layer}.bias") if name in arrays), None)
    bias = torch.from_numpy(np.array(arrays[name], dtype=np.float32)) if name else torch.zeros(channels)
    if f"{norm}.running_var" in found:
        gamma, mean, var = (found[f"{norm}.{one}"] for one in ("weight", "running_mean", "running_var"))
    else:
        gamma, mean, var = torch.ones(channels), torch.zeros(channels), torch.full((channels,), 1 - eps)
        own = None if own is None else torch.zeros(channels)
    scale = gamma / (var + eps).sqrt()
    beta = bias + scale * (mean if own is None else mean - own)
    divisor = torch.where(scale == 0, torch.ones(()), scale)  # the kernel of a channel that is off is lost
    weights = dict(zip(OF_A_NORM, (gamma, beta, mean, var), strict=True))
    changed = {f"{layer}.weight": kernel / divisor.view(-1, *[1] * (kernel.ndim - 1))}
    return changed | ({} if own is None else {f"{layer}.bias": own}) | {f"{norm}.{k}": v for k, v in weights.items()}


def _changed(own: Mapping[str, Tensor], arrays: Arrays, name: str) -> bool:
    """Whether the file has an array of this name, with other numbers."""
    return name in arrays and _key(arrays[name]) != _key(own[name].numpy())


def _key(array: np.ndarray) -> tuple[Any, ...]:
    return array.shape, array.dtype.str, np.ascontiguousarray(array).tobytes()
