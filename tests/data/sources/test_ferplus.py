"""FER+'s votes beside the pixels of fer2013.csv, both drawn here."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.cli import main
from mien.config import Data
from mien.data import guess_source, open_store, prepare
from mien.data.sources import ferplus
from mien.errors import DataError, MissingError, UsageError
from mien.labels import FER2013

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
# A face of each expression with all votes in train and in validation, then six that need thought.
EXPRESSIONS = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt")
SURE = [",".join("10" if column == label else "0" for column in range(10)) for label in range(8)]
HARD = (
    "1,6,3,0,0,0,0,0,0,0",  # happy: 6 of 9
    "4,0,0,4,1,0,0,0,1,0",  # no majority: 4 of 8
    "0,5,0,0,0,0,1,1,3,0",  # happy: 5 of 8, unknown is no part of the soft label
    "2,0,0,0,0,0,0,0,8,0",  # unknown
    "0,2,0,0,0,0,0,0,0,8",  # not a face
    "1,1,1,1,1,1,1,1,1,1",  # single votes alone
)
REMOVED = "0,0,0,0,0,0,0,0,0,10"


def lines() -> list[str]:
    """22 rows of votes and one that was removed."""
    rows = [f"{usage},fer.png,{votes}" for usage in ("Training", "PublicTest") for votes in SURE]
    return [*rows, f"Training,,{REMOVED}", *(f"Training,fer.png,{votes}" for votes in HARD)]


@pytest.fixture
def root(tmp_path):
    """A folder of fer2013.csv, noise with labels that do not matter, and fer2013new.csv."""
    random = np.random.default_rng(3)
    pixels = [" ".join(map(str, random.integers(0, 256, 48 * 48))) for _ in lines()]
    faces = [f"6,{text},{line.partition(',')[0]}" for text, line in zip(pixels, lines(), strict=True)]
    folder = tmp_path / "fer"
    folder.mkdir()
    (folder / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *faces]) + "\n")
    (folder / "fer2013new.csv").write_text("\n".join([HEADER, *lines()]) + "\n")
    return folder


def edit(path, row: int, *change: str) -> None:
    """Change the line that an error calls `row`."""
    rows = path.read_text().splitlines()
    rows[row - 1] = rows[row - 1].replace(*change, 1)
    path.write_text("\n".join(rows) + "\n")


def test_pictures_with_a_majority_and_their_soft_labels(root):
    listing = ferplus.read(root)
    assert listing.classes == (*FER2013, "contempt")
    labels = [listing.classes[label] for label in listing.labels]
    assert labels == [*EXPRESSIONS, *EXPRESSIONS, "happy", "happy"]
    assert listing.splits == ["train"] * 8 + ["validation"] * 8 + ["train"] * 2
    assert listing.soft_labels.dtype == np.float32
    column = {name: label for label, name in enumerate(listing.classes)}
    mixed = np.zeros(8)
    mixed[[column["happy"], column["surprise"]]] = 6 / 9, 3 / 9
    np.testing.assert_allclose(listing.soft_labels[16], mixed, rtol=1e-6)
    np.testing.assert_array_equal(listing.soft_labels[17], np.eye(8)[column["happy"]])


def test_what_is_left_out_is_counted(root):
    wanted = {"removed": 1, "without majority": 2, "unknown": 1, "not a face": 1}
    assert ferplus.read(root).left_out == wanted


def test_pictures_keep_the_names_and_pixels_of_fer2013(root):
    listing = ferplus.read(root)
    assert (listing.names[0], listing.names[15:]) == (
        "fer2013.csv row 2",
        ["fer2013.csv row 17", "fer2013.csv row 19", "fer2013.csv row 21"],
    )
    text = (root / "fer2013.csv").read_text().splitlines()[20].split(",")[1]
    assert np.asarray(listing.read(17)).ravel().tolist() == [int(value) for value in text.split()]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 10), min_size=10, max_size=10), min_size=1, max_size=20))
def test_any_votes_by_the_rule_in_words(votes):
    soft, majority = ferplus.tally(np.array(votes))
    assert soft.shape == (len(votes), 8)
    for shares, column, row in zip(soft, majority, votes, strict=True):
        counted = [0 if vote == 1 else vote for vote in row]
        most = [place for place, vote in enumerate(counted) if vote > sum(counted) / 2]
        assert column == (most[0] if most else -1)
        total = sum(counted[:8])
        np.testing.assert_allclose(shares, [vote / total if total else 0 for vote in counted[:8]], rtol=1e-6)
        if 0 <= column < 8:
            assert shares.argmax() == column


def test_either_file_or_their_folder_is_the_source(root):
    signatures = {ferplus.read(path).signature for path in (root, root / "fer2013.csv", root / "fer2013new.csv")}
    assert len(signatures) == 1
    assert guess_source(root) == guess_source(root / "fer2013new.csv") == "ferplus"
    assert guess_source(root / "fer2013.csv") == "fer2013"
    (root / "fer2013.csv").rename(root / "icml_face_data.csv")
    assert len(ferplus.read(root)) == 18


def test_the_signature_follows_both_files(root):
    found = {ferplus.read(root).signature}
    for name in ("fer2013.csv", "fer2013new.csv"):
        with (root / name).open("a") as file:
            file.write("\n")
        found.add(ferplus.read(root).signature)
    assert len(found) == 3


@pytest.mark.parametrize("name", ["fer2013.csv", "fer2013new.csv"])
def test_a_missing_file_is_named(root, name):
    (root / name).unlink()
    with pytest.raises(
        MissingError, match=rf"fer/{name} is missing\. FER\+ is fer2013new\.csv \(from .*beside fer2013"
    ):
        ferplus.read(root)


def test_files_of_other_pictures_are_refused(root):
    edit(root / "fer2013new.csv", 3, "Training", "PrivateTest")
    with pytest.raises(DataError, match=r"fer2013new\.csv row 3 is in test and fer2013\.csv row 3 in train: .*order"):
        ferplus.read(root)
    rows = (root / "fer2013new.csv").read_text().splitlines()
    (root / "fer2013new.csv").write_text("\n".join(rows[:-1]))
    with pytest.raises(DataError, match=r"fer2013new\.csv has 22 rows and fer2013\.csv 23: .* Take both files whole"):
        ferplus.read(root)


def test_a_missing_column_is_named(root):
    edit(root / "fer2013new.csv", 1, "contempt", "contemt")
    with pytest.raises(DataError, match=r"lacks the column 'contempt': .* Did you mean 'contemt'\?"):
        ferplus.read(root)


@pytest.mark.parametrize(
    ("name", "change", "wanted"),
    [
        ("fer2013new.csv", (",10,", ",ten,"), r"fer2013new\.csv row 3: the votes for happy are 'ten', they must be a"),
        ("fer2013new.csv", (",10,", ",-1,"), r"fer2013new\.csv row 3: the votes for happy are '-1'"),
        ("fer2013new.csv", ("Training", "Sometime"), r"fer2013new\.csv row 3: Usage is 'Sometime'"),
        ("fer2013new.csv", (",10,", ","), r"fer2013new\.csv row 3 has 11 columns, 12 are needed"),
        ("fer2013.csv", (" ", ""), r"fer2013\.csv row 3 has 2,303 pixels, 2,304 are needed"),
        ("fer2013.csv", ("6,", "9,"), r"fer2013\.csv row 3: emotion is '9'"),
    ],
)
def test_a_bad_row_stops_or_is_counted(root, cache, name, change, wanted):
    edit(root / name, 3, *change)
    data = Data(source="ferplus", path=root, size=16)
    with pytest.raises(DataError, match=wanted + r".*`data\.skip_bad`"):
        prepare(data)
    store = prepare(data.model_copy(update={"skip_bad": True}))
    assert (len(store), list(store.unreadable)) == (17, ["fer2013.csv row 3"])
    assert len(store.soft_labels) == 17


def test_a_removed_picture_may_be_anything(root):
    edit(root / "fer2013.csv", 18, "6,", "none,")
    assert not ferplus.read(root).problems


def test_the_store_keeps_soft_labels_and_training_may_do_without(root, cache):
    data = Data(source="ferplus", path=root, size=16)
    for _ in range(2):  # decoded, then reused
        store = open_store(data)
        np.testing.assert_array_equal(store.soft_labels, ferplus.read(root).soft_labels)
        assert store.targets is store.soft_labels
        assert store.left_out == {**ferplus.read(root).left_out, "blank": 0}
    hard = open_store(data.model_copy(update={"soft_labels": False}))
    assert hard.targets is hard.labels
    assert hard.fingerprint != store.fingerprint
    assert len(list(cache.iterdir())) == 1
    next(cache.rglob("soft_labels.npy")).unlink()
    assert open_store(data).targets.shape == (18, 8), "prepared anew, not trained on what is left"


def test_classes_can_be_left_out(root, cache):
    store = open_store(Data(source="ferplus", path=root, size=16, without=("Contempt", "surprised")))
    assert store.classes == tuple(name for name in FER2013 if name != "surprise")
    assert store.class_counts("train").sum() == 8
    assert store.left_out["of Contempt, surprised"] == 4
    np.testing.assert_allclose(store.soft_labels.sum(axis=1), 1)
    np.testing.assert_array_equal(store.soft_labels[12], np.eye(6)[store.classes.index("happy")])
    with pytest.raises(
        UsageError, match=r"`data\.without` contemt: no class of that name\. .* Did you mean 'contempt'"
    ):
        open_store(Data(source="ferplus", path=root, size=16, without=("contemt",)))
    with pytest.raises(UsageError, match=r"`data\.without` leaves 1 class"):
        open_store(Data(source="ferplus", path=root, size=16, without=FER2013))


def test_the_data_commands(root, cache, tmp_path, capsys):
    assert main(["data", "prepare", str(root), "--data.size", "16"]) == 0
    assert "left out: 1 removed, 2 without majority" in capsys.readouterr().out
    assert main(["data", "show", str(root), "--data.size", "16", "--out", str(tmp_path / "data.png")]) == 0
    capsys.readouterr()
    assert main(["data", "audit", str(root), "--data.size", "16", "--data.without", "contempt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == {"train": 9, "validation": 7, "test": 0}
