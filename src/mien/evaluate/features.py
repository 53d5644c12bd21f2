"""What a network makes of pictures before its head reads it: the space in which pictures are alike or not.

Computed once for each image and network, and kept in the cache under both of their contents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mien.atomic import DAMAGED, write_arrays
from mien.cache import cache_folder
from mien.data import Store
from mien.data.batches import Batches
from mien.errors import MienError, UsageError
from mien.hardware import device_of
from mien.models.protocol import ImageNetwork
from mien.pretrained import Classifier
from mien.progress import note, track

FACES, OTHERS = "mien:base", "mien:vit-tiny-imagenet"  # whose features are looked at if no network is named
BATCH = 64  # images; a ViT-B/16 at 224 pixels then stays below 2 GB
SAID = 2_000  # images from which on the work is announced
LARGEST = float(np.finfo(np.float16).max)
VERSION = 1  # goes up when the same network would give other features of the same images


def features(classifier: Classifier, store: Store, indices: np.ndarray) -> np.ndarray:
    """Return the pooled features of these images of a store, float32 (n, D), from the cache where they are there.

    The store has been prepared for the network, with its `preprocessing.settings()`.
    Raises UsageError for a network that does not part its features from its head.
    """
    path = cache_folder() / "features" / f"{_key(classifier, store, indices)}.npz"
    found = kept(path, len(indices))
    if found is None:
        if len(indices) >= SAID:
            note(f"Computing features of {len(indices):,} pictures; the next time they are read from the cache")
        found = _computed(classifier.eval(), store, indices)
        found = np.clip(found, -LARGEST, LARGEST)
        with suppress(MienError):  # where nothing can be written, the next command computes them again
            write_arrays(path, features=found.astype(np.float16))
    return found.astype(np.float16).astype(np.float32)  # the same, computed or read


def pooled(network: nn.Module, images: Tensor) -> Tensor:
    """Return what the classifier would read of scaled images (B, C, H, W), float32 (B, ...)."""
    if not isinstance(network, ImageNetwork):
        raise UsageError(
            f"{type(network).__name__} does not part its features from its head: it lacks forward_features or "
            "forward_head (mien.models.protocol). Take another network."
        )
    return network.forward_head(network.forward_features(images), pre_logits=True).float()


def of_batches(store: Store, indices: np.ndarray, of: Callable[[Tensor], Tensor]) -> np.ndarray:
    """Return what `of` makes of the uint8 images (b, C, H, W) at these positions, batch after batch, (n, ...)."""
    batches = Batches(store, indices, BATCH)
    parts = [of(images).cpu().numpy() for images, _ in track(batches, "features", len(batches))]
    return np.concatenate(parts)


def _computed(classifier: Classifier, store: Store, indices: np.ndarray) -> np.ndarray:
    device = device_of(classifier)

    def of(images: Tensor) -> Tensor:
        return pooled(classifier.model, classifier.preprocessing.scale(images.to(device).float() / 255))

    with torch.inference_mode():
        return of_batches(store, indices, of)


def _key(classifier: Classifier, store: Store, indices: np.ndarray) -> str:
    """Changes with the weights, with how pixels become numbers, and with the images."""
    found = hashlib.sha256(f"{VERSION} {classifier.name} {classifier.preprocessing!r}".encode())
    for name, weights in classifier.model.state_dict().items():
        found.update(name.encode())
        found.update(weights.detach().cpu().contiguous().view(-1).numpy().data)
    found.update(np.ascontiguousarray(store.digests[indices]).data.cast("B"))
    return found.hexdigest()[:32]


def kept(path: Path, count: int) -> np.ndarray | None:
    """Return the features that a file of the cache holds, None where there is nothing whole."""
    try:
        with np.load(path, allow_pickle=False) as saved:
            found = saved["features"]
    except DAMAGED:
        return None
    return found if len(found) == count else None
