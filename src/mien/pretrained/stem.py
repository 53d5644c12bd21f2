"""A trained residual network's stages as the start of a Vision Transformer's stem: the hybrid of arXiv 2010.11929."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from mien.errors import UsageError
from mien.models.resnet_sizes import ResNetSizes
from mien.models.vit import VisionTransformer
from mien.pretrained.checkpoint import Checkpoint, refuse_mismatch


def starts(checkpoint: Checkpoint, name: str, sizes: Mapping[str, Any]) -> bool:
    """Whether a checkpoint is for the stem alone of the network called `name`, of these sizes.

    Raises UsageError where the network is a hybrid and the checkpoint is neither of one nor of a residual network.
    """
    if name != "vit" or sizes.get("stem") != "resnet":
        return False
    if checkpoint.model == "resnet":
        return True
    if checkpoint.model == "vit" and checkpoint.sizes.get("stem") == "resnet":
        return False
    raise UsageError(
        f"{checkpoint.source} holds a {checkpoint.model}, but `model.stem` resnet starts from a resnet, or from "
        "another such hybrid: `model.init` RESNET_RUN"
    )


def load(checkpoint: Checkpoint, model: nn.Module) -> None:
    """Copy the checkpoint's first stages into the model's stem; what comes after keeps its fresh weights.

    Raises UsageError where the stages are of other sizes, DataError where a tensor is missing or surplus.
    """
    assert isinstance(model, VisionTransformer)
    wanted = model.sizes.stages
    _refuse_others(ResNetSizes.model_validate(checkpoint.sizes), wanted, checkpoint.source)
    known = model.patch_embed.backbone.state_dict()  # type: ignore[union-attr]
    kept = {name.partition(".")[0] for name in known}  # conv1, bn1, layer1 ...
    weights = {name: value for name, value in checkpoint.weights.items() if name.partition(".")[0] in kept}
    for name, value in known.items():
        if name.endswith("num_batches_tracked"):  # older files lack it
            weights.setdefault(name, value)
    checkpoint.adapt_channels(weights, known)
    refuse_mismatch(weights, known, f"What {checkpoint.source} has of its stem")
    model.patch_embed.backbone.load_state_dict(weights)  # type: ignore[union-attr]


def _refuse_others(own: ResNetSizes, wanted: ResNetSizes, source: str) -> None:
    """Raise UsageError where the first stages of a network are not those of the stem, naming the setting."""
    number = len(wanted.widths)
    if own.stem != wanted.stem or own.squeeze_excitation:
        kind = "squeeze-excitation" if own.squeeze_excitation else f"stem {own.stem}"
        raise UsageError(f"{source} has {kind}; `model.stem` resnet takes a resnet with stem {wanted.stem} alone.")
    if own.widths[:number] != wanted.widths:
        first = ",".join(map(str, own.widths[:number]))
        raise UsageError(
            f"{source} has stages of widths {own.widths}, the stem {wanted.widths}: `model.stem_widths` {first}"
        )
    if own.layers[:number] != wanted.layers:
        same = len({*own.layers[:number]}) == 1
        how = f": `model.stem_convs` {own.layers[0]}" if same else ", which takes as many in each"
        raise UsageError(f"{source} has {own.layers[:number]} blocks in its stages, the stem {wanted.layers}{how}")
