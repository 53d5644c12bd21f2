"""A camera read as a film that has no end."""

import time

import cv2
import numpy as np
import pytest
from fake_faces import FakeNetwork, TwoBoxes

from mien.errors import DataError
from mien.runtime import Reader
from mien.runtime.film.camera import camera_frames


class Camera:
    """Shows a brighter picture every 10 ms; `grabbed` and `decoded` count."""

    def __init__(self, frames=10_000):
        self.frames = frames
        self.grabbed = self.decoded = 0
        self.released = False

    def isOpened(self):  # noqa: N802
        return True

    def set(self, what, value):
        return True

    def grab(self):
        time.sleep(0.01)
        self.grabbed += 1
        return self.grabbed <= self.frames

    def retrieve(self):
        self.decoded += 1
        self.shown = self.grabbed
        return True, np.full((120, 160, 3), 90, np.uint8)

    def release(self):
        self.released = True


def test_a_camera_is_read_into_the_same_table_again(tmp_path, monkeypatch):
    import mien.runtime
    from mien.cli import main

    monkeypatch.setattr(mien.runtime, "load", lambda *_, **__: Reader(FakeNetwork(), TwoBoxes()))
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: Camera(frames=30))  # one that is taken away soon
    command = ["predict", "camera", "--every", "0.001", "--out", str(tmp_path / "new" / "faces.csv")]
    assert main(command) == 0
    once = len((tmp_path / "new" / "faces.csv").read_text().splitlines())
    assert main(command) == 0
    assert len((tmp_path / "new" / "faces.csv").read_text().splitlines()) > once > 1


def test_a_camera_shows_what_is_newest(monkeypatch):
    """Frames that come while one is read are neither decoded nor shown later."""
    camera = Camera()
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: camera)
    frames = camera_frames("camera", every=0.001)
    for _ in range(3):
        asked = camera.grabbed
        next(frames)
        assert camera.shown >= asked
        while camera.grabbed < asked + 5:  # what reading a face takes
            time.sleep(0.01)
    assert camera.decoded == 3
    frames.close()
    assert camera.released


def test_a_camera_that_shows_nothing_more(monkeypatch):
    monkeypatch.setattr("mien.runtime.film.camera.PATIENCE", 0.05)
    camera = Camera()
    camera.retrieve = lambda: (False, None)
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: camera)
    with pytest.raises(DataError, match=r"camera:1: the camera has shown nothing for 0\.05 seconds"):
        next(camera_frames("camera:1", every=0.1))
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: Camera(frames=0))
    with pytest.raises(DataError, match="camera: the camera is there, but shows nothing"):
        next(camera_frames("camera", every=0.1))


def test_what_goes_wrong_in_a_camera_is_told_and_it_is_released(monkeypatch):
    camera = Camera()

    def fails():
        raise OSError("unplugged")

    camera.retrieve = fails
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: camera)
    with pytest.raises(OSError, match="unplugged"):
        next(camera_frames("camera", every=0.1))
    assert camera.released
