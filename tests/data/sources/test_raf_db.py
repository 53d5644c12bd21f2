"""RAF-DB in the official layout and in Kaggle's, on pictures drawn here."""

import shutil

import numpy as np
import pytest
from PIL import Image

from mien.config import Data
from mien.data import guess_source, open_store, prepare
from mien.data.sources import raf_db
from mien.errors import DataError, MissingError
from mien.labels import FER2013

WORDS = {1: "surprise", 2: "fear", 3: "disgust", 4: "happy", 5: "sad", 6: "angry", 7: "neutral"}
PICTURES = [("train", i, i % 7 + 1) for i in range(1, 22)] + [("test", i, i % 7 + 1) for i in range(1, 8)]


@pytest.fixture
def official(tmp_path, write_picture):
    """Three training pictures and one test picture of each expression."""
    root = tmp_path / "official" / "basic"
    for seed, (split, i, _) in enumerate(PICTURES):
        write_picture(root / "Image" / "aligned" / f"{split}_{i:05d}_aligned.jpg", seed, (20, 20), "RGB")
    (root / "EmoLabel").mkdir()
    lines = [f"{split}_{i:05d}.jpg {number}\n" for split, i, number in PICTURES]
    (root / "EmoLabel" / "list_patition_label.txt").write_text("".join(lines))
    return root


@pytest.fixture
def kaggle(official, tmp_path):
    """The same pictures as Kaggle has them."""
    root = tmp_path / "kaggle"
    for split, i, number in PICTURES:
        folder = root / "DATASET" / split / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(official / "Image" / "aligned" / f"{split}_{i:05d}_aligned.jpg", folder)
    for split in ("train", "test"):
        rows = [f"{name}_{i:05d}_aligned.jpg,{number}\n" for name, i, number in PICTURES if name == split]
        (root / f"{split}_labels.csv").write_text("image,label\n" + "".join(rows))
    return root


def data(root, **more) -> Data:
    return Data(source="raf_db", path=root, size=16, channels=3, **more)


def test_numbers_become_expressions(official):
    listing = raf_db.read(official)
    assert (listing.classes, len(listing), listing.problems) == (FER2013, 28, {})
    found = dict(zip(listing.names, zip(listing.labels, listing.splits, strict=True), strict=True))
    for split, i, number in PICTURES:
        name = f"Image/aligned/{split}_{i:05d}_aligned.jpg"
        assert found[name] == (FER2013.index(WORDS[number]), split)
    for i, name in enumerate(listing.names):
        np.testing.assert_array_equal(np.asarray(listing.read(i)), np.asarray(Image.open(official / name)))


def test_both_layouts_give_the_same_store(official, kaggle, cache):
    stores = [open_store(data(root, val_split=1 / 3)) for root in (official, kaggle)]
    assert stores[0].fingerprint == stores[1].fingerprint
    assert stores[0].class_counts("train").tolist() == [2] * 7
    assert stores[0].class_counts("validation").tolist() == stores[0].class_counts("test").tolist() == [1] * 7
    assert guess_source(official) == guess_source(kaggle) == "raf_db"


def test_the_signature_follows_lists_and_pictures(official, write_picture):
    found = {raf_db.read(official).signature}
    with (official / "EmoLabel" / "list_patition_label.txt").open("a") as file:
        file.write("train_00099.jpg 5\n")
    found.add(raf_db.read(official).signature)
    write_picture(official / "Image" / "aligned" / "train_00099_aligned.jpg", 99, (20, 20), "RGB")
    found.add(raf_db.read(official).signature)
    assert len(found) == 3


def test_a_list_called_train_labels_is_not_enough(tmp_path):
    (tmp_path / "train_labels.csv").write_text("cat.1.jpg,cat")
    assert not raf_db.recognises(tmp_path)
    (tmp_path / "DATASET").mkdir()
    (tmp_path / "DATASET" / "test").mkdir()
    assert raf_db.recognises(tmp_path)


def test_what_is_missing_is_named_with_the_layout(official, kaggle):
    with pytest.raises(MissingError, match=r"official has no list of labels\. RAF-DB is .* Did you mean .*basic\?"):
        raf_db.read(official.parent)
    (official / "Image").rename(official / "Pictures")
    with pytest.raises(MissingError, match=r"Image/aligned is missing\. RAF-DB is a folder of Image/aligned and"):
        raf_db.read(official)
    (kaggle / "test_labels.csv").unlink()
    assert guess_source(kaggle) == "raf_db", "so that its reader can say what is missing"
    with pytest.raises(MissingError, match=r"test_labels\.csv is missing"):
        raf_db.read(kaggle)
    with pytest.raises(MissingError, match=r"Where is RAF-DB\? Give `data\.path`"):
        raf_db.read(None)


@pytest.mark.parametrize(
    ("old", "new", "wanted", "bad"),
    [
        (
            "train_00003.jpg 4",
            "train_00003.jpg 9",
            r"label\.txt line 3: the label of train_00003 is '9', it must be",
            1,
        ),
        ("train_00003.jpg 4", "", r"train_00003_aligned\.jpg has no line in EmoLabel/list_patition_label\.txt, so", 1),
        ("train_00003.jpg", "train_00033.jpg", r"train_00003_aligned\.jpg has no line", 2),
        ("test_00007.jpg 1", "test_00007.jpg 1\ntest_00008.jpg 2", r"line 29: there is no picture of test_00008 in", 1),
    ],
)
def test_a_bad_label_stops_or_is_counted(official, cache, old, new, wanted, bad):
    path = official / "EmoLabel" / "list_patition_label.txt"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=wanted + r".*`data\.skip_bad`"):
        prepare(data(official))
    assert len(prepare(data(official, skip_bad=True)).unreadable) == bad


def test_a_picture_of_no_split(official, write_picture):
    write_picture(official / "Image" / "aligned" / "face_1_aligned.jpg", 50)
    with (official / "EmoLabel" / "list_patition_label.txt").open("a") as file:
        file.write("face_1.jpg 4\n")
    (problem,) = raf_db.read(official).problems.values()
    assert problem.endswith("face_1_aligned.jpg begins with neither 'train_' nor 'test_', so its split is not known.")


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("train_00050.jpg", r"line 29 is 'train_00050\.jpg'; it must be a file name and a number from 1 to 7"),
        ("train_00001.jpg 5", r"line 29: train_00001\.jpg is 5 here and 2 in list_patition_label\.txt line 1"),
    ],
)
def test_a_damaged_list_is_named_by_its_line(official, line, wanted):
    with (official / "EmoLabel" / "list_patition_label.txt").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=wanted):
        raf_db.read(official)


def test_a_folder_and_a_list_that_disagree(kaggle):
    shutil.move(kaggle / "DATASET/train/2/train_00001_aligned.jpg", kaggle / "DATASET/train/3")
    (problem,) = raf_db.read(kaggle).problems.values()
    assert "train_labels.csv line 2: the label of train_00001 is 2, but " in problem
    assert problem.endswith("train_00001_aligned.jpg lies in folder 3.")
    shutil.copy(kaggle / "DATASET/train/3/train_00001_aligned.jpg", kaggle / "DATASET/train/2")
    with pytest.raises(DataError, match=r"2/train_00001_aligned\.jpg and .*3/train_00001_aligned\.jpg have the same"):
        raf_db.read(kaggle)


def test_no_pictures_at_all(official):
    for path in (official / "Image" / "aligned").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"Image/aligned holds no pictures\. RAF-DB is"):
        raf_db.read(official)
