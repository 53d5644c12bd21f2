import numpy as np
import pytest


@pytest.fixture
def picture() -> np.ndarray:
    """A colour picture of a size that no model has."""
    return np.random.default_rng(0).integers(0, 256, (31, 37, 3), dtype=np.uint8)
