"""A frozen backbone is run once: the head trains on what it gave, and so do other folds and other heads later.

What it gave is kept in the cache under the contents of backbone and images.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mien import plugins
from mien.atomic import write_arrays
from mien.cache import cache_folder
from mien.config import Recipe
from mien.data import Store
from mien.errors import MienError
from mien.evaluate.features import kept, of_batches, pooled
from mien.models.protocol import head_names

VERSION = 1  # goes up when the same network would give other features of the same images
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def can_be_stored(recipe: Recipe) -> bool:
    """Whether every epoch would send the same images through the same frozen backbone."""
    return recipe.train.trainable == "head" and recipe.augment.is_off() and not recipe.distill.teachers


def head_recipe(recipe: Recipe) -> Recipe:
    """The recipe for a head on stored features: all of it trains, by adamw where muon leaves it to that."""
    alone: dict[str, Any] = {"trainable": "all", "layer_decay": 1.0}
    if recipe.train.optimizer == "muon":
        alone |= {"optimizer": "adamw", "lr": recipe.train.adam_lr}
    return recipe.with_(train=alone)


def store_features(model: nn.Module, store: Store, device: str, precision: str, name: str) -> Store:
    """The store with the pooled features of each image, float32 (N, ...), in place of its pixels.

    They are computed in the run's precision, for train and validation only (the other rows stay 0), and kept in
    memory; of several processes, each computes its own. Leaves the model in eval mode on the CPU. name: the network's;
    what an own one gives may change with its code, so it is computed each time.
    """
    positions = np.sort(np.concatenate([store.indices("train"), store.indices("validation")]))
    path = cache_folder() / "features" / f"{_key(model, store, positions, f'{name} {precision}')}.npz"
    found = None if plugins.is_code(name) else kept(path, len(positions))
    if found is None:
        found = _computed(model, store, positions, device, precision)
        if not plugins.is_code(name):
            with suppress(MienError):  # where nothing can be written, the next run computes them again
                write_arrays(path, features=found)
    model.eval().cpu()
    features = np.zeros((len(store), *found.shape[1:]), dtype=np.float32)
    features[positions] = found
    return replace(store, images=features)


def _computed(model: nn.Module, store: Store, positions: np.ndarray, device: str, precision: str) -> np.ndarray:
    where = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" else device
    backbone: Any = model.eval().to(where)

    def of(images: Tensor) -> Tensor:
        return pooled(backbone, store.preprocessing.scale(images.to(where).float() / 255))

    with torch.inference_mode(), torch.autocast(device, DTYPES[precision], enabled=precision != "fp32"):
        return of_batches(store, positions, of)


def _key(model: nn.Module, store: Store, positions: np.ndarray, what: str) -> str:
    """Changes with the backbone and its weights, with how pixels become numbers, and with the images."""
    heads = tuple(f"{name}." for name in head_names(model))
    found = hashlib.sha256(f"{VERSION} {what} {getattr(model, 'sizes', '')!r} {store.preprocessing!r}".encode())
    for name, weights in model.state_dict().items():
        if not name.startswith(heads):
            found.update(name.encode())
            found.update(weights.detach().cpu().contiguous().view(-1).numpy().data)
    found.update(np.ascontiguousarray(store.digests[positions]).data.cast("B"))
    return found.hexdigest()[:32]
