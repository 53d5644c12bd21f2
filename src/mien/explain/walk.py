"""One image through a model, step by step: what it is turned into, its shape, and a sentence on what happens."""

from __future__ import annotations

from torch import nn

from mien.explain.capture import Trace, module_at, network_of
from mien.explain.features import stages
from mien.models.parts import steps
from mien.models.parts.attention import attention_names
from mien.models.protocol import Step, steps_of, tokens_of
from mien.pretrained import Classifier


def walk(model: Classifier, trace: Trace) -> tuple[Step, ...]:
    """The steps from the image to the probabilities. trace: of a forward pass of one image.

    What lies between is the network's to say; of one that does not, what can be seen of its modules.
    """
    preprocessing = model.preprocessing
    side, channels, classes = preprocessing.size, preprocessing.channels, len(model.labels)
    colour = "grey" if channels == 1 else "colour"
    seen = f"What the model sees: {side} x {side} pixels in {colour}, their mean and spread brought to a fixed scale."
    said = steps_of(network_of(model), trace)
    return (
        Step("image", (channels, side, side), seen),
        *(_seen(model, trace) if said is None else said),
        Step("probabilities", (classes,), "Softmax makes them shares that sum to 1; the largest is the answer."),
    )


def _seen(model: Classifier, trace: Trace) -> list[Step]:
    """A step for each stage of feature maps, each block with attention and each linear layer outside of them."""
    found: list[Step] = []
    done: list[str] = []
    ends, blocks = set(stages(model, trace)), _blocks(network_of(model))
    maps: tuple[int, ...] = (model.preprocessing.channels, *2 * (model.preprocessing.size,))
    for name in trace.modules:
        module, shape, path = module_at(model, name), steps.shape(trace, name), name.partition("@")[0]
        if path in blocks:
            number = 1 + sum(step.name.startswith("block ") for step in found)
            found.append(Step(f"block {number}", shape, steps.block(module, again="@" in name)))
            maps = shape
            done.clear()
        if any(path == block or path.startswith(f"{block}.") for block in blocks):
            continue
        if word := steps.word(module):
            done.append(word)
        if len(shape) == 3 and min(shape[1:]) > 1:
            maps = shape
        if name in ends and done:
            found.append(steps.maps(name, shape, steps.counted(done)))
            done.clear()
        elif isinstance(module, nn.Linear):
            first = not any(len(step.shape) == 1 for step in found)
            found += _before(model, module, maps, done) if first else []
            found.append(steps.linear(name, module, [] if first else done))
            done.clear()
    return found


def _blocks(network: nn.Module) -> list[str]:
    """Names of the modules that hold attention as their `attn`, as mien's Block and timm's do."""
    return [path.removesuffix(".attn") for path in attention_names(network) if path.endswith(".attn")]


def _before(model: Classifier, layer: nn.Linear, seen: tuple[int, ...], done: list[str]) -> list[Step]:
    """What becomes of the maps (D, h, w) or tokens (N, D) that the first linear layer reads."""
    tokens = tokens_of(network_of(model))
    if len(seen) == 2 and tokens:
        return [steps.pooling(tokens, seen[1])]
    if len(seen) != 3:
        return []
    beside = seen[0] * seen[1] * seen[2] == layer.in_features
    text = f"{seen[0]} maps of {seen[1]} x {seen[2]}, side by side." if beside else "The mean of each map."
    return [Step("vector", (layer.in_features,), f"{steps.counted(done)}. {text}" if done else text)]
