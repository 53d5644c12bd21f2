"""torchvision beside a torch that it was not built for: what is missing there, and the line that mends it.

timm imports torchvision, and so does lightning wherever it is installed. PyPI's torchvision is built for torch with
CUDA; beside a torch for CPUs alone its compiled operators cannot be loaded, and its import ends with 'operator
torchvision::nms does not exist'. Two of them, which find boxes in detectors, are asked for by name; classifiers call
neither. So their names alone are defined here, and the import goes on. log/2026-11-30-timm-beside-a-cpu-torch.md
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

NAMED = ("nms", "qnms")  # those that torchvision asks torch for while it is imported


@cache
def stand_in() -> None:
    """Define the operators that torchvision asks for and cannot load; call it before what imports torchvision.

    Does nothing where torchvision is not installed, is imported already, or brings operators that load.
    """
    found = find_spec("torchvision") if "torchvision" not in sys.modules else None
    if found is None or not found.submodule_search_locations or find_spec("torch") is None:
        return
    import torch

    for library in Path(found.submodule_search_locations[0]).glob("_C*"):
        try:
            torch.ops.load_library(str(library))
            return
        except OSError:  # of another torch, or of CUDA
            continue
    for name in NAMED:
        try:
            torch.library.define(f"torchvision::{name}", "(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        except RuntimeError:  # somebody was here before
            continue


def pair() -> str:
    """'torchvision 0.28.0 beside torch 2.13.0', and the line that installs the one that belongs to this torch."""
    torch, torchvision = _version("torch"), _version("torchvision")
    minor = torch.split(".")[1] if torch.startswith("2.") else ""
    wanted = f"'torchvision==0.{int(minor) + 15}.*'" if minor.isdigit() else "--upgrade torchvision"  # their own table
    return f"torchvision {torchvision} beside torch {torch} (pip install {wanted} gives the one for it)"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "without a version"
