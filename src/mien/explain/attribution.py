"""Which pixels made the model say what it says: a map over the image, by one of several methods.

grad_cam              Selvaraju et al. (arXiv 1610.02391); tokens are laid out as maps first. HiResCAM, Draelos and
                      Carin (arXiv 2011.08891), where the head reads each token with weights of its own
integrated_gradients  Sundararajan et al. (arXiv 1703.01365), from mean grey, 32 steps (captum)
smooth_gradients      the same averaged over noisy copies of the image, SmoothGrad: Smilkov et al. (arXiv 1706.03825)
occlusion             Zeiler and Fergus (arXiv 1311.2901), windows of about an eighth of the side (captum)
saliency              Simonyan et al. (arXiv 1312.6034) (captum)
rollout, relevance    mien.explain.attention, for Vision Transformers
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.errors import UsageError, nearest
from mien.explain import attention
from mien.explain.capture import capture, evaluating, network_of, no_weights
from mien.explain.features import as_maps, stages
from mien.explain.targets import chosen, images_for, targets_of
from mien.models.parts.blocks import Block
from mien.models.protocol import evidence_of, tokens_of

Maps = np.ndarray
IMAGES_AT_ONCE = 32
STEPS = 32  # of integrated gradients
COPIES, NOISE = 5, 0.075  # of smooth_gradients; the noise's standard deviation, in shares of the image's range


def attribute(model: nn.Module, images: Any, method: str, targets: Any = None, layer: str | None = None) -> Maps:
    """Where the evidence lies, float32 (B, H, W): higher where a pixel speaks more for the target class.

    images: scaled (B, C, H, W), NumPy or torch. method: one of `methods_of(model)`. targets: a class for all images,
    one for each, or None for the predicted ones; rollout does not look at it. layer: for grad_cam, the name of a
    module whose output is (B, C, h, w) or tokens; see `default_layer`.
    The model is explained in eval mode and left as it was found, its parameters' gradients untouched.
    Raises UsageError for a method, layer or class that the model does not have.
    """
    require_method(model, method)
    if layer is not None and method != "grad_cam":
        raise UsageError(f"'{method}' has no layer to choose; only grad_cam has.")
    inputs = images_for(model, images)
    found = []
    with evaluating(model):
        options = {"layer": layer or default_layer(model, inputs[:1])} if method == "grad_cam" else {}
        for part, classes in _parts(model, inputs, targets):
            with torch.enable_grad():
                found.append(METHODS[method](model, part, classes, **options))
    return np.concatenate(found).astype(np.float32)


def require_method(model: nn.Module, method: str) -> None:
    """Raise UsageError where this model cannot be explained by the method."""
    known = methods_of(model)
    if method in OF_ATTENTION and attention.has_tokens(model):
        attention.require_weights(model)
    if method not in known:
        raise UsageError(
            f"{type(network_of(model)).__name__} has no method '{method}'.{nearest(method, known)} "
            f"There are {', '.join(known)}."
        )


def is_empty(values: np.ndarray) -> bool:
    """Whether a map says nothing: the same number everywhere, but for rounding."""
    return bool(np.ptp(values) <= 1e-6 * np.abs(values).max())


def methods_of(model: nn.Module) -> tuple[str, ...]:
    """The methods that can explain this model: rollout and relevance need attention weights over patches, grad_cam
    feature maps or tokens.
    """
    missing: set[str] = set()
    if not attention.has_tokens(model) or no_weights(model):
        missing |= {*OF_ATTENTION}
    if next(model.parameters(), None) is None:  # an adopted .onnx file: nothing leads gradients back
        missing |= {*METHODS} - {"occlusion"}
    elif not _has_maps(model):
        missing.add("grad_cam")
    return tuple(name for name in METHODS if name not in missing)


def default_layer(model: nn.Module, images: Tensor) -> str:
    """The layer that carries the evidence: what the network says, else the last module that still has a place for
    everything. Of blocks of mien's that is what the last attention sees, or the head where it reads each token with
    weights of its own; of a CNN the last maps before they are pooled.
    Raises UsageError for a model without maps.
    """
    network = network_of(model)
    if said := evidence_of(network):
        return said
    own_blocks = [name for name, module in network.named_modules() if isinstance(module, Block) and module.pre_norm]
    if own_blocks and attention.has_tokens(model):
        return f"{own_blocks[-1]}.norm1"
    with torch.no_grad(), evaluating(model), capture(model) as trace:
        model(images)
    if not (found := stages(model, trace)):
        raise UsageError(f"{type(network).__name__} makes no feature maps, so there is no grad_cam. Take occlusion.")
    return found[-1]


def grad_cam(model: nn.Module, images: Tensor, targets: Tensor, layer: str) -> Maps:
    """relu of the layer's maps, weighted by the mean gradient of each, at the image's size, (B, H, W).

    A head that reads each token with weights of its own has no mean: a feature that speaks for the class in one place
    may speak against it in the next. There each place of the maps has its own gradient (HiResCAM).
    targets: int64 (B,). Tokens (B, N, D) lose the prefix and become maps (B, D, g, g); of a layer that is called
    several times, the last call counts.
    """
    outputs: list[Tensor] = []
    handle = _module(model, layer).register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        with torch.enable_grad():
            score = chosen(model(images.detach().clone().requires_grad_()), targets).sum()
    finally:
        handle.remove()
    reached = outputs and outputs[-1].requires_grad
    gradient = torch.autograd.grad(score, outputs[-1], allow_unused=True)[0] if reached else None
    if gradient is None:
        raise UsageError(f"The prediction does not depend on layer '{layer}' by a gradient. Name another.")
    maps, slopes = _as_maps(model, outputs[-1].detach(), layer), _as_maps(model, gradient, layer)
    tokens = tokens_of(network_of(model))
    weights = slopes if tokens and tokens.pool == "flatten" else slopes.mean(dim=(2, 3), keepdim=True)
    found = (weights * maps).sum(dim=1).relu()  # (B, C, h, w) -> (B, h, w)
    return _resized(found, images)


def integrated_gradients(model: nn.Module, images: Tensor, targets: Tensor, steps: int = STEPS) -> Maps:
    """What each pixel adds on the way from mean grey to the image, summed over colours, (B, H, W)."""
    from captum.attr import IntegratedGradients

    settings = {"n_steps": steps, "internal_batch_size": max(256, len(images))}
    found = IntegratedGradients(model).attribute(images.requires_grad_(), target=targets, **settings)
    return found.sum(dim=1).detach().cpu().numpy()  # (B, C, H, W) -> (B, H, W)


def smooth_gradients(model: nn.Module, images: Tensor, targets: Tensor) -> Maps:
    """Integrated gradients, the mean over COPIES of the image with the same noise for every image, (B, H, W).

    What a single pixel owes to the grain of the gradients goes, what neighbours agree on stays.
    """
    generator = torch.Generator().manual_seed(0)
    extent = images.amax(dim=(1, 2, 3), keepdim=True) - images.amin(dim=(1, 2, 3), keepdim=True)  # (B, 1, 1, 1)
    grain = (torch.randn(images[:1].shape, generator=generator).to(images.device) for _ in range(COPIES))
    noise = (NOISE * extent * one for one in grain)  # (B, 1, 1, 1) x (1, C, H, W)
    # Half the steps: noise and steps average over the same kinks.
    return np.mean([integrated_gradients(model, images + one, targets, STEPS // 2) for one in noise], axis=0)


def occlusion(model: nn.Module, images: Tensor, targets: Tensor) -> Maps:
    """How much the logit falls when a window over the pixel is mean grey, the mean over windows, (B, H, W)."""
    from captum.attr import Occlusion

    channels, side = images.shape[1], max(1, round(images.shape[-1] / 8))
    window, stride = (channels, side, side), (channels, max(1, side // 2), max(1, side // 2))
    at_once = max(1, 256 // len(images))
    with torch.no_grad():
        found = Occlusion(model).attribute(images, window, stride, 0, targets, perturbations_per_eval=at_once)
    return found.mean(dim=1).cpu().numpy()  # (B, C, H, W), all colours alike -> (B, H, W)


def saliency(model: nn.Module, images: Tensor, targets: Tensor) -> Maps:
    """How much the logit changes with the pixel, in either direction; of the colours the largest, (B, H, W)."""
    from captum.attr import Saliency

    found = Saliency(model).attribute(images.requires_grad_(), target=targets)
    return found.amax(dim=1).detach().cpu().numpy()  # (B, C, H, W) -> (B, H, W)


def rollout(model: nn.Module, images: Tensor, targets: Tensor) -> Maps:
    """Attention rolled out over the layers; the same for every class, (B, H, W)."""
    return _laid_out(model, attention.rollout(attention.weights(model, images)), images)


def relevance(model: nn.Module, images: Tensor, targets: Tensor) -> Maps:
    """Attention weighted by its gradient, rolled out over the layers, (B, H, W)."""
    return _laid_out(model, attention.relevance(model, images, targets), images)


OF_ATTENTION = ("rollout", "relevance")
METHODS: dict[str, Callable[..., Maps]] = {
    "grad_cam": grad_cam,
    "integrated_gradients": integrated_gradients,
    "smooth_gradients": smooth_gradients,
    "occlusion": occlusion,
    "saliency": saliency,
    "rollout": rollout,
    "relevance": relevance,
}


def _parts(model: nn.Module, images: Tensor, targets: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and the class of each to explain, a few at a time."""
    parts = images.split(IMAGES_AT_ONCE)
    with torch.no_grad():
        logits = torch.cat([model(part) for part in parts])
    yield from zip(parts, targets_of(logits, targets).split(IMAGES_AT_ONCE), strict=True)


def _has_maps(model: nn.Module) -> bool:
    network = network_of(model)
    convolutions = any(isinstance(module, nn.Conv2d) for module in network.modules())
    return convolutions or evidence_of(network) is not None or attention.has_tokens(model)


def _module(model: nn.Module, layer: str) -> nn.Module:
    modules = {name: module for name, module in network_of(model).named_modules() if name}
    if layer not in modules:
        raise UsageError(
            f"{type(network_of(model)).__name__} has no layer '{layer}'.{nearest(layer, modules)} "
            f"There are {', '.join(modules)}."
        )
    return modules[layer]


def _as_maps(model: nn.Module, output: Tensor, layer: str) -> Tensor:
    """Maps (B, C, h, w) as they are, tokens (B, N, D) laid out as maps (B, D, g, g)."""
    if output.ndim == 4:
        return as_maps(_module(model, layer), output, network_of(model))
    if output.ndim == 3 and attention.has_tokens(model):
        tokens = attention.tokens_of(model)
        if output.shape[1] == tokens.prefix + tokens.grid**2:
            patches = output[:, tokens.prefix :].transpose(1, 2)  # (B, N, D) -> (B, g*g, D) -> (B, D, g*g)
            return patches.unflatten(2, (tokens.grid, tokens.grid))  # (B, D, g*g) -> (B, D, g, g)
    raise UsageError(
        f"Layer '{layer}' gives {tuple(output.shape)}, which has no place in the image. Name one that gives maps "
        "(B, C, h, w) or tokens (B, N, D)."
    )


def _laid_out(model: nn.Module, matrix: np.ndarray, images: Tensor) -> Maps:
    return _resized(torch.from_numpy(attention.to_map(matrix, model)), images)


def _resized(maps: Tensor, images: Tensor) -> Maps:
    """(B, h, w) -> (B, H, W), bilinear."""
    size = list(images.shape[2:])
    return F.interpolate(maps[:, None].float(), size, mode="bilinear", align_corners=False)[:, 0].cpu().numpy()
