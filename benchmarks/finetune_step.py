"""Seconds of one fine-tuning step of a ViT-B/16 at 224 pixels: mien against a plain loop around transformers' ViT.

Both have random weights, the same batch, precision, AdamW and cross-entropy; steps alternate in one run, so that
a noisy machine disturbs both alike. mien's peak memory is measured in a process of its own. Needs transformers.

    python benchmarks/finetune_step.py [--batch-size 16] [--steps 15] [--img-size 224] [--depth 12]
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.config import Train
from mien.hardware import computes_bf16, hardware, keep_freed_memory
from mien.models import create_model
from mien.train.optimizers import make_optimizer

Step = Callable[[Tensor, Tensor], None]


def step_of(model: nn.Module, optimizer: torch.optim.Optimizer, logits: Callable[[Tensor], Tensor], bf16: bool) -> Step:
    def step(images: Tensor, labels: Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            output = logits(images)
        loss = F.cross_entropy(output.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    model.train()
    return step


def ours(options: argparse.Namespace, bf16: bool) -> Step:
    keep_freed_memory()
    sizes = {"img_size": options.img_size, "patch_size": 16, "in_chans": 3, "embed_dim": 768, "num_heads": 12}
    model = create_model("vit", **sizes, depth=options.depth)
    return step_of(model, make_optimizer(model, Train(lr=1e-4, weight_decay=0.01)), model, bf16)


def theirs(options: argparse.Namespace, bf16: bool) -> Step:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(image_size=options.img_size, num_hidden_layers=options.depth, num_labels=7)
    model = ViTForImageClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, weight_decay=0.01)
    return step_of(model, optimizer, lambda images: model(images).logits, bf16)


def timed(step: Step, images: Tensor, labels: Tensor) -> float:
    start = time.perf_counter()
    step(images, labels)
    return time.perf_counter() - start


def interval(ratios: list[float], draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the median."""
    generator = random.Random(0)
    medians = sorted(statistics.median(generator.choices(ratios, k=len(ratios))) for _ in range(draws))
    return medians[int(0.025 * draws)], medians[int(0.975 * draws)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--img-size", type=int, default=224)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--memory", action="store_true", help="two steps of mien's alone; print the peak in GB")
    options = parser.parse_args()
    torch.manual_seed(0)
    images = torch.randn(options.batch_size, 3, options.img_size, options.img_size)
    labels = torch.randint(7, (options.batch_size,))
    precision = "bf16" if computes_bf16("cpu") else "fp32"
    mine = ours(options, precision == "bf16")
    if options.memory:
        for _ in range(2):
            mine(images, labels)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
        return
    reference = theirs(options, precision == "bf16")
    for step in (mine, reference):
        step(images, labels)  # the first step allocates
    pairs = [(timed(mine, images, labels), timed(reference, images, labels)) for _ in range(options.steps)]
    ratios = [other / own for own, other in pairs]
    alone = subprocess.run([sys.executable, *sys.argv, "--memory"], capture_output=True, text=True, check=True)
    result = {
        "mien_seconds": round(statistics.median(own for own, _ in pairs), 3),
        "transformers_seconds": round(statistics.median(other for _, other in pairs), 3),
        "ratio": round(statistics.median(ratios), 3),
        "interval": [round(value, 3) for value in interval(ratios)],
        "mien_peak_gb": round(float(alone.stdout), 2),
    }
    print(json.dumps({**vars(options), "precision": precision, "hardware": hardware(), **result}, indent=1))


if __name__ == "__main__":
    main()
