"""A trained residual network's stages as the start of a Vision Transformer's stem: the hybrid of arXiv 2010.11929."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from mien.errors import UsageError
from mien.models.vit import VisionTransformer
from mien.pretrained.checkpoint import Checkpoint, refuse_mismatch


def starts(checkpoint: Checkpoint, name: str, sizes: Mapping[str, Any]) -> bool:
    """Whether a checkpoint is for the stem alone of the network called `name`, of these sizes."""
    return checkpoint.model == "resnet" and name == "vit" and sizes.get("stem") == "resnet"


def load(checkpoint: Checkpoint, model: nn.Module) -> None:
    """Copy the checkpoint's first stages into the model's stem; what comes after keeps its fresh weights.

    Raises UsageError where the stages differ in width, DataError where they differ otherwise.
    """
    assert isinstance(model, VisionTransformer)
    own, wanted = tuple(checkpoint.sizes["widths"]), model.sizes.stages.widths
    if own[: len(wanted)] != wanted:
        raise UsageError(
            f"{checkpoint.source} has stages of widths {own}, the stem {wanted}. "
            f"Set `model.stem_widths` to the first {len(wanted)} of the checkpoint's."
        )
    known = model.patch_embed.backbone.state_dict()  # type: ignore[union-attr, operator]
    weights = {name: value for name, value in checkpoint.weights.items() if name in known}
    for name, value in known.items():
        if name.endswith("num_batches_tracked"):  # older files lack it
            weights.setdefault(name, value)
    checkpoint.adapt_channels(weights, known)
    refuse_mismatch(weights, known, f"The first stages of {checkpoint.source}")
    model.patch_embed.backbone.load_state_dict(weights)  # type: ignore[union-attr, operator]
