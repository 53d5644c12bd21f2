"""Pixels: read as an array is, each image compared with its digest once."""

import time

import numpy as np
import pytest

from mien.data import pixels as module
from mien.data.pixels import Pixels, digest


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (50, 3, 7, 7), dtype=np.uint8)


def made(images: np.ndarray) -> Pixels:
    digests = np.array([digest(image) for image in images], dtype="V16")
    return Pixels(images, digests, lambda i: ValueError(f"image {i}"))


KEYS = [
    *(0, -1, np.int64(7), slice(None), slice(3, 40, 5), slice(0), ..., None, [3, 1, 3], np.arange(9)[::-1]),
    *(np.array([], int), np.arange(50) % 3 == 0, np.arange(6).reshape(2, 3)),
    *((slice(2, 9), 0), (4, 1, 2, 3), ([1, 2], [0, 1]), (..., 0)),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_it_reads_as_an_array_does(images, key):
    pixels = made(images)
    for _ in range(2):
        np.testing.assert_array_equal(pixels[key], images[key])
    assert (pixels.shape, pixels.dtype, pixels.ndim, len(pixels)) == (images.shape, np.uint8, 4, 50)
    assert pixels.nbytes == images.nbytes


def test_it_becomes_an_array(images):
    pixels = made(images)
    assert np.shares_memory(np.asarray(pixels), images)
    assert not np.shares_memory(np.array(pixels), images)
    assert np.asarray(pixels, dtype=np.float32).dtype == np.float32


def test_what_is_not_there_is_no_image(images):
    for key in (50, -51, [3, 50]):
        with pytest.raises(IndexError):
            made(images)[key]


def test_an_image_is_compared_once_and_when_it_is_asked_for(images, monkeypatch):
    compared = []
    pixels = made(images)
    monkeypatch.setattr(module, "digest", lambda image: compared.append(image[0, 0, 0]) or digest(image))
    pixels[[3, 5, 3]]
    assert compared == [images[i, 0, 0, 0] for i in (3, 5, 3)], "twice only where it is asked for twice at once"
    pixels[3:6]
    assert len(compared) == 4
    np.asarray(pixels)
    np.asarray(pixels)
    assert len(compared) == 51


@pytest.mark.parametrize("key", [7, [3, 7], slice(None), slice(6, 8), (slice(None), 0), np.arange(50) == 7], ids=str)
def test_an_image_that_differs_is_refused_each_time_and_the_others_are_not(images, key):
    pixels = made(images)
    images[7, 2, 6, 6] ^= 1
    for _ in range(2):
        with pytest.raises(ValueError, match="image 7"):
            pixels[key]
    np.testing.assert_array_equal(pixels[8:], images[8:])
    assert pixels.differing() == [7]


def test_batches_of_compared_images_cost_what_those_of_the_map_cost(tmp_path):
    """Within what a busy machine lets one see; benchmarks/store.py measures it."""
    np.save(tmp_path / "images.npy", np.zeros((4000, 1, 48, 48), np.uint8))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    pixels = made(mapped)
    order = np.random.default_rng(0).permutation(4000)
    np.asarray(pixels)

    def seconds(array) -> float:
        start = time.process_time()
        for _ in range(5):
            for first in range(0, 4000, 64):
                array[order[first : first + 64]]
        return time.process_time() - start

    assert min(seconds(pixels) for _ in range(5)) < 1.5 * min(seconds(mapped) for _ in range(5))
