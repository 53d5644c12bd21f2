"""Numbers of more digits than Python reads, 4,300, where a stranger's file has a number."""

import pytest

from mien.data import shards
from mien.data.sources import drawn_faces, fer2013, table, webdataset
from mien.errors import DataError, UsageError
from mien.runtime.film.camera import camera_frames

LONG = "1" * 5000


def test_in_tables(tmp_path):
    (tmp_path / "fer2013.csv").write_text(f"emotion,pixels\n{LONG},1 2\n0,1 2\n")
    assert fer2013.read(tmp_path / "fer2013.csv").problems.keys() == {0}
    (tmp_path / "faces.csv").write_text(
        f"path,label\nfer2013.csv row {LONG},a\nfer2013.csv row 2,a\nfer2013.csv row 3,b\n"
    )
    assert table.read(tmp_path / "faces.csv").problems.keys() == {0}


def test_as_labels(tmp_path):
    assert sorted(["b", LONG, "10", "2"], key=shards._number_first) == ["2", "10", LONG, "b"]
    shard, member = (
        shards.Shard(tmp_path / "a.tar", ""),
        lambda text: webdataset.archives.Member("0.cls", 9, text.encode),
    )
    sample = webdataset._sample(shard, "0", {"cls": member(LONG)}, member("0.png"), ["cat", "dog"])
    assert sample.problem.endswith("the label is 1111111111111111111; classnames.txt names 0 to 1.")


@pytest.mark.parametrize("number", [LONG, "²", "-1"])
def test_in_names(number):
    with pytest.raises(DataError, match="is not the name of a drawn face"):
        drawn_faces.redraw(f"train/{number}-sad", 0)
    with pytest.raises(UsageError, match="a camera is 'camera', or 'camera:1'"):
        next(camera_frames(f"camera:{number}", 0.1))
