"""The network that a run keeps, read back."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mien.hardware import choose_device, device_of, devices
from mien.preprocessing import Preprocessing
from mien.pretrained.from_onnx import ONNX_FILE
from mien.pretrained.own import from_run
from mien.progress import warn
from mien.runs.folder import read_recipe, refuse_headless
from mien.runtime.devices import AUTO, CPU, check_device

OF_TORCH = {CPU: "cpu", "cuda": "cuda", "rocm": "cuda", "coreml": "mps"}  # a device's word -> torch's


def load_model(run: Path, device: str = CPU) -> tuple[nn.Module, tuple[str, ...], Preprocessing]:
    """A run's model in eval mode, its labels and its preprocessing.

    device: a word of `mien.runtime.devices`, which computes it.
    Raises MissingError when the run has no model yet, UsageError when it has no head, DataError when a file is damaged.
    """
    refuse_headless(run)
    found = from_run(run)
    return found.model.to(computing(run, device)), found.labels, found.preprocessing


def computing(run: Path, device: str = CPU) -> str:
    """What computes a run's network for a word of `mien.runtime.devices`: the name of a device of torch.

    An adopted .onnx file is computed by onnxruntime, on the CPU; a warning says so where another device is wanted.
    """
    if read_recipe(run).model.name != ONNX_FILE:
        return torch_device(device).type
    check_device(device)
    if device not in (AUTO, CPU):
        _say_onnx(device)
    return CPU


def most_probable(model: nn.Module, preprocessing: Preprocessing, pixels: Tensor) -> np.ndarray:
    """Pixels 0..1 (B, C, S, S) -> the number of each image's most probable class (B,). The model's device computes."""
    with torch.inference_mode():
        answers = model(preprocessing.scale(pixels.to(device_of(model))))  # (B, K)
    return np.asarray(answers.argmax(dim=1).cpu().numpy())


def torch_device(device: str) -> torch.device:
    """The device of torch for a word of `mien.runtime.devices`; the CPU where torch has none, which is said.

    Raises UsageError for an unknown word.
    """
    check_device(device)
    if device == AUTO:
        return torch.device(choose_device(AUTO))
    there = devices()
    if OF_TORCH.get(device) in there:
        return torch.device(OF_TORCH[device])
    _say_instead(device, ", ".join(name for name, known in OF_TORCH.items() if known in there))
    return torch.device("cpu")


@cache
def _say_onnx(device: str) -> None:
    """Warn once in a process."""
    warn(f"`device` {device}: an adopted .onnx file is computed on the CPU. Export the run to compute it elsewhere.")


@cache
def _say_instead(device: str, there: str) -> None:
    """Warn once in a process."""
    warn(f"`device` {device}: torch computes on {there} here. The CPU computes instead.")
