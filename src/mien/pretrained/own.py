"""mien's own format: a folder with config.json (model, sizes, labels, preprocessing) and model.safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import mien
from mien import plugins
from mien.atomic import json_sha256, write_json
from mien.errors import DataError, MienError, UsageError
from mien.preprocessing import Preprocessing
from mien.pretrained.checkpoint import Checkpoint
from mien.pretrained.weight_files import read_folder, write_weights
from mien.runs.folder import model_folder
from mien.runs.manifest import sha256

Labels = tuple[str, ...]


class Classifier(nn.Module):
    """A trained network with the names of its classes and the preprocessing it was trained with.

    Calling it maps images (B, C, H, W), scaled by `preprocessing.scale`, to logits (B, K) in the order of `labels`.
    """

    def __init__(
        self, model: nn.Module, name: str, sizes: dict[str, Any], labels: Labels, preprocessing: Preprocessing
    ) -> None:
        super().__init__()
        self.model = model
        self.name = name
        self.sizes = sizes
        self.labels = labels
        self.preprocessing = preprocessing

    def forward(self, images: Tensor) -> Tensor:
        """Scaled images (B, C, H, W) -> logits (B, K). Raises UsageError for images of another shape."""
        channels = self.preprocessing.channels
        if images.ndim != 4 or images.shape[1] != channels:
            raise UsageError(f"Images are (B, {channels}, H, W) for this network, given {tuple(images.shape)}.")
        return self.model(images)

    def save_pretrained(self, folder: str | Path, half: bool = False) -> Path:
        """Write the folder that `mien.from_pretrained` and model.init read. Raises MienError when it cannot.

        half: weights as float16, in half the space; whoever reads them computes in float32.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MienError(f"Cannot write to {folder}: {error.strerror}. Choose another folder.") from error
        save_folder(folder, self.model, self.name, self.sizes, self.labels, self.preprocessing, half)
        return folder


def from_checkpoint(checkpoint: Checkpoint, labels: Labels | None = None, **sizes: Any) -> Classifier:
    """A Classifier in eval mode. labels: the classes it is to tell apart, where they are not the checkpoint's own."""
    if labels is not None:
        sizes["num_classes"] = len(labels)
    model = checkpoint.build(labels, **sizes)
    sizes = {**checkpoint.sizes, **{key: value for key, value in sizes.items() if value is not None}}
    known = labels or checkpoint.labels
    names = known if len(known) == sizes["num_classes"] else tuple(map(str, range(sizes["num_classes"])))
    channels = sizes["in_chans"]
    scale = {"mean": checkpoint.scale_of(channels)[0], "std": checkpoint.scale_of(channels)[1]}
    shape = {"size": sizes["img_size"], "channels": channels}
    if first := checkpoint.preprocessing.get("resize_size"):  # for another size as much larger
        shape["resize_size"] = max(shape["size"], first * shape["size"] // checkpoint.sizes["img_size"])
    preprocessing = Preprocessing(**{**checkpoint.preprocessing, **shape, **scale})
    return Classifier(model, checkpoint.model, sizes, names, preprocessing).eval()


def from_run(run: Path) -> Classifier:
    """The network of a finished run, in eval mode.

    Raises MissingError when there is no such folder or no model in it yet, DataError when a file is damaged.
    """
    folder = model_folder(run)
    return from_checkpoint(convert(*read_folder(folder), str(folder)))


def save_folder(
    folder: Path,
    model: nn.Module,
    name: str,
    sizes: dict[str, Any],
    labels: Labels,
    preprocessing: Preprocessing,
    half: bool = False,
    **more: Any,
) -> None:
    """Write config.json and model.safetensors; `more` goes into config.json. Raises MienError when it cannot."""
    # Copies, as safetensors refuses tensors that share their memory (tied weights).
    weights = {key: value.clone(memory_format=torch.contiguous_format) for key, value in model.state_dict().items()}
    if half:
        weights = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in weights.items()}
    write_weights(folder / "model.safetensors", weights)
    own = {"mien": mien.__version__, "model": name, "sizes": sizes, "labels": list(labels)}
    own |= {"preprocessing": preprocessing.to_dict(), **more, "weights_sha256": sha256(folder / "model.safetensors")}
    write_json(folder / "config.json", own | {"sha256": json_sha256(own)})


def convert(weights: dict[str, Tensor], config: dict[str, Any], source: str) -> Checkpoint:
    """A folder of this format as a Checkpoint. Raises DataError when its config.json lacks something."""
    plugins.refuse_foreign(config.get("model"), "model", f"{source}/config.json")
    for key, kind, what in (("model", str, "a name"), ("sizes", dict, "an object"), ("labels", list, "a list")):
        if key in config and not isinstance(config[key], kind):
            raise DataError(f"{source}/config.json is damaged: its {key} is {config[key]!r}, not {what}.")
    try:
        preprocessing = Preprocessing(**config["preprocessing"])
        sizes = {key: tuple(value) if isinstance(value, list) else value for key, value in config["sizes"].items()}
        scale, labels = (preprocessing.mean, preprocessing.std), tuple(config["labels"])
        sizes["num_classes"]  # a KeyError where it is not said
        return Checkpoint(
            config["model"], sizes, weights, source, *scale, labels, preprocessing=preprocessing.to_dict()
        )
    except (KeyError, TypeError) as error:
        raise DataError(f"{source}/config.json is damaged: {error}.") from error
