"""Muon: gradients of matrices are made orthogonal before they are applied; AdamW does the rest.

Keller Jordan's optimizer (https://kellerjordan.github.io/posts/muon/), for Vision Transformers in arXiv 2605.24770:
a step of momentum SGD whose matrix is replaced by the nearest one with all singular values about 1, so that rare
directions of the gradient count as much as frequent ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan's; singular values end between about .7 and 1.2
STEPS = 5
BETAS, EPS = (0.9, 0.999), 1e-8  # AdamW's


class Muon(Optimizer):
    """One optimizer for a whole network: a group says by `matrices` whether Muon trains its parameters.

    matrices: how many matrices each parameter of the group holds, one above the other: 1 for a matrix or filters,
    which are (out, in k k), 3 for fused queries, keys and values, each made orthogonal by itself; 0 leaves the group to
    AdamW. A matrix moves by lr times max(1, rows / columns)^(1/2), as with torch.optim.Muon; weight decay is decoupled.

    dtype: what the iteration computes in; bf16 is enough, where the hardware multiplies in it.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float = 0.02,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0, "momentum": momentum, "matrices": 1})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of all parameters that have a gradient; returns the closure's loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            update = self._by_muon if group["matrices"] else self._by_adamw
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    update(parameter, group)
        return loss

    def _by_muon(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient, momentum = self.state[parameter], parameter.grad, group["momentum"]
        assert gradient is not None
        if not state:
            state["average"] = torch.zeros_like(parameter)
        state["average"].lerp_(gradient, 1 - momentum)
        towards = gradient.lerp(state["average"], momentum)  # Nesterov's
        parts = (tensor.chunk(group["matrices"]) for tensor in (parameter, towards))
        for own, step in zip(*parts, strict=True):
            matrix = step.flatten(1)  # (out, in, k, k) -> (out, in k k)
            scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
            own.add_(orthogonal(matrix, self.dtype).view_as(step), alpha=-group["lr"] * scale)

    def _by_adamw(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state |= {"step": 0, "mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}
        state["step"] += 1
        first, second = BETAS
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        spread = (state["square"] / (1 - second ** state["step"])).sqrt_().add_(EPS)
        parameter.addcdiv_(state["mean"], spread, value=-group["lr"] / (1 - first ** state["step"]))


def orthogonal(matrix: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """U V^T of a matrix U S V^T (rows, columns), roughly: five steps of the quintic Newton-Schulz iteration."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T.to(dtype) if tall else matrix.to(dtype)
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(matrix.dtype)


def matrices_in(model: nn.Module) -> dict[nn.Parameter, int]:
    """What Muon is for: each matrix of more than one row and column, but the head's; and how many it holds."""
    projections = [getattr(module, "qkv", None) for module in model.modules()]  # mien's, and timm's
    fused = {layer.weight for layer in projections if isinstance(layer, nn.Linear)}
    others = _head(model)
    return {
        parameter: 3 if parameter in fused else 1
        for parameter in model.parameters()
        if parameter.dim() >= 2 and parameter not in others and min(parameter.flatten(1).shape) > 1
    }


def _head(model: nn.Module) -> set[nn.Parameter]:
    """The parameters of the head, of both where there are two; of a model that names none, those of its last layer."""
    named = [model.get_classifier()] if hasattr(model, "get_classifier") else []  # type: ignore[operator]
    second = getattr(model, "head_dist", None)
    layers = [module for module in model.modules() if next(module.parameters(recurse=False), None) is not None]
    heads = [*named, second] if second is not None else named or layers[-1:]
    return {parameter for module in heads for parameter in module.parameters()}
