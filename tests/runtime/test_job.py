"""Folders and films read from Python: the same tables and drawings as on the command line, and the answers."""

import os

import numpy as np
import pytest
from PIL import Image

import mien
from mien.cli import main
from mien.errors import DataError, MissingError, UsageError
from mien.preprocessing import Preprocessing
from mien.runtime import Reader
from mien.runtime.network import Prediction


@pytest.fixture(scope="module")
def reader():
    return mien.load("mien:tiny", threads=1)


@pytest.fixture
def folder(tmp_path):
    """Three faces already cut out, and a file that is no picture."""
    root = tmp_path / "faces"
    root.mkdir()
    for number in range(3):
        grey = np.random.default_rng(number).integers(0, 256, (48, 48), dtype=np.uint8)
        Image.fromarray(grey).save(root / f"{number}.png")
    (root / "torn.png").write_bytes(b"\x89PNG")
    return root


def test_a_folders_faces_are_those_of_its_pictures(reader, folder):
    done = reader.read_folder(folder, detect=False)
    paths = [folder / f"{number}.png" for number in range(3)]
    assert done.faces == dict(zip(paths, reader.read(paths, detect=False), strict=True))
    assert (done.pictures, done.found, done.held) == (3, 3, 0)
    assert done.unsure == sum(not face.sure for (face,) in done.faces.values())
    assert list(done.bad) == [folder / "torn.png"]
    assert "cannot be read as an image" in done.bad[folder / "torn.png"]


def test_a_folders_table_is_the_commands_and_goes_on(reader, folder, tmp_path):
    assert main(["predict", str(folder), "--model", "mien:tiny", "--no-detect", "--out", str(tmp_path / "c.csv")]) == 4
    done = reader.read_folder(str(folder), out=str(tmp_path / "p.csv"), draw=tmp_path / "drawn", detect=False)
    assert (tmp_path / "p.csv").read_bytes() == (tmp_path / "c.csv").read_bytes()
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == [f"{i}.png.png" for i in range(3)]
    assert not done.faces
    again = reader.read_folder(folder, out=tmp_path / "p.csv", detect=False)
    assert (again.pictures, again.held) == (0, 3)


def test_each_is_called_with_every_picture_instead(reader, folder):
    seen = {}
    assert not reader.read_folder(folder, detect=False, each=seen.__setitem__).faces
    assert seen == reader.read_folder(folder, detect=False).faces


def test_faces_are_looked_for_where_a_class_is_an_expression(reader, folder):
    assert reader.detects
    assert reader.read_folder(folder).found == 0  # noise shows no face


def test_pictures_of_other_classes_are_read_whole(folder):
    class Colours:
        labels, threshold, sets = ("dark", "bright"), 0.0, None
        preprocessing = Preprocessing()

        def predict(self, pixels):
            return [Prediction(np.array([0.25, 0.75]))] * len(pixels)

    whole = Reader(Colours())
    assert not whole.detects
    assert [face.box for face in whole.read(folder / "0.png")] == [(0, 0, 48, 48)]
    assert whole.read_folder(folder).found == 3


def test_a_films_faces_by_the_second(reader, film, tmp_path):
    done = reader.read_video(film, every=0.5, detect=False, draw=tmp_path / "drawn")
    assert [round(seconds, 2) for seconds in done.faces] == [0.0, 0.5, 1.0, 1.5]
    assert [tracked.number for faces in done.faces.values() for tracked in faces] == [1] * 4
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == [
        *("film-faces.mp4", "film-faces.png", "film-frames.png")
    ]


def test_a_films_table_is_not_written_twice(reader, film, tmp_path):
    seen = []
    done = reader.read_video(film, every=0.5, detect=False, out=tmp_path / "film.csv", each=seen.append)
    assert (done.frames, done.held, len(seen)) == (4, None, 4)
    written = (tmp_path / "film.csv").read_bytes()
    again = reader.read_video(film, every=0.5, detect=False, out=tmp_path / "film.csv")
    assert (again.frames, again.held) == (0, 1.5)
    assert (tmp_path / "film.csv").read_bytes() == written


def test_a_pipe_among_pictures_is_not_waited_for(reader, folder):
    os.mkfifo(folder / "a.png")
    (folder / "b.png").symlink_to("nowhere")
    done = reader.read_folder(folder, detect=False)
    assert done.pictures == 3
    assert folder / "b.png" in done.bad


def test_what_is_asked_in_vain(reader, folder, tmp_path):
    with pytest.raises(MissingError, match=r"none: there is no such file or folder"):
        reader.read_folder(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty holds no pictures"):
        reader.read_folder(tmp_path / "empty")
    with pytest.raises(UsageError, match=r"a table ends in \.csv, \.parquet or \.jsonl"):
        reader.read_folder(folder, out="faces.xlsx")
    with pytest.raises(UsageError, match=r"`every` 0: give the seconds between two frames"):
        reader.read_video(folder / "film.avi", every=0)
