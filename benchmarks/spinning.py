"""Whether onnxruntime's waiting threads should spin: wall time and the processor's time of a call, with and without.

Sessions of a shipped network with one and two threads read one face and 64 at a time; sessions whose threads spin and
those whose threads sleep, as mien opens them, take turns. A ratio is spinning over sleeping, of pairs: above 1 sleeping
is better. On a machine with other work the wall times are those of such a machine, which the load says.

Command   python benchmarks/spinning.py [--model tiny] [--rounds 15] | tee results/spinning.json
Time      half a minute
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time

import numpy as np
import onnxruntime

from mien.assets import asset
from mien.hardware import commit, hardware

CALLS = {1: 20, 64: 1}  # of a batch size, in one measurement


def session(model: str, threads: int, spins: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spins)))
    return onnxruntime.InferenceSession(str(asset(model, "model.onnx")), options, providers=["CPUExecutionProvider"])


def seconds(run: onnxruntime.InferenceSession, faces: np.ndarray) -> tuple[float, float]:
    """Of one call: wall time, and the processor's."""
    calls = CALLS[len(faces)]
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(calls):
        run.run(["logits"], {"images": faces})
    return (time.perf_counter() - wall) / calls, (time.process_time() - processor) / calls


def compared(model: str, threads: int, batch: int, rounds: int) -> dict[str, list[float]]:
    faces = np.random.default_rng(0).standard_normal((batch, 1, 48, 48)).astype(np.float32)
    spinning, sleeping = (session(model, threads, spins) for spins in (True, False))
    pairs = []
    for turn in range(rounds + 1):
        order = (spinning, sleeping) if turn % 2 else (sleeping, spinning)
        took = {each: seconds(each, faces) for each in order}
        pairs.append((took[spinning], took[sleeping]))
    found = {}
    for place, name in enumerate(("wall", "processor")):
        both = [(spin[place], sleep[place]) for spin, sleep in pairs[1:]]  # the first pair also allocates
        ratios = statistics.quantiles([spin / sleep for spin, sleep in both], n=4)
        found[f"{name}, ms spinning and sleeping"] = [
            round(1000 * statistics.median(each), 2) for each in zip(*both, strict=True)
        ]
        found[f"{name}, ratio, quartiles"] = [round(each, 2) for each in ratios]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    result: dict[str, object] = {"hardware": hardware(), "commit": commit(), "load": round(os.getloadavg()[0], 1)}
    for threads in (1, 2):
        for batch in CALLS:
            found = compared(options.model, threads, batch, options.rounds)
            result[f"{threads} threads, {batch} at a time"] = found
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
