"""Pictures and films drawn of a film: whole or not at all, with names and speeds of their own."""

import os
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from fake_faces import FACE, FakeNetwork, TwoBoxes
from PIL import Image

from mien.errors import MienError
from mien.runtime import Reader
from mien.runtime.draw import ACCENT, boxed
from mien.runtime.film.contact_sheet import CAPTION, GAP, WIDTH, ContactSheet
from mien.runtime.film.timeline import Film, Timeline
from mien.runtime.film.video import Moment, Tracked, moments


@pytest.fixture
def reader():
    return Reader(FakeNetwork(), TwoBoxes())


def test_a_film_and_a_timeline_are_drawn(reader, film, tmp_path):
    drawn, timeline = Film(tmp_path / "out.mp4"), Timeline()
    for moment in moments(reader, film, every=0.2, detect=True):
        drawn.add(moment)
        timeline.add(moment)
    drawn.close()
    timeline.save(tmp_path / "out.png")
    capture = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    assert (capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)) == (10, 5)
    with Image.open(tmp_path / "out.png") as image:
        colours = {colour for _, colour in image.getcolors(100_000)}
        assert {(213, 94, 0), (0, 158, 115)} <= colours  # both classes' bars


def test_a_film_is_put_in_its_place_whole_or_not_at_all(reader, film, tmp_path, monkeypatch):
    (tmp_path / "out.mp4").write_text("the one before")
    drawn = Film(tmp_path / "out.mp4")
    for moment in moments(reader, film, every=0.5, detect=True):
        drawn.add(moment)
    assert (tmp_path / "out.mp4").read_text() == "the one before"
    release = drawn.writer.release

    def cut_off():  # OpenCV does not say that the disk is full
        release()
        os.truncate(drawn._beside, drawn._beside.stat().st_size // 2)

    monkeypatch.setattr(drawn, "writer", SimpleNamespace(release=cut_off))
    with pytest.raises(MienError, match=r"Writing .*out.mp4 failed: it has not all its frames. Free some space"):
        drawn.close()
    assert [path.name for path in tmp_path.iterdir() if path != film] == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_text() == "the one before"


def test_drawings_of_a_film_with_a_long_name_have_names_that_fit(reader, film, tmp_path):
    long = film.rename(tmp_path / f"{'x' * 251}.avi")
    reader.read_video(long, every=0.5, draw=tmp_path / "drawn", detect=True)
    names = [path.name for path in (tmp_path / "drawn").iterdir()]
    assert {len(name) for name in names} == {255}
    assert {name[-4:] for name in names} == {".mp4", ".png"}
    assert len(names) == 3


def test_a_contact_sheet_spans_the_film_however_long_it_is(tmp_path):
    sheet = ContactSheet(most=5)
    for number in range(37):
        sheet.add(Moment(number / 10, 0.1, np.full((30, 40, 3), 6 * number, np.uint8), [Tracked(1, FACE)]))
    assert [seconds for seconds, _ in sheet.frames] == [0, 0.8, 1.6, 2.4, 3.2]
    sheet.save(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.size == (4 * (WIDTH + GAP) + GAP, 2 * (240 + CAPTION + GAP) + GAP)
        assert image.getpixel((GAP + WIDTH - 5, GAP + 230)) == (0, 0, 0)
        assert image.getpixel((GAP + WIDTH - 5, GAP + 230 + 240 + CAPTION + GAP)) == (192, 192, 192)
        assert image.getpixel((GAP + 80, GAP + 100)) == ACCENT  # the box of 10 to 30 pixels, drawn eight times as large


def test_a_face_carries_its_own_number_in_pictures_of_a_film():
    picture = Image.new("RGB", (300, 200))
    plain, own = boxed(picture, [FACE]), boxed(picture, [FACE], [7])
    assert boxed(picture, [FACE], [1]).tobytes() == plain.tobytes() != own.tobytes()


def test_a_drawn_film_is_no_faster_than_the_film(reader, film, tmp_path):
    """However many frames a second are asked for, there are ten of them."""
    drawn = Film(tmp_path / "out.mp4")
    for moment in moments(reader, film, every=0.01, detect=True):
        drawn.add(moment)
    drawn.close()
    assert cv2.VideoCapture(str(tmp_path / "out.mp4")).get(cv2.CAP_PROP_FPS) == 10
