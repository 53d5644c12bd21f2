"""A drawn video with two moving faces that a fake detector finds, and films that are none."""

import csv
import json

import cv2
import numpy as np
import pytest
from fake_faces import FakeNetwork, TwoBoxes, face

from mien.errors import DataError, MissingError, UsageError
from mien.runtime import Reader
from mien.runtime.film.length import missing_bytes
from mien.runtime.film.video import Follower, is_video, moments, overlap
from mien.runtime.sets import PredictionSets


@pytest.fixture
def reader():
    return Reader(FakeNetwork(), TwoBoxes())


def test_frames_at_a_steady_pace_and_faces_that_keep_their_numbers(reader, film):
    read = list(moments(reader, film, every=0.2, detect=True))
    assert [round(moment.seconds, 3) for moment in read] == [round(0.2 * i, 3) for i in range(10)]
    assert [[tracked.number for tracked in moment.faces] for moment in read] == [[1]] * 4 + [[1, 2]] * 6
    assert read[0].image.shape == (120, 160, 3)


def test_probabilities_are_smoothed_by_hand():
    follow = Follower(threshold=0.7)
    follow.step([face((0, 0, 10, 10), 1.0)])
    (second,) = follow.step([face((1, 0, 10, 10), 0.0)])
    assert second.number == 1
    assert second.face.probabilities == pytest.approx({"bright": 0.6, "dark": 0.4})
    assert (second.face.label, second.face.confidence, second.face.sure) == ("bright", pytest.approx(0.6), False)
    (far,) = follow.step([face((50, 50, 10, 10), 0.0)])
    assert (far.number, far.face.probabilities["dark"]) == (2, 1.0)


def test_the_set_is_that_of_the_smoothed_probabilities():
    follow = Follower(threshold=0.7, sets=PredictionSets(0.9, (0.5, 0.5)))
    follow.step([face((0, 0, 10, 10), 1.0)])
    (second,) = follow.step([face((1, 0, 10, 10), 0.0)])  # .6 and .4
    assert second.face.prediction_set == ("bright",)
    wide = Follower(threshold=0.7, sets=PredictionSets(0.9, (0.3, 0.3)))
    wide.step([face((0, 0, 10, 10), 0.0)])
    (second,) = wide.step([face((1, 0, 10, 10), 1.0)])  # .4 and .6
    assert second.face.prediction_set == ("dark", "bright")


def test_overlap_by_hand():
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert overlap((0, 0, 10, 10), (10, 0, 10, 10)) == 0.0


@pytest.fixture
def cut(film, tmp_path):
    """The first three fifths of the film's bytes."""
    path = tmp_path / "cut.avi"
    content = film.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.6)])
    return path


def test_a_broken_tail_keeps_what_comes_before(reader, cut):
    read = []
    with pytest.raises(DataError, match=r"cut\.avi is cut off: [\d,]+ bytes are missing at its end\. Its \d+ frames"):
        read.extend(moments(reader, cut, every=0.1, detect=True))
    assert 3 <= len(read) < 20


def test_the_commands_exit_code_and_table_of_a_broken_tail(cut, tmp_path, capsys, monkeypatch):
    import mien.runtime
    from mien.cli import main

    monkeypatch.setattr(mien.runtime, "load", lambda *_, **__: Reader(FakeNetwork(), TwoBoxes()))
    out, drawn = tmp_path / "faces.csv", tmp_path / "drawn"
    assert main(["predict", str(cut), "--detect", "--every", "0.1", "--out", str(out), "--draw", str(drawn)]) == 4
    assert "take another copy" in capsys.readouterr().err.replace("\n", " ")
    assert len(out.read_text().splitlines()) > 3
    assert {path.name for path in drawn.iterdir()} == {"cut-faces.mp4", "cut-faces.png", "cut-frames.png"}


def test_a_whole_film_with_fewer_frames_than_it_says_is_no_damage(reader, film, monkeypatch):
    """As of a screen recorder, which leaves out what does not change, or of a film that was trimmed."""
    monkeypatch.setattr(cv2, "VideoCapture", promising(300))
    assert len(list(moments(reader, film, every=0.1, detect=True))) == 20


@pytest.mark.parametrize(("ending", "codec"), [("avi", "MJPG"), ("mkv", "MJPG"), ("mp4", "mp4v")])
def test_what_a_film_lacks_at_its_end(tmp_path, ending, codec):
    whole, cut = tmp_path / f"whole.{ending}", tmp_path / f"cut.{ending}"
    writer = cv2.VideoWriter(str(whole), cv2.VideoWriter.fourcc(*codec), 10, (160, 120))
    for number in range(20):
        writer.write(np.full((120, 160, 3), 5 * number + 40, np.uint8))
    writer.release()
    assert missing_bytes(whole) == 0
    cut.write_bytes(whole.read_bytes()[:-7])
    assert missing_bytes(cut) == 7


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        (b"", 0),
        (b"junk", 0),
        (b"RIFF" + (20).to_bytes(4, "little") + b"AVI ", 16),
        (b"\x1a\x45\xdf\xa3", 0),  # ends before it says anything
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x01" + bytes([255] * 7), 0),  # a length that is unknown
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x40\x05xyz", 2),  # a length of two bytes
        (b"\0\0\0\x0cftypabcd\0\0\0\x01mdat" + (21).to_bytes(8, "big") + b"xyz", 2),  # a length of 64 bits
        (b"\0\0\0\x0cftypabcd\0\0\0\0mdatxyz", 0),  # to the end of the file
    ],
)
def test_containers_by_hand(tmp_path, content, missing):
    (tmp_path / "film").write_bytes(content)
    assert missing_bytes(tmp_path / "film") == missing


def test_frames_have_their_own_time(reader, film, monkeypatch):
    """One a second for five seconds, then none for five: the pace starts anew after the gap."""

    class Uneven:
        def __init__(self, path, capture=cv2.VideoCapture):
            self.film, self.number = capture(path), -1
            self.retrieve, self.release = self.film.retrieve, self.film.release

        def grab(self):
            self.number += 1
            return self.film.grab()

        def get(self, what):
            second = self.number if self.number < 5 else self.number + 5
            return 1000.0 * second if what == cv2.CAP_PROP_POS_MSEC else self.film.get(what)

    monkeypatch.setattr(cv2, "VideoCapture", Uneven)
    seconds = [moment.seconds for moment in moments(reader, film, every=2, detect=True)]
    assert seconds[:6] == [0, 2, 4, 10, 12, 14]


def promising(frames):
    """A VideoCapture of files that say that they have so many frames."""

    class Promising:
        def __init__(self, path, capture=cv2.VideoCapture):
            self.film = capture(path)
            self.grab, self.retrieve, self.release = self.film.grab, self.film.retrieve, self.film.release

        def get(self, what):
            return frames if what == cv2.CAP_PROP_FRAME_COUNT else self.film.get(what)

    return Promising


def test_frames_beyond_the_promised_number_are_read(reader, film, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", promising(5))
    assert len(list(moments(reader, film, every=0.1, detect=True))) == 20


def test_what_is_no_film(reader, tmp_path):
    with pytest.raises(MissingError, match="there is no such video file"):
        list(moments(reader, tmp_path / "none.mp4"))
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(DataError, match=r"text\.mp4 has no frames that can be read as a video"):
        list(moments(reader, tmp_path / "text.mp4"))
    with pytest.raises(UsageError, match=r"`every` 0: give the seconds"):
        list(moments(reader, tmp_path / "text.mp4", every=0))
    with pytest.raises(MissingError, match=r"camera:97: there is no camera 97, or another program uses it"):
        list(moments(reader, "camera:97"))
    with pytest.raises(UsageError, match=r"camera:x: a camera is 'camera', or 'camera:1'"):
        list(moments(reader, "camera:x"))
    assert is_video("camera")
    assert is_video("a.MP4")
    assert not is_video("a.jpg")
    assert not is_video("camera/a.jpg")
    assert not is_video("camera1")


def test_the_commands_lines(film, tmp_path, capsys, monkeypatch):
    import mien.runtime
    from mien.cli import main

    monkeypatch.setattr(mien.runtime, "load", lambda *_, **__: Reader(FakeNetwork(), TwoBoxes()))
    command = ["predict", str(film), "--every", "0.5s"]
    assert main([*command, "--json", "--draw", str(tmp_path / "drawn")]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["seconds"] for row in rows] == [0.0, 0.5, 1.0, 1.5]
    assert rows[0]["faces"][0]["track"] == 1
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == [
        *("film-faces.mp4", "film-faces.png", "film-frames.png")
    ]
    assert main([*command, "--out", str(tmp_path / "faces.csv")]) == 0
    written = (tmp_path / "faces.csv").read_text()
    assert written.splitlines()[0].startswith("source,seconds,face,x,y")
    assert main([*command, "--out", str(tmp_path / "faces.csv")]) == 0
    assert (tmp_path / "faces.csv").read_text() == written
    assert f"{film} was in it already" in capsys.readouterr().out


def test_a_film_that_is_not_there_leaves_nothing_behind(tmp_path, capsys, monkeypatch):
    from mien.cli import main

    monkeypatch.chdir(tmp_path)
    for source in (str(tmp_path / "none.mp4"), "videos/none.mp4"):
        assert main(["predict", source, "--draw", "drawn"]) == 3
        assert f"{source}: there is no such video file" in capsys.readouterr().err.replace("\n", "")
    assert list(tmp_path.iterdir()) == []


class Stopped(TwoBoxes):
    """The person has seen enough after two frames."""

    def detect(self, image):
        if self.calls == 2:
            raise KeyboardInterrupt
        return super().detect(image)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_film_that_was_stopped_goes_on(film, tmp_path, capsys, monkeypatch, ending):
    import mien.runtime
    from mien.cli import main
    from mien.runtime.table import open_table

    out, drawn, whole = tmp_path / f"faces.{ending}", tmp_path / "drawn", tmp_path / f"whole.{ending}"
    command = ["predict", str(film), "--detect", "--every", "0.3", "--draw", str(drawn), "--out"]
    monkeypatch.setattr(mien.runtime, "load", lambda *_, **__: Reader(FakeNetwork(), Stopped()))
    assert main([*command, str(out)]) == 130
    monkeypatch.setattr(mien.runtime, "load", lambda *_, **__: Reader(FakeNetwork(), TwoBoxes()))
    for table in (out, whole):
        assert main([*command, str(table)]) == 0
    for table in (out, whole):
        with open_table(table, FakeNetwork.labels).rows.open() as file:
            seconds = [float(row["seconds"]) for row in csv.DictReader(file) if row["face"] == "1"]
        assert seconds == [0, 0.3, 0.6, 0.9, 1.2, 1.5, 1.8]
    assert {path.stem for path in drawn.iterdir()} == {
        *("film-faces", "film-frames", "film-after-0.30s-faces", "film-after-0.30s-frames")
    }
    capsys.readouterr()
    assert main([*command, str(out)]) == 0
    assert capsys.readouterr().out.strip() == f"{out}  {film} was in it already"
