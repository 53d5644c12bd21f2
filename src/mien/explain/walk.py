"""One image through a model, step by step: what it is turned into, its shape, and a sentence on what happens."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from torch import nn

from mien.explain.attention import has_tokens, tokens_of
from mien.explain.capture import Trace, module_at, network_of
from mien.explain.features import stages
from mien.explain.position import learns_positions
from mien.models.vit import VisionTransformer
from mien.models.vtff import VTFF
from mien.pretrained import Classifier

Shape = tuple[int, ...]

WORDS = {
    nn.Conv2d: "convolution",
    nn.BatchNorm2d: "batch norm",
    nn.ReLU: "ReLU",
    nn.GELU: "GELU",
    nn.MaxPool2d: "max-pooling",
    nn.AvgPool2d: "mean-pooling",
    nn.Dropout: "dropout",
}
POOLED = {
    "token": "The class token alone goes on: it has gathered what the answer needs.",
    "avg": "The mean of all tokens goes on.",
    "seq": "A mean of all tokens goes on, weighted by what the network thinks of each.",
    "flatten": "All tokens go on side by side, so that the head knows each one's place.",
}
PATTERN = (
    "Beside the image stands its local binary pattern: of each pixel, which of its eight neighbours are at least as "
    "bright. No gradient passes here, so methods that follow gradients see the image alone."
)
BOTH = "The class and the distillation token go on, each to a head of its own; the mean of both heads counts."


@dataclass(frozen=True)
class Step:
    """name: of the step. shape: of what it gives, for one image. text: a sentence on what happens."""

    name: str
    shape: Shape
    text: str


def walk(model: Classifier, trace: Trace) -> tuple[Step, ...]:
    """The steps from the image to the probabilities. trace: of a forward pass of one image."""
    preprocessing = model.preprocessing
    side, channels, classes = preprocessing.size, preprocessing.channels, len(model.labels)
    colour = "grey" if channels == 1 else "colour"
    seen = f"What the model sees: {side} x {side} pixels in {colour}, their mean and spread brought to a fixed scale."
    steps = _vit(model, trace) if has_tokens(model) else _cnn(model, trace)
    return (
        Step("image", (channels, side, side), seen),
        *steps,
        Step("probabilities", (classes,), "Softmax makes them shares that sum to 1; the largest is the answer."),
    )


def _vit(model: Classifier, trace: Trace) -> list[Step]:
    tokens, network = tokens_of(model), network_of(model)
    blocks = [name for name in trace if re.fullmatch(r"(blocks\.\d+|block)(@\d+)?", name)]
    if isinstance(network, VTFF):
        words = [*_fused(trace), *_placed(network, trace)]
    elif isinstance(network, VisionTransformer):
        words = [_patches(model), *_vit_embedding(network, trace), *_placed(network, trace)]
    else:
        words = [_patches(model), *_shallow_embedding(trace)]
    width = trace[blocks[-1]].shape[2]
    pooled = tokens.grid**2 * width if tokens.pool == "flatten" else width
    return [
        *words,
        *(_block(network, trace, name, i) for i, name in enumerate(blocks, 1)),
        Step("pooling", (pooled,), POOLED[tokens.pool] if tokens.prefix < 2 else BOTH),
        *_hidden_layer(trace),
        Step("head", tuple(trace["head"].shape[1:]), "One number for each class, the logits."),
    ]


def _patches(model: Classifier) -> Step:
    tokens = tokens_of(model)
    g, p = tokens.grid, tokens.patch_size
    numbers = model.preprocessing.channels * p * p
    return Step("patches", (g * g, numbers), f"Cut into {g} x {g} patches of {p} x {p} pixels, row by row.")


def _hidden_layer(trace: Trace) -> list[Step]:
    if "pre_logits.act" not in trace:
        return []
    return [Step("hidden layer", _shape(trace, "pre_logits.act"), "A matrix and a tanh bring it to this width.")]


def _vit_embedding(network: VisionTransformer, trace: Trace) -> list[Step]:
    embedded = _shape(trace, "patch_embed")
    strides = [module.stride[0] for module in network.patch_embed.stem if isinstance(module, nn.Conv2d)]
    halving = f"{len(strides)} convolutions, {sum(stride > 1 for stride in strides)} of them of stride 2,"
    how = f"{halving} and a last one turn" if strides else "One matrix turns"
    return [Step("embedding", embedded, f"{how} each patch into a token of {embedded[1]} numbers.")]


def _fused(trace: Trace) -> list[Step]:
    maps, words = _shape(trace, "fusion"), _shape(trace, "proj")
    size = f"{maps[0]} maps of {maps[1]} x {maps[2]} numbers"
    return [
        Step("binary pattern", _shape(trace, "lbp"), PATTERN),
        Step("branches", (2, *maps), f"Two residual networks make {size} each, one of the image, one of the pattern."),
        Step("fusion", maps, "For each map and place, a gate weighs what comes from the image and the pattern."),
        Step("embedding", words, f"One matrix turns each place into a token of {words[1]} numbers."),
    ]


def _placed(network: VisionTransformer | VTFF, trace: Trace) -> list[Step]:
    steps, placed = [], _shape(trace, "pos_drop")
    if network.num_prefix_tokens:
        more = "A class token is" if network.num_prefix_tokens == 1 else "A class and a distillation token are"
        steps.append(Step("prefix", placed, f"{more} put in front, which belong to no patch."))
    if network.pos_embed is not None:
        kind = "learned" if learns_positions(network) else "fixed"
        steps.append(Step("position", placed, f"Each token is told its place: a {kind} vector is added to it."))
    return steps


def _shallow_embedding(trace: Trace) -> list[Step]:
    shape = _shape(trace, "embed")
    return [
        Step("embedding", shape, f"One matrix turns each patch into a token of {shape[1]} numbers."),
        Step("position", shape, "Each token is told its place: a learned vector is added to it."),
    ]


def _block(network: nn.Module, trace: Trace, name: str, number: int) -> Step:
    block: Any = module_at(network, name)
    heads = block.attn.num_heads
    again = " The same weights as before." if "@" in name else ""
    then = ", then a small network works on each by itself" if hasattr(block, "mlp") else ""
    every = f"{heads} heads" if heads > 1 else "1 head"
    text = f"Each token takes up what it needs of the others (attention, {every}){then}.{again}"
    return Step(f"block {number}", _shape(trace, name), text)


def _cnn(model: Classifier, trace: Trace) -> list[Step]:
    steps, done = [], Counter[str]()
    ends = set(stages(model, trace))
    maps: Shape = (model.preprocessing.channels, *2 * (model.preprocessing.size,))
    for name in trace:
        module, shape = module_at(model, name), _shape(trace, name)
        if type(module) in WORDS:
            done[WORDS[type(module)]] += 1
        if len(shape) == 3 and min(shape[1:]) > 1:
            maps = shape
        if name in ends:
            steps.append(Step(name, shape, f"{_counted(done)}: {shape[0]} maps of {shape[1]} x {shape[2]} numbers."))
            done.clear()
        elif isinstance(module, nn.Linear):
            steps += _linear(name, module, maps, first=not any(step.name == "vector" for step in steps))
    return steps


def _linear(name: str, layer: nn.Linear, maps: Shape, first: bool) -> list[Step]:
    step = Step(name, (layer.out_features,), f"A matrix turns {layer.in_features} numbers into {layer.out_features}.")
    if not first:
        return [step]
    beside = maps[0] * maps[1] * maps[2] == layer.in_features
    text = f"{maps[0]} maps of {maps[1]} x {maps[2]}, side by side." if beside else "The mean of each map."
    return [Step("vector", (layer.in_features,), text), step]


def _counted(done: Counter[str]) -> str:
    words = [f"{count} {word}{'s' if count > 1 else ''}" for word, count in done.items()]
    return ", ".join(words) or "The maps"


def _shape(trace: Trace, name: str) -> Shape:
    """Of one image: without the batch."""
    return tuple(trace[name].shape[1:])
