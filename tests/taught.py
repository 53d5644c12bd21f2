"""Recipes of small networks that learn from others, for the tests of distillation."""

import json

from mien.config import Data, Distill, Model, Recipe, Train

DATA = Data(source="drawn_faces", size=16, images=70, mean=0.5, std=0.25)
LENET = Model(name="resnet", widths=(4, 8), layers=(1, 1))


def recipe(**more) -> Recipe:
    settings = {"data": DATA, "model": LENET, "train": Train(epochs=1, batch_size=35), "device": "cpu"}
    return Recipe(**(settings | more))


def classes(folder) -> list[str]:
    return json.loads((folder / "model" / "config.json").read_text())["labels"]


def taught(folder, **settings) -> Recipe:
    return recipe(distill=Distill(teachers=(str(folder),), **settings))
