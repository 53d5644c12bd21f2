"""Other people's Vision Transformers and ResNets (and mien's own), loaded exactly: one file a source.

checkpoint = mien.pretrained.read("hf-hub:google/vit-base-patch16-224")
model = checkpoint.build(num_classes=7)  # every tensor used; a new head of seven classes
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from mien.errors import DataError, MissingError, UsageError
from mien.models import TIMM
from mien.pretrained import (
    exchange,
    from_hf,
    from_npz,
    from_onnx,
    from_timm,
    from_torchvision,
    hf_settings,
    own,
    timm_checkpoint,
    weight_files,
)
from mien.pretrained.checkpoint import Checkpoint
from mien.pretrained.own import Classifier
from mien.pretrained.wrapped import bare
from mien.runtime.network import is_export

__all__ = ["Checkpoint", "Classifier", "from_pretrained", "read"]

SOURCES = (from_timm, from_hf, from_torchvision, from_npz)


def read(where: str | Path, num_heads: int | None = None, network: str = "") -> Checkpoint:
    """A checkpoint from a file, a folder (also a run's), 'mien:base' and the like, an installed package with weights
    ('pip:NAME'), or a hub id ('hf-hub:OWNER/NAME').

    Exports (.onnx) give the network that was exported, with the weights as they are stored there.

    num_heads: attention heads, where neither the weights nor a config.json tell.
    network: `timm:NAME` for a file that holds this network of timm's; a folder of timm's says so itself.
    Raises MissingError when it is not there, DataError when it is damaged or of no known source.
    """
    path = where if is_export(where) else weight_files.locate(where)
    if is_export(path):
        return from_onnx.read(path, str(where))
    weights, config = weight_files.read_with_config(Path(path))
    if exchange.SECTION in config:
        folder = Path(path) if Path(path).is_dir() else Path(path).parent
        return exchange.read(folder, weights, config, str(where))
    if network.startswith(TIMM):
        return timm_checkpoint.convert(weights, config, str(where), network)
    try:
        return _one_of_ours(bare(weights, str(where)), config, where, num_heads)
    except DataError:
        if (found := _of_timm(weights, config, where)) is not None:
            return found
        raise


def _one_of_ours(
    weights: dict[str, Tensor], config: dict[str, Any], where: str | Path, num_heads: int | None
) -> Checkpoint:
    """One of our own networks with somebody's weights. Raises DataError where they are another's."""
    for source in SOURCES:
        if source.fits(weights):
            return source.convert(weights, config, str(where), num_heads)
    if "model_type" in config:
        hf_settings.of_config(config, str(where))  # refuses another architecture by its name
    raise DataError(
        f"{where} is no Vision Transformer or ResNet that mien knows: {_told(weights)}. "
        "mien reads those of timm, Hugging Face (ViT, DeiT), torchvision, and the official JAX .npz files."
    )


def _of_timm(weights: dict[str, Tensor], config: dict[str, Any], where: str | Path) -> Checkpoint | None:
    """timm's network that config.json names, with these weights; None where it names none.

    None too where they are nearly one of ours: then what is wrong with it is worth more. Raises DataError where they
    do not fit timm's network or timm has none of this name, MissingError without timm.
    """
    if not isinstance(config.get("architecture"), str):
        return None
    try:
        return timm_checkpoint.convert(weights, config, str(where))
    except (DataError, MissingError, UsageError) as error:
        if any(source.fits(weights) for source in SOURCES):
            return None
        kind = MissingError if isinstance(error, MissingError) else DataError
        raise kind(f"{where} holds timm's {config['architecture']}: {error}") from error


def from_pretrained(where: str | Path, labels: tuple[str, ...] | None = None, **sizes: Any) -> Classifier:
    """A network ready to use: calling it maps images (B, C, H, W) to logits (B, K).

    where: as in `read`. labels: the classes of a new head; None keeps the checkpoint's own.
    sizes: what may differ from the checkpoint (img_size, in_chans, drop_rate …), num_heads where it does not tell.
    """
    return own.from_checkpoint(read(where, sizes.get("num_heads")), labels, **sizes)


def _told(weights: dict[str, Tensor]) -> str:
    """How many tensors have names that one of the sources has, and the first that has none; else the first three."""
    known = max((source.known(weights) for source in (from_timm, from_hf, from_torchvision)), key=len)
    other = next((name for name in weights if name not in known), "")
    if known and other:
        return f"{len(known)} of its {len(weights)} tensors have names of one; the first that has not is {other}"
    names = list(weights)
    return f"its tensors are named {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
