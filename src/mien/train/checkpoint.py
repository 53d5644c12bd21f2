"""model/: the weights that a run keeps, with everything needed to use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

import mien
from mien.config import Recipe
from mien.data import Store
from mien.errors import DataError, MienError, MissingError
from mien.files import write_json
from mien.models import create_model
from mien.preprocessing import Preprocessing


def save_model(folder: Path, model: nn.Module, recipe: Recipe, store: Store) -> None:
    """Write config.json (model, sizes, labels, preprocessing) and model.safetensors."""
    folder.mkdir(exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    draft = folder / ".model.safetensors"
    try:
        save_file(weights, draft, metadata={"format": "pt"})
        draft.replace(folder / "model.safetensors")
    except (OSError, SafetensorError) as error:
        draft.unlink(missing_ok=True)
        raise MienError(
            f"Saving the model to {folder} failed ({error}). Free some space and resume the run."
        ) from error
    sizes = {
        "img_size": store.preprocessing.size,
        "in_chans": store.preprocessing.channels,
        "num_classes": len(store.classes),
        **recipe.model.sizes(),
    }
    values = {
        "mien": mien.__version__,
        "model": recipe.model.name,
        "sizes": sizes,
        "labels": store.classes,
        "preprocessing": store.preprocessing.to_dict(),
        "recipe": recipe.name,
    }
    write_json(folder / "config.json", values)


def load_model(run: Path) -> tuple[nn.Module, tuple[str, ...], Preprocessing]:
    """A run's model in eval mode, its labels and its preprocessing.

    Raises MissingError when the run has no model yet, DataError when a file is damaged.
    """
    folder = run / "model"
    try:
        values: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model = create_model(values["model"], **values["sizes"])
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except FileNotFoundError as error:
        raise MissingError(f"{run} has no finished model. Finish it with: mien run {run} --resume") from error
    except (ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise DataError(f"The model in {folder} is damaged: {error}") from error
    return model.eval(), tuple(values["labels"]), Preprocessing(**values["preprocessing"])
