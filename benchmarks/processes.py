"""Images a second in training by one process of one thread, one of two threads, and two of one thread (gloo).

The three take turns on FER2013, so that a noisy machine disturbs all alike; speeds are the second epoch's by the clock,
from the runs' metrics.csv. Two idle cores are needed: processes wait for each other at each step, and other work on one
of the cores holds up both. Ratios are paired by round: smallest, median, largest.

Command   python benchmarks/processes.py FER2013 [--recipes NAME ...] [--rounds 3] | tee results/processes.json
Time      eight minutes of two idle cores.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from mien.hardware import commit, hardware
from mien.recipes import load

WAYS = {"one thread": (1, 1), "two threads": (1, 2), "two processes": (2, 1)}  # processes, threads of each


def speed(name: str, fer2013: Path, images: int, processes: int, threads: int) -> float:
    """Images a second in the second epoch of `mien run`."""
    fraction = images / 28709
    with tempfile.TemporaryDirectory() as folder:
        flags = f"--data.train-fraction {fraction} --train.epochs 2 --train.schedule constant --train.warmup-epochs 0"
        command = [sys.executable, "-m", "mien", "run", name, "--data.path", str(fer2013), *flags.split()]
        if processes > 1:
            command += ["--train.processes", str(processes)]
        out = Path(folder) / "run"
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        subprocess.run([*command, "--out", str(out)], env=environment, check=True, stdout=subprocess.DEVNULL)
        with open(out / "metrics.csv", encoding="utf-8") as file:
            return float(list(csv.DictReader(file))[1]["images_per_second"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fer2013", type=Path)
    parser.add_argument("--recipes", nargs="+", default=["fer2013_cnn_v2", "fer2013_vit_best"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=2048)
    options = parser.parse_args()
    result: dict[str, object] = {"hardware": hardware(), "commit": commit(), "images": options.images}
    for name in options.recipes:
        speeds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way, (processes, threads) in WAYS.items():
                speeds[way].append(speed(name, options.fer2013, options.images, processes, threads))
        ratios = {}
        for way in list(WAYS)[1:]:
            pairs = sorted(other / one for one, other in zip(speeds["one thread"], speeds[way], strict=True))
            ratios[f"{way} to one"] = [round(each, 2) for each in (pairs[0], statistics.median(pairs), pairs[-1])]
        result[name] = {
            "batch size": load(name)[0].train.batch_size,
            "images a second": {way: round(statistics.median(values), 1) for way, values in speeds.items()},
            **ratios,
        }
        print(f"{name}: {ratios}", file=sys.stderr, flush=True)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
