"""The corrected table: what `data.source` table reads, with the labels as they were beside the new ones."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from mien.atomic import written_whole
from mien.data.listing import SPLITS, Listing
from mien.data.sources.table import place_of
from mien.errors import UsageError
from mien.review.session import UNUSABLE, Session

WORDS = {"keep": "kept", "change": "changed", "unsure": "not sure"}


class CorrectedTable:
    """Rows path, label, split, group, original_label and review of every usable picture, in the order of the source.

    data: the folder or file that the listing was read from.
    Raises UsageError for pictures that are no files and no rows of a table of pixels.
    """

    def __init__(self, path: Path, listing: Listing, session: Session, data: Path) -> None:
        self.path = path
        self._session = session
        self._positions = [i for i, split in enumerate(session.splits) if split != UNUSABLE]
        self._labels = [listing.classes[listing.labels[i]] for i in self._positions]
        self._paths = [_written(listing.names[i], data, path.parent) for i in self._positions]
        self._more = _columns(listing, self._positions, session)

    def write(self) -> None:
        """Write the table with the answers so far. Raises MienError when that fails."""
        pairs = zip(self._session.shown, self._session.decisions, strict=False)
        said = {shown.picture: decision for shown, decision in pairs}
        with written_whole(self.path) as file:
            writer = csv.writer(file)
            writer.writerow(["path", "label", *self._more, "original_label", "review"])
            for row, position in enumerate(self._positions):
                decision = said.get(position)
                if decision and decision.answer == "drop":
                    continue
                label = self._labels[row]
                new, word = (decision.label or label, WORDS[decision.answer]) if decision else (label, "")
                more = (column[row] for column in self._more.values())
                writer.writerow([self._paths[row], new, *more, label, word])


def _columns(listing: Listing, positions: Sequence[int], session: Session) -> dict[str, list[str]]:
    """Of the columns that a table may have besides, those that say something."""
    found: dict[str, list[str]] = {}
    if session.has_splits:
        numbers = dict(zip("012", SPLITS, strict=True))  # what training leaves out belongs to train all the same
        found["split"] = [numbers.get(session.splits[i], SPLITS[0]) for i in positions]
    if listing.groups:
        found["group"] = [listing.groups[i].removeprefix("group ") for i in positions]
    return found


def _written(name: str, data: Path, folder: Path) -> str:
    """How a table in `folder` names a picture that the source at `data` calls `name`."""
    place = place_of(data if data.is_dir() else data.parent, name)
    if place is None:
        raise UsageError(
            f"{name} is neither a file nor a row of a table of pixels, so no table can name it. List suspects without "
            "the page: `page=False`"
        )
    try:
        return Path(os.path.relpath(place, folder)).as_posix()
    except ValueError:  # another drive
        return place.absolute().as_posix()
