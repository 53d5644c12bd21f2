"""Other people's Vision Transformers and ResNets (and mien's own), loaded exactly: one file a source.

    checkpoint = mien.pretrained.read("hf-hub:google/vit-base-patch16-224")
    model = checkpoint.build(num_classes=7)  # every tensor used; a new head of seven classes
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from mien.errors import DataError
from mien.pretrained import files, from_hf, from_npz, from_timm, from_torchvision
from mien.pretrained.checkpoint import Checkpoint
from mien.preprocessing import Preprocessing

__all__ = ["Checkpoint", "read"]

SOURCES = (from_timm, from_hf, from_torchvision, from_npz)


def read(where: str | Path, num_heads: int | None = None) -> Checkpoint:
    """A checkpoint from a file, a folder (a run of mien's too) or a hub id ('hf-hub:OWNER/NAME').

    num_heads: attention heads, where neither the weights nor a config.json tell.
    Raises MissingError when it is not there, DataError when it is damaged or of no known source.
    """
    path = files.locate(where)
    weights, config = files.read_folder(path) if path.is_dir() else (files.read_weights(path), {})
    if "mien" in config:
        return _own(weights, config, str(where))
    for source in SOURCES:
        if source.fits(weights):
            return source.convert(weights, config, str(where), num_heads)
    raise DataError(
        f"{where} is no Vision Transformer or ResNet that mien knows: its tensors are named {_first(weights)}. mien reads "
        "those of timm, Hugging Face (ViT, DeiT), torchvision, and the official JAX .npz files."
    )


def _own(weights: dict[str, Tensor], config: dict[str, Any], source: str) -> Checkpoint:
    try:
        preprocessing = Preprocessing(**config["preprocessing"])
        sizes = {key: tuple(value) if isinstance(value, list) else value for key, value in config["sizes"].items()}
        labels = tuple(config["labels"])
        return Checkpoint(
            config["model"],
            sizes,
            weights,
            source,
            preprocessing.mean,
            preprocessing.std,
            labels,
            preprocessing=config["preprocessing"],
        )
    except (KeyError, TypeError) as error:
        raise DataError(f"{source}/config.json is damaged: {error}.") from error


def _first(weights: dict[str, Tensor]) -> str:
    names = list(weights)
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "") if names else "nothing"
