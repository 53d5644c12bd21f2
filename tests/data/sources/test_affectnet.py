"""AffectNet's official layout, on pictures drawn here."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mien.config import Data
from mien.data import guess_source, open_store, prepare
from mien.data.sources import affectnet
from mien.errors import DataError, MissingError
from mien.labels import FER2013

WORDS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")


@pytest.fixture
def root(tmp_path, write_picture):
    """Two training pictures and one validation picture of each expression, picture i of the expression i % 8."""
    root = tmp_path / "AffectNet"
    for folder, count, first in (("train_set", 16, 0), ("val_set", 8, 100)):
        (root / folder / "annotations").mkdir(parents=True)
        for i in range(count):
            write_picture(root / folder / "images" / f"{i}.jpg", first + i, (24, 24), "RGB")
            np.save(root / folder / "annotations" / f"{i}_exp.npy", str(i % 8))
            np.save(root / folder / "annotations" / f"{i}_aro.npy", "0.25")
    return root


def data(root, **more) -> Data:
    return Data(source="affectnet", path=root, size=16, channels=3, **more)


def test_numbers_become_expressions(root):
    listing = affectnet.read(root)
    assert (listing.classes, len(listing), listing.problems) == ((*FER2013, "contempt"), 24, {})
    for i, name in enumerate(listing.names):
        number = int(name.rpartition("/")[2].removesuffix(".jpg")) % 8
        assert listing.classes[listing.labels[i]] == WORDS[number]
        assert listing.splits[i] == {"train_set": "train", "val_set": "validation"}[name.partition("/")[0]]
        np.testing.assert_array_equal(np.asarray(listing.read(i)), np.asarray(Image.open(root / name)))


@pytest.mark.parametrize("value", [3, np.int64(3), np.array(3), np.array([3]), np.array("3")])
def test_an_annotation_may_be_a_number_or_a_word(root, value):
    np.save(root / "val_set" / "annotations" / "0_exp.npy", value)
    listing = affectnet.read(root)
    assert listing.classes[listing.labels[listing.names.index("val_set/images/0.jpg")]] == "surprise"


def test_the_layout_is_recognised_and_becomes_a_store(root, cache):
    assert guess_source(root) == "affectnet"
    store = open_store(data(root))
    assert store.class_counts("train").tolist() == [2] * 8
    assert store.class_counts("validation").tolist() == [1] * 8
    assert not store.has("test")


def test_seven_classes(root, cache):
    store = open_store(data(root, without=("contempt",)))
    assert store.classes == FER2013
    assert store.class_counts("train").tolist() == [2] * 7
    assert store.left_out["of contempt"] == 3


def test_the_signature_follows_pictures_and_annotations(root, write_picture):
    found = {affectnet.read(root).signature}
    np.save(root / "train_set" / "annotations" / "5_exp.npy", "0")
    found.add(affectnet.read(root).signature)
    write_picture(root / "train_set" / "images" / "5.jpg", 999, (30, 30), "RGB")
    found.add(affectnet.read(root).signature)
    assert len(found) == 3


@pytest.mark.parametrize("name", ["train_set/images", "train_set/annotations", "val_set/images", "val_set"])
def test_what_is_missing_is_named_with_the_layout(root, name):
    (root / name).rename(root / "elsewhere")
    assert guess_source(root) == "affectnet", "so that its reader can say what is missing"
    with pytest.raises(MissingError, match=rf"AffectNet/{name}.* is missing\. AffectNet is a folder of train_set and"):
        affectnet.read(root)


def test_the_folder_above_is_put_right(root):
    with pytest.raises(MissingError, match=r"train_set/images is missing\. .* Did you mean .*AffectNet\?"):
        affectnet.read(root.parent)
    with pytest.raises(MissingError, match=r"Where is AffectNet\? Give `data\.path`"):
        affectnet.read(None)


def test_a_set_without_pictures(root):
    for path in (root / "val_set" / "images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"val_set/images holds no pictures\. AffectNet is"):
        affectnet.read(root)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("8", r"5_exp\.npy holds '8'; it must be a number from 0 to 7"),
        ("-1", r"5_exp\.npy holds '-1'"),
        (2.5, r"5_exp\.npy holds '2\.5'"),
        ([1, 2], r"5_exp\.npy holds 'no value that NumPy can read'"),
        (None, r"5_exp\.npy is missing, so the class of .*5\.jpg is not known\."),
    ],
)
def test_a_bad_annotation_stops_or_is_counted(root, cache, value, wanted):
    path = root / "train_set" / "annotations" / "5_exp.npy"
    path.unlink()
    if value is not None:
        np.save(path, value)
    with pytest.raises(DataError, match=wanted + r".*`data\.skip_bad`"):
        prepare(data(root))
    store = prepare(data(root, skip_bad=True))
    assert (len(store), list(store.unreadable)) == (23, ["train_set/images/5.jpg"])


def test_objects_are_never_unpickled(root):
    path = root / "val_set" / "annotations" / "0_exp.npy"
    np.save(path, np.array({"run": "me"}, dtype=object), allow_pickle=True)
    (problem,) = affectnet.read(root).problems.values()
    assert "no value that NumPy can read" in problem


@settings(deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_text_or_no_value(content, header):
    assert isinstance(affectnet._value(b"\x93NUMPY\x01\x00" + content if header else content), str)
