"""One .onnx file -> logits, labels and calibrated probabilities. No torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mien.assets import OWN, asset, backbones, shipped
from mien.errors import DataError, MissingError, UsageError, nearest
from mien.hub import HUB, download, hint
from mien.preprocessing import Preprocessing
from mien.runtime.devices import CPU, device_of, open_session
from mien.runtime.seal import KEY, unseal
from mien.runtime.sets import PredictionSets

if TYPE_CHECKING:
    import onnxruntime

SIMILARITY = "similarity"  # the output that says how much a picture resembles those of the training, float32 (B,)
WEIGHTS = ("*.safetensors", "*.bin", "*.npz", "model/*.safetensors")  # in a folder, of what can be trained


class Prediction(NamedTuple):
    """What a network says of one picture.

    probabilities: calibrated, float32 (K,). outlier: whether the picture is unlike all that it learned from; None where
    it cannot tell.
    """

    probabilities: np.ndarray
    outlier: bool | None = None


@dataclass(frozen=True)
class Network:
    """An exported network.

    labels: class names in the order of the logits. temperature: logits are divided by it.
    threshold: a confidence below it is "unsure"; above 1 all are. card: where it comes from and how well it does.
    sets: what makes prediction sets; None for an export from before they were. outlier_below: a picture that is less
    similar to those of the training is unlike all that the network learned from; None where the file cannot tell.
    """

    session: onnxruntime.InferenceSession
    labels: tuple[str, ...] = ()
    preprocessing: Preprocessing = Preprocessing()  # noqa: RUF009  (frozen)
    temperature: float = 1.0
    threshold: float = 0.0
    card: dict[str, Any] | None = None
    sets: PredictionSets | None = None
    outlier_below: float | None = None

    @classmethod
    def bare(cls, path: Path, threads: int = 0, device: str = CPU) -> Network:
        """A file without metadata, for its logits alone."""
        return cls(open_session(path, threads, device))

    @classmethod
    def open(cls, where: str | Path, threads: int = 0, device: str = CPU) -> Network:
        """An exported file, or a model that comes with the package ('mien:tiny').

        threads: 0 is one for each core. device: what computes it, see `mien.runtime.devices`.
        Raises MissingError when there is none, DataError when it is no export of mien's or its metadata do not fit it,
        UsageError for an unknown device.
        """
        path = locate(where)
        session = open_session(path, threads, device)
        found = session.get_modelmeta().custom_metadata_map.get(KEY)
        if found is None:
            raise DataError(f"{path} is an ONNX file, but not one that mien exported: it does not say its labels.")
        values = unseal(path.read_bytes(), found, str(path))  # read once more: a session that is given bytes keeps them
        try:
            calibration = values["calibration"]
            network = cls(
                session,
                tuple(values["labels"]),
                Preprocessing(**values["preprocessing"]),
                float(calibration["temperature"]),
                float(calibration["threshold"]),
                {**values["card"], "mien": values["mien"], "fingerprint": values["fingerprint"]}
                | calibration
                | {"sets": values.get("sets"), "outliers": values.get("outliers")},
                PredictionSets.from_dict(values["sets"]) if "sets" in values else None,
                float(values["outliers"]["threshold"]) if values.get("outliers") else None,
            )
            _refuse_odd(network)
        except (ValueError, KeyError, TypeError, UsageError) as error:
            raise DataError(f"{path} is damaged: its metadata cannot be read ({error}). Export it again.") from error
        _refuse_misfit(network, path)
        return network

    @property
    def device(self) -> str:
        """What computes it: 'cpu', 'cuda' ..."""
        return device_of(self.session)

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """Scaled pixels float32 (B, C, size, size) -> logits float32 (B, K)."""
        return np.asarray(self.session.run(["logits"], {"images": inputs.astype(np.float32, copy=False)})[0])

    def answer(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """uint8 pixels (B, C, size, size) -> logits float32 (B, K), and the similarities float32 (B,) to those of the
        training; None where the file has no such output."""
        logits, *similar = self.session.run(self._outputs, {"images": self._inputs(pixels)})
        return logits, similar[0] if similar else None

    @cached_property
    def _outputs(self) -> list[str]:
        """The names of what the session answers with: the logits, and the similarity where it has one."""
        return ["logits", *[output.name for output in self.session.get_outputs() if output.name == SIMILARITY]]

    def predict(self, pixels: np.ndarray) -> list[Prediction]:
        """What is said of each picture, uint8 pixels (B, C, size, size)."""
        if not len(pixels):
            return []
        logits, similar = self.answer(pixels)
        outliers: list[bool] | list[None] = [None] * len(pixels)
        if similar is not None and self.outlier_below is not None:
            outliers = (similar < self.outlier_below).tolist()
        rows = softmax(logits / self.temperature)
        if not np.isfinite(rows).all():
            raise DataError("The network answers with what are no numbers: its weights are damaged, or too large.")
        return [Prediction(row, outlier) for row, outlier in zip(rows, outliers, strict=True)]

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 pixels (B, C, size, size) -> calibrated probabilities float32 (B, K), rows sum to 1."""
        if not len(pixels):
            return np.empty((0, len(self.labels)), dtype=np.float32)
        return softmax(self.run(self._inputs(pixels)) / self.temperature)

    def _inputs(self, pixels: np.ndarray) -> np.ndarray:
        return self.preprocessing.scale(pixels.astype(np.float32) / 255).astype(np.float32, copy=False)


def locate(where: str | Path) -> Path:
    """The .onnx file that `where` names; one on the hub is downloaded into the hub's own cache first.

    Raises MissingError, naming what there is, when there is none.
    """
    text = str(where)
    if text.startswith(HUB):
        return _download(text.removeprefix(HUB))
    if text.startswith(OWN):
        return _shipped(text.removeprefix(OWN))
    path = Path(os.path.expanduser(text))
    if path.is_dir() and (path / "model.onnx").is_file():
        return path / "model.onnx"
    if path.is_dir():
        raise MissingError(f"{path} has no model.onnx. If it is a finished run: `mien.export({str(path)!r})`")
    if not path.is_file():
        beside = [path.with_name(found.name) for found in path.parent.glob("*.onnx")]
        beside += [path.with_name(found.parent.name) for found in path.parent.glob("*/model.onnx")]
        known = [OWN + name for name in shipped()]
        raise MissingError(
            f"{path}: there is no such model file.{nearest(text, [*map(str, beside), *known])}{hint(text)} With "
            f"mien come {', '.join(known) or 'none'}; `mien.export(RUN)` makes one of a run."
        )
    return path


def is_export(where: str | Path) -> bool:
    """Whether `where` names an export (which need not exist), and not weights to train from.

    That is a network that comes with mien, an .onnx file, or a folder with a model.onnx and no weights; a run that was
    exported into its own folder has both, and is no export.
    """
    text, path = str(where), Path(os.path.expanduser(where))
    if text.startswith(OWN):
        return text.removeprefix(OWN) not in backbones()
    weights = (file for pattern in WEIGHTS for file in path.glob(pattern))
    return path.suffix == ".onnx" or ((path / "model.onnx").is_file() and next(weights, None) is None)


def default_model() -> str:
    """What is meant where no model is named. Raises MissingError when none comes with the package."""
    there = shipped()
    if not there:
        raise MissingError("Which model? None comes with mien: `mien.export(RUN)` makes one of yours.")
    return OWN + there[0]


def _shipped(name: str) -> Path:
    there = shipped()
    if name in backbones():
        raise MissingError(
            f"{OWN}{name} is a backbone to train from: "
            f"`mien.train(mien.recipe('folder_vit', model={{'init': '{OWN}{name}'}}))`. Networks that are ready: "
            f"{', '.join(OWN + found for found in there) or 'none'}."
        )
    if name not in there:
        known = f" These do: {', '.join(OWN + found for found in there)}." if there else ""
        raise MissingError(
            f"{OWN}{name} does not come with mien.{nearest(name, there, OWN)}{known} `mien.export(RUN)` makes one."
        )
    return asset(name, "model.onnx")


def _download(repository: str) -> Path:
    """The export of a hub repository: its model.onnx, or its only .onnx file."""
    folder = download(
        repository,
        lambda names: ["*.onnx"] if names is None else [_export_of(repository, names)],
        "Download its .onnx file elsewhere and give the file instead.",
    )
    return folder / _export_of(repository, [path.relative_to(folder).as_posix() for path in folder.rglob("*.onnx")])


def _export_of(repository: str, names: list[str]) -> str:
    there = sorted(name for name in names if name.endswith(".onnx"))
    if "model.onnx" in there:
        return "model.onnx"
    if not there:
        raise MissingError(
            f"{HUB}{repository} has no .onnx file. If it holds weights to train from: "
            f"`mien.train(mien.recipe('folder_vit', model={{'init': '{HUB}{repository}'}}))`"
        )
    if len(there) > 1:
        raise MissingError(
            f"{HUB}{repository} has several .onnx files, and none is model.onnx: {', '.join(there)}. Download the one "
            "that is meant and give the file instead."
        )
    return there[0]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis: (B, K) -> (B, K)."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def _refuse_odd(network: Network) -> None:
    """Raise ValueError for metadata that no export of mien's has: a stranger may write what is sealed, too."""
    labels = network.labels
    if not all(isinstance(label, str) for label in labels) or len({*labels}) < len(labels):
        raise ValueError("its labels are not names, each another")
    "".join(labels).encode("utf-8", "surrogateescape")  # as tables are written
    if not 0 < network.temperature < np.inf or not np.isfinite([network.threshold, network.outlier_below or 0]).all():
        raise ValueError("its temperature or a threshold is no number")


def _refuse_misfit(network: Network, path: Path) -> None:
    """The metadata must describe the network that is in the file."""
    wanted = (network.preprocessing.channels, network.preprocessing.size, network.preprocessing.size)
    takes = tuple(network.session.get_inputs()[0].shape[1:])
    gives = network.session.get_outputs()[0].shape[-1]
    if takes != wanted or gives != len(network.labels):
        raise DataError(
            f"{path} was changed: it takes {takes} and gives {gives} numbers, its metadata says {wanted} and "
            f"{len(network.labels)} labels. Export it again."
        )
    sets = network.sets
    if sets is not None and len(sets.least) != len(network.labels):
        raise DataError(f"{path} was changed: its prediction sets are of {len(sets.least)} classes. Export it again.")
