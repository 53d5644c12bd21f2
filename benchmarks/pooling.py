"""Max-pooling and batch norm of CNN V2's sizes with channels last and first in memory; max-pooling by maxima of slices.

Forward and backward, batch 32, fp32 and bf16, one thread, the processor's time, ways in turn; ratios of pairs. The
maxima of slices give the gradient to the first of equal values, as torch does; values and gradients must be equal.

Command   python benchmarks/pooling.py [--rounds 7] | tee results/pooling.json
Time      half a minute of the processor's time
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mien.hardware import commit, hardware

SHAPES = ((32, 64, 48, 48), (32, 128, 24, 24), (32, 256, 12, 12))
LAYOUTS = {"first": torch.contiguous_format, "last": torch.channels_last}
Layer = Callable[[torch.Tensor], torch.Tensor]


class SliceMaxima(torch.autograd.Function):
    """2x2 max-pooling of (B, C, H, W) by elementwise maxima."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        quarters = [x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
        found = torch.maximum(torch.maximum(*quarters[:2]), torch.maximum(*quarters[2:]))
        ctx.save_for_backward(x, found)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        x, found = ctx.saved_tensors
        out, free = torch.empty_like(x), torch.ones_like(found, dtype=torch.bool)
        for i in (0, 1):
            for j in (0, 1):
                hit = (x[..., i::2, j::2] == found) & free
                out[..., i::2, j::2] = torch.where(hit, gradient, 0)
                free &= ~hit
        return out


def once(layer: Layer, images: torch.Tensor) -> tuple[float, torch.Tensor, torch.Tensor]:
    """Seconds forward and backward, the values, and the gradient."""
    leaf = images.clone().requires_grad_()
    start = time.process_time()
    values = layer(leaf)
    values.backward(values.detach())
    took = time.process_time() - start
    assert leaf.grad is not None
    return took, values.detach(), leaf.grad


def measured(layers: Mapping[str, tuple[Layer, torch.Tensor]], rounds: int) -> dict[str, object]:
    """Milliseconds of each, and how many times as fast the others are as the first."""
    times: dict[str, list[float]] = {name: [] for name in layers}
    for _ in range(rounds + 1):
        for name, (layer, images) in layers.items():
            times[name].append(once(layer, images)[0])
    times = {name: each[1:] for name, each in times.items()}  # the first one also allocates
    first, *others = times
    found: dict[str, object] = {f"{name}, ms": round(1000 * statistics.median(each), 1) for name, each in times.items()}
    for name in others:
        ratios = [before / now for before, now in zip(times[first], times[name], strict=True)]
        found[f"times as fast, {name}"] = [
            round(each, 2) for each in (min(ratios), statistics.median(ratios), max(ratios))
        ]
    return found


def of_shape(shape: tuple[int, ...], dtype: torch.dtype, rounds: int) -> dict[str, object]:
    random = torch.randn(shape).relu().to(dtype)  # with many equal values: zeros
    images = {name: random.contiguous(memory_format=layout) for name, layout in LAYOUTS.items()}
    pool: Layer = lambda x: functional.max_pool2d(x, 2)  # noqa: E731
    for layout in LAYOUTS:
        one, other = (once(layer, images[layout]) for layer in (pool, SliceMaxima.apply))
        assert torch.equal(one[1], other[1])
        assert torch.equal(one[2], other[2])
    ways = {f"channels {name}": (pool, each) for name, each in images.items()}
    ways |= {f"maxima, channels {name}": (SliceMaxima.apply, each) for name, each in images.items()}
    norm = nn.BatchNorm2d(shape[1])
    norms = {f"channels {name}": (norm, each) for name, each in images.items()}
    return {"max-pool": measured(ways, rounds), "batch norm": measured(norms, rounds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, object] = {
        "hardware": hardware(),
        "commit": commit(),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }
    for dtype in (torch.float32, torch.bfloat16):
        for shape in SHAPES:
            result[f"{str(dtype).removeprefix('torch.')}, {'x'.join(map(str, shape))}"] = of_shape(
                shape, dtype, options.rounds
            )
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
