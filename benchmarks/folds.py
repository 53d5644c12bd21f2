"""Kinds of runs over the folds of a cross-validation, all folds together: accuracy, and every pair's paired test.

python benchmarks/folds.py full=FOLDS head=FOLDS scratch=RUN,RUN,RUN

FOLDS is what `mien run RECIPE --data.folds 5` leaves. The runs of a kind are of one fold each, so that every image is
scored once, by a network that was not trained on it. Differences have paired 95 % intervals and McNemar's test,
Holm-adjusted; as folds share training images, the test is a little too sure (Dietterich 1998).
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np

from mien.config.sweep_plan import is_sweep
from mien.errors import UsageError
from mien.evaluate.significance import holm, mcnemar, paired_difference
from mien.intervals import wilson
from mien.runs.folder import RunFolder


def correct(runs: list[Path]) -> dict[str, bool]:
    """Image -> whether the run that has it in its validation split is right."""
    found: dict[str, bool] = {}
    each = [run for place in runs for run in (sorted(place.glob("fold=*")) if is_sweep(place) else [place])]
    for run in each:
        predictions = RunFolder.open(run).predictions()
        again = found.keys() & set(predictions.names)
        if again:
            raise UsageError(f"{run} scores {min(again)} a second time. Give one run of each fold.")
        found |= dict(zip(predictions.names, map(bool, predictions.correct), strict=True))
    return found


def main() -> None:
    if not all("=" in word for word in sys.argv[1:]) or len(sys.argv) < 2:
        sys.exit(__doc__)
    named = dict(word.split("=", 1) for word in sys.argv[1:])
    kinds = {name: correct([Path(run) for run in runs.split(",")]) for name, runs in named.items()}
    images = sorted(next(iter(kinds.values())))
    right = {}
    for name, found in kinds.items():
        if sorted(found) != images:
            raise UsageError(f"The runs of {name} score other images than those of {next(iter(kinds))}.")
        right[name] = np.array([found[image] for image in images])
        low, high = wilson(int(right[name].sum()), len(images))
        print(f"{name:<12} {right[name].mean():.1%} ({low:.1%} to {high:.1%}) of {len(images):,} images")
    pairs = list(itertools.combinations(right, 2))
    adjusted = holm([mcnemar(right[a], right[b]) for a, b in pairs])
    for (a, b), p_value in zip(pairs, adjusted, strict=True):
        difference, (low, high) = paired_difference(right[a], right[b])
        print(f"{a} - {b}: {100 * difference:.1f} points ({100 * low:.1f} to {100 * high:.1f}), p = {p_value:.2g}")


if __name__ == "__main__":
    main()
