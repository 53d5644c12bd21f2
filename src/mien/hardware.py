"""What there is to compute with, and how a run's env.json describes it."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from mien.errors import MissingError, UsageError

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def devices() -> list[str]:
    """torch's devices that are here, the fastest first."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [device for device, is_there in there.items() if is_there]


def choose_device(wanted: str) -> str:
    """'cpu', 'cuda' or 'mps'; auto takes the fastest there is. Raises MissingError when it is not there."""
    if wanted == "auto":
        return devices()[0]
    if wanted not in devices():
        raise MissingError(f"`device` {wanted}: no such device here; there is {', '.join(devices())}.")
    return wanted


def device_of(model: nn.Module) -> torch.device:
    """Where a model's tensors lie; an adopted .onnx file has no parameters, only a buffer."""
    return next(chain(model.parameters(), model.buffers())).device


def choose_precision(wanted: str, device: str, model: nn.Module) -> Literal["fp32", "bf16", "fp16"]:
    """auto is bf16 where the hardware multiplies in it. Raises UsageError for fp16 on a CPU.

    On a CPU the backward pass of depthwise convolutions takes several times as long in bf16, so auto is fp32 for
    networks that train some: log/2026-11-30-depthwise-convolutions-train-in-fp32-on-a-cpu.md.
    """
    if wanted == "auto":
        is_slow = device == "cpu" and trains_depthwise(model)
        return "bf16" if computes_bf16(device) and not is_slow else "fp32"
    if wanted == "fp16" and device == "cpu":
        raise UsageError("`train.precision` fp16 needs a GPU; on a CPU take bf16 or fp32.")
    return wanted  # type: ignore[return-value]


def trains_depthwise(model: nn.Module) -> bool:
    """Whether a network has convolutions, not frozen, whose every filter reads one channel."""
    return any(
        isinstance(each, nn.Conv2d) and each.groups == each.in_channels > 1 and each.weight.requires_grad
        for each in model.modules()
    )


def computes_bf16(device: str) -> bool:
    """Whether the device multiplies bf16 matrices in hardware (emulation would be slower than fp32)."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "mps":
        return False
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def wants_channels_last(device: str, model: nn.Module) -> bool:
    """Whether the model's convolutions are faster where the channels of a pixel lie side by side in memory.

    On a CPU they are with AVX2 or AVX-512. But there torch 2.13 writes beyond its memory in the backward pass of a 1x1
    convolution of stride 2 with fewer than 16 channels (two threads), so models that are narrower anywhere
    after their first convolution stay as they are: log/2026-11-22-channels-last-after-all.md and
    log/2026-11-30-channels-last-on-avx2.md.
    """
    if device != "cpu":
        return device == "cuda"
    inner = [each for each in model.modules() if isinstance(each, nn.Conv2d)][1:]
    is_wide = all(min(each.in_channels, each.out_channels) >= 16 for each in inner)
    return is_wide and torch.backends.cpu.get_cpu_capability().startswith(("AVX2", "AVX512"))


def keep_freed_memory() -> None:
    """Have glibc keep what a step frees for the next one, instead of giving it back to the system.

    Each step allocates and frees the same large activations; returned to the system, every page of them
    is faulted in and zeroed again. Measured in log/2026-11-20-keep-freed-memory.md. Do
    nothing outside Linux with glibc.
    """
    mmap_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(mmap_threshold, 1 << 30)
    mallopt(trim_threshold, (1 << 31) - 1)


def environment() -> dict[str, Any]:
    """Versions, commit and hardware, for env.json."""
    versions = {name: importlib.metadata.version(name) for name in ("mien", "torch", "lightning", "numpy")}
    return {**versions, "python": platform.python_version(), "commit": commit(), "hardware": hardware()}


def hardware() -> str:
    """'AMD EPYC, 2 cores', and the GPU's name where there is one."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{_processor()}, {os.cpu_count()} cores{gpu}"


def commit() -> str | None:
    """The commit this code was checked out at ('+' when it was changed since), None outside a checkout."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        # Without --no-optional-locks, `git status` locks the checkout: a run that is killed would leave it locked.
        command = ["git", "--no-optional-locks", "-C", str(here), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        found = git("rev-parse", "--short=12", "HEAD") if git("ls-files", __file__) else ""
        return f"{found}{'+' if git('status', '--porcelain', '--', str(here)) else ''}" if found else None
    except (OSError, subprocess.TimeoutExpired):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
