"""Weights and config.json that another library reads as well as mien does: transformers', timm's or mien's own format.

Where transformers or timm has the network, the folder is in their format, and mien's own words stand in a section
`mien` of config.json, which both of them leave alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from torch import Tensor

import mien
from mien.atomic import json_sha256, write_json
from mien.models import TIMM, create_model
from mien.models.transformers_classifier import TransformersClassifier
from mien.models.vit import VisionTransformer
from mien.pretrained import from_hf, to_hf
from mien.pretrained.checkpoint import Checkpoint, rename
from mien.pretrained.own import Classifier, convert
from mien.pretrained.weight_files import read_json, write_weights
from mien.runs.manifest import sha256

SECTION = "mien"  # of config.json
CROP_MODES = {"crop": "center", "stretch": "squash", "pad": "border"}  # our `fit` -> timm's
WEIGHTS, CONFIG = "model.safetensors", "config.json"


def save(network: Classifier, folder: Path) -> str:
    """Write a network's folder. Returns who reads it besides mien: 'transformers', 'timm', or '' for nobody."""
    model, labels, preprocessing = network.model, network.labels, network.preprocessing
    if isinstance(model, VisionTransformer) and to_hf.can_express(model, preprocessing):
        to_hf.save(model, folder, labels, preprocessing)
        reader = "transformers"
    elif isinstance(model, TransformersClassifier) and preprocessing.fit != "pad":
        _save_adopted(model, folder, network)
        reader = "transformers"
    elif network.name.startswith(TIMM):
        _save_timm(network, folder)
        reader = "timm"
    else:
        network.save_pretrained(folder)
        return ""
    _add_section(network, folder)
    return reader


def read(folder: Path, weights: dict[str, Tensor], config: dict[str, Any], source: str) -> Checkpoint:
    """What `save` wrote, mien's own format included. weights, config: as `weight_files.read_folder` gives them.

    Raises DataError when config.json lacks something.
    """
    section = config[SECTION]
    if not isinstance(section, dict):
        return convert(weights, config, source)
    found = convert(weights, section, source)
    if found.model == "vit":
        own = from_hf.fuse_attention(rename(weights, from_hf.NAMES), source)
        return convert(own, section, source)
    if found.model == "transformers_classifier":
        model = create_model(found.model, **found.sizes)
        cast(TransformersClassifier, model).load(folder, source)  # names in files are not those in memory
        return convert(dict(model.state_dict()), section, source)
    return found


def _add_section(network: Classifier, folder: Path) -> None:
    section = {"version": mien.__version__, "model": network.name, "sizes": network.sizes}
    section |= {"labels": list(network.labels), "preprocessing": network.preprocessing.to_dict()}
    section["weights_sha256"] = sha256(folder / WEIGHTS)
    write_json(folder / CONFIG, read_json(folder / CONFIG) | {SECTION: section | {"sha256": json_sha256(section)}})


def _save_adopted(model: TransformersClassifier, folder: Path, network: Classifier) -> None:
    """As transformers itself saves it, with the names of the classes and without the place it was read from."""
    folder.mkdir(parents=True, exist_ok=True)
    model.network.save_pretrained(folder, max_shard_size="1TB")  # whatever its size, one file
    config = read_json(folder / CONFIG)
    for key in ("_name_or_path", "name_or_path"):
        config.pop(key, None)
    write_json(folder / CONFIG, config | to_hf.names_of(network.labels))
    write_json(folder / to_hf.PROCESSOR, to_hf.preprocessor(network.preprocessing))


def _save_timm(network: Classifier, folder: Path) -> None:
    """As timm.models.push_to_hf_hub lays it out."""
    folder.mkdir(parents=True, exist_ok=True)
    from mien.models.timm_network import TimmNetwork, arguments

    pixels = network.preprocessing
    side, channels = pixels.size, pixels.channels

    def each(value: float | tuple[float, ...]) -> list[float]:
        return list(value) if isinstance(value, tuple) else [value] * channels

    cfg = {
        "input_size": [channels, side, side],
        "mean": each(pixels.mean),
        "std": each(pixels.std),
        "interpolation": pixels.interpolation,
        "crop_pct": side / (pixels.resize_size or side),
        "crop_mode": CROP_MODES[pixels.fit],
    }
    args = arguments(network.name, cast(TimmNetwork, network.model).sizes)
    config = {
        "architecture": network.name.removeprefix(TIMM),
        "num_classes": args.pop("num_classes"),
        "label_names": list(network.labels),
        "model_args": args,
        "pretrained_cfg": cfg,
    }
    weights = {key: value.clone().contiguous() for key, value in network.model.state_dict().items()}
    write_weights(folder / WEIGHTS, weights)
    write_json(folder / CONFIG, config)
