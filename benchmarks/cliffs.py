"""What grows with the size of the data: `mien data audit` of a million images, `mien compare` of fifty runs.

audit: stores of N and 4 N images whose pixels are never read, a tenth of them copies of others with mostly another
label; without near copies. compare: R runs of N images and K classes, and of 4 N, from files as `mien evaluate` writes
them (five different ones, linked); CPU time and the most memory of a process that does nothing else. pairs: McNemar's
test of every two of R runs, beside a loop over the pairs that calls `mcnemar` for each, in turn.

Command   python benchmarks/cliffs.py [--audit 250000] [--runs 50] [--images 25000] [--classes 200] [--work FOLDER]
          | tee results/cliffs.json
Time      about five minutes of the processor's time, most of it to write the files to compare; 400 MB of disk
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from mien.config import build, dump
from mien.data.audit import audit
from mien.data.store import Store
from mien.evaluate.metrics import score
from mien.evaluate.significance import mcnemar, pairs_of
from mien.preprocessing import Preprocessing
from mien.runs import Predictions, layout, manifest
from mien.runs.records import to_dict

DIFFERENT = 5  # files of predictions; further runs link them
COMPARE = "import sys; from mien.evaluate.compare import compare; from pathlib import Path; "
COMPARE += "found = compare([Path(each) for each in sys.argv[1:]]); print(len(found.pairs))"


def seconds_of_audit(images: int) -> float:
    random = np.random.default_rng(0)
    digests = random.integers(0, 256, (images, 16), np.uint8)
    digests[-images // 10 :] = digests[: images // 10]
    store = Store(
        images=np.zeros((1, 1, 1, 1), np.uint8),
        labels=random.integers(0, 7, images),
        splits=random.integers(0, 3, images).astype(np.uint8),
        names=[f"train/{i}.png" for i in range(images)],
        classes=tuple("abcdefg"),
        preprocessing=Preprocessing(),
        sizes=np.full((images, 2), 48, np.int32),
        known_digests=digests.view("V16").ravel(),
        known_blanks=np.zeros(images, bool),
    )
    start = time.process_time()
    audit(store).describe()
    return time.process_time() - start


def write_runs(work: Path, runs: int, images: int, classes: int) -> list[Path]:
    random = np.random.default_rng(0)
    names = [f"validation/{i % classes:04d}/{i:08d}.jpg" for i in range(images)]
    labels = np.arange(images) % classes
    kinds = tuple(f"class {i:04d}" for i in range(classes))
    folders: list[Path] = []
    for run in range(runs):
        (folder := work / f"run-{images}-{run}").mkdir(parents=True)
        (folder / layout.RECIPE).write_text(dump(build({"name": "many", "seed": run, "model": {"name": "lenet"}})))
        place = layout.predictions(folder, "validation", ".npz")
        with manifest.changing(folder, place.name):
            if run >= DIFFERENT:
                like = folders[run % DIFFERENT]
                os.link(layout.predictions(like, "validation", ".npz"), place)
                os.link(like / layout.SCORES, folder / layout.SCORES)
            else:
                logits = random.normal(size=(images, classes), scale=2).astype(np.float32)
                logits[np.arange(images), labels] += 5
                shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
                found = Predictions(names, labels, shares, kinds)
                found.save(place)
                (folder / layout.SCORES).write_text(json.dumps({"validation": to_dict(score(found))}))
        folders.append(folder)
    return folders


def cost_of_compare(folders: list[Path]) -> tuple[float, float]:
    """CPU seconds and the most memory, MB, of a process that compares runs."""
    process = subprocess.Popen([sys.executable, "-c", COMPARE, *folders], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6


def loop_beside_pairs(runs: int, images: int, rounds: int) -> dict[str, Any]:
    random = np.random.default_rng(0)
    correct = [random.random(images) < 0.6 + 0.002 * run for run in range(runs)]
    names = [str(run) for run in range(runs)]
    times = []
    for _ in range(rounds):
        starts = [time.process_time()]
        found = pairs_of(names, correct)
        starts.append(time.process_time())
        alone = [mcnemar(correct[i], correct[j]) for i, j in itertools.combinations(range(runs), 2)]
        starts.append(time.process_time())
        assert [pair.p_value for pair in found] == alone
        times.append(np.diff(starts).tolist())
    ratios = [loop / pairs for pairs, loop in times]
    return {
        "seconds": round(statistics.median(pairs for pairs, _ in times), 3),
        "a loop's seconds": round(statistics.median(loop for _, loop in times), 3),
        "times the loop": [round(value, 1) for value in (min(ratios), statistics.median(ratios), max(ratios))],
    }


def grown(small: float, large: float) -> dict[str, float]:
    return {"n": round(small, 2), "4 n": round(large, 2), "ratio": round(large / small, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audit", type=int, default=250_000)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--images", type=int, default=25_000)
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    audits = [min(seconds_of_audit(size) for _ in range(3)) for size in (options.audit, 4 * options.audit)]
    pairs = loop_beside_pairs(options.runs, 4 * options.images, 7)
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        sizes = [options.images, 4 * options.images]
        costs = [cost_of_compare(write_runs(Path(work), options.runs, size, options.classes)) for size in sizes]
    from mien.hardware import commit, hardware

    result = {"hardware": hardware(), "commit": commit(), **vars(options) | {"work": None}}
    result["audit, s"] = grown(*audits)
    result["compare, s"] = grown(*(seconds for seconds, _ in costs))
    result["compare, MB"] = grown(*(memory for _, memory in costs))
    result["pairs"] = pairs
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
