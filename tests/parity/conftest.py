"""torchvision beside a CPU-only torch.

torchvision's wheel expects two compiled operators that a CPU-only torch does not have; they are never
called here, so a stub of their signatures is enough for the import.
"""

import torch

for name in ("nms", "qnms"):
    try:
        torch.library.define(f"torchvision::{name}", "(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    except RuntimeError:  # a torchvision that brings its own
        continue
