"""Two questions that the source reports leave open, measured on a small network: docs/understanding/questions.md.

1. Why does the validation loss rise while accuracy rises too? For every epoch: loss, calibration error, accuracy and
   confidence on validation, as they are and at a temperature (fitted on one half, judged on the other, and in turn).
2. Why is a network so sure of nonsense when pixels are 0 to 255 in place of 0 to 1? The same images at several scales,
   by the first of the runs or by another (--trained).

    mien run fer2013_lenet --data.path FER2013 --data.train_fraction 0.2 --train.epochs 24 --train.checkpoint_every 1 \\
        --train.schedule cosine --out runs/cosine
    ... and the same without --train.schedule cosine, --out runs/constant
    mien run fer2013_lenet --data.path FER2013 --seed 1 --out runs/lenet
    python benchmarks/questions.py runs/cosine runs/constant --trained runs/lenet [--figures docs/pictures]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from torch import nn

from mien.data import open_store
from mien.errors import MissingError, UsageError
from mien.evaluate.calibration import cross_fitted, fit_temperature
from mien.evaluate.metrics import calibration_error, negative_log_likelihood
from mien.evaluate.run_model import load_model
from mien.evaluate.split import predict
from mien.hardware import hardware
from mien.progress import note
from mien.report.style import drawing, inline_svg, save_svg, series
from mien.runs import Predictions, read_recipe
from mien.train.build import build_model

BATCH = 256
FACTORS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 127.5)  # of the model's own input, which is -1 to 1
SCALES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {  # of uint8 pixels
    "-1 to 1, as in training": lambda pixels: pixels / 127.5 - 1,
    "0 to 1": lambda pixels: pixels / 255,
    "0 to 255": lambda pixels: pixels,
}


def by_epoch(run: Path) -> list[dict[str, float]]:
    """Scores on validation after every epoch of which the run has kept a checkpoint."""
    store = open_store(read_recipe(run).data)
    model = build_model(read_recipe(run), store)
    found = []
    for number, path in enumerate(sorted((run / "checkpoints").glob("epoch=*.ckpt")), start=1):
        weights = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        model.load_state_dict(
            {key.removeprefix("model."): value for key, value in weights.items() if key.startswith("model.")}
        )
        found.append({"epoch": number, **scores(predict(model, store, "validation", tuple(store.classes)))})
        note(str(found[-1]))
    if not found:
        raise MissingError(f"{run} has kept no epochs. Train it with --train.checkpoint_every 1.")
    return found


def scores(predictions: Predictions) -> dict[str, float]:
    """What the model is worth as it is, and at the temperature of the other half of the images."""
    scaled, _ = cross_fitted(predictions, error_rate=0.2, seed=0)
    true = predictions.probabilities[np.arange(len(predictions)), predictions.labels]
    losses, right = -np.log(true.clip(np.finfo(np.float64).eps)), predictions.correct
    return {
        "accuracy": float(predictions.correct.mean()),
        "confidence": float(predictions.confidence.mean()),
        "loss": negative_log_likelihood(predictions),
        "loss_right": float(losses[right].mean()),
        "loss_wrong": float(losses[~right].mean()),
        "calibration_error": calibration_error(predictions),
        "temperature": fit_temperature(predictions),
        "scaled_confidence": float(scaled.confidence.mean()),
        "scaled_loss": negative_log_likelihood(scaled),
        "scaled_calibration_error": calibration_error(scaled),
    }


def trained(run: Path) -> tuple[nn.Module, np.ndarray, np.ndarray]:
    """A finished run's model, which takes pixels from -1 to 1; its validation images, uint8, and their labels."""
    model, _, preprocessing = load_model(run)
    if (preprocessing.mean, preprocessing.std) != (0.5, 0.5):
        raise UsageError(
            f"{run} scales pixels by {preprocessing.mean} and {preprocessing.std}. Give a run with .5 and .5."
        )
    store = open_store(read_recipe(run).data)
    shown = store.indices("validation")
    return model, store.images[shown], store.labels[shown]


def by_scale(model: nn.Module, images: np.ndarray, labels: np.ndarray) -> dict[str, dict[str, float]]:
    """What the model makes of the same uint8 images (N, C, S, S) at each of SCALES."""
    pixels = torch.from_numpy(images).float()
    return {name: at_scale(model, scale(pixels), labels) for name, scale in SCALES.items()}


def at_scale(model: nn.Module, inputs: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
    """Accuracy, confidence, loss, the size of the logits and the share of the commonest answer."""
    with torch.inference_mode():
        logits = torch.cat([model(part) for part in inputs.split(BATCH)])  # (N, K)
    logs, answers = logits.log_softmax(dim=1), logits.argmax(dim=1)
    return {
        "accuracy": float((answers.numpy() == labels).mean()),
        "confidence": float(logs.exp().amax(dim=1).mean()),
        "loss": float(-logs[torch.arange(len(labels)), torch.from_numpy(labels)].mean()),
        "largest_logit": float(logits.abs().amax(dim=1).median()),
        "commonest_answer": float(answers.bincount().max() / len(labels)),
    }


def draw_epochs(rows: list[dict[str, float]]) -> str:
    """Loss on the left, accuracy and confidence on the right, by epoch."""
    with drawing():
        figure = Figure(figsize=(7.6, 3.0))
        left, right = figure.subplots(1, 2)
        epochs = [row["epoch"] for row in rows]
        for axes, key, label, index in curves(left, right):
            axes.plot(epochs, [row[key] for row in rows], label=label, **series(index))
        left.set(xlabel="epoch", ylabel="validation loss")
        right.set(xlabel="epoch")
        right.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        for axes in (left, right):
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=1, borderaxespad=0.2)
        return inline_svg(figure, "epochs", "Validation loss, accuracy and confidence by epoch")


def curves(left: Axes, right: Axes) -> Iterator[tuple[Axes, str, str, int]]:
    """(axes, column, label, colour) of every curve."""
    yield left, "loss", "as it is", 1
    yield left, "scaled_loss", "at a temperature", 2
    yield right, "confidence", "confidence as it is", 1
    yield right, "scaled_confidence", "confidence at a temperature", 2
    yield right, "accuracy", "accuracy", 0


def draw_scales(rows: dict[float, dict[str, float]]) -> str:
    """Accuracy and confidence by the factor on the model's input."""
    with drawing():
        figure = Figure(figsize=(7.6, 3.0))
        axes = figure.subplots()
        for index, key in enumerate(("accuracy", "confidence")):
            axes.plot(
                list(rows), [row[key] for row in rows.values()], marker="o", markersize=3.5, label=key, **series(index)
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(rows), [f"{factor:g}" for factor in rows])
        axes.set(xlabel="input multiplied by", ylim=(0, 1.02))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
        return inline_svg(figure, "scales", "Accuracy and confidence by the scale of the input")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="with all their checkpoints; the figure shows the first")
    parser.add_argument("--trained", type=Path, help="a finished run for the second question; the first if not given")
    parser.add_argument("--figures", type=Path, help="folder for overconfidence.svg and scale.svg")
    options = parser.parse_args()
    epochs = {run.name: by_epoch(run) for run in options.runs}
    model, images, labels = trained(options.trained or options.runs[0])
    own = torch.from_numpy(images).float() / 127.5 - 1
    factors = {factor: at_scale(model, factor * own, labels) for factor in FACTORS}
    if options.figures:
        save_svg(draw_epochs(epochs[options.runs[0].name]), options.figures / "overconfidence.svg")
        save_svg(draw_scales(factors), options.figures / "scale.svg")
    found = {"epochs": epochs, "scales": by_scale(model, images, labels), "factors": factors}
    rounded = json.loads(json.dumps(found), parse_float=lambda text: round(float(text), 4))
    print(json.dumps({"hardware": hardware(), **rounded}, indent=1))


if __name__ == "__main__":
    main()
