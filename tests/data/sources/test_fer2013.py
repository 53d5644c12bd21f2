import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.config import Data
from mien.data import guess_source, open_store, prepare
from mien.data.audit import audit, clean_names
from mien.data.sources import fer2013
from mien.errors import DataError, MissingError
from mien.labels import FER2013

SPLITS = ("train", "validation", "test")
USAGE = ("Training", "PublicTest", "PrivateTest")


@pytest.fixture
def faces(tmp_path):
    """The same 21 noise faces as folders (alphabetical) and as CSV files, with 2, 1 and none of a class in a split."""
    random = np.random.default_rng(5)
    rows = []
    for split, usage in zip(SPLITS, USAGE, strict=True):
        for name in sorted(FER2013):
            for number in range(2 if split == "train" else split == "validation"):
                pixels = random.integers(0, 256, (48, 48), dtype=np.uint8)
                path = tmp_path / "fer" / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
                rows.append((FER2013.index(name), " ".join(map(str, pixels.ravel())), usage))
    (tmp_path / "fer2013.csv").write_text("emotion,pixels,Usage\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows))
    icml = "emotion, Usage, pixels\n" + "".join(f"{a},{c},{b}\n" for a, b, c in rows)
    (tmp_path / "icml_face_data.csv").write_text(icml)
    return tmp_path


def test_folders_and_both_csv_files_give_the_same_store(faces, cache):
    stores = [
        prepare(Data(source="fer2013", path=faces / name)) for name in ("fer", "fer2013.csv", "icml_face_data.csv")
    ]
    assert [len(store) for store in stores] == [21] * 3
    assert len({store.fingerprint for store in stores}) == 1
    assert stores[0].class_counts("train").tolist() == [2] * 7
    assert stores[0].class_counts("validation").tolist() == [1] * 7


def test_classes_keep_the_csv_order_whatever_the_folders_order(faces):
    listing = fer2013.read(faces / "fer")
    assert listing.classes == FER2013
    for name, label in zip(listing.names, listing.labels, strict=True):
        assert name.split("/")[1] == FER2013[label]


def test_folders_may_use_other_words(faces):
    for split in ("train", "validation"):
        (faces / "fer" / split / "happy").rename(faces / "fer" / split / "Happiness")
        (faces / "fer" / split / "angry").rename(faces / "fer" / split / "ANGER")
    listing = fer2013.read(faces / "fer")
    found = {listing.names[i].split("/")[1]: FER2013[label] for i, label in enumerate(listing.labels)}
    assert (found["Happiness"], found["ANGER"]) == ("happy", "angry")


def test_a_class_that_is_no_expression_of_fer2013(faces):
    for split in ("train", "validation"):
        (faces / "fer" / split / "disgust").rename(faces / "fer" / split / "contempt")
    with pytest.raises(DataError, match="Class 'contempt' is not among the known classes"):
        fer2013.read(faces / "fer")


def test_two_folders_of_one_expression(faces):
    (faces / "fer" / "train" / "fear").rename(faces / "fer" / "train" / "joy")
    (faces / "fer" / "validation" / "fear").rename(faces / "fer" / "validation" / "joy")
    with pytest.raises(DataError, match="Classes 'happy' and 'joy' mean the same"):
        fer2013.read(faces / "fer")


def test_a_path_is_needed(tmp_path):
    with pytest.raises(MissingError, match=r"Where is FER2013\? Give `data\.path`"):
        fer2013.read(None)
    with pytest.raises(MissingError, match="there is no such"):
        fer2013.read(tmp_path / "fer")


def test_the_source_is_guessed_from_what_is_there(faces, write_folder, tmp_path):
    (tmp_path / "table.csv").write_text("path,label\n")
    assert guess_source(faces / "fer") == "fer2013"
    assert guess_source(faces / "fer2013.csv") == guess_source(faces / "icml_face_data.csv") == "fer2013"
    assert guess_source(tmp_path / "table.csv") == "table"
    assert guess_source(write_folder({"cat": 1, "dog": 1})) == "folder"
    with pytest.raises(MissingError, match="there is no such file or folder"):
        guess_source(tmp_path / "nowhere")


def test_one_bad_row_stops_or_is_counted(faces, cache):
    path = faces / "fer2013.csv"
    rows = path.read_text().splitlines()
    rows[3] = "9" + rows[3][1:]
    rows[5] = rows[5].replace(" ", "", 1)
    path.write_text("\n".join(rows))
    data = Data(source="fer2013", path=path)
    with pytest.raises(DataError, match=r"fer2013\.csv row 4: emotion is '9'.*`data\.skip_bad`"):
        prepare(data)
    store = prepare(data.model_copy(update={"skip_bad": True}))
    assert len(store) == 19
    assert list(store.unreadable) == ["fer2013.csv row 4", "fer2013.csv row 6"]
    assert "has 2,303 pixels" in store.unreadable["fer2013.csv row 6"]


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    root = os.environ.get("MIEN_TEST_DATA")
    if not root or not (Path(root) / "fer2013").is_dir():
        pytest.skip("needs the real FER2013: set MIEN_TEST_DATA to the folder that holds fer2013/")
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(cache))
        yield Data(source="fer2013", path=Path(root) / "fer2013")


def test_the_audit_of_the_real_fer2013(real):
    store = prepare(real)
    found = audit(store)
    assert (found.images["train"], found.images["validation"]) == (28_709, 3_589)
    assert found.copies["train/validation"] == 280
    assert found.repeats["train"] == 1_236
    assert found.conflicts_within["train"] == 39
    assert (found.blank["train"], found.blank["validation"]) == (12, 1)
    assert (found.unreadable, found.odd_sizes) == ([], {})
    assert len(clean_names(store, "validation")) == 3_589 - 280


def test_training_leaves_out_what_the_recipe_asks(real):
    store = open_store(real.model_copy(update={"drop_leaks": True}))
    assert store.left_out["blank"] == 12
    assert not np.isin(store.digests[store.indices("train")], store.digests[store.indices("validation")]).any()
    assert len(store.indices("train")) == 28_709 - sum(store.left_out.values())
    assert len(store.indices("validation")) == 3_589
