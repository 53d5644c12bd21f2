"""Two steps of a recipe, for its tests."""

from pathlib import Path

from mien import config
from mien.models import count_parameters, create_model
from mien.recipes import load
from mien.train import run


def train_two_steps(name: str, folder: Path) -> Path:
    """On drawn faces, without the hub; a network of more than 20 M parameters with two blocks, on small images."""
    recipe, _ = load(name)
    small = {
        "data": {"source": "drawn_faces", "images": 70, "channels": 1, "path": None},
        "train": {"epochs": 1, "batch_size": 35},
    }
    if recipe.model.checkpoint:
        recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"init": None})})
    model = create_model(recipe.model.name, img_size=recipe.data.size, **recipe.model.sizes())
    if count_parameters(model) > 20e6 and recipe.model.name == "vit":
        small["model"] = {"depth": 2}
    if recipe.data.size > 64:
        small["data"]["size"] = 64
    if recipe.train.unfreeze:
        small["train"]["unfreeze"] = {1: 1}
    return run.run(config.build(recipe.model_dump(), small), folder)
