"""What the tests of reading pictures and films share."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from exported_run import train_and_export


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Path:
    """A finished run with its export, and the cache that it was made with beside it. Tests leave both as they are."""
    return train_and_export(tmp_path_factory.mktemp("export"))


@pytest.fixture
def finished(exported, monkeypatch) -> Path:
    """The exported run, in use with its own cache."""
    monkeypatch.setenv("MIEN_CACHE", str(exported.parent / "cache"))
    return exported


@pytest.fixture
def faces() -> np.ndarray:
    """Five grey crops of noise, uint8 (5, 24, 24)."""
    return np.random.default_rng(0).integers(0, 256, (5, 24, 24), dtype=np.uint8)


@pytest.fixture
def film(tmp_path) -> Path:
    """Two seconds of 160 x 120 pixels that grow brighter, 10 frames a second."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for number in range(20):
        writer.write(np.full((120, 160, 3), 5 * number + 40, np.uint8))
    writer.release()
    return path
