"""Put a trained run into the package, src/mien/assets/NAME, with its card. The licence file is written by hand.

python benchmarks/ship.py RUN base              an exported run (mien export RUN), for --model mien:base
python benchmarks/ship.py RUN NAME --backbone   weights to train from, float16, for --model.init mien:NAME
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import mien
from mien.assets import ASSETS
from mien.data import open_store
from mien.errors import UsageError
from mien.evaluate.split import predict
from mien.runs import read_recipe
from mien.runs.folder import RunFolder
from mien.runtime.card import model_card
from mien.runtime.network import Network

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--backbone", action="store_true")
    options = parser.parse_args()
    print((ship_backbone if options.backbone else ship_export)(options.run, options.name))


if __name__ == "__main__":
    main()
