"""torchvision beside a CPU-only torch: mien's own stand-in for the operators that its import asks for."""

from mien import operators

operators.stand_in()
