"""Kaggle's Dogs vs. Cats, on pictures drawn here."""

import numpy as np
import pytest
from PIL import Image

from mien.config import Data
from mien.data import guess_source, open_store, prepare
from mien.data.sources import dogs_vs_cats
from mien.errors import DataError, MissingError


@pytest.fixture
def root(tmp_path, write_picture):
    """Twelve cats and eight dogs of different sizes, and three unlabelled pictures."""
    root = tmp_path / "dogs-vs-cats"
    for i in range(20):
        name = f"cat.{i}.jpg" if i < 12 else f"dog.{i - 12}.jpg"
        write_picture(root / "train" / name, i, (17 + i, 23), "RGB")
    for i in (1, 2, 10):
        write_picture(root / "test1" / f"{i}.jpg", 100 + i, (17, 23), "RGB")
    return root


def test_the_class_is_in_the_name(root):
    listing = dogs_vs_cats.read(root)
    assert listing.classes == ("cat", "dog")
    assert len(listing) == 20, "the unlabelled pictures are not part of it"
    assert sum(listing.labels) == 8
    for i, (name, label) in enumerate(zip(listing.names, listing.labels, strict=True)):
        assert name.startswith(f"train/{listing.classes[label]}.")
        np.testing.assert_array_equal(np.asarray(listing.read(i)), np.asarray(Image.open(root / name)))


def test_a_share_of_each_class_is_held_out(root, cache):
    assert guess_source(root) == "dogs_vs_cats"
    store = open_store(Data(source="dogs_vs_cats", path=root, size=16, channels=3, val_split=0.25))
    assert store.class_counts("train").tolist() == [9, 6]
    assert store.class_counts("validation").tolist() == [3, 2]
    assert not store.has("test")
    folds = [Data(source="dogs_vs_cats", path=root, size=16, channels=3, folds=4, fold=i) for i in range(4)]
    held = [open_store(data).indices("validation") for data in folds]
    assert sorted(np.concatenate(held)) == list(range(20))


def test_the_signature_follows_the_files(root, write_picture):
    before = dogs_vs_cats.read(root).signature
    write_picture(root / "train" / "dog.99.jpg", 99, (17, 23), "RGB")
    assert dogs_vs_cats.read(root).signature != before


def test_a_folder_of_class_folders_is_another_source(write_folder):
    assert guess_source(write_folder({"train/cat": 1, "train/dog": 1})) == "folder"


def test_a_name_without_a_class_is_an_error_that_names_it(root, cache, write_picture):
    write_picture(root / "train" / "cow.3.jpg", 3, (17, 23), "RGB")
    data = Data(source="dogs_vs_cats", path=root, size=16, channels=3)
    with pytest.raises(DataError, match=r"cow\.3\.jpg begins with neither 'cat\.' nor 'dog\.'.*`data\.skip_bad`"):
        prepare(data)
    store = prepare(data.model_copy(update={"skip_bad": True}))
    assert list(store.unreadable) == ["train/cow.3.jpg"]
    assert store.class_counts("train").tolist() == [12, 8]


def test_what_is_missing_is_named_with_the_layout(root):
    with pytest.raises(
        MissingError, match=r"train.train is missing\. Dogs vs\. Cats is a folder with train/cat\.0\.jpg"
    ):
        dogs_vs_cats.read(root / "train")
    with pytest.raises(MissingError, match=r"Where is Dogs vs\. Cats\? Give `data\.path`"):
        dogs_vs_cats.read(None)
    for path in (root / "train").glob("dog.*"):
        path.unlink()
    with pytest.raises(DataError, match=r"train holds no picture of a dog\. Dogs vs\. Cats is"):
        dogs_vs_cats.read(root)


def test_unlabelled_pictures_by_rising_id(root):
    found = dogs_vs_cats.unlabelled(root / "test1")
    assert list(found.items()) == [(i, root / "test1" / f"{i}.jpg") for i in (1, 2, 10)]


def test_unlabelled_pictures_need_an_id_each(root, tmp_path):
    with pytest.raises(MissingError, match=r"test is missing: the folder of unlabelled pictures, 1\.jpg"):
        dogs_vs_cats.unlabelled(root / "test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty holds no pictures; 1\.jpg"):
        dogs_vs_cats.unlabelled(tmp_path / "empty")
    (root / "test1" / "010.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"010\.jpg and .*10\.jpg have the same id"):
        dogs_vs_cats.unlabelled(root / "test1")
    (root / "test1" / "010.jpg").rename(root / "test1" / "dog.1.jpg")
    with pytest.raises(DataError, match=r"dog\.1\.jpg is not named after its id, as 1\.jpg is"):
        dogs_vs_cats.unlabelled(root / "test1")
