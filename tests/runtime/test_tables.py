"""Pictures that cannot be read among others, and tables that are continued."""

import csv
import io
import os
import sys
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from mien.cells import cell, words_of
from mien.cli import main
from mien.errors import DataError, UsageError
from mien.runtime.reader import Face, opened
from mien.runtime.table import ParquetTable, Table, open_table


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
    table.close()
    for end in range(len(one) + 1, len(two)):
        table.path.write_bytes(two[:end])
        again = Table(table.path, ("x",))
        if not two[:end].endswith(b"\n"):
            assert (again.reached("a.png"), again.reached("b.png")) == (0, None)
            again.add("b.png", [])
        assert table.path.read_bytes() == two
        again.close()
    foreign = tmp_path / "mine.csv"
    foreign.write_text("a,b\n1,2")
    with pytest.raises(DataError, match=r"mine\.csv is there and no table of this model's"):
        Table(foreign, ("x",))
    assert foreign.read_text() == "a,b\n1,2"


def test_a_picture_of_which_some_rows_are_missing_is_read_again_whole(tmp_path):
    labels, path = ("x", "=1+1"), tmp_path / "t.csv"
    shares = dict.fromkeys(labels, 0.5)
    faces = [
        SimpleNamespace(box=(n, 0, 9, 9), confidence=0.5, probabilities=shares, prediction_set=labels) for n in "12"
    ]
    for face in faces:
        face.to_dict = lambda: {"label": "=1+1"}
    names = ("a.png", 'b"\r\n.png', "=b.png")
    with closing(Table(path, labels)) as table:
        sizes = [path.stat().st_size]
        for name in names:
            table.add(name, faces)
            sizes.append(path.stat().st_size)
    whole = path.read_bytes()
    assert b"\n'=b.png" in whole  # a spreadsheet would run it
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        done = sum(size <= end for size in sizes)
        with closing(Table(path, labels)) as table:
            held = [name for name in names if table.reached(name) is not None]
            if whole[end - 1 : end] != b"\n":  # cut between two rows, nothing shows that one is missing
                assert held == list(names[: max(0, done - 1)])
            for name in names:
                if name not in held:
                    table.add(name, faces)
        if whole[end - 1 : end] != b"\n":  # cut between two rows, nothing shows that one is missing
            assert path.read_bytes() == whole, end


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_two_at_once_do_not_write_one_table(tmp_path, ending):
    path = tmp_path / f"t.{ending}"
    with closing(open_table(path, ["x"])) as table:
        table.add("a.png", [])
        with pytest.raises(UsageError, match=f"Another process is writing .*t.{ending}. Wait for it, or choose"):
            open_table(path, ["x"])
        table.add("b.png", [])
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    with closing(open_table(path, ["x"])) as table:  # of Parquet it is taken up again from the file
        assert table.known == {"a.png": 0, "b.png": 0}
        with pytest.raises(UsageError, match="Another process is writing"):
            open_table(path, ["x"])
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_classes_that_are_called_as_columns_are(tmp_path, ending):
    """A network may tell faces from none, or letters."""
    labels = ("face", "x", "source", "none")
    answer = Face((0, 0, 9, 9), "face", dict(zip(labels, (0.4, 0.3, 0.2, 0.1), strict=True)), 0.4, True, ("face",))
    for name in ("a.png", "b.png"):  # the second time it is continued
        with closing(open_table(tmp_path / f"t.{ending}", labels)) as table:
            assert table.reached("a.png") == (None if name == "a.png" else 0)
            table.add(name, [answer])
    if ending == "csv":
        rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    elif ending == "parquet":
        rows = pyarrow.parquet.read_table(tmp_path / "t.parquet").to_pylist()
    else:
        return
    assert [row["source"] for row in rows] == ["a.png", "b.png"]
    row = rows[1]
    assert (int(row["face"]), float(row["x"]), float(row["probability of face"])) == (1, 0, 0.4)
    assert (float(row["probability of x"]), float(row["probability of source"]), float(row["none"])) == (0.3, 0.2, 0.1)


def test_a_foreign_parquet_file_is_left_alone(tmp_path):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"mine")
    with pytest.raises(DataError, match="no table of this model's"):
        open_table(path, ["x"])
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"mine"]


def test_what_a_start_leaves_that_was_killed_at_once_does_not_block_the_next(tmp_path):
    header = b"source,seconds,face,x,y,width,height,label,confidence,happy,prediction_set\r\n"
    for end in range(len(header)):
        for name, rows in (("t.csv", "t.csv"), ("t.parquet", ".t.parquet.csv")):
            (tmp_path / "t.parquet").unlink(missing_ok=True)
            (tmp_path / rows).write_bytes(header[:end])
            open_table(tmp_path / name, ["happy"]).close()
    assert (tmp_path / "t.csv").read_bytes() == header


@pytest.mark.parametrize("word", ["=1+1", "'=1", "''+x", "-x", "@a", "\tb", "\rc", "'d", "", "e=", "＋f", "it's"])
def test_words_in_cells_come_back_as_they_were(word):
    written = cell(word)
    assert words_of(written) == word
    assert not written.startswith(tuple("=+-@\t\r\n＝＋－＠"))


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
