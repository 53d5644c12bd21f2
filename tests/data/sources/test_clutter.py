import cv2
import numpy as np
import pytest

from mien.data.sources.drawn_faces import LEAST, VISIBLE, draw, draw_new, draw_pairs, read
from mien.labels import FER2013


@pytest.fixture(scope="module")
def new_faces():
    return [face for _, face in draw_new(FER2013, 98, seed=0)]


def test_a_cluttered_face_is_another_picture_of_the_same_seed():
    plain, cluttered = (read(70, 24, seed=0, clutter=clutter) for clutter in (False, True))
    assert plain.signature != cluttered.signature
    assert (plain.names, plain.labels) == (cluttered.names, cluttered.labels)
    assert all(plain.read(i).tobytes() != cluttered.read(i).tobytes() for i in range(7))


def test_heads_lie_anywhere(new_faces):
    middles = np.array([np.argwhere(face.head).mean(axis=0) for face in new_faces])  # (B, 2): row, column
    assert (np.ptp(middles, axis=0) > 14).all()
    assert np.mean([face.regions for face in new_faces], axis=0).max() < 0.35


def test_there_is_more_contrast_off_the_features_than_on_them(new_faces):
    """What a map that asks no model points at: the pixel furthest from its surroundings."""
    hits = 0
    for face in new_faces:
        furthest = np.abs(face.image - np.median(face.image)).argmax()
        hits += face.regions.flat[furthest]
    assert hits < 0.35 * len(new_faces)


def test_marks_do_not_depend_on_the_expression():
    for seed in range(20):
        happy, sad = (draw(label, seed, 64, clutter=True) for label in ("happy", "sad"))
        assert np.array_equal(happy.head, sad.head)
        near = cv2.dilate(happy.head.astype(np.uint8), np.ones((11, 11))) > 0  # the lens blurs
        assert np.abs(happy.image.astype(int) - sad.image)[~near].max() <= 4


def test_a_pair_differs_where_it_says():
    pairs = draw_pairs(FER2013, 12, seed=1, size=64)
    assert [pair.label for pair in pairs[:6]] == [label for label in FER2013 if label != "neutral"]
    assert len({pair.unit for pair in pairs}) > 3
    for pair in pairs:
        by_unit, by_marks = (np.abs(one - pair.without.astype(int)) for one in (pair.before, pair.after))
        assert np.array_equal(by_unit >= VISIBLE, pair.moved)
        assert np.array_equal(by_marks >= VISIBLE, pair.marks)
        assert pair.moved.mean() >= LEAST
        assert by_marks.sum() >= by_unit.sum()
        assert not (pair.moved & pair.marks).sum() > 0.2 * pair.moved.sum()


def test_a_class_that_is_not_drawn_has_no_pairs():
    assert {pair.label for pair in draw_pairs(("neutral", "happy"), 3, seed=0, size=32)} == {"happy"}
