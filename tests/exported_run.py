"""A finished run of a tiny ViT on drawn faces, with its export."""

from pathlib import Path

import pytest

from mien.config import Data, Model, Recipe, Train
from mien.export import export
from mien.train import run

RECIPE = Recipe(
    name="tiny",
    data=Data(source="drawn_faces", images=140, size=24),
    model=Model(name="vit", patch_size=8, embed_dim=24, depth=2, num_heads=2, global_pool="flatten", init="torch"),
    train=Train(epochs=2, batch_size=35, lr=3e-3, precision="fp32"),
)


def train_and_export(place: Path) -> Path:
    """Train into PLACE/run, with PLACE/cache, and export; returns the run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(place / "cache"))
        folder = run.run(RECIPE, place / "run")
        export(folder, weights="fp32")
    return folder
