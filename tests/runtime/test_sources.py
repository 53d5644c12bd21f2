"""What everybody types: several sources, a list on stdin, JSON Lines, no model's name."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

import mien
from mien.cli import main, sources
from mien.errors import DataError, MissingError, UsageError


@pytest.fixture(scope="module")
def reader():
    return mien.load(threads=1)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """one/a.png, one/b.png, two/a.png: faces already cut out."""
    for number, name in enumerate(("one/a.png", "one/b.png", "two/a.png")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        grey = np.random.default_rng(number).integers(0, 256, (48, 48), dtype=np.uint8)
        Image.fromarray(grey).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(capsys, *words, code=0):
    assert main(["predict", *words, "--model", "mien:tiny", "--no-detect"]) == code
    out, err = capsys.readouterr()
    return out.splitlines(), err


def names(lines):
    return [json.loads(line)["source"] for line in lines]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (["one/a.png", "two/a.png"], ["one/a.png", "two/a.png"]),
        (["two", "one/b.png"], ["two/a.png", "one/b.png"]),
        (["one", "one/a.png"], ["one/a.png", "one/b.png"]),
        (["*/a.png"], ["one/a.png", "two/a.png"]),
        (["one/a.png", "one/a.png"], ["one/a.png"]),
    ],
)
def test_several_sources(photos, capsys, typed, found):
    lines, _ = read(capsys, *typed, "--json")
    assert names(lines) == found


@pytest.mark.parametrize("text", ["one/a.png\ntwo/a.png\n", "\none/a.png\r\n\ntwo/a.png", "one/a.png\0two/a.png\0"])
def test_a_list_on_stdin(photos, capsys, monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    lines, _ = read(capsys, "-", "--json")
    assert names(lines) == ["one/a.png", "two/a.png"]


def test_names_on_stdin_may_have_what_else_ends_a_line(photos, capsys, monkeypatch):
    odd = "one/\u2028\x85\x0b.png"
    Image.new("L", (48, 48), 90).save(odd)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{odd}\n".encode())))
    lines, _ = read(capsys, "-", "--json")
    assert names(lines) == [odd]


@pytest.mark.parametrize(
    ("typed", "stdin", "code", "sentence"),
    [
        ([], "", 2, "What is to be read? Give pictures, folders, a video or 'camera'"),
        (["-"], "\n", 3, "The list on stdin is empty"),
        (["*.gif"], "", 3, "*.gif: no file has such a name"),
        (["none.png"], "", 3, "none.png: there is no such file or folder"),
        (["none.png", "none.jpg"], "", 3, "none.png: there is no such file or folder"),
        (["one", "none.png"], "", 4, "1 of 3 pictures could not be read; the first: none.png: there is no such file"),
        (["camera", "one"], "", 2, "'camera' shows pictures until Ctrl-C, so it stands alone"),
        (["one", "none.avi"], "", 3, "none.avi"),
        (["one", "--out", "faces.txt"], "", 2, "--out faces.txt: a table ends in .csv, .parquet or .jsonl"),
    ],
)
def test_sources_that_cannot_be_read(photos, capsys, monkeypatch, typed, stdin, code, sentence):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
    lines, err = read(capsys, *typed, code=code)
    assert sentence in " ".join(err.split())
    read_all_the_same = typed[:1] == ["one"] and "--out" not in typed
    assert len(lines) == (2 if read_all_the_same else 0)


def test_no_model_is_the_one_of_predict(reader):
    assert reader.network.labels == mien.load("mien:base").network.labels


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "HEIC", "MP4"])
def test_bytes_are_read_as_their_file_is(reader, tmp_path, kind):
    content = io.BytesIO()
    if kind in ("HEIC", "MP4"):
        content.write(b"\0\0\0\x18ftyp" + (b"heic" if kind == "HEIC" else b"isom") + bytes(90))
    else:
        frames = [Image.new("L", (48, 48), grey) for grey in (9, 200)]
        frames[0].save(content, kind, save_all=True, append_images=frames[1:])
    (tmp_path / "file").write_bytes(content.getvalue())
    told = []
    for each in (tmp_path / "file", content.getvalue()):
        try:
            told.append(reader.read(each, detect=False)[0].to_dict())
        except DataError as error:
            told.append(str(error).partition(" cannot be read as an image ")[2])
    assert told[0] == told[1] != ""


def test_json_lines_go_on(reader, photos, capsys):
    lines, _ = read(capsys, "one", "--json")
    read(capsys, "one/a.png", "--out", "faces.jsonl")
    table = photos / "faces.jsonl"
    with table.open("a") as file:
        file.write('{"source": "one/b.p')  # killed while it wrote
    read(capsys, "one", "--out", "faces.jsonl")
    assert table.read_text().splitlines() == lines
    table.write_text(lines[0] + "\n[1]\n")
    with pytest.raises(DataError, match=r"faces\.jsonl is damaged in line 2\. Repair it"):
        reader.read_folder("one", out="faces.jsonl", detect=False)
    table.write_text(lines[0].replace("happy", "glad") + "\n")
    with pytest.raises(DataError, match="is there and no table of this model's"):
        reader.read_folder("one", out="faces.jsonl", detect=False)


def test_pictures_of_one_name_are_drawn_apart(reader, photos):
    reader.read_folder(["one/a.png", "two"], detect=False, draw="drawn")
    drawn = sorted(str(path.relative_to(photos / "drawn")) for path in (photos / "drawn").rglob("*.png"))
    assert drawn == ["one/a.png.png", "two/a.png.png"]


def test_an_empty_list(reader):
    with pytest.raises(UsageError, match="the list is empty"):
        reader.read_folder([])
    with pytest.raises(MissingError, match="there is no such file or folder"):
        reader.read_folder(["nowhere"])
    with pytest.raises(UsageError, match="What is to be read"):
        sources.listed([])
