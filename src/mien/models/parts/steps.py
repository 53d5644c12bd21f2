"""How networks tell of their steps, for `mien explain`: sentences that several of them share.

trace: each module's output by its name, of one image; the second call of a module is 'name@2'.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mien.models.parts.positions import are_learned
from mien.models.protocol import Step, Tokens

Trace = Mapping[str, Tensor]

WORDS: dict[type[nn.Module], str] = {
    nn.Conv2d: "convolution",
    nn.BatchNorm1d: "batch norm",
    nn.BatchNorm2d: "batch norm",
    nn.LayerNorm: "layer norm",
    nn.ReLU: "ReLU",
    nn.GELU: "GELU",
    nn.SiLU: "SiLU",
    nn.Tanh: "tanh",
    nn.MaxPool2d: "max-pooling",
    nn.AvgPool2d: "mean-pooling",
    nn.AdaptiveAvgPool2d: "mean-pooling",
    nn.Dropout: "dropout",
    nn.Dropout2d: "dropout",
}
POOLED = {
    "token": "The class token alone goes on: it has gathered what the answer needs.",
    "avg": "The mean of all tokens goes on.",
    "seq": "A mean of all tokens goes on, weighted by what the network thinks of each.",
    "flatten": "All tokens go on side by side, so that the head knows each one's place.",
}
BOTH = "The class and the distillation token go on, each to a head of its own; the mean of both heads counts."


def shape(trace: Trace, name: str) -> tuple[int, ...]:
    """Of what a module gives for one image: without the batch."""
    return tuple(trace[name].shape[1:])


def patches(tokens: Tokens, in_chans: int) -> Step:
    """The image is cut into patches."""
    g, p = tokens.grid, tokens.patch_size
    text = f"Cut into {g} x {g} patches of {p} x {p} pixels, row by row."
    return Step("patches", (g * g, in_chans * p * p), text)


def embedding(trace: Trace, name: str, how: str = "One matrix turns", of: str = "patch") -> Step:
    """Each patch becomes a token."""
    found = shape(trace, name)
    return Step("embedding", found, f"{how} each {of} into a token of {found[-1]} numbers.")


def placed(trace: Trace, name: str, prefix: int, positions: object) -> list[Step]:
    """Prefix tokens come in front, positions are added; name: of the module that gives the result."""
    steps, found = [], shape(trace, name)
    if prefix:
        more = "A class token is" if prefix == 1 else "A class and a distillation token are"
        steps.append(Step("prefix", found, f"{more} put in front, which belong to no patch."))
    if positions is not None:
        kind = "learned" if are_learned(positions) else "fixed"
        steps.append(Step("position", found, f"Each token is told its place: a {kind} vector is added to it."))
    return steps


def blocks(network: nn.Module, trace: Trace, names: Sequence[str]) -> Iterator[Step]:
    """One step for each pass through a block of these names."""
    passes = [name for name in trace if name.partition("@")[0] in names]
    for number, name in enumerate(passes, start=1):
        module = network.get_submodule(name.partition("@")[0])
        yield Step(f"block {number}", shape(trace, name), block(module, again="@" in name))


def block(module: Any, again: bool = False) -> str:
    """What a block with attention does to each token."""
    heads = module.attn.num_heads
    every = f"{heads} heads" if heads > 1 else "1 head"
    then = ", then a small network works on each by itself" if hasattr(module, "mlp") else ""
    more = " The same weights as before." if again else ""
    return f"Each token takes up what it needs of the others (attention, {every}){then}.{more}"


def pooling(tokens: Tokens, width: int) -> Step:
    """What of the tokens, each `width` numbers, the head reads."""
    size = tokens.grid**2 * width if tokens.pool == "flatten" else width
    return Step("pooling", (size,), POOLED[tokens.pool] if tokens.prefix < 2 else BOTH)


def head(trace: Trace, name: str = "head") -> Step:
    """The logits."""
    return Step("head", shape(trace, name), "One number for each class, the logits.")


def maps(name: str, found: tuple[int, ...], how: str) -> Step:
    """Feature maps (maps, h, w) and what made them."""
    return Step(name, found, f"{how}: {found[0]} maps of {found[1]} x {found[2]} numbers.")


def word(module: nn.Module) -> str | None:
    """What a layer is called; None for one without a word of its own."""
    return next((name for kind, name in WORDS.items() if isinstance(module, kind)), None)


def counted(words: Iterable[str]) -> str:
    """'2 convolutions, 1 ReLU'."""
    return ", ".join(f"{count} {word}{'s' if count > 1 else ''}" for word, count in Counter(words).items())


def linear(name: str, layer: nn.Linear, before: Iterable[str] = ()) -> Step:
    """A linear layer and what came right before it."""
    text = f"atrix turns {layer.in_features} numbers into {layer.out_features}."
    done = counted(before)
    return Step(name, (layer.out_features,), f"{done}, then a m{text}" if done else f"A m{text}")


def layers(network: nn.Module, name: str) -> list[Step]:
    """The linear layers of a head called `name`, one after the other."""
    found: list[Step] = []
    before: list[str] = []
    top = network.get_submodule(name)
    for path, module in top.named_modules(prefix=name):
        if isinstance(module, nn.Linear):
            found.append(linear(path, module, before))
            before = []
        elif done := word(module):
            before.append(done)
    return found
