"""What prediction sets of the shipped networks promise and keep, on 100 random halves of FER2013's validation split.

python benchmarks/prediction_sets.py FER2013     prints a table and writes results/prediction_sets.json

The sets are fitted on one half and judged on the other: the share that holds the true class, the mean number of
classes, the share of sets with one class and how many of these are right, and the share for each class. Once with a
threshold for each class, as exports carry them, and once with one threshold for all.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import mien
from mien.config import Data
from mien.evaluate.exported import predict_export
from mien.evaluate.prediction_sets import fit_sets
from mien.runs import Predictions
from mien.runtime.network import Network

RESULT = Path(__file__).parents[1] / "results" / "prediction_sets.json"
HALVES = 100


def judged(predictions: Predictions, seed: int, coverage: float, per_class: bool) -> list[float]:
    """One random half judged with the sets of the other: covered, size, single, single_right, then each class."""
    fitted = np.random.default_rng(seed).permutation(len(predictions)) % 2 == 0
    sets = fit_sets(predictions.only(fitted), coverage, per_class=per_class).sets
    other = predictions.only(~fitted)
    inside = sets.mask(other.probabilities)
    held = inside[np.arange(len(other)), other.labels]
    single = inside.sum(axis=1) == 1
    classes = [held[other.labels == k].mean() for k in range(len(other.classes))]
    return [held.mean(), inside.sum(axis=1).mean(), single.mean(), held[single].mean(), *classes]


def measure(name: str, path: Path, coverage: float = 0.9) -> list[dict[str, object]]:
    network = Network.open(name)
    predictions = predict_export(network, Data(source="fer2013", path=path))
    rows: list[dict[str, object]] = []
    for per_class in (True, False):
        halves = np.array([judged(predictions, seed, coverage, per_class) for seed in range(HALVES)])
        mean, deviation = halves.mean(axis=0).round(4).tolist(), halves.std(axis=0).round(4).tolist()
        rows.append(
            {
                "model": name,
                "fingerprint": (network.card or {})["fingerprint"],
                "thresholds": "one a class" if per_class else "one for all",
                "coverage": coverage,
                "images": len(predictions),
                "halves": HALVES,
                **dict(zip(("covered", "size", "single", "single_right"), mean, strict=False)),
                "covered_deviation": deviation[0],
                "by_class": dict(zip(predictions.classes, mean[4:], strict=True)),
            }
        )
    return rows


def main() -> None:
    rows = [row for name in ("mien:base", "mien:tiny") for row in measure(name, Path(sys.argv[1]))]
    for row in rows:
        print(*(f"{key}={value}" for key, value in row.items() if key != "fingerprint"), sep="  ")
    RESULT.write_text(json.dumps({"mien": mien.__version__, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
