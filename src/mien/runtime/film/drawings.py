"""What is drawn of a film: the frames with boxes as a video, a timeline of each face, and a sheet of small frames."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from mien.runtime.draw import fitted
from mien.runtime.film.contact_sheet import ContactSheet
from mien.runtime.film.timeline import Film, Timeline
from mien.runtime.film.video import Moment


class Drawings:
    """NAME-faces.mp4, NAME-faces.png and NAME-frames.png in a folder. Nothing is written where no frame was added."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._film, self._timeline, self._sheet = Film(self._path("-faces.mp4")), Timeline(), ContactSheet()
        self._begun = False

    def add(self, moment: Moment) -> None:
        self._film.add(moment)
        self._timeline.add(moment)
        self._sheet.add(moment)
        self._begun = True

    def close(self) -> None:
        """Finish the video and draw the two pictures; also after Ctrl-C, which is how a camera ends."""
        with closing(self._film):
            if not self._begun:
                return
            self._timeline.save(self._path("-faces.png"))
            self._sheet.save(self._path("-frames.png"))

    def _path(self, ending: str) -> Path:
        return self.folder / fitted(self.name, ending)
