"""A film on one page: frames from its beginning to its end, small, with what was read from each."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from mien.runtime.draw import INK, PAPER, boxed, save_png
from mien.runtime.film.video import Moment
from mien.runtime.lettering import Lettering

COLUMNS, WIDTH, GAP, CAPTION = 4, 320, 10, 22  # frames in a row; pixels


class ContactSheet:
    """Keeps at most `most` small frames at equal steps, however long the film is: each time there are more, every
    second one is let go and only half as many are taken from then on.
    """

    def __init__(self, most: int = 24) -> None:
        self.most = most
        self.frames: list[tuple[float, Image.Image]] = []
        self._seen, self._step = 0, 1

    def add(self, moment: Moment) -> None:
        if self._seen % self._step == 0:
            self.frames.append((moment.seconds, _small(moment)))
        self._seen += 1
        if len(self.frames) > self.most:
            self.frames = self.frames[::2]
            self._step *= 2

    def save(self, path: Path) -> None:
        """The frames in rows, in their order, the second under each."""
        columns = min(COLUMNS, len(self.frames))
        height = max(frame.height for _, frame in self.frames) + CAPTION
        rows = -(-len(self.frames) // columns)
        sheet = Image.new("RGB", (columns * (WIDTH + GAP) + GAP, rows * (height + GAP) + GAP), PAPER)
        painter, lettering = ImageDraw.Draw(sheet), Lettering(14)
        for place, (seconds, frame) in enumerate(self.frames):
            x, y = GAP + place % columns * (WIDTH + GAP), GAP + place // columns * (height + GAP)
            sheet.paste(frame, (x, y))
            lettering.write(painter, (x, y + frame.height + 3), f"{seconds:.1f} s", INK)
        save_png(sheet, path)


def _small(moment: Moment) -> Image.Image:
    """A frame WIDTH pixels wide. Boxes are drawn after it was made small, so that their text can be read."""
    image = Image.fromarray(moment.image)
    scale = WIDTH / image.width
    small = image.resize((WIDTH, max(1, round(image.height * scale))), Image.Resampling.BOX)
    faces = [tracked.face.scaled(scale) for tracked in moment.faces]
    return boxed(small, faces, [tracked.number for tracked in moment.faces])
