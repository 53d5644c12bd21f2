"""A review that goes on where it stopped: which pictures are shown in which order, and what was answered.

Suspects come in the order of suspicion; a random sample of all pictures is mixed in at random places. The file beside
the corrected table keeps both, so that a review that is started again computes nothing anew.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from mien.atomic import identity, read_json, write_json
from mien.data.listing import Listing
from mien.errors import DataError, UsageError
from mien.review.error_rate import ErrorRate, Looked, Verdict, error_rate

Answer = Literal["keep", "change", "unsure", "drop"]
VERDICTS: dict[Answer, Verdict] = {"keep": "right", "change": "wrong", "unsure": "unsure", "drop": "wrong"}
SUFFIX = ".review.json"
FACTS = ("key", "pictures", "suspects", "model", "splits", "has_splits")  # of a session, as its file has them
UNUSABLE = "."  # in place of a split: a picture that cannot be read, or whose label is not known


@dataclass(frozen=True)
class Shown:
    """A picture that is shown. picture: its position in the listing, as those of neighbours.

    suggested: the most probable class other than its label. rank: its place in the order of suspicion. draw: its place
    in the random sample, None if it is not in it.
    """

    picture: int
    suggested: str
    neighbours: tuple[int, ...]
    rank: int
    draw: int | None = None


@dataclass(frozen=True)
class Decision:
    """answer: what was said of a picture. label: the right one, where the answer is 'change'."""

    answer: Answer
    label: str = ""


@dataclass
class Session:
    """A review. key: of the pictures and labels it is of. pictures: how many labels are under review.

    suspects: how many of them confident learning finds. model: in whose features. splits: a letter for each picture of
    the listing, the number of its split, or UNUSABLE. has_splits: whether the corrected table is to say it. decisions:
    one for each of the first of `shown`. written: the file as this review knows it, see `mien.atomic.identity`.
    """

    path: Path
    key: str
    pictures: int
    suspects: int
    model: str
    splits: str
    has_splits: bool
    shown: list[Shown]
    decisions: list[Decision] = field(default_factory=list)
    written: tuple[int, int, int] | None = None

    @property
    def current(self) -> Shown | None:
        """The picture that waits for an answer, None when all have one."""
        return self.shown[len(self.decisions)] if len(self.decisions) < len(self.shown) else None

    def decide(self, number: int, decision: Decision) -> None:
        """Answer for the picture of a number, from 0. Raises UsageError when another one is waiting."""
        if number != len(self.decisions) or self.current is None:
            raise UsageError(f"Picture {number + 1} is not the one that waits for an answer.")
        self._take([*self.decisions, decision])

    def undo(self) -> None:
        """Take the last answer back. Raises UsageError when there is none."""
        if not self.decisions:
            raise UsageError("There is no answer to take back.")
        self._take(self.decisions[:-1])

    def error_rate(self) -> ErrorRate:
        """How many labels are wrong, as far as the answers go."""
        pairs = zip(self.shown, self.decisions, strict=False)
        return error_rate(self.pictures, [Looked(each.rank, each.draw, VERDICTS[said.answer]) for each, said in pairs])

    def _take(self, decisions: list[Decision]) -> None:
        """Have these answers, once they are written."""
        before, self.decisions = self.decisions, decisions
        try:
            self.save()
        except BaseException:
            self.decisions = before
            raise

    def save(self) -> None:
        """Write the review. Raises MienError when that fails, UsageError where another process has written it since."""
        if identity(self.path) != self.written:
            raise UsageError(
                f"{self.path} was changed by another review of the same table. End one of them, and start this one "
                "again: it goes on from there."
            )
        facts = {name: getattr(self, name) for name in FACTS}
        lists = {"shown": list(map(asdict, self.shown)), "decisions": list(map(asdict, self.decisions))}
        write_json(self.path, {**facts, **lists})
        self.written = identity(self.path)


def resume(path: Path, listing: Listing) -> Session | None:
    """The review that was begun here, None where there is none.

    Raises UsageError where it is of other pictures or labels, DataError when its file is damaged.
    """
    written, values = identity(path), read_json(path, {}, "Delete it to begin anew.")
    if not values:
        return None
    try:
        shown = [Shown(**{**each, "neighbours": tuple(each["neighbours"])}) for each in values["shown"]]
        decisions = [_decision(each, listing) for each in values["decisions"]]
        facts = {name: values[name] for name in FACTS}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error!r}. Delete it to begin anew.") from error
    if facts["key"] != key_of(listing):
        raise UsageError(
            f"{path} is a review of other pictures or labels: these have changed since it was begun. Name another "
            "`table`, or delete that file to begin anew."
        )
    return Session(path, **facts, shown=shown, decisions=decisions, written=written)


def _decision(values: dict[str, Any], listing: Listing) -> Decision:
    if values["answer"] not in get_args(Answer) or values["label"] not in ("", *listing.classes):
        raise ValueError(f"an answer is {values}")
    return Decision(**values)


def beside(table: Path) -> Path:
    """Where the review of a corrected table is kept."""
    return table.with_name(table.stem + SUFFIX)


def key_of(listing: Listing) -> str:
    """sha256 over classes, names and labels: what the positions of a review rest on."""
    return hashlib.sha256(json.dumps([listing.classes, listing.names, listing.labels]).encode()).hexdigest()
