"""model/: the weights that a run keeps, with everything needed to use them."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from mien.config import Recipe
from mien.data import Store
from mien.preprocessing import Preprocessing
from mien.pretrained.own import from_run, save_folder


def save_model(folder: Path, model: nn.Module, recipe: Recipe, store: Store) -> None:
    """Write config.json (model, sizes, labels, preprocessing) and model.safetensors."""
    folder.mkdir(exist_ok=True)
    sizes = {
        "img_size": store.preprocessing.size,
        "in_chans": store.preprocessing.channels,
        "num_classes": len(store.classes),
        **recipe.model.sizes(),
    }
    save_folder(folder, model, recipe.model.name, sizes, tuple(store.classes), store.preprocessing, recipe=recipe.name)


def load_model(run: Path) -> tuple[nn.Module, tuple[str, ...], Preprocessing]:
    """A run's model in eval mode, its labels and its preprocessing.

    Raises MissingError when the run has no model yet, DataError when a file is damaged.
    """
    found = from_run(run)
    return found.model, found.labels, found.preprocessing
