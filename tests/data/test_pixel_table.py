import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data import pixel_table
from mien.errors import DataError

CLASSES = ("angry", "happy", "sad")
ROW = " ".join(["7"] * 2304)


def write(tmp_path, *rows: str, header: str = "emotion,pixels,Usage"):
    path = tmp_path / "faces.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def problem(tmp_path, row: str) -> str:
    """What is wrong with the second row of three."""
    good = f"0,{ROW},Training"
    listing = pixel_table.read(write(tmp_path, good, row, good), CLASSES)
    assert list(listing.problems) == [1]
    return listing.problems[1]


def test_rows_become_images(tmp_path):
    pixels = np.arange(2304) % 251
    text = " ".join(map(str, pixels))
    path = write(tmp_path, f"2,{text},Training", f"0,{ROW},PublicTest", f"1,{ROW},PrivateTest")
    listing = pixel_table.read(path, CLASSES)
    assert listing.labels == [2, 0, 1]
    assert listing.splits == ["train", "validation", "test"]
    assert listing.names == ["faces.csv row 2", "faces.csv row 3", "faces.csv row 4"]
    assert listing.problems == {}
    np.testing.assert_array_equal(np.asarray(listing.read(0)), pixels.reshape(48, 48))
    assert np.unique(np.asarray(listing.read(1))).tolist() == [7]


def test_columns_in_another_order_with_blanks(tmp_path):
    path = write(tmp_path, f"1, PrivateTest,{ROW}", header="emotion, Usage, pixels")
    listing = pixel_table.read(path, CLASSES)
    assert (listing.labels, listing.splits) == ([1], ["test"])
    assert listing.read(0).size == (48, 48)


def test_byte_order_mark_quotes_and_empty_lines(tmp_path):
    path = tmp_path / "faces.csv"
    path.write_bytes(
        b"\xef\xbb\xbf" + f'emotion,pixels,Usage\r\n"1","{ROW}","Training"\r\n\r\n0,{ROW},Training\r\n'.encode()
    )
    listing = pixel_table.read(path, CLASSES)
    assert listing.labels == [1, 0]
    assert listing.names[1] == "faces.csv row 4"


@pytest.mark.parametrize("label", ["3", "-1", "smug", "", "1.5", "²"])
def test_a_bad_label_is_named_with_its_row(tmp_path, label):
    wanted = f"faces.csv row 3: emotion is '{label}', it must be a number from 0 to 2, or a word of angry, happy, sad."
    assert problem(tmp_path, f"{label},{ROW},Training") == wanted


def test_an_unknown_usage_is_named_with_its_row(tmp_path):
    wanted = "faces.csv row 3: Usage is 'Sometime', it must be Training, PublicTest or PrivateTest."
    assert problem(tmp_path, f"1,{ROW},Sometime") == wanted


def test_a_row_with_too_few_columns(tmp_path):
    assert problem(tmp_path, f"1,{ROW}") == "faces.csv row 3 has 2 columns, 3 are needed."


@pytest.mark.parametrize(
    ("pixels", "wanted"),
    [
        (ROW[:-2], "row 2 has 2,303 pixels, 2,304 are needed"),
        (ROW + " 7", "row 2 has 2,305 pixels, 2,304 are needed"),
        (ROW[:-1] + "256", r"row 2: pixels must lie in 0\.\.255, found 256"),
        (ROW[:-1] + "9" * 30, r"row 2: pixels must lie in 0\.\.255"),
        (ROW[:-1] + "-1", "row 2: a pixel is not a whole number from 0 to 255"),
        (ROW[:-1] + "1.5", "row 2: a pixel is not a whole number from 0 to 255"),
        ("", "row 2: a pixel is not a whole number from 0 to 255"),
    ],
)
def test_bad_pixels_are_named_when_they_are_read(tmp_path, pixels, wanted):
    listing = pixel_table.read(write(tmp_path, f"1,{pixels},Training"), CLASSES)
    with pytest.raises(DataError, match=wanted):
        listing.read(0)


def test_a_missing_column_is_named(tmp_path):
    path = write(tmp_path, "a.jpg,happy", header="path,label")
    with pytest.raises(
        DataError, match=r"lacks the column 'emotion': its header is path, label\. .*`data\.source` table"
    ):
        pixel_table.read(path, CLASSES)


def test_files_without_rows(tmp_path):
    with pytest.raises(DataError, match="has a header and no rows"):
        pixel_table.read(write(tmp_path), CLASSES)
    (tmp_path / "empty.csv").touch()
    with pytest.raises(DataError, match="lacks the column 'emotion': its header is empty"):
        pixel_table.read(tmp_path / "empty.csv", CLASSES)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 255), min_size=1, max_size=40), st.integers(0, 2))
def test_any_pixels_come_back(tmp_path_factory, start, label):
    pixels = np.resize(start, 2304)
    path = write(tmp_path_factory.mktemp("csv"), f"{label},{' '.join(map(str, pixels))},Training")
    listing = pixel_table.read(path, CLASSES)
    np.testing.assert_array_equal(np.asarray(listing.read(0)).ravel(), pixels)
    assert listing.labels == [label]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=120))
def test_any_text_is_a_listing_or_a_data_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("csv") / "any.csv"
    path.write_text("emotion,pixels,Usage\n" + text, encoding="utf-8", errors="replace", newline="")
    try:
        listing = pixel_table.read(path, CLASSES)
    except DataError:
        with pytest.raises(DataError, match=r"any\.csv"):
            pixel_table.read(path, CLASSES)
        return
    for i in range(len(listing)):
        if i not in listing.problems:
            with pytest.raises(DataError, match=r"any\.csv row \d+"):
                listing.read(i)
