import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mien.data.decode import build
from mien.data.store import Store
from mien.preprocessing import Preprocessing

SMALL = Preprocessing(size=13)


def made(images: np.ndarray, **more) -> Store:
    count = len(images)
    values = {
        "labels": np.zeros(count, np.int64),
        "splits": np.zeros(count, np.uint8),
        "names": [str(i) for i in range(count)],
        "classes": ("cat", "dog"),
        "preprocessing": Preprocessing(size=images.shape[-1]),
        "sizes": np.full((count, 2), images.shape[-1]),
    }
    return Store(images=images, **(values | more))


def test_the_fingerprint_is_sha256_of_content():
    images = np.arange(2 * 4, dtype=np.uint8).reshape(2, 1, 2, 2)
    store = made(images, labels=np.array([0, 1]), splits=np.array([0, 1], np.uint8))
    rest = bytes([0] * 8 + [1] + [0] * 7) + bytes([0, 1])  # labels and splits
    digests = b"".join(hashlib.blake2b(bytes(pixels), digest_size=16).digest() for pixels in (range(4), range(4, 8)))
    content = b'[["cat", "dog"], [1, 2, 2]]' + digests + rest
    assert store.fingerprint == hashlib.sha256(content).hexdigest()
    first_version = hashlib.sha256(b'["cat", "dog"]' + bytes(range(8)) + rest).hexdigest()
    assert store.matches(store.fingerprint)
    assert store.matches(first_version), "runs of version 0.1.0 still know their data"
    assert not store.matches("")


@pytest.mark.parametrize("changed", ["images", "labels", "splits", "classes"])
def test_the_fingerprint_changes_with_every_part(changed):
    images = np.zeros((2, 1, 3, 3), np.uint8)
    other = {
        "images": images + 1,
        "labels": np.array([0, 1]),
        "splits": np.array([0, 2], np.uint8),
        "classes": ("dog", "cat"),
    }[changed]
    more = {} if changed == "images" else {changed: other}
    assert made(other if changed == "images" else images, **more).fingerprint != made(images).fingerprint


@given(st.lists(st.sampled_from([0, 1, 2, 255]), min_size=1, max_size=30))
def test_digests_are_equal_where_images_are(values):
    images = np.broadcast_to(np.array(values, np.uint8)[:, None, None, None], (len(values), 1, 5, 5))
    digests = made(images).digests
    for a, value in enumerate(values):
        assert (digests == digests[a]).tolist() == [other == value for other in values]


def test_blank_images_are_those_of_one_colour_also_after_jpeg():
    flat = np.full((3, 11, 11), 128, np.uint8)
    near = flat.copy()
    near[0, 5, 5] += 7
    lines = flat.copy()
    lines[2, 5, 5] += 8
    images = np.stack([flat, near, lines])
    assert made(images).blank().tolist() == [True, True, False]


def test_with_splits_copies_no_image(tmp_path, make_listing):
    store = build(make_listing(["train"] * 2, [0, 1]), SMALL, tmp_path / "store")
    other = store.with_splits(np.array([0, 1], np.uint8), {"blank": 3})
    assert other.images is store.images
    assert other.digests is store.digests
    assert other.left_out == {"blank": 3}
    assert other.indices("validation").tolist() == [1]


def test_what_is_known_on_disk_is_what_would_be_worked_out(tmp_path, make_listing):
    flat = Image.new("L", (13, 13), 77)
    listing = make_listing(["train"] * 3, [0, 1, 1], read=lambda i: flat if i else Image.effect_noise((13, 13), 40))
    store = build(listing, SMALL, tmp_path / "store")
    fresh = made(np.array(store.images))
    np.testing.assert_array_equal(store.digests, fresh.digests)
    assert store.blank().tolist() == fresh.blank().tolist() == [False, True, True]
