"""model/: the weights that a run keeps, with everything needed to use them; mien.evaluate.run_model reads them."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from mien.config import Recipe
from mien.data import Store
from mien.pretrained.own import save_folder


def save_model(folder: Path, model: nn.Module, recipe: Recipe, store: Store) -> None:
    """Write config.json (model, sizes, labels, preprocessing) and model.safetensors; no head without labels."""
    folder.mkdir(exist_ok=True)
    labels = tuple(store.classes) if recipe.pretrain.is_off() else ()
    sizes = {
        "img_size": store.preprocessing.size,
        "in_chans": store.preprocessing.channels,
        "num_classes": len(labels),
        **recipe.model.sizes(),
    }
    save_folder(folder, model, recipe.model.name, sizes, labels, store.preprocessing, recipe=recipe.name)
