"""A frozen backbone is run once: the head trains on what it gave."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mien.config import Recipe
from mien.data import Store
from mien.evaluate.features import of_batches, pooled

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def can_be_stored(recipe: Recipe) -> bool:
    """Whether every epoch would send the same images through the same frozen backbone."""
    return recipe.train.trainable == "head" and recipe.augment.is_off() and not recipe.distill.teachers


def head_recipe(recipe: Recipe) -> Recipe:
    """The recipe for a head on stored features: all of it trains."""
    return recipe.with_(train={"trainable": "all", "layer_decay": 1.0})


def store_features(model: nn.Module, store: Store, device: str, precision: str) -> Store:
    """The store with the pooled features of each image, float32 (N, ...), in place of its pixels.

    They are computed in the run's precision, for train and validation only (the other rows stay 0), and kept in
    memory; of several processes, each computes its own. Leaves the model in eval mode on the CPU.
    """
    where = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" else device
    backbone: Any = model.eval().to(where)
    positions = np.concatenate([store.indices("train"), store.indices("validation")])

    def of(images: Tensor) -> Tensor:
        return pooled(backbone, store.preprocessing.scale(images.to(where).float() / 255))

    with torch.inference_mode(), torch.autocast(device, DTYPES[precision], enabled=precision != "fp32"):
        found = of_batches(store, positions, of)
    model.cpu()
    features = np.zeros((len(store), *found.shape[1:]), dtype=np.float32)
    features[positions] = found
    return replace(store, images=features)
