"""What the tests of reading pictures and films share."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.config import Data, Model, Recipe, Train

RECIPE = Recipe(
    name="tiny",
    data=Data(source="drawn_faces", images=140, size=24),
    model=Model(name="vit", patch_size=8, embed_dim=24, depth=2, num_heads=2, global_pool="flatten", init="torch"),
    train=Train(epochs=2, batch_size=35, lr=3e-3, precision="fp32"),
)


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Path:
    """A finished run with its export, and the cache that it was made with beside it. Tests leave both as they are."""
    from mien.export import export
    from mien.train import run

    place = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(place / "cache"))
        folder = run.run(RECIPE, place / "run")
        export(folder, weights="fp32")
    return folder


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
