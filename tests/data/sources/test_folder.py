from collections import Counter

import numpy as np
import pytest

from mien.config import Data
from mien.data import prepare
from mien.data.sources import folder
from mien.errors import DataError, MissingError


def test_a_flat_folder_has_no_splits(write_folder):
    listing = folder.read(write_folder({"dog": 2, "cat": 3}))
    assert listing.classes == ("cat", "dog")
    assert listing.names == ["cat/0.png", "cat/1.png", "cat/2.png", "dog/0.png", "dog/1.png"]
    assert listing.labels == [0, 0, 0, 1, 1]
    assert listing.splits == [""] * 5


@pytest.mark.parametrize(
    ("train", "validation", "test"), [("train", "validation", "test"), ("Training", "val", "testing")]
)
def test_split_folders_under_their_usual_names(write_folder, train, validation, test):
    root = write_folder({f"{train}/cat": 3, f"{train}/dog": 2, f"{validation}/cat": 1, f"{test}/dog": 1})
    listing = folder.read(root)
    assert Counter(zip(listing.splits, listing.labels, strict=True)) == {
        ("train", 0): 3,
        ("train", 1): 2,
        ("validation", 0): 1,
        ("test", 1): 1,
    }


def test_images_are_read_where_their_names_say(write_folder):
    root = write_folder({"train/cat": 2, "train/dog/puppies": 2})
    listing = folder.read(root)
    assert listing.names[2:] == ["train/dog/puppies/0.png", "train/dog/puppies/1.png"]
    for i, name in enumerate(listing.names):
        np.testing.assert_array_equal(np.asarray(listing.read(i)), np.asarray(folder.open_image(root / name)))


def test_names_do_not_depend_on_how_the_folder_is_given(write_folder, monkeypatch):
    root = write_folder({"cat": 2, "dog": 1})
    whole = folder.read(root).names
    monkeypatch.chdir(root)
    assert folder.read(root.relative_to(root)).names == whole
    monkeypatch.chdir(root / "cat")
    assert folder.read(root / "cat" / "..").names == whole


def test_the_signature_follows_the_files(write_folder, write_picture):
    root = write_folder({"cat": 2, "dog": 2})
    before = folder.read(root).signature
    assert folder.read(root).signature == before
    write_picture(root / "cat" / "1.png", seed=99, size=(17, 17))
    changed = folder.read(root).signature
    (root / "dog" / "1.png").unlink()
    assert len({before, changed, folder.read(root).signature}) == 3


def test_a_link_that_leads_nowhere_is_a_picture_that_cannot_be_read(write_folder):
    root = write_folder({"cat": 2, "dog": 2})
    (root / "cat" / "2.png").symlink_to(root / "moved.png")
    listing = folder.read(root)
    assert listing.names[2] == "cat/2.png"
    with pytest.raises(DataError, match=r"2\.png: there is no such file"):
        listing.read(2)
    (root / "dog" / "0.png").rename(root / "moved.png")
    assert folder.read(root).signature != listing.signature


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(MissingError, match=r"`data\.path` .*nowhere: there is no such"):
        folder.read(tmp_path / "nowhere")
    with pytest.raises(MissingError, match=r"Where is the folder of labelled images\?"):
        folder.read(None)


def test_a_file_is_no_folder(write_picture, tmp_path):
    with pytest.raises(MissingError, match=r"a\.png is a file; a folder with one sub-folder per class is needed"):
        folder.read(write_picture(tmp_path / "a.png"))


def test_an_empty_class_folder_is_named_and_stops_a_run_but_not_the_audit(write_folder, cache):
    root = write_folder({"train/cat": 2, "train/dog": 0, "test/cat": 1})
    assert folder.read(root).problems == {3: f"{root}/train/dog holds no images. Add some, or remove the folder."}
    (root / "train" / "dog" / "list.txt").write_text("rex")
    with pytest.raises(DataError, match=r"train/dog holds no images \(but 1 \.txt file\)\. .*`data\.skip_bad`"):
        prepare(Data(path=root))
    store = prepare(Data(path=root, skip_bad=True))
    assert list(store.unreadable) == ["train/dog"]
    assert store.class_counts("train").tolist() == [2, 0]


def test_one_class_is_not_enough(write_folder):
    with pytest.raises(DataError, match=r"pictures has one class folder; a classifier needs at least two"):
        folder.read(write_folder({"cat": 2}))


def test_a_class_that_train_lacks_is_named(write_folder):
    root = write_folder({"train/cat": 1, "train/dog": 1, "validation/cat": 1, "validation/dogs": 1})
    wanted = r"validation/dogs is a class that .*train lacks \(it has cat, dog\)\. .*Did you mean 'dog'\?"
    with pytest.raises(DataError, match=wanted):
        folder.read(root)


def test_a_split_may_lack_a_class(write_folder):
    listing = folder.read(write_folder({"train/cat": 1, "train/dog": 1, "validation/dog": 1}))
    assert listing.labels == [0, 1, 1]


def test_the_same_split_twice(write_folder):
    root = write_folder({"train/cat": 1, "train/dog": 1, "val/cat": 1, "validation/cat": 1})
    with pytest.raises(DataError, match=r"has both val/ and validation/: keep one of them as validation"):
        folder.read(root)


def test_splits_without_train(write_folder):
    with pytest.raises(DataError, match=r"has test, validation and no train folder\. Add train/"):
        folder.read(write_folder({"validation/cat": 1, "validation/dog": 1, "test/dog": 1}))


def test_a_class_may_be_called_test(write_folder):
    assert folder.read(write_folder({"test": 1, "final": 1})).classes == ("final", "test")
