"""Who makes the claims, an export or a run: what it says, how it answers, and the images that it is judged on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mien import config
from mien.data import Store, open_store
from mien.evaluate import claims
from mien.evaluate.exported import answers
from mien.evaluate.split import predict
from mien.labels import match
from mien.runs import Predictions, RunFolder, is_run
from mien.runs.data import Images, open_data
from mien.runs.records import to_dict
from mien.runtime.network import Network, locate, softmax


@dataclass(frozen=True)
class Claimant:
    """Who makes the claims.

    card: the claims, by the names of an export's card. classes: of its answers, in their order.
    answer: what it says of a split, probabilities at a temperature of 1, and similarities where it has them.
    most_probable: pixels 0..1 (B, C, S, S), a torch tensor -> the number of each image's class (B,).
    run: where readings of the test split are noted; None for a file outside a run.
    """

    card: dict[str, Any]
    classes: tuple[str, ...]
    answer: Callable[[Store, str], tuple[Predictions, np.ndarray | None]]
    most_probable: Callable[[Any], np.ndarray]
    run: Path | None

    @property
    def exact(self) -> bool:
        """Whether the file says what labels its images had; then all its scores are of its own answers."""
        return "labelled" in self.card


def export_and_data(where: str | Path, network: Network, data: Mapping[str, Any]) -> tuple[Claimant, Store]:
    """An opened export and the images that `data` names, split as the export says. Raises as `mien.proof.prove`."""
    path, card, shape = locate(where), network.card or {}, network.preprocessing
    own = {"source": card.get("data", "folder"), "drop_leaks": card.get("copies_dropped") or False}
    told = {"data": own | card.get("data_settings", {})}
    if "source" not in data:
        config.refuse_foreign_code(told, path)
    settings = config.build(told, {"data": dict(data)}).data
    store = open_store(settings.with_(size=shape.size, channels=shape.channels, fit=shape.fit))
    order = np.array(match(store.classes, network.labels))

    def answer(store: Store, split: str) -> tuple[Predictions, np.ndarray | None]:
        logits, similar = answers(network, store, split)
        indices = store.indices(split)
        names = [store.names[i] for i in indices]
        return Predictions(names, order[store.labels[indices]], softmax(logits), network.labels), similar

    def most_probable(pixels: Any) -> np.ndarray:
        return np.asarray(network.run(shape.scale(pixels.numpy())).argmax(axis=1))

    run = path.parent if is_run(path.parent) else None
    return Claimant(card, network.labels, answer, most_probable, run), store


def run_and_data(run: Path) -> tuple[Claimant, Store]:
    """A run and its images. Raises OtherImagesError where these are others."""
    from mien.evaluate.run_model import load_model, most_probable

    model, classes, preprocessing = load_model(run)
    store = open_data(run)

    def answer(store: Store, split: str) -> tuple[Predictions, np.ndarray | None]:
        return predict(model, store, split, classes), None

    return Claimant(_card_of(run), classes, answer, partial(most_probable, model, preprocessing), run), store


def _card_of(run: Path) -> dict[str, Any]:
    """What a run says of itself, by the names of an export's card."""
    folder, images = RunFolder.open(run), Images.of(run)
    scores = folder.scores
    told = claims.of_kept(images) if images else {}
    if "validation" in scores:
        own = {"uncalibrated_error": scores["validation"].calibration_error}
        told = told | claims.of_scores(scores["validation"]) | own
    return told | {
        "robustness": [to_dict(row) for row in folder.robustness.get("validation", [])],
        "test": to_dict(scores["test"]) if "test" in scores else None,
        "test_reads": folder.test_reads,
    }
