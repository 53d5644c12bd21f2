"""Put a trained run into the package, src/mien/assets/NAME, with its card. The licence file is written by hand.

python benchmarks/ship.py RUN base              an exported run (mien export RUN), for --model mien:base
python benchmarks/ship.py RUN NAME --backbone   weights to train from, float16, for --model.init mien:NAME
python benchmarks/ship.py DATA NAME --again     what ships already, judged on its images as an export is today

--again is for a shipped network whose run is gone: weights, temperature, thresholds and so every answer stay as they
are; what is said of its data and its answers is worked out on the images in DATA, which must be those of its training.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

import mien
from mien.assets import ASSETS, asset
from mien.data import open_store
from mien.errors import DataError, UsageError
from mien.evaluate import claims
from mien.evaluate.calibration import calibrate, with_temperature
from mien.evaluate.prediction_sets import fit_sets
from mien.evaluate.split import predict
from mien.outliers import share_reached
from mien.proof.claimant import export_and_data
from mien.recipes import load
from mien.runs import Predictions, read_recipe
from mien.runs.folder import RunFolder
from mien.runtime.card import model_card
from mien.runtime.network import Network
from mien.runtime.seal import KEY, network_of, seal, unseal

BACKBONE = """\
# mien:{name}

{model}, {parameters:,} parameters, pretrained on Tiny ImageNet: a backbone to train further,
`--model.init mien:{name}`. Colour pictures of {size}×{size} pixels; another size, and grey, are adapted to.

## How well it does

{accuracy:.1%} of {images:,} validation images of Tiny ImageNet (200 classes), which also chose the epoch; one
network, no test-time augmentation, weights as they are here (float16).

## Data

The 100,000 training images of Tiny ImageNet, a part of ImageNet (Russakovsky et al. 2015, arXiv 1409.0575) at 64
pixels. ImageNet gives its images for non-commercial research and education only, and does not own them. No image is
in this folder. Whether weights that were learned from them may be used commercially is not settled: ask before you do.

## What it must not be used for

Decisions about people. ImageNet's pictures and words carry the prejudices of the web, and what is fine-tuned from this
network may inherit them: measure what you train on the people and things it will see.

## Where it comes from

`mien run {recipe} --seed {seed}`, {epochs} epochs, {seconds:,.0f} seconds on {hardware} ({precision}); mien {version},
commit `{commit}`.
"""


def ship_export(run: Path, name: str) -> Path:
    """Copy RUN/model.onnx, and write its card beside it. What is no export of mien's is refused before."""
    card, folder = model_card(Network.open(run), f"mien:{name}"), ASSETS / name
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / "model.onnx", folder / "model.onnx")
    (folder / "card.md").write_text(card, encoding="utf-8")
    return folder


def ship_backbone(run: Path, name: str) -> Path:
    """Write float16 weights, score what was written, and say so in config.json and card.md."""
    network, recipe, env = mien.from_pretrained(run), read_recipe(run), RunFolder.open(run).env
    if recipe.data.source != "tiny_imagenet":
        raise UsageError(f"{run} was trained on {recipe.data.source}; the card of a backbone speaks of Tiny ImageNet.")
    folder = network.save_pretrained(ASSETS / name, half=True)
    store = open_store(recipe.data)
    found = predict(mien.from_pretrained(folder).model, store, "validation", tuple(store.classes))
    accuracy, parameters = float(found.correct.mean()), sum(each.numel() for each in network.parameters())
    saved = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del saved["sha256"]  # of the lines as they were
    own = {"recipe": recipe.name, "parameters": parameters, "validation_accuracy": round(accuracy, 4)}
    (folder / "config.json").write_text(json.dumps(saved | own, indent=1) + "\n", encoding="utf-8")
    card = BACKBONE.format(
        name=name,
        model=network.name,
        size=network.preprocessing.size,
        accuracy=accuracy,
        images=len(found),
        seed=recipe.seed,
        version=mien.__version__,
        **own,
        **{key: getattr(env, key) for key in ("epochs", "seconds", "hardware", "precision", "commit")},
    )
    (folder / "card.md").write_text(card, encoding="utf-8")
    return folder


def ship_again(data: Path, name: str) -> Path:
    """Work out what a shipped export says of itself anew, and seal it with that; returns its folder.

    Raises DataError when its images are others, or what is fitted to them is no longer what the file has.
    """
    path = asset(name, "model.onnx")
    network, content = Network.open(path, threads=1), path.read_bytes()
    text = network.session.get_modelmeta().custom_metadata_map[KEY]
    values = unseal(content, text, str(path))
    del values["fingerprint"]
    card = values["card"] = {"data_settings": _settings(values["card"]), **values["card"]}
    claimant, store = export_and_data(path, replace(network, card=card), {"path": data})
    here = {"all": store.content(), "validation": store.content("validation")}
    if any(card["content"][part] != found for part, found in here.items()) or card["train_images"] != len(
        store.indices("train")
    ):
        raise DataError(f"{data} holds other images than those that mien:{name} was trained on.")
    answered, similar = claimant.answer(store, "validation")
    found = claims.by_content(answered, claims.digests_of(store))
    _judge_again(values, found, similar, name)
    own: dict[str, Any] = {"weights": "fp16", "judged": date.today().isoformat(), "test": None, "test_reads": []}
    values["card"] = own | card | claims.of_answers(store, found) | {"judged": own["judged"]}
    path.write_bytes(seal(network_of(content, text), values))
    (path.parent / "card.md").write_text(model_card(Network.open(path), f"mien:{name}"), encoding="utf-8")
    return path.parent


def _settings(card: dict[str, Any]) -> dict[str, Any]:
    """The data settings of the recipe that the network, or the first part of an average, was trained by."""
    recipe = card["average"][0]["recipe"] if card["average"] else card["recipe"]
    return load(recipe)[0].data.model_dump(mode="json", exclude_defaults=True, exclude={"path"})


def _judge_again(values: dict[str, Any], found: Predictions, similar: np.ndarray | None, name: str) -> None:
    """Judge temperature, thresholds and sets as an export does, and keep each as it is."""
    known, sets, outliers = (values[part] for part in ("calibration", "sets", "outliers"))
    calibration = calibrate(found, known["error_rate"])
    judged = fit_sets(with_temperature(found, known["temperature"]), sets["coverage"])
    fitted = [calibration.temperature, calibration.threshold, *judged.sets.least]
    if not np.allclose(fitted, [known["temperature"], known["threshold"], *sets["least"]], atol=1e-4):
        raise DataError(f"What is fitted to the images is not what mien:{name} has.")
    values["calibration"] = calibration.to_dict() | {key: known[key] for key in ("temperature", "threshold")}
    values["sets"] = judged.to_dict() | {"least": sets["least"]}
    if similar is not None:
        outliers["reached"] = share_reached(similar, outliers["threshold"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--backbone", action="store_true")
    how.add_argument("--again", action="store_true")
    options = parser.parse_args()
    ship = ship_backbone if options.backbone else ship_again if options.again else ship_export
    print(ship(options.run, options.name))


if __name__ == "__main__":
    main()
