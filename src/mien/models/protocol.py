"""What explaining, freezing and exporting may ask of a network, so that none of them needs to know its class.

Every network of ours has the three methods of `ImageNetwork`, under timm's names. The rest is optional, on networks of
ours and on anybody's: a network may have any of

    tokens           a Tokens: how its tokens lie over the image, so that attention can be laid over it
    block_names      names of its blocks, from the image to the head: what can be frozen one by one
    after_blocks     names of the modules behind the last block, the head among them
    attention_names  names of the modules that attend: what can be trained alone
    evidence         the name of the module whose output says where the evidence lies: grad_cam's default layer
    map_names        names of the modules whose output is the last of its size: the maps to show
    output_fmt       'NHWC' where its maps are (B, h, w, D), as timm says it
    steps(trace)     the steps from the image to the logits, a list of Step; trace: each module's output by its name
    first_filters()  what sees the pixels, a tensor (filters, C, k, k)

and the functions here ask for it. A network that does not say is looked at from outside, by its modules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor, nn

BLOCKS = re.compile(r"blocks\.\d+|layer\d+")  # timm's names


@runtime_checkable
class ImageNetwork(Protocol):
    """Images -> features -> logits. `forward(x)` is `forward_head(forward_features(x))`."""

    def forward_features(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) -> maps (B, D, h, w) or tokens (B, N, D)."""

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Those features -> logits (B, K); with pre_logits, what the classifier would read."""

    def get_classifier(self) -> nn.Module:
        """The classifier: maps what `forward_head(x, pre_logits=True)` gives to logits (B, K)."""


@dataclass(frozen=True)
class Tokens:
    """How a network's tokens lie over the image: prefix tokens, then grid x grid patches of patch_size pixels."""

    prefix: int
    grid: int
    patch_size: int
    pool: Literal["token", "avg", "flatten", "seq"]  # what the head reads: the prefix, or of all patches
    read: int | None = None  # how many of the prefix tokens it reads, where not all (registers are read by none)


@dataclass(frozen=True)
class Step:
    """name: of the step. shape: of what it gives, for one image. text: a sentence on what happens."""

    name: str
    shape: tuple[int, ...]
    text: str


def tokens_of(network: nn.Module) -> Tokens | None:
    """How its tokens lie over the image; None where it has none, or does not say."""
    found = getattr(network, "tokens", None)
    return found if isinstance(found, Tokens) else None


def block_names(network: nn.Module) -> list[str]:
    """Names of its blocks, from the image to the head: what it says, else the modules under timm's names for them."""
    if (said := getattr(network, "block_names", None)) is not None:
        return list(said)
    return [name for name, _ in network.named_modules() if BLOCKS.fullmatch(name)]


def after_blocks(network: nn.Module) -> list[str]:
    """Names of the modules behind the last block: what it says, else the children put in after its own."""
    if (said := getattr(network, "after_blocks", None)) is not None:
        return list(said)
    children = [name for name, _ in network.named_children()]
    return children[children.index(block_names(network)[-1].partition(".")[0]) + 1 :]


def head_names(network: nn.Module) -> list[str]:
    """Names of the modules that make up its classifier, without those inside of another."""
    classifier = set(network.get_classifier().modules())  # type: ignore[operator]
    return outermost([name for name, module in network.named_modules() if module in classifier])


def outermost(names: Iterable[str]) -> list[str]:
    """The names that lie inside of no other of them, in their order."""
    found: list[str] = []
    for name in names:
        if not any(name.startswith(f"{other}.") for other in found):
            found.append(name)
    return found


def evidence_of(network: nn.Module) -> str | None:
    """The name of the module whose output says where the evidence lies; None where the network does not say."""
    return getattr(network, "evidence", None)


def map_names(network: nn.Module) -> list[str] | None:
    """Names of the modules whose maps are the last of their size; None where the network does not say."""
    return getattr(network, "map_names", None)


def steps_of(network: nn.Module, trace: Mapping[str, Tensor]) -> list[Step] | None:
    """The steps from the image to the logits of one image; None where the network does not say."""
    steps = getattr(network, "steps", None)
    return None if steps is None else list(steps(trace))


def first_filters(network: nn.Module) -> Tensor | None:
    """What sees the pixels, (filters, C, k, k): what the network says, else its first convolution's kernels."""
    if (said := getattr(network, "first_filters", None)) is not None:
        return said()
    return next((module.weight for module in network.modules() if isinstance(module, nn.Conv2d)), None)
