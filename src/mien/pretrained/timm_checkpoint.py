"""Checkpoints of any network of timm's, `timm:NAME`, under timm's names, older names of its own, or a port's.

The network reads them as timm does: see `TimmNetwork.fitted`. What config.json or timm's own pretrained_cfg says of
the pictures becomes mean, std, interpolation and crop.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mien.errors import DataError
from mien.models import TIMM, create_model, sizes_of
from mien.models.sizes import FROM_DATA
from mien.pretrained import timm_settings as settings
from mien.pretrained.checkpoint import Checkpoint, Weights, one_or_each, refuse_mismatch
from mien.pretrained.foreign import Foreign
from mien.pretrained.wrapped import BY_WRAPPERS

# The names of efficientnet_pytorch, in which EfficientNets are handed on since 2019, and timm's.
OF_A_PORT = (
    (r"^_conv_stem\.", "conv_stem."),
    (r"^_bn0\.", "bn1."),
    (r"^_conv_head\.", "conv_head."),
    (r"^_bn1\.", "bn2."),
    (r"^_fc\.", "classifier."),
)
HOLDERS = ("module.", "model.", "backbone.", "network.")
WITH_EXPANSION = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
WITH_EXPANSION |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
WITHOUT = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
EITHER = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}


def convert(weights: Weights, config: dict[str, Any], source: str, name: str = "") -> Checkpoint:
    """name: the network's, `timm:NAME`; what config.json says is read beside it, and alone where there is none.

    Raises DataError where the weights are not that network's, UsageError where timm has no such network.
    """
    name = name or f"{TIMM}{config['architecture']}"
    cfg = pictures(name) | (config.get("pretrained_cfg") or {})
    about = Foreign({**config, "pretrained_cfg": cfg}, source, "config.json")
    args = _arguments(about, name)
    renamed = _ported(_unwrapped(weights))
    first, head = (_first(cfg.get(key)) for key in ("first_conv", "classifier"))
    sizes = {
        "img_size": settings.side_of(about),
        "in_chans": renamed[f"{first}.weight"].shape[1] if f"{first}.weight" in renamed else cfg["input_size"][0],
        "num_classes": len(renamed[f"{head}.weight"]) if f"{head}.weight" in renamed else 0,
        **args,
    }
    try:
        network: Any = create_model(name, **sizes)
        found = network.fitted(_placed(renamed, network.block_names))
    except (KeyError, RuntimeError, ValueError) as error:  # of timm's own reading, where the names are another's
        raise DataError(f"{source} does not fit {name}: {error}.") from error
    counts = {key: value for key, value in network.state_dict().items() if key.endswith("num_batches_tracked")}
    refuse_mismatch(counts | found, network.state_dict(), source)
    labels = settings.labels_of(about, sizes["num_classes"])
    scale = settings.scale_of(about, by_imagenet=True)
    return Checkpoint(
        name, sizes, found, source, *scale, labels, preprocessing=settings.pixels_of(about, sizes["img_size"])
    )


def _arguments(about: Foreign, name: str) -> dict[str, Any]:
    """The arguments of timm's constructor that config.json tells, but for what weights and pictures tell.

    Raises DataError for one that changes an answer and cannot be set here.
    """
    args, known = about.part("model_args"), sizes_of(name).model_fields
    for key in args.values:
        if key not in known and key not in settings.KNOWN_ARGS and args.values[key] is not None:
            args.refuse(key, f"mien builds {name} without it")
    told = {key: value for key, value in args.values.items() if key in known and key not in FROM_DATA}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()}


def _first(names: Any) -> str:
    """One name of a module, of several the first: DeiT has two heads."""
    return str(names[0]) if isinstance(names, list | tuple) and names else str(names)


def pictures(name: str) -> dict[str, Any]:
    """What timm says of the pictures of a network of its own, lists for tuples as config.json has them."""
    from mien.models.timm_network import pretrained_cfg

    return {key: list(value) if isinstance(value, tuple) else value for key, value in pretrained_cfg(name).items()}


def data_settings(name: str, channels: int, size: int) -> dict[str, Any]:
    """Settings of a data section with which a network of timm's sees pictures as its published weights did."""
    cfg = pictures(name)
    scale = {key: one_or_each(cfg[key]) for key in ("mean", "std")}
    if channels == 1:
        scale = {key: sum(v) / len(v) if isinstance(v, tuple) else v for key, v in scale.items()}
    about = Foreign({"pretrained_cfg": cfg}, name, "pretrained_cfg")
    pixels = settings.pixels_of(about, size)
    return {**scale, "interpolation": pixels["interpolation"], "resize_size": pixels["resize_size"]}


def _unwrapped(weights: Weights) -> Weights:
    """Without the name of what held the whole network while it trained, such as DataParallel."""
    weights = {BY_WRAPPERS.sub("", name): value for name, value in weights.items()}
    while prefix := next((each for each in HOLDERS if all(name.startswith(each) for name in weights)), None):
        weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _ported(weights: Weights) -> Weights:
    """Weights under efficientnet_pytorch's names under timm's, but for the stages of the blocks."""
    if "_conv_stem.weight" not in weights:
        return weights
    return {_renamed(name, weights): value for name, value in weights.items()}


def _renamed(name: str, weights: Mapping[str, Any]) -> str:
    for pattern, replacement in OF_A_PORT:
        name = re.sub(pattern, replacement, name)
    if not (found := re.fullmatch(r"(_blocks\.\d+)\.(\w+)\.(\w+)", name)):
        return name
    block, layer, tensor = found.groups()
    table = (WITH_EXPANSION if f"{block}._expand_conv.weight" in weights else WITHOUT) | EITHER
    return f"{block}.{table.get(layer, layer)}.{tensor}"


def _placed(weights: Weights, blocks: list[str]) -> Weights:
    """`_blocks.3` is the fourth block of the network, whatever stage that is in."""

    def of(name: str) -> str:
        number = re.match(r"_blocks\.(\d+)\.", name)
        if number is None or int(number[1]) >= len(blocks):
            return name
        return blocks[int(number[1])] + name[number.end() - 1 :]

    return {of(name): value for name, value in weights.items()}
