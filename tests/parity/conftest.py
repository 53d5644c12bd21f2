"""The reference libraries, loaded beside a CPU-only torch.

torchvision's wheel expects two compiled operators that a CPU-only torch does not have; they are never
called here, so a stub of their signatures is enough for the import.
"""

import pytest
import torch

try:
    torch.library.define("torchvision::nms", "(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    torch.library.define("torchvision::qnms", "(Tensor boxes, Tensor scores, float threshold) -> Tensor")
except RuntimeError:  # a torchvision that brings its own
    pass

REASON = "the reference libraries are not installed: pip install --target .parity timm torchvision transformers"

for library in ("torchvision", "timm", "transformers"):
    pytest.importorskip(library, reason=REASON)
