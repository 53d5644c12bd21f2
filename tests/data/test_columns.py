from collections import Counter

import numpy as np
import pytest

from mien.config import Data
from mien.data.columns import NONE, subgroups_of, values_of
from mien.errors import DataError, MissingError, UsageError

NAMES = ["a.png", "b.png", "c.png"]


@pytest.fixture
def write(tmp_path):
    def write_table(text, name="faces.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_table


def asked(path, column="camera", names=NAMES, **data):
    return values_of(Data(source="table", path=path, **data), names, column)


def test_the_values_of_a_column_in_the_order_of_the_pictures(write):
    path = write("Path,label,Camera \nb.png,x, phone\na.png,y,web cam\nz.png,y,film\nc.png,x\n")
    assert asked(path) == ["web cam", "phone", NONE]
    assert asked(path, " CAMERA") == ["web cam", "phone", NONE]


def test_a_table_of_pixels_is_known_by_its_rows_whatever_its_name(write):
    path = write("emotion,pixels,camera\n0,1 2,phone\n1,2 3,\n2,3 4,web\n", "with-cameras.csv")
    assert asked(path, names=["fer2013.csv row 4", "fer2013.csv row 2", "fer2013.csv row 3"]) == ["web", "phone", NONE]


def test_another_table_gives_pictures_of_a_folder_their_values(write, tmp_path):
    path = write("name;sex\ntrain/a.png;f\ntrain/b.png;m\n")
    folder = Data(source="folder", path=tmp_path)
    assert values_of(folder, ["train/b.png", "train/a.png"], "sex", path) == ["m", "f"]
    with pytest.raises(UsageError, match=r"The data \(folder\) is no table, so it has no columns.*`table`"):
        values_of(folder, NAMES, "sex")
    with pytest.raises(MissingError, match="no such file"):
        values_of(folder, NAMES, "sex", tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match=r"names none of the 3 pictures: there 'train/a.png', here 'a.png'"):
        values_of(folder, NAMES, "sex", path)
    with pytest.raises(UsageError, match="needs a column path"):
        values_of(folder, NAMES, "sex", write("sex\nf\n", "nameless.csv"))


def test_a_column_that_is_not_there_is_said_with_the_nearest(write):
    with pytest.raises(UsageError, match=r"`by` camra: .* Did you mean 'camera'\? It has path, label, camera\."):
        asked(write("path,label,camera\na.png,x,1\n"), "camra")


def test_one_picture_with_two_values_is_refused(write):
    with pytest.raises(DataError, match=r"row 3: 'a.png' has the camera 'web' here and 'phone' in an earlier row"):
        asked(write("path,label,camera\na.png,x,phone\na.png,x,web\n"))


def test_few_values_are_subgroups_as_they_are():
    assert subgroups_of(["f", NONE, "m", "f"], "sex") == (["f", NONE, "m", "f"], False)
    assert subgroups_of(["1", "2", "3"], "light") == (["1", "2", "3"], False)


def test_many_numbers_become_quarters_of_about_equally_many_pictures():
    values = [*np.random.default_rng(0).permutation(np.arange(400) / 4).astype(str), NONE]
    names, quarters = subgroups_of(values, "light")
    assert quarters
    assert sorted({*names}) == [
        NONE,
        "0 to 24.75",
        "above 24.75 to 49.75",
        "above 49.75 to 74.75",
        "above 74.75 to 99.75",
    ]
    assert all(names.count(name) == 100 for name in {*names} - {NONE})
    for name, value in zip(names, values, strict=True):
        assert name == NONE or float(name.split()[-3]) <= float(value) <= float(name.split()[-1])


def test_quarters_that_differ_have_names_that_differ():
    """To six digits all times of a day are 1.7e+09, and three quarters would be one."""
    names, quarters = subgroups_of([str(1_700_000_000 + 60 * i) for i in range(40)], "time")
    assert quarters
    assert sorted(map(names.count, set(names))) == [10, 10, 10, 10]
    assert names[0] == "1700000000 to 1700000540"


def test_equal_numbers_are_never_parted():
    values = [str(min(number, 50)) for number in range(100)]
    names, _ = subgroups_of(values, "light")
    assert len({name for name, value in zip(names, values, strict=True) if value == "50"}) == 1
    assert len({*names}) == 3


@pytest.mark.parametrize(
    ("often", "wanted"),
    [("0", {"0": 90, "above 0 to 20": 20}), ("20", {"1 to 19": 19, "above 19 to 20": 91})],
)
def test_a_number_that_most_pictures_have_is_a_part_of_its_own(often, wanted):
    """Its quarters would be one subgroup, with no rest to be tested against."""
    names, _ = subgroups_of([often] * 90 + [str(number) for number in range(1, 21)], "light")
    assert Counter(names) == wanted


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["1." + "0" * i for i in range(20)], "all 20 pictures have the same number; none to compare"),
        (["web"] * 5, "all 5 pictures have the value 'web'"),
        ([f"person {i}" for i in range(41)], "41 different values, 'person 0' among them, are too many to compare"),
    ],
)
def test_what_makes_no_subgroups_is_refused(values, wanted):
    with pytest.raises(UsageError, match=wanted):
        subgroups_of(values, "camera")
