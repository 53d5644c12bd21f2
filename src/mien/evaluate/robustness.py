"""How much accuracy is left when pictures get worse: blur, noise, light, shift, rotation, covered eyes and mouth.

The idea of common corruptions (Hendrycks and Dietterich, arXiv 1903.12261), with changes that fit small faces. Each is
applied to the pixels that the network sees, at stated strengths, the same for every model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from kornia import enhance
from kornia.filters import gaussian_blur2d
from kornia.geometry.transform import get_affine_matrix2d
from torch import Tensor

from mien import labels
from mien.data import Store
from mien.data.augment import stream, warp
from mien.errors import UsageError
from mien.evaluate.metrics import accuracy
from mien.evaluate.run_model import load_model, most_probable
from mien.hardware import keep_freed_memory
from mien.progress import track
from mien.runs import ChangeScore, Scores
from mien.runs.data import open_data
from mien.runs.writing import write_robustness
from mien.runtime.devices import CPU

BATCH = 128
EYES, MOUTH = (0.22, 0.48, 0.1, 0.9), (0.62, 0.92, 0.2, 0.8)  # top, bottom, left, right of a face that fills the image

Change = Callable[[Tensor, float, torch.Generator], Tensor]
Answer = Callable[[Tensor], np.ndarray]  # pixels 0..1 (B, C, S, S) -> the number of each image's class (B,)


def _blur(images: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    size = 2 * round(3 * sigma) + 1
    return gaussian_blur2d(images, (size, size), (sigma, sigma))


def _noise(images: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    return images + deviation * torch.randn(images.shape, generator=generator)


def _light(images: Tensor, change: float, generator: torch.Generator) -> Tensor:
    return images + change


def _contrast(images: Tensor, factor: float, generator: torch.Generator) -> Tensor:
    return enhance.adjust_contrast_with_mean_subtraction(images, factor)


def _shift(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Each image by so much of its side, in a direction of its own."""
    direction = torch.rand(len(images), generator=generator) * 2 * torch.pi
    offset = share * images.shape[-1] * torch.stack([direction.cos(), direction.sin()], dim=1)  # (B, 2)
    return _moved(images, torch.zeros(len(images)), offset)


def _rotation(images: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    """Each image by so many degrees, to the left or to the right."""
    side = torch.randint(2, (len(images),), generator=generator) * 2 - 1
    return _moved(images, degrees * side.float(), torch.zeros(len(images), 2))


def _covered(images: Tensor, area: tuple[float, float, float, float]) -> Tensor:
    """The area, in shares of the side, filled with the image's mean."""
    top, bottom, left, right = (round(edge * images.shape[-1]) for edge in area)
    images = images.clone()
    images[:, :, top:bottom, left:right] = images.mean(dim=(2, 3), keepdim=True)
    return images


def _moved(images: Tensor, degrees: Tensor, offset: Tensor) -> Tensor:
    side = images.shape[-1]
    centre = torch.full((len(images), 2), (side - 1) / 2)
    return warp(images, get_affine_matrix2d(offset, centre, torch.ones(len(images), 2), degrees), side)


# Strengths of pixels in 0..1; blur in pixels of a side of 48.
CHANGES: dict[str, tuple[str, tuple[float, ...], Change]] = {
    "blur": ("pixels", (0.5, 1.0, 2.0), _blur),
    "noise": ("standard deviation", (0.05, 0.1, 0.2), _noise),
    "darker": ("of the range", (-0.15, -0.3), _light),
    "brighter": ("of the range", (0.15, 0.3), _light),
    "less contrast": ("factor", (0.6, 0.3), _contrast),
    "shift": ("of the side", (0.05, 0.1, 0.2), _shift),
    "rotation": ("degrees", (10.0, 20.0, 40.0), _rotation),
    "eyes covered": ("", (1.0,), lambda images, _, __: _covered(images, EYES)),
    "mouth covered": ("", (1.0,), lambda images, _, __: _covered(images, MOUTH)),
}


OF_FACES = ("eyes covered", "mouth covered")


def robustness(run: Path, split: str = "validation", device: str = CPU) -> list[ChangeScore]:
    """Accuracy of a run's model on its changed images; the rows are saved in the run.

    Eyes and mouth are covered where one of its classes is an expression. device: a word of `mien.runtime.devices`,
    which computes the model; images are changed on the CPU, so that they are the same everywhere.
    Raises UsageError when the run's data has no such split or has changed.
    """
    keep_freed_memory()
    model, classes, preprocessing = load_model(run, device)
    store = open_data(run)
    if not store.has(split):
        raise UsageError(f"The data of {run} has no {split} split.")
    rows = measure(partial(most_probable, model, preprocessing), store, classes, split)
    write_robustness(run, split, rows)
    return rows


def measure(answer: Answer, store: Store, classes: tuple[str, ...], split: str) -> list[ChangeScore]:
    """The accuracy of any network on a split's changed images. classes: in the order of its answers."""
    truth = np.array(labels.match(store.classes, classes))[store.labels]
    faces = labels.has_expressions(classes)
    changes = {name: strengths for name, (_, strengths, _) in CHANGES.items() if faces or name not in OF_FACES}
    wanted = [(name, strength) for name, strengths in changes.items() for strength in strengths]
    return [_row(answer, store, truth, split, *each) for each in track(wanted, "changing", len(wanted))]


def changed(images: Tensor, name: str, strength: float, seed: int = 0) -> Tensor:
    """Images 0..1 (B, C, H, W) with one of CHANGES, still 0..1; the same for the same seed."""
    if name == "blur":
        strength = strength * images.shape[-1] / 48
    return CHANGES[name][2](images, strength, stream(seed, list(CHANGES).index(name))).clamp(0, 1)


def describe(rows: list[ChangeScore], unchanged: Scores) -> str:
    """A line for unchanged images, and one for each change: accuracy at each strength."""
    lines = [f"unchanged: {unchanged.accuracy:.1%}"]
    for name, levels in by_change(rows):
        shares = ", ".join(
            f"{row.accuracy:.1%}" + (f" ({abs(row.strength):g} {row.unit})" if row.unit else "") for row in levels
        )
        lines.append(f"  {name}: {shares}")
    return "\n".join(lines)


def by_change(rows: list[ChangeScore]) -> Iterator[tuple[str, list[ChangeScore]]]:
    """The rows of each change, in their order."""
    for name in dict.fromkeys(row.change for row in rows):
        yield name, [row for row in rows if row.change == name]


def _row(answer: Answer, store: Store, truth: np.ndarray, split: str, name: str, strength: float) -> ChangeScore:
    indices = store.indices(split)
    right = []
    for start in range(0, len(indices), BATCH):
        part = indices[start : start + BATCH]
        pixels = changed(torch.from_numpy(store.images[part]).float() / 255, name, strength, start)
        right.append(answer(pixels) == truth[part])
    found = accuracy(np.concatenate(right))
    return ChangeScore(change=name, strength=strength, unit=CHANGES[name][0], **vars(found))
