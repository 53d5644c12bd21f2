"""Labels in pictures are drawn with their own letters, not as boxes."""

import subprocess
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mien.runtime import lettering
from mien.runtime.draw import draw, numbered
from mien.runtime.lettering import OWN, Lettering, lacking
from mien.runtime.reader import Face


@pytest.fixture(autouse=True)
def _nothing_remembered():
    lettering._places.cache_clear()
    yield
    lettering._places.cache_clear()


def drawn(text: str, *known: str) -> np.ndarray:
    """A text in black on white, uint8 (40, 200)."""
    paper = Image.new("RGB", (200, 40), (255, 255, 255))
    Lettering(20, text, *known).write(ImageDraw.Draw(paper), (2, 2), text, (0, 0, 0))
    return np.asarray(paper.convert("L"))


@pytest.mark.parametrize("text", ["ängstlich", "łódź", "Überraschung", "şaşkın", "радость", "χαρά", "thỏ", "café 80%"])
def test_the_own_font_has_latin_greek_and_cyrillic(text, monkeypatch):
    monkeypatch.setattr(lettering, "_candidates", lambda letters: pytest.fail("no other font is needed"))
    assert not lacking(OWN, text)
    assert drawn(text).min() < 50


def test_other_letters_come_from_a_font_of_the_machine(monkeypatch, tmp_path):
    """As on a machine whose fontconfig knows none and whose usual folder has one."""
    other = tmp_path / "deep" / "PingFang.ttc"
    other.parent.mkdir()
    other.write_bytes(b"")
    monkeypatch.setattr(lettering.shutil, "which", lambda name: None)
    monkeypatch.setattr(lettering, "FOLDERS", (str(tmp_path),))
    asked = []

    def pretend(place, letters):
        asked.append(place)
        return frozenset() if place == (str(other), 0) else frozenset(letter for letter in letters if letter > "\u2fff")

    monkeypatch.setattr(lettering, "lacking", pretend)
    assert lettering._places(frozenset("a猫狗")) == dict.fromkeys("猫狗", (str(other), 0))
    assert asked == [OWN, (str(other), 0)]


def test_a_letter_that_no_font_has_is_said_once_and_drawn_as_a_box(monkeypatch, caplog):
    said = []
    monkeypatch.setattr(lettering, "note", said.append)
    monkeypatch.setattr(lettering, "_candidates", lambda letters: iter(()))
    first, again = drawn("猫"), drawn("猫")
    assert first.min() < 50
    assert np.array_equal(first, again)
    assert len(said) == 1
    assert "No font of this machine has 猫" in said[0]


def test_a_font_that_cannot_be_read_has_no_letter(tmp_path):
    assert lacking((str(tmp_path / "none.ttf"), 0), "ab c") == {"a", "b", "c"}


@pytest.mark.parametrize("error", [subprocess.TimeoutExpired("fc-list", 20), OSError(7, "Argument list too long")])
def test_a_fontconfig_that_does_not_answer_is_done_without(error, monkeypatch):
    monkeypatch.setattr(lettering.subprocess, "run", Mock(side_effect=error))
    monkeypatch.setattr(lettering.shutil, "which", lambda name: name)
    monkeypatch.setattr(lettering, "KNOWN", ())
    assert Lettering(14, "\U0001f9ff").length("a") > 0


def test_length_is_where_the_ink_ends():
    text = "Überraschung"
    ink = np.flatnonzero((drawn(text) < 128).any(axis=0))
    assert ink.max() == pytest.approx(2 + Lettering(20, text).length(text), abs=4)


def test_what_is_no_face_is_not_called_one():
    assert (numbered(2, ("happy", "sad")), numbered(2, ("cat", "dog"))) == ("face 2", "2")


def test_a_long_label_does_not_run_into_its_bar():
    names = ("Überraschung, sehr lange", "x")
    face = Face((5, 5, 20, 20), "x", {names[0]: 0.4, names[1]: 0.6}, 0.6, True)
    picture = np.asarray(draw(Image.new("RGB", (300, 60)), [face]))
    panel = picture[60:]
    blue = np.flatnonzero((panel == (42, 111, 219)).all(axis=2).any(axis=0))
    ink = (panel.sum(axis=2) < 250)[:, : blue.min()]
    assert np.flatnonzero(ink.any(axis=0)).max() < blue.min() - 3
    assert not ink[:, blue.min() - 3 :].any()
