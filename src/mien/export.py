"""A run -> one .onnx file that carries labels, preprocessing, temperature, card and fingerprint.

The file maps scaled pixels to logits; everything that `mien.runtime` needs beside is in its metadata. It is written
only if its probabilities equal the run's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import mien
from mien.assets import OWN
from mien.atomic import put
from mien.config import Recipe
from mien.config.sweep_plan import Plan, flat
from mien.data import Store
from mien.drafts import draft
from mien.errors import MienError, MissingError, UsageError, require, unwritable
from mien.evaluate import claims
from mien.evaluate.calibration import Calibration, calibrate, with_temperature
from mien.evaluate.exported import answers
from mien.evaluate.metrics import score, scores_of
from mien.evaluate.prediction_sets import COVERAGE, JudgedSets, check_coverage, fit_sets
from mien.evaluate.split import predict
from mien.models.onnx_file import OnnxFile
from mien.outliers import Outliers, add_similarity, fit_outliers
from mien.preprocessing import Preprocessing
from mien.pretrained import Classifier, from_onnx, unfold
from mien.pretrained.own import from_run
from mien.progress import note
from mien.recipes import load, names
from mien.runs import Predictions, RunFolder, is_run, read_recipe
from mien.runs.data import Images, open_data
from mien.runs.folder import refuse_headless, refuse_without_data
from mien.runs.records import to_dict
from mien.runtime.network import Network, is_export, softmax
from mien.runtime.seal import seal
from mien.tracing import WeightType, seen_of, store_weights, trace

# How far a probability may be from the run's own; int8 is judged by its accuracy instead, as long as it is a number.
TOLERANCE = {"fp32": 1e-4, "fp16": 5e-3, "int8": 1.0}
INT8_LOSS = 0.003  # of validation accuracy


@dataclass(frozen=True)
class Export:
    """A written file: its place, size in bytes, the largest difference of a probability and the accuracy lost."""

    path: Path
    size: int
    difference: float
    accuracy_lost: float
    calibration: Calibration
    sets: JudgedSets
    outliers: Outliers | None


def export(
    run: Path,
    out: Path | None = None,
    *,
    weights: WeightType = "fp16",
    error_rate: float = 0.2,
    coverage: float = COVERAGE,
    outliers: bool = True,
) -> Export:
    """Write a finished run as one .onnx file, by default <run>/model.onnx.

    weights: how they are stored; fp16 and fp32 compute in fp32, int8 computes in eight bits, with ranges
    measured on training images.
    error_rate: the share of wrong answers that the threshold for "unsure" is to allow.
    coverage: the share of prediction sets that are to hold the true class.
    outliers: the file also tells what is unlike its training images, for which up to 1,500 of them are read.
    Raises MissingError when the run is not finished, MienError when the file's answers are not the run's.
    """
    refuse_headless(run)
    refuse_without_data(run)
    require("An export", "onnx", "onnxscript")
    network = from_run(run)
    model, labels = network.model, network.labels
    out = out or run / "model.onnx"
    if out.suffix != ".onnx":
        raise UsageError(f"`out` {out}: an export ends in .onnx.")
    check_coverage(coverage)
    if not 0 <= error_rate < 1:
        raise UsageError(f"`error_rate` {error_rate}: give a share such as 0.2.")
    images = _images_of(run)
    store = images if images is not None and images.has("validation") else None  # on which the file is judged
    if weights == "int8" and store is None:
        raise UsageError(
            "`weights='int8'` measures its ranges on training images and is judged on validation images, and those are "
            "not to be had. Say where they lie, `data.path`, or take fp16."
        )
    reference = _reference(run, model, store, labels)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with draft(out.parent, folder=True) as folder:
            beside = folder / out.name
            trace(model, network.preprocessing, beside)
            is_file = isinstance(model, OnnxFile)  # whose tensors are the file itself
            tensors = {} if is_file else unfold.record(model, from_onnx.read_arrays(beside)[0])
            store_weights(beside, weights, seen_of(store) if store and weights == "int8" else None)
            references = add_similarity(beside, store) if store is not None and outliers else None
            found, similar, difference, lost = _judged(beside, network, store, reference, weights)
            _refuse_difference(difference, weights, run)
            known = images or Images.of(run)
            if known is not None:
                found = claims.by_content(found, claims.digests_of(known))
            calibration = calibrate(found, error_rate)
            sets = fit_sets(with_temperature(found, calibration.temperature), coverage)
            unlike = fit_outliers(similar, references) if references and similar is not None else None
            card = _card(run, found, known, weights)
            _write_metadata(beside, network, tensors, calibration, sets, unlike, card)
            put(beside, out)
    except OSError as error:
        raise unwritable(out, error, "choose another `out`") from error
    return Export(out, out.stat().st_size, difference, lost, calibration, sets, unlike)


def _images_of(run: Path) -> Store | None:
    """The run's images; None where they are gone or others, and what the run keeps of them must do, which is said."""
    try:
        return open_data(run)
    except (MissingError, UsageError) as error:
        if Predictions.of_run(run, "validation") is None or Images.of(run) is None:
            raise
        note(
            "The export is calibrated on the validation predictions that the run keeps, because its images cannot be "
            f"read. {error}"
        )
        return None


def difference_on_noise(path: Path, model: nn.Module, preprocessing: Preprocessing) -> float:
    """The largest difference of a probability between a file and its network, on 32 images of drawn noise.

    The noise is coarse and fine; it does where no image is left.
    """
    C, S = preprocessing.channels, preprocessing.size
    drawn = torch.Generator().manual_seed(0)
    coarse = torch.rand(32, C, max(2, S // 8), max(2, S // 8), generator=drawn)
    pixels = F.interpolate(coarse, (S, S), mode="bilinear") + 0.1 * torch.rand(32, C, S, S, generator=drawn)
    images = preprocessing.scale(pixels.clamp(0, 1))  # (32, C, S, S)
    with torch.inference_mode():
        own = model.eval()(images).softmax(dim=1).numpy()
    return float(np.abs(softmax(Network.bare(path).run(images.numpy())) - own).max())


def _reference(run: Path, model: nn.Module, store: Store | None, labels: tuple[str, ...]) -> Predictions:
    if store is None:
        return RunFolder.open(run).predictions()
    path = Predictions.of_run(run, "validation")
    if path is None:
        return predict(model, store, "validation", labels)
    found = Predictions.load(path)
    names = [store.names[i] for i in store.indices("validation")]
    if (found.names, found.classes) != (names, labels):
        raise MienError(
            f"{path} is not of the run's {len(names):,} validation images. Write it again: "
            f"`mien.evaluate({str(run)!r})`"
        )
    return found


def _judged(
    path: Path, network: Classifier, store: Store | None, reference: Predictions, weights: WeightType
) -> tuple[Predictions, np.ndarray | None, float, float]:
    """What the file says of the validation images, and what it loses.

    That is predictions and similarities, the largest difference of a probability from the run's own, and the accuracy
    lost. Where the images are gone, the predictions are those of the run.
    """
    if store is None:
        return reference, None, difference_on_noise(path, network.model, network.preprocessing), 0.0
    bare = replace(Network.bare(path), preprocessing=store.preprocessing)
    logits, similar = answers(bare, store, "validation")
    found = Predictions(reference.names, reference.labels, softmax(logits), reference.classes)
    return found, similar, *_compare(found, reference, weights)


def _compare(found: Predictions, reference: Predictions, weights: WeightType) -> tuple[float, float]:
    difference = float(np.abs(found.probabilities - reference.probabilities).max())
    lost = float(reference.correct.mean() - found.correct.mean())
    if weights == "int8" and lost > INT8_LOSS:
        raise MienError(
            f"int8 costs {lost:.1%} of validation accuracy, more than {INT8_LOSS:.1%}. Take `weights='fp16'`."
        )
    return difference, lost


def _refuse_difference(difference: float, weights: WeightType, run: Path) -> None:
    if not difference <= TOLERANCE[weights]:  # nan is neither more nor less
        raise MienError(
            f"The export's probabilities differ from those of {run} by up to {difference:.2g}, more than "
            f"{TOLERANCE[weights]:.0e}; nothing was written. Were its data or its predictions changed?"
        )


def _write_metadata(
    path: Path,
    network: Classifier,
    tensors: dict[str, Any],
    calibration: Calibration,
    sets: JudgedSets,
    outliers: Outliers | None,
    card: dict[str, Any],
) -> None:
    values: dict[str, Any] = {
        "mien": mien.__version__,
        "labels": list(network.labels),
        "preprocessing": network.preprocessing.to_dict(),
        "network": {"name": network.name, "sizes": network.sizes, "tensors": tensors},  # opens in torch with it
        "calibration": calibration.to_dict(),
        "sets": sets.to_dict(),
        "outliers": outliers.to_dict() if outliers else None,
        "card": card,
    }
    path.write_bytes(seal(path.read_bytes(), values))


def _card(run: Path, found: Predictions, images: Store | Images | None, weights: WeightType) -> dict[str, Any]:
    """What `mien.runtime.card` makes the model card of: where the network comes from and how well it does.

    What `claims` gives, `mien.proof` works out again; the rest only the run knows.
    """
    folder = RunFolder.open(run)
    recipe, env = folder.recipe, to_dict(folder.env)
    return {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "command": _command(recipe),
        "average": [{key: part[key] for key in ("recipe", "share")} for part in env.get("average", [])],
        "teachers": [_teacher(source) for source in recipe.distill.teachers],
        **({"adopted": _source(env["adopted"])} if "adopted" in env else {}),
        "data": recipe.data.source,
        "data_settings": recipe.data.model_dump(mode="json", exclude_defaults=True, exclude={"path"}),
        "date": date.today().isoformat(),
        "judged": date.today().isoformat(),
        "weights": weights,
        "out_of_fold": recipe.data.folds if recipe.data.fold == "all" else None,
        **{
            key: env[key]
            for key in ("parameters", "epochs", "seconds", "hardware", "precision", "commit")
            if key in env
        },
        "train_images": env.get("store", {}).get("images", {}).get("train"),
        "copies_dropped": recipe.data.drop_leaks,
        **_claims(folder, found, images),
        "robustness": [to_dict(row) for row in folder.robustness.get("validation", [])],
        "test": _test(folder),
        "test_reads": folder.test_reads,
    }


def _claims(folder: RunFolder, found: Predictions, images: Store | Images | None) -> dict[str, Any]:
    """Of the file's own answers; where its images are gone, the run says how well it does on the clean ones."""
    if isinstance(images, Store) and images.has("validation"):
        return claims.of_answers(images, found)
    known = scores_of(folder)
    kept = {key: getattr(known, key) for key in ("clean", "without_identical")} if known else {}
    if isinstance(images, Store):  # a run on everything
        told = claims.of_data(images, found.classes)
    else:
        told = claims.of_kept(images) if images else {}
    return told | claims.of_scores(replace(score(found), **kept), found)


def _test(folder: RunFolder) -> dict[str, Any] | None:
    """What the run scored on the test split; None where nobody has read it."""
    known = scores_of(folder, "test")
    kept = ("images", "correct", "accuracy", "interval", "clean", "without_identical", "macro_f1")
    return {key: value for key, value in to_dict(known).items() if key in kept} if known else None


def _command(recipe: Recipe) -> str:
    """The command that trains a run again, with what it changed of its recipe; places of this machine are left out."""
    own = flat(recipe.model_dump(mode="json"))
    base = flat(load(recipe.name)[0].model_dump(mode="json")) if recipe.name in names() else own
    left_out = ("name", "seed", "data.path", "distill.teachers")  # teachers are told beside it
    changed = {key: value for key, value in own.items() if value not in (None, base.get(key)) and key not in left_out}
    if not str(changed.get("model.init", "mien:")).startswith(("mien:", "hf-hub:")):
        changed["model.init"] = "RUN"
    return Plan(recipe.name, None, [], {}, {}).command({"seed": recipe.seed, **changed})


def _source(adopted: str) -> str:
    """Where an adopted network comes from, without the places of this machine."""
    return adopted if adopted.startswith(("mien:", "hf-hub:")) else Path(adopted).name


def _teacher(source: str) -> str:
    """A teacher by its recipe, also behind the name of one that comes with mien; by its file where it is gone."""
    path = Path(source)
    if is_run(path):
        return read_recipe(path).name
    try:
        card = Network.open(source, threads=1).card if is_export(source) else None
    except MienError:  # it is gone, or another file is in its place: the name of the file must do
        card = None
    recipe = card["recipe"] if card else path.name
    return f"{source} ({recipe})" if source.startswith(OWN) else recipe
