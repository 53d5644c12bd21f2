import numpy as np
import pytest
import torch

from mien.data.batches import Batches, TrainBatches
from mien.data.store import Store
from mien.errors import UsageError
from mien.preprocessing import Preprocessing


def store(train=23, validation=5) -> Store:
    """Image i is filled with the value i; every fifth training image is of class 1, the others of class 0."""
    count = train + validation
    return Store(
        images=np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 1, 8, 8)),
        labels=(np.arange(count) % 5 == 0).astype(np.int64),
        splits=np.array([0] * train + [1] * validation, dtype=np.uint8),
        names=[f"{i}.png" for i in range(count)],
        classes=("a", "b"),
        preprocessing=Preprocessing(size=8),
        sizes=np.full((count, 2), 8),
    )


def seen(batches) -> list[list[int]]:
    return [images[:, 0, 0, 0].tolist() for images, _ in batches]


def test_an_epoch_shows_train_images_once_in_full_batches():
    batches = TrainBatches(store(), 4, seed=0)
    rows = seen(batches)
    assert [len(row) for row in rows] == [4] * 5 == [4] * len(batches)
    flat = [value for row in rows for value in row]
    assert len(set(flat)) == 20
    assert set(flat) <= set(range(23))


def test_labels_belong_to_their_images():
    for images, labels in TrainBatches(store(), 4, seed=0):
        assert images.dtype == torch.uint8
        assert (images[:, 0, 0, 0] % 5 == 0).long().tolist() == labels.tolist()


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        batches = TrainBatches(store(), 4, seed=seed)
        batches.sampler.set_epoch(epoch)
        return seen(batches)

    assert order(0, 1) == order(0, 1)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_processes_share_each_batch():
    whole = seen(TrainBatches(store(), 4, seed=0))
    parts = [seen(TrainBatches(store(), 4, seed=0, rank=rank, processes=2)) for rank in (0, 1)]
    assert [one + two for one, two in zip(*parts, strict=True)] == whole


def test_the_batches_of_a_step_are_the_parts_of_one_large_batch():
    def flat(**settings):
        return [value for row in seen(TrainBatches(store(), seed=0, **settings)) for value in row]

    assert flat(batch_size=4, accumulated=2) == flat(batch_size=8)
    assert len(flat(batch_size=4, accumulated=2)) == 16, "and what is left over is no step"
    assert len(flat(batch_size=64, accumulated=3)) == 21, "few images make one step"


def test_too_few_images_for_the_parts_of_a_step():
    with pytest.raises(UsageError, match=r"^3 training images are too few for `train\.processes` 2 and `train\.accum"):
        TrainBatches(store(train=3), 4, 0, accumulated=2, processes=2)


def test_fewer_images_than_a_batch_make_one_batch():
    assert [len(row) for row in seen(TrainBatches(store(train=3), 128, seed=0))] == [3]


def test_balanced_draws_both_classes_equally_often():
    batches = TrainBatches(store(), 23, seed=0, balanced=True)
    labels = []
    for epoch in range(100):
        batches.sampler.set_epoch(epoch)
        labels += [batch_labels for _, batch_labels in batches]
    assert torch.cat(labels).float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_evaluation_shows_every_image_once_in_order_whoever_shares():
    indices = store().indices("validation")
    assert seen(Batches(store(), indices, 2)) == [[23, 24], [25, 26], [27]]
    assert seen(Batches(store(), indices, 2, rank=1, processes=2)) == [[24, 26]]
