"""Recipe -> run folder."""

from mien import operators

operators.stand_in()  # before lightning, which imports torchvision wherever it is installed
