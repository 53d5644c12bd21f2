"""`mien predict` of pictures and folders of them: tables, drawings, exit codes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mien.cli import main
from mien.errors import DataError
from mien.runtime.seal import seal
from mien.runtime.table import Table


def test_predict_a_folder_with_one_bad_file(finished, faces, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, face in enumerate(faces):
        Image.fromarray(face).save(folder / f"{number}.png")
    (folder / "bad.jpg").write_text("x")
    command = ["predict", str(folder), "--model", str(finished), "--no-detect"]
    assert main([*command, "--json", "--out", str(tmp_path / "beside.csv")]) == 4
    printed = capsys.readouterr()
    assert "beside.csv  5 faces in 5 pictures, " in printed.err  # stdout is JSON alone
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [row["source"] for row in rows] == [str(folder / f"{number}.png") for number in range(5)]
    assert "1 of 6 pictures could not be read" in printed.err
    assert main([*command, "--out", str(tmp_path / "faces.csv")]) == 4
    table = (tmp_path / "faces.csv").read_text()
    assert table.count("\n") == 6
    assert "faces.csv  5 faces in 5 pictures, " in capsys.readouterr().out
    assert main([*command, "--out", str(tmp_path / "faces.csv")]) == 4  # what is in the table is not read again
    assert (tmp_path / "faces.csv").read_text() == table
    (folder / "bad.jpg").unlink()
    capsys.readouterr()
    assert main([*command, "--out", str(tmp_path / "faces.csv")]) == 0
    assert capsys.readouterr().out.strip() == f"{tmp_path / 'faces.csv'}  5 pictures were in it already"


def test_one_face_is_no_plural_and_no_face_no_table(tmp_path, capsys):
    """On grey noise, with the network that comes with mien."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "p.png")
    assert main(["predict", str(tmp_path / "p.png"), "--no-detect", "--out", str(tmp_path / "t.csv")]) == 0
    assert "t.csv  1 face in 1 picture, " in capsys.readouterr().out
    Image.new("L", (48, 48)).save(tmp_path / "black.png")
    for flags, hinted in ((["--no-detect"], True), ([], False)):
        assert main(["predict", str(tmp_path / "black.png"), *flags]) == 0
        assert ("As a table:" in capsys.readouterr().err) == hinted
    assert main(["predict", str(tmp_path / "p.png"), "--out", str(tmp_path / "t.txt")]) == 2
    assert r"t.txt: a table ends in .csv, .parquet or .jsonl" in capsys.readouterr().err
    assert not (tmp_path / "t.txt").exists()


def test_a_model_of_other_things_reads_whole_pictures(finished, tmp_path, capsys):
    import onnx

    model = onnx.load(finished / "model.onnx")
    values = json.loads(model.metadata_props[-1].value)
    del model.metadata_props[:], values["fingerprint"]
    values["labels"] = [f"animal {number}" for number in range(len(values["labels"]))]
    animals = tmp_path / "animals.onnx"
    animals.write_bytes(seal(model.SerializeToString(), values))
    picture = tmp_path / "grey.png"
    Image.new("L", (60, 50), 99).save(picture)
    command = ["predict", str(picture), "--model", str(animals)]
    assert main([*command, "--json"]) == 0
    (seen,) = json.loads(capsys.readouterr().out)["faces"]
    assert seen["box"] == [0, 0, 60, 50]
    assert seen["most_probable"].startswith("animal ")
    assert main([*command, "--out", str(tmp_path / "t.csv")]) == 0
    assert "t.csv  1 picture, " in capsys.readouterr().out
    assert main([*command, "--detect"]) == 0
    assert "no face" in capsys.readouterr().out
    assert main(["predict", str(picture), "--model", str(finished)]) == 0  # its classes are expressions
    out, err = capsys.readouterr()
    assert "no face" in out
    assert "If the pictures are faces already: --no-detect" in err


def test_pictures_with_boxes_and_bars(finished, faces, tmp_path):
    Image.fromarray(faces[0]).resize((200, 150)).save(tmp_path / "p.png")
    command = ["predict", str(tmp_path / "p.png"), "--model", str(finished), "--no-detect"]
    assert main([*command, "--draw", str(tmp_path / "drawn")]) == 0
    with Image.open(tmp_path / "drawn" / "p.png.png") as drawn:
        assert drawn.height > 150
        assert drawn.getpixel((0, 75)) == (42, 111, 219)  # the box


def test_a_table_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"mine\.csv is there and no table of this model's"):
        Table(tmp_path / "mine.csv", ("x",))
    assert (tmp_path / "mine.csv").read_text() == "a,b\n1,2\n"


def test_nothing_there(finished, tmp_path, capsys):
    missing = (tmp_path / "none.jpg", 3, "there is no such file or folder")
    for source, code, text in (missing, (tmp_path, 4, "holds no pictures")):
        assert main(["predict", str(source), "--model", str(finished)]) == code
        assert text in capsys.readouterr().err


def test_prediction_needs_no_torch(finished, faces, tmp_path):
    Image.fromarray(faces[0]).save(tmp_path / "p.png")
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['lightning'] = None\n"
        "from mien.cli import main\n"
        f"sys.exit(main(['predict', {str(tmp_path / 'p.png')!r}, '--model', {str(finished)!r}, '--no-detect']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "p.png" in done.stdout


def test_drawings_never_replace_pictures_or_each_other(finished, faces, tmp_path, capsys):
    for name in ("happy/1.png", "sad/1.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        Image.fromarray(faces[0]).save(tmp_path / "photos" / name)
    command = ["predict", str(tmp_path / "photos"), "--model", str(finished), "--no-detect", "--draw"]
    assert main([*command, str(tmp_path / "drawn")]) == 0
    assert len(list((tmp_path / "drawn").rglob("*.png"))) == 2
    before = (tmp_path / "photos" / "happy" / "1.png").read_bytes()
    assert main([*command, str(tmp_path / "photos")]) == 2
    assert "holds the pictures themselves" in capsys.readouterr().err
    assert (tmp_path / "photos" / "happy" / "1.png").read_bytes() == before


@pytest.mark.parametrize("stem", ["é" * 124, "x" * 250])
def test_a_name_too_long_for_another_ending_is_cut_and_stays_its_own(finished, faces, tmp_path, stem):
    photos, drawn = tmp_path / "photos", tmp_path / "drawn"
    photos.mkdir()
    for name in (f"{stem}1.png"[-254:], f"{stem[1:]}21.png"[-254:], "short.png"):
        Image.fromarray(faces[0]).save(photos / name)
    assert main(["predict", str(photos), "--model", str(finished), "--no-detect", "--draw", str(drawn)]) == 0
    written = sorted(path.name for path in drawn.iterdir())
    assert len(written) == 3
    assert "short.png.png" in written
    assert max(len(os.fsencode(name)) for name in written) == 255
    for path in drawn.iterdir():
        Image.open(path).verify()


@pytest.mark.skipif(os.name == "nt", reason="has no such device")
def test_a_drawing_that_cannot_be_written_leaves_nothing_and_says_so(finished, faces, tmp_path, monkeypatch, capsys):
    Image.fromarray(faces[0]).save(tmp_path / "1.png")

    def full(picture, file, *how):
        file.write(b"half of a picture")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    command = ["predict", str(tmp_path / "1.png"), "--model", str(finished), "--no-detect", "--draw"]
    assert main([*command, str(tmp_path / "drawn")]) == 1
    assert "1.png.png failed: No space left on device. Free some space" in capsys.readouterr().err.replace("\n", " ")
    assert list((tmp_path / "drawn").iterdir()) == []


def test_a_table_with_only_its_header_goes_on(tmp_path):
    Table(tmp_path / "t.csv", ("x",)).close()
    again = Table(tmp_path / "t.csv", ("x",))
    again.add("a\udce9.jpg", [])
    assert (tmp_path / "t.csv").read_bytes().count(b"source") == 1
    assert again.known == {}
    again.close()
    assert Table(tmp_path / "t.csv", ("x",)).known == {"a\udce9.jpg": 0}
