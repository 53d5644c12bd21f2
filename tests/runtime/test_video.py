"""A drawn video with two moving faces that a fake detector finds, and films that are none."""

import csv
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from mien.errors import DataError, MissingError, UsageError
from mien.runtime import Reader
from mien.runtime.reader import Face
from mien.runtime.timeline import Film, Timeline
from mien.runtime.video import Follower, is_video, overlap, read_video


class TwoBoxes:
    """Finds one face at the left, and from the fifth call on another at the right."""

    def __init__(self):
        self.calls = 0

    def detect(self, image):
        self.calls += 1
        boxes = [(10 + self.calls, 20, 40, 40), (100, 20 + self.calls, 30, 30)]
        return boxes if self.calls >= 5 else boxes[:1]


class FakeNetwork:
    """Probabilities that depend on the brightness of the crop."""

    labels, threshold = ("dark", "bright"), 0.6

    class preprocessing:  # noqa: N801
        @staticmethod
        def pixels(image):
            return np.asarray(image.convert("L").resize((4, 4)))[None]

    def probabilities(self, pixels):
        bright = pixels.reshape(len(pixels), -1).mean(1) / 255
        return np.stack([1 - bright, bright], 1)


@pytest.fixture
def reader():
    return Reader(FakeNetwork(), TwoBoxes())


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for number in range(20):
        writer.write(np.full((120, 160, 3), 5 * number + 40, np.uint8))
    writer.release()
    return path


def face(box, bright, threshold=0.0):
    label = "bright" if bright > 0.5 else "dark"
    confidence = max(bright, 1 - bright)
    return Face(box, label, {"dark": 1 - bright, "bright": bright}, confidence, confidence >= threshold)


def test_frames_at_a_steady_pace_and_faces_that_keep_their_numbers(reader, film):
    moments = list(read_video(reader, film, every=0.2))
    assert [round(moment.seconds, 3) for moment in moments] == [round(0.2 * i, 3) for i in range(10)]
    assert [[tracked.number for tracked in moment.faces] for moment in moments] == [[1]] * 4 + [[1, 2]] * 6
    assert moments[0].image.shape == (120, 160, 3)


def test_probabilities_are_smoothed_by_hand():
    follow = Follower(threshold=0.7)
    follow.step([face((0, 0, 10, 10), 1.0)])
    (second,) = follow.step([face((1, 0, 10, 10), 0.0)])
    assert second.number == 1
    assert second.face.probabilities == pytest.approx({"bright": 0.6, "dark": 0.4})
    assert (second.face.label, second.face.confidence, second.face.sure) == ("bright", pytest.approx(0.6), False)
    (far,) = follow.step([face((50, 50, 10, 10), 0.0)])
    assert (far.number, far.face.probabilities["dark"]) == (2, 1.0)


def test_overlap_by_hand():
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert overlap((0, 0, 10, 10), (10, 0, 10, 10)) == 0.0


def test_a_film_and_a_timeline_are_drawn(reader, film, tmp_path):
    drawn, timeline = Film(tmp_path / "out.mp4"), Timeline()
    for moment in read_video(reader, film, every=0.2):
        drawn.add(moment)
        timeline.add(moment)
    drawn.close()
    timeline.save(tmp_path / "out.png")
    capture = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    assert (capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)) == (10, 5)
    with Image.open(tmp_path / "out.png") as image:
        colours = {colour for _, colour in image.getcolors(100_000)}
        assert {(213, 94, 0), (0, 158, 115)} <= colours  # both classes' bars


def test_a_broken_tail_keeps_what_comes_before(reader, film, tmp_path, capsys):
    content = film.read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(content[: int(len(content) * 0.6)])
    moments = list(read_video(reader, cut, every=0.1))
    assert 3 <= len(moments) < 20


def test_frames_beyond_the_promised_number_are_read(reader, film, monkeypatch):
    class Promising:
        def __init__(self, path, capture=cv2.VideoCapture):
            self.film = capture(path)
            self.grab, self.retrieve, self.release = self.film.grab, self.film.retrieve, self.film.release

        def get(self, what):
            return 5.0 if what == cv2.CAP_PROP_FRAME_COUNT else self.film.get(what)

    monkeypatch.setattr(cv2, "VideoCapture", Promising)
    assert len(list(read_video(reader, film, every=0.1))) == 20


def test_a_drawn_film_is_no_faster_than_the_film(reader, film, tmp_path):
    """However many frames a second are asked for, there are ten of them."""
    drawn = Film(tmp_path / "out.mp4")
    for moment in read_video(reader, film, every=0.01):
        drawn.add(moment)
    drawn.close()
    assert cv2.VideoCapture(str(tmp_path / "out.mp4")).get(cv2.CAP_PROP_FPS) == 10


def test_what_is_no_film(reader, tmp_path):
    with pytest.raises(MissingError, match="there is no such video file"):
        list(read_video(reader, tmp_path / "none.mp4"))
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(DataError, match=r"text\.mp4 has no frames that can be read as a video"):
        list(read_video(reader, tmp_path / "text.mp4"))
    with pytest.raises(UsageError, match=r"--every 0: give the seconds"):
        list(read_video(reader, tmp_path / "text.mp4", every=0))
    with pytest.raises(MissingError, match=r"camera:97: there is no camera 97, or another program uses it"):
        list(read_video(reader, "camera:97"))
    with pytest.raises(UsageError, match=r"camera:x: a camera is 'camera', or 'camera:1'"):
        list(read_video(reader, "camera:x"))
    assert is_video("camera")
    assert is_video("a.MP4")
    assert not is_video("a.jpg")
    assert not is_video("camera/a.jpg")
    assert not is_video("camera1")


def test_the_commands_lines(film, tmp_path, capsys, monkeypatch):
    import mien.runtime
    from mien.cli import main

    monkeypatch.setattr(mien.runtime, "load", lambda *arguments: Reader(FakeNetwork(), TwoBoxes()))
    command = ["predict", str(film), "--every", "0.5s"]
    assert main([*command, "--json", "--draw", str(tmp_path / "drawn")]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["seconds"] for row in rows] == [0.0, 0.5, 1.0, 1.5]
    assert rows[0]["faces"][0]["track"] == 1
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["film-faces.mp4", "film-faces.png"]
    assert main([*command, "--out", str(tmp_path / "faces.csv")]) == 0
    written = (tmp_path / "faces.csv").read_text()
    assert written.splitlines()[0].startswith("source,seconds,face,x,y")
    assert main([*command, "--out", str(tmp_path / "faces.csv")]) == 0
    assert (tmp_path / "faces.csv").read_text() == written
    assert f"{film} was in it already" in capsys.readouterr().out


def test_a_camera_is_read_into_the_same_table_again(film, tmp_path, capsys, monkeypatch):
    import mien.runtime
    from mien.cli import main

    monkeypatch.setattr(mien.runtime, "load", lambda *arguments: Reader(FakeNetwork(), TwoBoxes()))
    opened = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: opened(str(film)))  # a camera that is taken away soon
    command = ["predict", "camera", "--every", "0.001", "--out", str(tmp_path / "new" / "faces.csv")]
    assert main(command) == 0
    once = len((tmp_path / "new" / "faces.csv").read_text().splitlines())
    assert main(command) == 0
    assert len((tmp_path / "new" / "faces.csv").read_text().splitlines()) > once > 1


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
    from mien.runtime.files import open_table

    out, drawn, whole = tmp_path / f"faces.{ending}", tmp_path / "drawn", tmp_path / f"whole.{ending}"
    command = ["predict", str(film), "--detect", "--every", "0.3", "--draw", str(drawn), "--out"]
    monkeypatch.setattr(mien.runtime, "load", lambda *_: Reader(FakeNetwork(), Stopped()))
    with pytest.raises(SystemExit, match="130"):
        main([*command, str(out)])
    monkeypatch.setattr(mien.runtime, "load", lambda *_: Reader(FakeNetwork(), TwoBoxes()))
    for table in (out, whole):
        assert main([*command, str(table)]) == 0
    for table in (out, whole):
        with open_table(table, FakeNetwork.labels).rows.open() as file:
            seconds = [float(row["seconds"]) for row in csv.DictReader(file) if row["face"] == "1"]
        assert seconds == [0, 0.3, 0.6, 0.9, 1.2, 1.5, 1.8]
    assert {path.stem for path in drawn.iterdir()} == {"film-faces", "film-after-0.30s-faces"}
    capsys.readouterr()
    assert main([*command, str(out)]) == 0
    assert capsys.readouterr().out.strip() == f"{out}  {film} was in it already"
