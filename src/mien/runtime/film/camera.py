"""A camera's frames: always the newest."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from mien.errors import DataError, MissingError, UsageError
from mien.progress import note

CAMERA = "camera"
PATIENCE = 5.0  # seconds for the next frame; OpenCV's own for a Linux camera is ten


def is_camera(source: str | Path) -> bool:
    return re.fullmatch(rf"{CAMERA}(:.*)?", str(source)) is not None


def camera_frames(source: str, every: float) -> Iterator[tuple[float, float, np.ndarray]]:
    """What a camera shows now, every so many seconds: seconds from the start, `every`, and the frame, BGR (H, W, 3).

    Raises UsageError, MissingError or DataError, see `moments`.
    """
    number = source.removeprefix(CAMERA).removeprefix(":") or "0"
    if not re.fullmatch(r"\d{1,9}", number):
        raise UsageError(f"{source}: a camera is 'camera', or 'camera:1' for the second.")
    capture = cv2.VideoCapture(int(number))
    if not capture.isOpened():
        raise MissingError(f"{source}: there is no camera {number}, or another program uses it.")
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    newest = Newest(capture)
    start = time.perf_counter()
    shown = False
    try:
        while frame := newest.frame():
            shown = True
            yield frame[0] - start, every, frame[1]
            time.sleep(max(0.0, frame[0] + every - time.perf_counter()))
    except queue.Empty:
        raise DataError(f"{source}: the camera has shown nothing for {PATIENCE:g} seconds. Plug it in anew.") from None
    finally:
        newest.close()
    if not shown:
        raise DataError(f"{source}: the camera is there, but shows nothing. Plug it in anew.")
    note(f"{source} shows nothing more")


class Newest:
    """The newest frame of a camera. A thread takes frames off it as they come, so that none grows old in its driver."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._wanted, self._closed = threading.Event(), threading.Event()
        self._given: queue.Queue[tuple[float, np.ndarray] | Exception | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="mien-camera", daemon=True)
        self._thread.start()

    def frame(self) -> tuple[float, np.ndarray] | None:
        """The next frame, BGR, and when it came (time.perf_counter); None when the camera is gone.

        Raises queue.Empty when none comes, and what went wrong in the thread.
        """
        self._wanted.set()
        given = self._given.get(timeout=PATIENCE)
        if isinstance(given, Exception):
            raise given
        return given

    def close(self) -> None:
        self._closed.set()
        self._thread.join(timeout=PATIENCE)

    def _run(self) -> None:
        try:
            self._take()
            self._given.put(None)
        except Exception as error:  # whoever waits for a frame must hear of it
            self._given.put(error)
        finally:
            self._capture.release()

    def _take(self) -> None:
        while not self._closed.is_set() and self._capture.grab():
            if self._wanted.is_set():  # only what is read is decoded
                came = time.perf_counter()
                good, frame = self._capture.retrieve()
                if good:
                    self._wanted.clear()
                    self._given.put((came, frame))
