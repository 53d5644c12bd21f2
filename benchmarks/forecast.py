"""Does a forecast from 40 % of the training images hold the score at 100 %, and how often?

python benchmarks/forecast.py fer2013 FER2013 [SPLITS]          prints a table and adds it to results/forecast.json
python benchmarks/forecast.py dogs_vs_cats DOGS_VS_CATS [SPLITS]
python benchmarks/forecast.py drawn_faces [SPLITS]

Heads on the features of mien:vit-tiny-imagenet. Once for each data set as `mien data forecast` does it, but with
trainings on 5, 10, 20 and 40 % alone: the band for 100 % beside what a head on all training images reaches on the same
validation images. Then on SPLITS random splits (40 unless said) into training, validation and test: how often the band
holds the score of a head on all training images, on the same validation images and on the test images, and how wide it
is. FER2013: 8,000 training and 2,000 validation images, the others test; Dogs vs Cats: 700, 300 and 600; drawn faces:
1,500, 500 and the rest of 3,600. Photographs that are there more than once stay on one side.

What a band allows for (`mien.evaluate.learning_curve`) was chosen on other splits of the first two; the third had no
part in it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import mien
from mien.config import Data
from mien.data.near import near_copies
from mien.evaluate import heads
from mien.evaluate.forecast import check
from mien.evaluate.learning_curve import Band, Point, fit_curve
from mien.train.forecast import BACKBONE, Heads, measure

RESULT = Path(__file__).parents[1] / "results" / "forecast.json"
SHARES, SEEDS = (0.05, 0.1, 0.2, 0.4), 5
# Training and validation images of a random split.
SIZES = {"fer2013": (8000, 2000), "dogs_vs_cats": (700, 300), "drawn_faces": (1500, 500)}


def as_the_command_does(learner: Heads) -> dict[str, Any]:
    """The forecast of 100 % from 40 % beside what 100 % reach, on the data's own validation images."""
    learner.quick = False  # without halves of classes
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(learner, Path(folder), SHARES, SEEDS, against=Path(folder))
    found = check(measured, measured)
    means = [np.mean([measured.correct(each).mean() for each in some]) for _, some in measured.by_share().values()]
    points = [round(float(mean), 4) for mean in means]
    print(learner.data.source, points, found.verdict)
    return {
        "train": found.images,
        "validation": len(measured.labels),
        "points": points,
        "expected": round(found.expected, 4),
        "band": rounded(found.band),
        "other_images": rounded(measured.curve().band(found.images, len(measured.labels))),
        "truth": round(found.accuracy, 4),
        "inside": found.inside,
    }


def one_split(learner: Heads, group: np.ndarray, seed: int) -> dict[str, list[float]]:
    """Of one random split: low, high and truth, on the same validation images and on the test images."""
    labels, (train, validation) = learner.store.labels, SIZES[learner.data.source]
    order = np.random.default_rng(seed).permutation(np.flatnonzero(learner.features.any(axis=1)))
    trained, held, test = np.split(order, [train, train + validation])
    held = held[~np.isin(group[held], group[trained])]
    test = test[~np.isin(group[test], group[np.concatenate([trained, held])])]

    def right(chosen: np.ndarray, judged: np.ndarray) -> np.ndarray:
        head = heads.fit(learner.features[chosen], labels[chosen], len(learner.store.classes))
        return head.probabilities(learner.features[judged]).argmax(axis=1) == labels[judged]

    points = []
    for place, share in enumerate(SHARES):
        for repeat in range(SEEDS):
            part = np.random.default_rng((seed, place, repeat)).permutation(trained)[: round(share * train)]
            points.append(Point(len(part), right(part, held)))
    curve, both = fit_curve(points), right(trained, np.concatenate([held, test]))
    same, other = both[: len(held)].mean(), both[len(held) :].mean()
    return {"same": [*curve.band(train), same], "other": [*curve.band(train, len(test)), other]}


def over_splits(learner: Heads, splits: int = 40) -> dict[str, Any]:
    group = near_copies(learner.store).group
    found = [one_split(learner, group, seed) for seed in range(1000, 1000 + splits)]
    rows = {}
    for images in ("same", "other"):
        low, high, truth = np.array([each[images] for each in found]).T
        middle = truth - (low + high) / 2
        rows[images] = {
            "inside": round(float(((low <= truth) & (truth <= high)).mean()), 3),
            "above": round(float((truth > high).mean()), 3),
            "width": round(float((high - low).mean()), 4),
            "off_by": round(float(middle.mean()), 4), "strays": round(float(middle.std()), 4),
        }  # fmt: skip
        print(learner.data.source, images, rows[images])
    return {"splits": splits, **rows}


def rounded(band: Band) -> list[float]:
    return [round(end, 4) for end in band]


def main(source: str, *rest: str) -> None:
    path, splits = (None, rest) if source == "drawn_faces" else (Path(rest[0]), rest[1:])
    values = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    values |= {"mien": mien.__version__, "features": BACKBONE, "shares": SHARES, "seeds": SEEDS}
    learner = Heads(BACKBONE, Data(source=source, path=path))
    values[source] = {**as_the_command_does(learner), "over_splits": over_splits(learner, *map(int, splits))}
    RESULT.write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
