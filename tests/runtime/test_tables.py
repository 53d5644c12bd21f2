"""Pictures that cannot be read among others, and tables that are continued."""

import io
import os
import sys

import numpy as np
import pytest
from PIL import Image

from mien.cli import main
from mien.errors import DataError
from mien.runtime.reader import opened
from mien.runtime.table import ParquetTable, Table


def torn_animation() -> bytes:
    """A GIF whose first frame is whole and whose second one ends in its header."""
    whole, frames = io.BytesIO(), [Image.new("L", (40, 40), grey) for grey in (9, 200)]
    frames[0].save(whole, "GIF", save_all=True, append_images=frames[1:])
    content = whole.getvalue()
    return content[: content.rindex(b"!\xf9\x04") + 20]


def test_a_torn_animation_is_told_and_the_others_are_read(tmp_path, capsys):
    (tmp_path / "a.gif").write_bytes(torn_animation())
    Image.new("L", (48, 48), 90).save(tmp_path / "b.png")
    assert main(["predict", str(tmp_path), "--model", "mien:tiny", "--no-detect"]) == 4
    out, err = capsys.readouterr()
    assert "b.png" in out
    assert "1 of 2 pictures could not be read; the first" in err
    assert "a.gif cannot be read as an image" in err


def test_a_picture_in_cie_lab_is_read_in_its_colours(tmp_path, capsys):
    colours = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    Image.fromarray(colours).convert("LAB").save(tmp_path / "lab.tif")
    assert main(["predict", str(tmp_path), "--model", "mien:tiny", "--no-detect"]) == 0
    assert "lab.tif" in capsys.readouterr().out
    assert opened(tmp_path / "lab.tif").mode == "RGB"


def test_an_unfinished_last_line_is_cut_off_and_its_picture_read_again(tmp_path):
    table = Table(tmp_path / "t.csv", ("x",))
    table.add("a.png", [])
    one = table.path.read_bytes()
    table.add("b.png", [])
    two = table.path.read_bytes()
    for end in range(len(one) + 1, len(two)):
        table.path.write_bytes(two[:end])
        again = Table(table.path, ("x",))
        if not two[:end].endswith(b"\n"):
            assert (again.reached("a.png"), again.reached("b.png")) == (0, None)
            again.add("b.png", [])
        assert table.path.read_bytes() == two
    foreign = tmp_path / "mine.csv"
    foreign.write_text("a,b\n1,2")
    with pytest.raises(DataError, match=r"mine\.csv is there and no table of this model's"):
        Table(foreign, ("x",))
    assert foreign.read_text() == "a,b\n1,2"


def test_rows_of_a_job_that_was_killed_are_kept_for_parquet(tmp_path):
    ParquetTable(tmp_path / "t.parquet", ("happy",)).add("film.mp4", [], 0.4)  # and is never closed
    table = ParquetTable(tmp_path / "t.parquet", ("happy",))
    assert table.reached("film.mp4") == 0.4
    table.close()
    assert ParquetTable(tmp_path / "t.parquet", ("happy",)).reached("film.mp4") == 0.4


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' names of files are text")
def test_a_name_that_is_no_utf_8(tmp_path, monkeypatch):
    from pyarrow import parquet

    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Image.new("L", (48, 48), 90).save(os.fsdecode(name))
    command = ["predict", str(tmp_path), "--model", "mien:tiny", "--no-detect"]
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="utf-8", write_through=True))
    assert main(command) == 0
    assert printed.getvalue().startswith(name)
    for table, written in (("t.csv", name), ("t.parquet", name.replace(b"\xe9", b"\\xe9"))):
        for said in (b"1 face in 1 picture", b"1 picture was in it already"):
            printed.truncate(0)
            assert main([*command, "--out", str(tmp_path / table)]) == 0
            assert said in printed.getvalue()
        if table == "t.parquet":
            assert parquet.read_table(tmp_path / table)["source"].to_pylist() == [os.fsdecode(written)]
        else:
            assert written in (tmp_path / table).read_bytes()


def test_a_crop_of_no_pixels_is_not_asked_for(tmp_path, capsys):
    Image.new("L", (48, 48), 90).save(tmp_path / "p.png")
    for command in (["predict", str(tmp_path / "p.png")], ["serve", "--port", "0"]):
        for margin in ("-0.6", "nan", "inf"):
            assert main([*command, "--model", "mien:tiny", f"--margin={margin}"]) == 2
            assert f"margin {margin}: give the share of a face's side" in capsys.readouterr().err
