import numpy as np
import pytest

from mien.config import Data
from mien.data import prepare
from mien.data.sources import table
from mien.errors import DataError, MissingError


@pytest.fixture
def write(tmp_path, write_picture):
    """Write a table beside the pictures 0.png to 5.png."""
    for i in range(6):
        write_picture(tmp_path / "set" / f"{i}.png", seed=i)

    def write_table(*rows: str, header: str = "path,label"):
        path = tmp_path / "set" / "faces.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return path

    return write_table


def test_a_table_of_paths_and_labels(write, write_picture, tmp_path):
    write_picture(tmp_path / "elsewhere.png", seed=77)
    path = write("1.png,happy", "0.png,angry", "../elsewhere.png,happy")
    listing = table.read(path)
    assert listing.classes == ("angry", "happy")
    assert listing.labels == [1, 0, 1]
    assert listing.names == ["1.png", "0.png", "../elsewhere.png"]
    assert listing.splits == ["", "", ""]
    assert (listing.groups, listing.problems) == ((), {})
    np.testing.assert_array_equal(np.asarray(listing.read(2)), np.asarray(table.open_image(tmp_path / "elsewhere.png")))


def test_columns_in_any_case_order_and_with_blanks(write):
    path = write("anna, Training ,happy,x,0.png", "ben,PublicTest,angry,x,1.png", "ann,train,angry,x,2.png",
                 header=" Group , SPLIT,Label,comment, Path")  # fmt: skip
    listing = table.read(path)
    assert listing.splits == ["train", "validation", "train"]
    assert listing.labels == [1, 0, 0]
    assert listing.names == ["0.png", "1.png", "2.png"]
    assert len(set(listing.groups)) == 3


def test_rows_without_a_group_stand_alone(write):
    listing = table.read(write("0.png,a,g", "1.png,b,", "2.png,a,g", "3.png,b,", header="path,label,group"))
    assert listing.groups[0] == listing.groups[2]
    assert len(set(listing.groups)) == 3


def test_empty_lines_and_byte_order_marks_do_no_harm(write):
    path = write("", "0.png,a", ",", "1.png,b")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert table.read(path).names == ["0.png", "1.png"]


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ("1.png,", "faces.csv row 3: the label is empty."),
        (",happy", "faces.csv row 3: the path is empty."),
        ("1.png", "faces.csv row 3 has 1 columns, 2 are needed."),
    ],
)
def test_a_bad_row_is_named(write, row, wanted):
    listing = table.read(write("0.png,a", row, "2.png,b"))
    assert listing.problems == {1: wanted}


def test_a_missing_picture_is_named_with_its_row(write):
    listing = table.read(write("0.png,a", "faces/9.png,a", "2.png,b"))
    assert list(listing.problems) == [1]
    assert listing.problems[1].startswith("faces.csv row 3: ")
    assert listing.problems[1].endswith("9.png is not there. Paths are relative to the table.")


def test_a_bad_split_is_named_with_its_row(write):
    listing = table.read(write("0.png,a,train", "1.png,a,later", "2.png,b,train", header="path,label,split"))
    assert listing.problems == {1: "faces.csv row 3: the split is 'later', it must be train, validation or test."}


def test_an_unreadable_picture_is_named_with_its_row(write, tmp_path):
    (tmp_path / "set" / "1.png").write_text("no picture")
    listing = table.read(write("0.png,a", "1.png,b"))
    with pytest.raises(DataError, match=r"^faces\.csv row 3: .*1\.png cannot be read as an image"):
        listing.read(1)


def test_a_group_in_two_splits_is_refused(write):
    path = write("0.png,a,train,anna", "1.png,b,test,ben", "2.png,b,train,ben", header="path,label,split,group")
    with pytest.raises(DataError, match=r"Group 'ben' is in two splits: faces\.csv row 3 says test, faces\.csv row 4"):
        table.read(path)


def test_a_label_that_train_lacks_is_refused(write):
    path = write("0.png,happy,train", "1.png,sad,train", "2.png,hapy,test", header="path,label,split")
    wanted = r"row 4: the label 'hapy' is in test and not in train \(there: happy, sad\)\. Did you mean 'happy'\?"
    with pytest.raises(DataError, match=wanted):
        table.read(path)


def test_one_label_is_not_enough(write):
    with pytest.raises(DataError, match=r"has 1 label in its usable training rows\. A classifier needs"):
        table.read(write("0.png,happy", "1.png,happy"))
    with pytest.raises(DataError, match=r"has 0 labels .*row 2: .*happy.png is not there"):
        table.read(write("happy.png,0", "sad.png,1"))


def test_a_table_without_label_shows_what_is_there(write):
    wanted = r"lacks the column 'label': its first line is 'path,labels'\. Did you mean 'labels'\? Needed are path and"
    with pytest.raises(DataError, match=wanted):
        table.read(write("0.png,a", header="path,labels"))


def test_a_table_without_rows(write):
    with pytest.raises(DataError, match="has a header and no rows"):
        table.read(write())


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(MissingError, match="there is no such file"):
        table.read(tmp_path / "faces.csv")
    with pytest.raises(MissingError, match=r"is a folder; give the CSV file, or `data\.source` folder"):
        table.read(tmp_path)


def test_what_is_no_csv_is_told(write):
    path = write("0.png,a", "1.png,b")
    path.write_bytes(path.read_bytes() + b'2.png,"' + b"x" * 200_000)
    with pytest.raises(DataError, match=r"faces\.csv row \d+ is not CSV \(field larger"):
        table.read(path)


def test_the_signature_follows_table_and_pictures(write, write_picture, tmp_path):
    before = table.read(write("0.png,a", "1.png,b")).signature
    write_picture(tmp_path / "set" / "1.png", seed=50, size=(17, 17))
    changed = table.read(tmp_path / "set" / "faces.csv").signature
    assert len({before, changed, table.read(write("0.png,b", "1.png,a")).signature}) == 3


def test_skip_bad_counts_bad_rows(write, cache):
    path = write("0.png,a,train", "9.png,a,train", "1.png,b,train", "2.png,,test", "3.png,b,later",
                 header="path,label,split")  # fmt: skip
    data = Data(source="table", path=path, size=13)
    with pytest.raises(DataError, match=r"row 3: .*9\.png is not there.*`data\.skip_bad`"):
        prepare(data)
    assert not list(cache.glob("*"))
    store = prepare(data.model_copy(update={"skip_bad": True}))
    assert store.names == ["0.png", "1.png"]
    assert list(store.unreadable) == ["9.png", "2.png", "3.png"]
