"""A video in pictures: each face's probabilities over time, and the frames with what was read from them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from mien.atomic import put
from mien.drafts import draft
from mien.errors import MienError
from mien.runtime.draw import INK, PAPER, QUIET, boxed, numbered, save_png
from mien.runtime.film.video import Moment
from mien.runtime.lettering import Lettering

COLOURS = (  # one a class, told apart by colour-blind readers too (Okabe & Ito 2008)
    *((213, 94, 0), (0, 158, 115), (86, 180, 233), (230, 159, 0)),
    *((0, 114, 178), (204, 121, 167), (110, 110, 110), (240, 228, 66)),
)
WIDTH, BAND, EDGE = 1000, 170, 60  # pixels


class Film:
    """Writes the frames that were read, with boxes, as a video of their own pace; it is put in its place at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer: Any = None
        self.frames = 0
        self._draft = ExitStack()

    def add(self, moment: Moment) -> None:
        faces, numbers = [tracked.face for tracked in moment.faces], [tracked.number for tracked in moment.faces]
        frame = np.asarray(boxed(Image.fromarray(moment.image), faces, numbers))
        if self.writer is None:
            self.writer = self._begun((frame.shape[1], frame.shape[0]), 1 / moment.lasts)
        self.writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def close(self) -> None:
        """Put the video in its place. Raises MienError where not all of it could be written: the disk is full, say."""
        with self._draft:
            if self.writer is None:
                return
            self.writer.release()
            if not _has_frames(self._beside, self.frames):  # the writer itself says nothing
                raise MienError(f"Writing {self.path} failed: it has not all its frames. Free some space, and repeat.")
            put(self._beside, self.path)

    def _begun(self, size: tuple[int, int], rate: float) -> Any:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            folder = self._draft.enter_context(draft(self.path.parent, folder=True))
        except OSError as error:
            raise MienError(f"Writing {self.path} failed: {error.strerror}. Write elsewhere.") from error
        self._beside = folder / "film.mp4"  # its ending says what it is to be
        writer = cv2.VideoWriter(str(self._beside), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
        if not writer.isOpened():
            raise MienError(
                f"{self.path} cannot be written as a video here: the disk may be full. Free some space, leave `draw` "
                "out, or choose another folder."
            )
        return writer


def _has_frames(path: Path, number: int) -> bool:
    """Whether a video can be opened, says how many frames it has, and its last one is there."""
    video = cv2.VideoCapture(str(path))
    try:
        whole = video.isOpened() and round(video.get(cv2.CAP_PROP_FRAME_COUNT)) == number
        return whole and video.set(cv2.CAP_PROP_POS_FRAMES, number - 1) and bool(video.read()[0])
    finally:
        video.release()


class Timeline:
    """Collects numbers, not frames, so that memory does not grow with the film; `save` draws them."""

    def __init__(self) -> None:
        self.tracks: dict[int, list[tuple[float, list[float]]]] = {}
        self.labels: list[str] = []

    def add(self, moment: Moment) -> None:
        for tracked in moment.faces:
            self.labels = list(tracked.face.probabilities)
            row = (moment.seconds, list(tracked.face.probabilities.values()))
            self.tracks.setdefault(tracked.number, []).append(row)

    def save(self, path: Path, most: int = 8) -> None:
        """One band for each of the faces seen longest: seconds across, the probabilities stacked from 0 to 1."""
        longest = sorted(self.tracks.items(), key=lambda item: -len(item[1]))[:most]
        image = Image.new("RGB", (WIDTH, 50 + max(1, len(longest)) * (BAND + 30) + 30), PAPER)
        painter, lettering = ImageDraw.Draw(image), Lettering(14, *self.labels)
        self._legend(painter, lettering)
        end = max((rows[-1][0] for _, rows in longest), default=1.0) or 1.0
        for place, (number, rows) in enumerate(sorted(longest)):
            top = 50 + place * (BAND + 30)
            painter.rectangle((EDGE, top, WIDTH - 20, top + BAND), outline=QUIET)
            lettering.write(painter, (8, top), numbered(number, self.labels), INK)
            self._band(painter, rows, top, end)
        bottom = image.height - 26
        lettering.write(painter, (EDGE, bottom), "0 s", INK)
        lettering.write(painter, (WIDTH - 80, bottom), f"{end:.1f} s", INK)
        save_png(image, path)

    def _legend(self, painter: ImageDraw.ImageDraw, lettering: Lettering) -> None:
        x = float(EDGE)
        for number, label in enumerate(self.labels):
            painter.rectangle((x, 18, x + 14, 32), fill=COLOURS[number % len(COLOURS)])
            lettering.write(painter, (x + 20, 16), label, INK)
            x += 40 + lettering.length(label)

    def _band(
        self, painter: ImageDraw.ImageDraw, rows: Sequence[tuple[float, list[float]]], top: int, end: float
    ) -> None:
        gaps = [later[0] - earlier[0] for earlier, later in pairwise(rows)]
        step = float(np.median(gaps)) if gaps else 0.2
        scale = (WIDTH - 20 - EDGE) / (end + step)
        for seconds, shares in rows:
            left, right = EDGE + seconds * scale, EDGE + (seconds + step) * scale
            y = float(top + BAND)
            for number, share in enumerate(shares):
                painter.rectangle((left, y - share * BAND, right, y), fill=COLOURS[number % len(COLOURS)])
                y -= share * BAND
