"""What two changes bring to a training step on a CPU: channels last in memory, and dropout from uniform numbers.

A step is forward, backward and SGD on one batch of random pixels, on one thread; steps with and without the change take
turns, and times are the processor's. A ratio is the time without over the time with, paired: median, and smallest to
largest, between which lies the true median with 98 % for seven rounds.

Command   python benchmarks/step.py [RECIPE ...] [--rounds 7] [--precisions fp32] [--json results/step.json]
          with ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 before it as on a processor without AVX-512
          (results/step_avx2.json)
Time      about a minute of the processor's time for all five.
Expected  channels last 1.1 to 1.9 for CNNs on AVX-512
          (log/2026-11-22-channels-last-after-all.md); dropout 1.1 for fer2013_cnn_v2 in bf16 on an AMD.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from unittest.mock import patch

import torch
from torch import nn

from mien.config import Recipe
from mien.hardware import hardware, keep_freed_memory
from mien.models import create_model
from mien.models.parts.dropout import Dropout
from mien.recipes import load

CNNS = ("fer2013_lenet", "fer2013_cnn_v1", "fer2013_cnn_v2", "fer2013_tiny", "fer2013_resnet")
BATCH = 32


class Step:
    """A network with its batch; calling it is a step, and gives the processor's seconds that it took."""

    def __init__(self, recipe: Recipe, precision: str, channels_last: bool) -> None:
        sizes = {"img_size": recipe.data.size, "in_chans": recipe.data.channels, "num_classes": 7}
        self.model = create_model(recipe.model.name, **sizes, **recipe.model.sizes())
        if channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        side = recipe.augment.crop or recipe.data.size
        self.images, self.labels = torch.randn(BATCH, recipe.data.channels, side, side), torch.randint(7, (BATCH,))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3)
        self.half = precision == "bf16"

    def __call__(self) -> float:
        start = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            loss = nn.functional.cross_entropy(self.model(self.images).float(), self.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return time.process_time() - start


def compared(pairs: list[list[float]]) -> dict[str, object]:
    """Images a second without and with the change, and the ratios of the pairs of seconds."""
    ratios = [without / used for without, used in pairs]
    return {
        "images_per_second": [round(BATCH / statistics.median(seconds)) for seconds in zip(*pairs, strict=True)],
        "ratio": [round(value, 2) for value in (min(ratios), statistics.median(ratios), max(ratios))],
    }


def channels_last(recipe: Recipe, precision: str, rounds: int) -> dict[str, object]:
    steps = [Step(recipe, precision, last) for last in (False, True)]
    for step in steps:  # the first one also allocates
        step()
    return compared([[step() for step in steps] for _ in range(rounds)])


def dropout(recipe: Recipe, precision: str, rounds: int) -> dict[str, object]:
    step = Step(recipe, precision, True)
    step()
    pairs = []
    for _ in range(rounds):
        with patch.object(Dropout, "forward", nn.Dropout.forward):
            before = step()
        pairs.append([before, step()])
    return compared(pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=CNNS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--precisions", nargs="+", default=["bf16", "fp32"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    found: dict[str, dict[str, object]] = {}
    for name in options.recipes:
        recipe = load(name)[0]
        for precision in options.precisions:
            kinds: dict[str, object] = {"channels last": channels_last(recipe, precision, options.rounds)}
            modules = create_model(recipe.model.name, **recipe.model.sizes()).modules()
            if any(isinstance(module, Dropout) and module.p for module in modules):
                kinds["dropout"] = dropout(recipe, precision, options.rounds)
            found[f"{name}, {precision}"] = kinds
            print(name, precision, json.dumps(kinds), flush=True)
    if options.json:
        shared = {"hardware": hardware(), "capability": torch.backends.cpu.get_cpu_capability(), "batch_size": BATCH}
        options.json.write_text(json.dumps({**shared, "rounds": options.rounds, "steps": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
