"""How much of the rate of matrix products a training step reaches in fp32, and what takes its time.

The rate is that of products of 768 x 768 matrices, measured between the steps; a step's operations are counted by
torch's FlopCounterMode, its time by kind of operation by torch's profiler. Batch 32, channels last, one thread.

Command   python benchmarks/matrix_rate.py [RECIPE ...] [--rounds 7] | tee results/matrix_rate.json
          with ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 before it as on a processor
          without AVX-512
Time      ten seconds of the processor's time a recipe
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch
from step import Step
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from mien.hardware import commit, hardware, keep_freed_memory
from mien.recipes import load

SIDE, LEAST = 768, 0.02  # of the matrices; share of the time from which an operation is named


def product_rate() -> float:
    """Floating-point operations a second in one matrix product."""
    matrix = torch.randn(SIDE, SIDE)
    start = time.process_time()
    for _ in range(5):
        matrix @ matrix
    return 5 * 2 * SIDE**3 / (time.process_time() - start)


def of_recipe(name: str, rounds: int) -> dict[str, object]:
    step = Step(load(name)[0], "fp32", True)
    step()
    product_rate()
    with FlopCounterMode(display=False) as counter:
        step()
    pairs = [(product_rate(), counter.get_total_flops() / step()) for _ in range(rounds)]
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        step()
    times = {each.key: each.self_cpu_time_total for each in profiled.key_averages()}
    shares = {key.removeprefix("aten::"): round(value / sum(times.values()), 3) for key, value in times.items()}
    rates = [statistics.median(each) / 1e9 for each in zip(*pairs, strict=True)]
    reached = sorted(own / most for most, own in pairs)
    return {
        "GFLOP/s, products and a step": [round(each, 1) for each in rates],
        "share of the rate": [round(each, 2) for each in (reached[0], statistics.median(reached), reached[-1])],
        "time by operation": dict(sorted(((k, v) for k, v in shares.items() if v >= LEAST), key=lambda one: -one[1])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=["fer2013_vit_best", "fer2013_cnn_v2"])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    shared = {"hardware": hardware(), "commit": commit(), "capability": torch.backends.cpu.get_cpu_capability()}
    print(json.dumps(shared | {name: of_recipe(name, options.rounds) for name in options.recipes}, indent=1))


if __name__ == "__main__":
    main()
