"""A learning-rate range test: steps at rates that rise, and where the loss falls fastest.

Smith, "Cyclical Learning Rates for Training Neural Networks" (arXiv 1506.01186), as fastai's and lightning's lr_find do
it. lightning's own gives every group of parameters one rate; here each keeps its share of `train.lr`, which layer_decay
and muon depend on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import numpy as np

from mien import hardware
from mien.config import Recipe
from mien.data import open_store
from mien.errors import UsageError
from mien.progress import note
from mien.train.build import (
    build_task,
    check_sizes,
    lay_out,
    precision_of,
    read_checkpoint,
    refuse_all_held_out,
    with_sizes_of,
)
from mien.train.trainer import try_rates

LOWEST, HIGHEST = 1e-6, 10.0
FEWEST = 20
SKIPPED = 10  # steps at the start, whose smoothed loss is of few batches
# The schedule is the test's own; an average of few steps, or a second process, would change nothing but the time.
STILL = {"schedule": "constant", "warmup_epochs": 0, "ema": 0, "processes": 1, "logger": "none"}


@dataclass(frozen=True)
class RangeTest:
    """rates and the smoothed loss of the step made at each, until it is not finite or 4 times the least.

    suggestion: for `train.lr`, the rate at which the loss falls fastest; None where it falls nowhere.
    """

    rates: list[float]
    losses: list[float]
    suggestion: float | None


def find_lr(recipe: Recipe, steps: int = 100) -> RangeTest:
    """Try learning rates from 1e-6 to 10 on the model and the data of a recipe, a step each. Nothing is kept.

    Raises UsageError for fewer than 20 steps, and where the recipe cannot be trained.
    """
    if steps < FEWEST:
        raise UsageError(f"`steps` {steps}: give at least {FEWEST}.")
    checkpoint = read_checkpoint(recipe)
    recipe = with_sizes_of(checkpoint, recipe).with_(train=STILL, distill={"stored": False})
    check_sizes(recipe)
    device, store = hardware.choose_device(recipe.device), open_store(recipe.data)
    refuse_all_held_out(recipe, store)
    task = build_task(recipe, store, checkpoint)
    precision = precision_of(task, device)
    lay_out(task, device)
    rates = np.geomspace(LOWEST, HIGHEST, steps).tolist()
    span = f"rates from {LOWEST:g} to {HIGHEST:g}"
    note(f"{recipe.name}: {steps} steps of {recipe.train.batch_size:,} images each, at {span}; {device}, {precision}")
    with TemporaryDirectory() as folder:
        losses = try_rates(task, store, folder, device, precision, rates)
    return RangeTest(rates[: len(losses)], losses, steepest(rates, losses))


def steepest(rates: list[float], losses: list[float]) -> float | None:
    """The rate at which the loss falls fastest by the rate's logarithm; None where it falls nowhere.

    Where it falls once more after its least, it has diverged already: that counts for nothing.
    """
    there = [i for i in range(SKIPPED, len(losses) - 1) if math.isfinite(losses[i])]
    there = there[: 1 + there.index(min(there, key=losses.__getitem__))] if there else []
    if len(there) < 2:
        return None
    slopes = np.gradient([losses[i] for i in there], np.log([rates[i] for i in there]))
    return rates[there[int(slopes.argmin())]] if slopes.min() < 0 else None
