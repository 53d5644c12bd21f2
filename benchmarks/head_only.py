"""Images a second of one epoch when the head alone trains: on stored features against through the backbone.

Both train a linear head on a frozen ViT-B/16 with random weights, on drawn faces of --size pixels, through
`mien.train.run`, trainer, callbacks and all. The reference mirrors its images, so that every epoch sends them
through the backbone; the other keeps them as they are, so that the backbone runs once, before the first epoch.
What that one pass costs is printed beside it. Speeds are those of the last epoch, without its validation.

    python benchmarks/head_only.py [--images 700] [--size 224] [--batch-size 16] [--rounds 3] [--precision auto]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from mien.config import Data, Model, Recipe, Train
from mien.hardware import hardware
from mien.runs.folder import RunFolder
from mien.runs.records import Env
from mien.train.run import run


def train(options: argparse.Namespace, epochs: int, augment: dict[str, Any]) -> tuple[float, Env]:
    """Images a second in the last epoch of a run on the frozen ViT-B/16, and the run's env.json."""
    recipe = Recipe(
        name="head_only",
        data=Data(source="drawn_faces", images=options.images, size=options.size, channels=3),
        model=Model(patch_size=16, embed_dim=768, depth=options.depth, num_heads=12, init="torch"),
        train=Train(
            trainable="head", epochs=epochs, batch_size=options.batch_size, lr=1e-3, precision=options.precision
        ),
    )
    with tempfile.TemporaryDirectory() as folder:
        found = RunFolder.open(run(recipe.with_(augment=augment), Path(folder) / "run"))
        return found.history["images_per_second"][-1], found.env


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=700)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    stored, through, once = [], [], []
    for _ in range(options.rounds):
        speed, env = train(options, 5, {})
        stored.append(speed)
        assert env.feature_seconds is not None  # nothing is drawn anew, so that they are stored
        once.append(env.feature_seconds)
        through.append(train(options, 1, {"hflip": 0.5})[0])
    ratios = [one / other for one, other in zip(stored, through, strict=True)]
    result = {
        "images": options.images,
        "size": options.size,
        "batch_size": options.batch_size,
        "precision": env.precision,
        "hardware": hardware(),
        "stored features, images/s": round(statistics.median(stored), 1),
        "through the backbone, images/s": round(statistics.median(through), 1),
        "seconds to store the features of train and validation": round(statistics.median(once), 2),
        "ratio": [round(value, 1) for value in (min(ratios), statistics.median(ratios), max(ratios))],
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
