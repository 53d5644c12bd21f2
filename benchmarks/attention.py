"""CPU time of approximate attention against exact, forward and backward, by the number of tokens; and where it pays.

Only (q, k, v) -> out is timed, 4 images of 3 heads of 64 channels: the projections around it cost the same for all.
All kinds take turns within a round, each for at least 20 ms, so that a noisy machine disturbs them alike; what counts
is the median over rounds of the time over that of torch's fused exact attention, with a 95 % bootstrap interval. An
approximation pays from the length on at which, and above which, the whole interval lies below 1.

    OMP_NUM_THREADS=1 python benchmarks/attention.py [--landmarks 32 64] [--tokens 37 65 ...] [--rounds 7]

Takes half a minute of one core. Expected: none pays at 65 tokens or below; performer and linformer of 32 do from 145
on, all from 577 on, and at 2,305 each takes a tenth of exact attention's time or less. A measured table:
log/2026-11-21-approximate-attention-pays-from-145-tokens.md.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from finetune_step import interval
from torch import Tensor

from mien.hardware import hardware, keep_freed_memory
from mien.models.experimental.approximations import KINDS, make_approximation

IMAGES, HEADS, WIDTH = 4, 3, 64
LEAST = 0.02  # seconds of one timing

Step = Callable[[], None]
Ratio = tuple[float, float, float]  # median, and the interval's ends


def step_of(approximation: Callable[[Tensor, Tensor, Tensor], Tensor] | None, tokens: int) -> Step:
    """Forward and backward on the same random heads; gradients reach q, k, v and what the attention learns.

    approximation: None for torch's exact attention.
    """
    attention = approximation or F.scaled_dot_product_attention
    torch.manual_seed(0)
    q, k, v = (torch.randn(IMAGES, HEADS, tokens, WIDTH, requires_grad=True) for _ in range(3))
    slope = torch.randn(IMAGES, HEADS, tokens, WIDTH)
    return lambda: attention(q, k, v).backward(slope)


def seconds(step: Step, times: int) -> float:
    """CPU seconds of one step, the mean of several."""
    start = time.process_time()
    for _ in range(times):
        step()
    return (time.process_time() - start) / times


def measure(tokens: int, landmarks: list[int], rounds: int) -> tuple[float, dict[tuple[str, int], Ratio]]:
    """Median milliseconds of exact attention, and each approximation's time over it."""
    asked = [(kind, m) for m in landmarks for kind in KINDS[1:] if kind == "performer" or m <= tokens]
    steps = {key: step_of(make_approximation(*key, tokens, WIDTH), tokens) for key in asked}
    steps["exact", 0] = step_of(None, tokens)
    for step in steps.values():
        step()  # the first one allocates
    times = {key: math.ceil(LEAST / max(seconds(step, 1), 1e-6)) for key, step in steps.items()}
    table = [{key: seconds(step, times[key]) for key, step in steps.items()} for _ in range(rounds)]
    ratios = {key: [row[key] / row["exact", 0] for row in table] for key in asked}
    exact = 1000 * statistics.median(row["exact", 0] for row in table)
    return exact, {key: (statistics.median(found), *interval(found)) for key, found in ratios.items()}


def pays_from(rows: dict[int, Ratio]) -> str:
    """The least length from which on the upper end of the interval stays below 1."""
    if not rows:  # every length is shorter than the landmarks
        return "-"
    lengths = sorted(rows)
    paying = [n for n in lengths if all(rows[longer][2] < 1 for longer in lengths if longer >= n)]
    return str(paying[0]) if paying else f"not up to {lengths[-1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--landmarks", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--tokens", type=int, nargs="+", default=[37, 65, 145, 577, 1025, 2305])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    columns = [(kind, m) for m in options.landmarks for kind in KINDS[1:]]
    found: dict[tuple[str, int], dict[int, Ratio]] = {key: {} for key in columns}
    print(f"time over exact attention's, median [95 % interval]; {hardware()}")
    print(
        f"| tokens | exact, ms | {' | '.join(f'{kind} {m}' for kind, m in columns)} |\n{'|---' * (2 + len(columns))}|"
    )
    for tokens in options.tokens:
        exact, ratios = measure(tokens, options.landmarks, options.rounds)
        cells = ["{:.2f} [{:.2f}, {:.2f}]".format(*ratios[key]) if key in ratios else "-" for key in columns]
        print(f"| {tokens} | {exact:.1f} | {' | '.join(cells)} |", flush=True)
        for key, ratio in ratios.items():
            found[key][tokens] = ratio
    print(f"| pays from | | {' | '.join(pays_from(found[key]) for key in columns)} |")


if __name__ == "__main__":
    main()
