"""What an audit takes grows with the number of images, however many of them are copies."""

from pathlib import Path

import numpy as np
from growth import growth

from mien.data.audit import audit
from mien.data.near import NearCopies, connected
from mien.data.near.findings import disagreement, pairs_across
from mien.data.store import Store
from mien.data.store_folder import header, load, save
from mien.preprocessing import Preprocessing

CLASSES = 50


def store_of(images: int) -> Store:
    """A tenth of the images are copies of others, most of these with another label."""
    random = np.random.default_rng(0)
    digests = random.integers(0, 256, (images, 16), np.uint8)
    digests[-images // 10 :] = digests[: images // 10]
    return Store(
        images=np.zeros((images, 1, 1, 1), np.uint8),
        labels=random.integers(0, CLASSES, images),
        splits=random.integers(0, 3, images).astype(np.uint8),
        names=[f"{i}.png" for i in range(images)],
        classes=tuple(f"class {i}" for i in range(CLASSES)),
        preprocessing=Preprocessing(size=1),
        sizes=np.full((images, 2), 48, np.int32),
        known_digests=digests.view("V16").ravel(),
        known_blanks=np.zeros(images, bool),
    )


def near_of(store: Store) -> NearCopies:
    """Every tenth image is a near copy of the next one, and that one of the one after it."""
    first = np.arange(0, len(store) - 2, 10)
    pairs = np.concatenate([np.stack([first, first + 1], axis=1), np.stack([first + 1, first + 2], axis=1)])
    alike = np.random.default_rng(0).random(len(pairs))
    return NearCopies(pairs, alike, 0.0, connected(len(store), pairs), np.arange(len(store)))


def test_conflicting_copies():
    assert growth(store_of, audit, 20_000) < 5


def test_opening_a_store(tmp_path):
    def folder_of(images: int) -> Path:
        (folder := tmp_path / str(images)).mkdir()
        (folder / "images.npy").write_bytes(header("uint8", (images, 1, 1, 1)) + bytes(images))
        save(store_of(images), folder, "made up")
        return folder

    assert growth(folder_of, load, 20_000) < 5


def test_near_copies():
    def findings(store: Store) -> None:
        near = near_of(store)
        pairs_across(store, near)
        disagreement(store, near)

    assert growth(store_of, findings, 40_000) < 5
