"""A Store -> batches of tensors: shuffled, class-balanced if asked, shared among processes.

No file is opened and no Python runs per image: a batch is one slice of the memory-mapped array.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mien.data.augment import stream
from mien.data.pixels import Pixels
from mien.data.store import Store
from mien.errors import UsageError

Batch = tuple[Tensor, Tensor]  # images, and labels (b,) or soft labels (b, K)

ORDER = 1_000_003  # keeps the stream of orders apart from the streams of training steps


class Order:
    """The order of the images in an epoch, from (seed, epoch) alone. lightning calls `set_epoch`."""

    def __init__(self, indices: np.ndarray, labels: np.ndarray, seed: int, balanced: bool) -> None:
        self.indices = torch.from_numpy(indices)
        counts = np.bincount(labels)
        self.weights = torch.from_numpy(1.0 / counts[labels]) if balanced else None
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def draw(self) -> Tensor:
        """Positions in the store, (n,): a permutation, or draws with replacement when balanced."""
        generator = stream(self.seed, ORDER, self.epoch)
        if self.weights is None:
            return self.indices[torch.randperm(len(self.indices), generator=generator)]
        chosen = torch.multinomial(self.weights, len(self.indices), replacement=True, generator=generator)
        return self.indices[chosen]


def refuse_too_few(images: int, processes: int, accumulated: int) -> None:
    """Raise UsageError where a step has more parts than there are training images."""
    if images < processes * accumulated:
        raise UsageError(
            f"{images} training images are too few for `train.processes` {processes} and "
            f"`train.accumulate_grad_batches` {accumulated}: each batch of each process needs one."
        )


def images_a_batch(images: int, batch_size: int, processes: int, accumulated: int) -> int:
    """How many images of a batch each process gets: its share, fewer where a step would take more than there are."""
    return min(batch_size // processes, images // (accumulated * processes))


class TrainBatches:
    """Training batches: uint8 images (b, C, H, W) and the store's targets, where b = batch_size / processes.

    Targets are labels int64 (b,), or soft labels float32 (b, K) where the store has any.

    Every process walks the same order and takes its own part of each batch. accumulated: how many batches make a step.
    The images of a last step that is not full are left out, unless it is the only one.
    """

    def __init__(
        self,
        store: Store,
        batch_size: int,
        seed: int,
        *,
        balanced: bool = False,
        accumulated: int = 1,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        indices = store.indices("train")
        self.store = store
        refuse_too_few(len(indices), processes, accumulated)
        self.share = images_a_batch(len(indices), batch_size, processes, accumulated)
        self.steps = len(indices) // (accumulated * processes * self.share)
        self.accumulated = accumulated
        self.rank = rank
        self.processes = processes
        self.sampler = Order(indices, store.labels[indices], seed, balanced)
        self.next = 0

    def __len__(self) -> int:
        return self.steps * self.accumulated

    def __iter__(self) -> Iterator[Batch]:
        order = self.sampler.draw()
        first, self.next = self.next, 0
        for batch in range(first, len(self)):
            self.next = (batch + 1) % len(self)
            start = (batch * self.processes + self.rank) * self.share
            yield gather(self.store.images, self.store.targets, order[start : start + self.share].numpy())

    def state_dict(self) -> dict[str, int]:
        """The next batch of the epoch, which lightning keeps in a checkpoint."""
        return {"next": self.next}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Begin the next epoch with that batch."""
        self.next = state["next"]


class Batches:
    """Every image of the given positions once, in order, with its label; process `rank` takes every `processes`-th."""

    def __init__(
        self, store: Store, indices: np.ndarray, batch_size: int = 256, *, rank: int = 0, processes: int = 1
    ) -> None:
        self.store = store
        own = indices[rank::processes]
        self.parts = [own[start : start + batch_size] for start in range(0, len(own), batch_size)]

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Batch]:
        return (gather(self.store.images, self.store.labels, part) for part in self.parts)


def gather(images: np.ndarray | Pixels, targets: np.ndarray, positions: np.ndarray) -> Batch:
    """What stands at these positions of a store's images (N, C, H, W) and its labels (N,) or targets (N, K)."""
    batch = torch.from_numpy(images[positions]), torch.from_numpy(targets[positions])
    if torch.cuda.is_available():  # pinned, so that the copy to the GPU does not wait for the step before it
        return batch[0].pin_memory(), batch[1].pin_memory()
    return batch
