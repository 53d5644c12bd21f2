"""What happens inside a model during a forward pass, by name, without changing it.

with capture(model) as trace:
    model(images)
trace["blocks.0.attn.weights"]  # (B, h, N, N)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mien.errors import UsageError, nearest
from mien.explain.watching import Watching
from mien.models.parts.attention import Attention
from mien.pretrained import Classifier


class Trace(Mapping[str, Tensor]):
    """Tensors by name, in the order in which the forward pass made them; a module comes after what is inside it.

    A name is the path of a submodule, and holds its output. The second call of the same module is 'path@2', also
    when the model itself is called again. Every Attention at path P adds 'P.logits' and 'P.weights', (B, h, N, N).

    no_weights: why the model's attention adds neither, '' where it does.
    """

    def __init__(self, no_weights: str = "") -> None:
        self.no_weights = no_weights
        self._tensors: dict[str, Tensor] = {}
        self._beside: set[str] = set()  # names that are no module's
        self.attention_logits: list[Tensor] = []  # of every Attention, from the first layer to the last
        self.attention_weights: list[Tensor] = []

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._tensors:
            hint = nearest(name, self._tensors) or f" There are {', '.join(self._tensors) or 'none'}."
            if self.no_weights and name.partition("@")[0].endswith(("logits", "weights")):
                hint = f" {self.no_weights}"
            raise UsageError(f"Nothing called '{name}' was captured.{hint}")
        return self._tensors[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    @property
    def modules(self) -> list[str]:
        """The names that are a module's, without attention's logits and weights."""
        return [name for name in self._tensors if name not in self._beside]

    def add(self, name: str, tensor: Tensor, of_module: bool = True) -> Tensor:
        """Keep a copy of the tensor under `name`, or under name@2, name@3 … where that is taken; returns the copy."""
        free, count = name, 1
        while free in self._tensors:
            count += 1
            free = f"{name}@{count}"
        if not of_module:
            self._beside.add(free)
        self._tensors[free] = tensor.detach().clone()  # a later in-place operation must not reach it
        return self._tensors[free]


@contextmanager
def capture(model: nn.Module) -> Iterator[Trace]:
    """Record the output of every named submodule while inside; the model's answers stay the same, bit for bit.

    model: a Classifier or any network; names are those within the network. Attention logits, q k^T / sqrt(d) and what
    the model adds to it, and their softmax (before re-attention mixes the heads) are computed beside the forward pass,
    so that fused attention stays fused; approximate attention has none. Of a network without an Attention of mien's,
    they are what torch is asked for, under the module that asks. Hooks are removed on leaving, after an error
    too. `trace[name]` raises UsageError naming the nearest name.
    """
    trace = Trace(no_weights(model))
    handles: list[Any] = []
    try:
        modules = dict(network_of(model).named_modules())
        for path, module in modules.items():
            if path:  # the network itself has none
                handles.append(module.register_forward_hook(_record(trace, path)))
        for path, module in modules.items():
            if isinstance(module, Attention) and not module.no_weights:
                handles.append(module.qkv.register_forward_hook(_record_attention(trace, path, module)))
        if attends_itself(model):
            yield trace
            return
        running: list[str] = []
        for path, module in modules.items():
            if not isinstance(module, nn.Softmax):  # what asks is the attention that holds it
                handles += _follow(path, module, running)
        with Watching(lambda logits, weights: _add(trace, running[-1] if running else "", logits, weights)):
            yield trace
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Within it, the model is in eval mode (no dropout, fixed batch norm); each module is left as it was found."""
    before = {module: module.training for module in model.modules()}
    try:
        model.eval()
        yield
    finally:
        for module, training in before.items():
            module.training = training


def attends_itself(model: nn.Module) -> bool:
    """Whether the model's attention is mien's own, which shows its weights."""
    return any(isinstance(module, Attention) for module in network_of(model).modules())


def no_weights(model: nn.Module) -> str:
    """Why the model's attention has no weights to look at; '' where it has, and where there is no attention."""
    for module in network_of(model).modules():
        if isinstance(module, Attention) and module.no_weights:
            return (
                f"{module.no_weights} Train with `model.attention` exact, or take a map of pixels such as "
                "integrated_gradients."
            )
    return ""


def network_of(model: nn.Module) -> nn.Module:
    """The network inside a Classifier, or the network that was given."""
    return model.model if isinstance(model, Classifier) else model


def module_at(model: nn.Module, name: str) -> nn.Module:
    """The submodule that a name of a trace belongs to: 'block@2' is the second call of 'block'."""
    return network_of(model).get_submodule(name.partition("@")[0])


def _record(trace: Trace, path: str) -> Callable[[nn.Module, object, object], None]:
    def hook(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            trace.add(path, output)

    return hook


def _record_attention(trace: Trace, path: str, attention: Attention) -> Callable[[nn.Module, object, Tensor], None]:
    @torch.no_grad()
    def hook(module: nn.Module, inputs: object, qkv: Tensor) -> None:
        q, k, _ = attention.split(qkv)
        logits = attention.logits(q, k)
        _add(trace, path, logits, logits.softmax(dim=-1))

    return hook


def _follow(path: str, module: nn.Module, running: list[str]) -> list[Any]:
    """Hooks that keep the path of the module at work last in `running`."""

    def leave(module: nn.Module, inputs: object, output: object) -> None:
        running.pop()

    enters = module.register_forward_pre_hook(lambda module, inputs: running.append(path))
    return [enters, module.register_forward_hook(leave)]


def _add(trace: Trace, path: str, logits: Tensor, weights: Tensor) -> None:
    inside = f"{path}." if path else ""
    trace.attention_logits.append(trace.add(f"{inside}logits", logits, of_module=False))
    trace.attention_weights.append(trace.add(f"{inside}weights", weights, of_module=False))
