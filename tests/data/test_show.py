from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mien.data.show import SAMPLES, sample_grid, show
from mien.data.store import Store
from mien.errors import MienError
from mien.preprocessing import Preprocessing

PAGE = (250, 249, 246)


def store(count=3, each=20, channels=1, size=11, **more) -> Store:
    """Images of class k all have the value 40 + 10 k; the last quarter is validation."""
    labels = np.arange(count * each) % count
    values_of = (40 + 10 * (labels % 20)).astype(np.uint8)
    images = np.broadcast_to(values_of[:, None, None, None], (len(labels), channels, size, size))
    values = {
        "splits": (np.arange(len(labels)) >= 0.75 * len(labels)).astype(np.uint8),
        "classes": tuple(f"class {k}" for k in range(count)),
    }
    return Store(
        images=images,
        labels=labels,
        names=[str(i) for i in range(len(labels))],
        preprocessing=Preprocessing(size=size, channels=channels),
        sizes=np.full((len(labels), 2), size),
        **(values | more),
    )


def test_one_picture_with_colours_of_both_splits(tmp_path):
    show(store(), tmp_path / "new" / "data.png")
    picture = np.asarray(Image.open(tmp_path / "new" / "data.png").convert("RGB"))
    assert picture.shape[1] > 1000
    for colour in (PAGE, (11, 95, 168), (210, 86, 12), (40, 40, 40), (60, 60, 60)):  # bars, and images of two classes
        assert (picture == colour).all(axis=2).sum() > 500, colour
    assert (picture == (43, 154, 115)).all(axis=2).sum() == 0, "there is no test split"


def test_the_grid_has_a_row_for_each_class():
    grid = sample_grid(store(), 3)
    assert grid.shape == (3 * 12, SAMPLES * 12, 3)
    for label in range(3):
        row = grid[label * 12 : label * 12 + 11]
        assert np.unique(row[:, :11]).tolist() == [40 + 10 * label]
    assert (grid[11] == PAGE).all(), "a gap between two rows"


def test_places_without_an_image_stay_empty():
    grid = sample_grid(store(each=2), 3)
    assert (grid[:11, :11] == 40).all()
    assert (grid[:11, 12:23] == 40).all()
    assert (grid[:, 24:] == PAGE).all()


def test_training_images_come_first_and_unused_ones_not_at_all():
    images = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((4, 1, 5, 5), np.uint8) * 10
    made = store(count=1, each=4, size=5, splits=np.array([1, 0, 255, 0], np.uint8))
    grid = sample_grid(replace(made, images=images), 1)
    step = 6
    shown = [int(grid[0, place * step, 0]) for place in range(4)]
    assert sorted(shown[:2]) == [10, 30]
    assert shown[2] == 0
    assert (grid[:, 3 * step :] == PAGE).all()


def test_colour_images_keep_their_colour():
    made = store(channels=3, count=2)
    images = np.zeros((len(made), 3, 11, 11), np.uint8)
    images[:, 0] = 200
    grid = sample_grid(replace(made, images=images), 2)
    assert grid[0, 0].tolist() == [200, 0, 0]


def test_many_classes_and_odd_names_fit(tmp_path):
    names = tuple(f"$class_{k} with a rather long name" for k in range(40))
    show(store(count=40, each=4, classes=names), tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").size[0] > 1000


def test_a_full_disk_leaves_the_picture_that_was_there(tmp_path, monkeypatch):
    (tmp_path / "data.png").write_bytes(b"before")

    def half(canvas, path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mien.data.show.FigureCanvasAgg.print_figure", half)
    with pytest.raises(MienError, match="No space left"):
        show(store(), tmp_path / "data.png")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("data.png", b"before")]


def test_a_place_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MienError, match=r"Cannot write .*data\.png: .*Choose another place with `out`"):
        show(store(), tmp_path / "file" / "data.png")
