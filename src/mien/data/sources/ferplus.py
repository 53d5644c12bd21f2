"""FER+ (Barsoum et al., 2016, arXiv 1608.01041): what ten people each saw in the pictures of FER2013.

    fer2013.csv or icml_face_data.csv    the pixels
    fer2013new.csv                       the votes, row for row for the same pictures, with the columns
    Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF

The votes are counted as in the mode 'majority' of the paper's code, in every split: what got a single vote gets
none, and the label is what has more than half of the votes that are left. A picture is left out if it was removed
(it has no name), if it has no such majority, or if the majority is for unknown or for NF, not a face. The soft label
of the others is their votes for the eight expressions, single ones left away, over the sum of these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mien import labels
from mien.data import pixel_table
from mien.data.layouts import split_of
from mien.data.listing import Listing, existing, file_stamp, signature
from mien.data.text_table import table_rows
from mien.errors import DataError, MissingError, nearest

CLASSES = labels.WITH_CONTEMPT
COUNTED = (*CLASSES, "unknown", "nf")  # what a vote may be for
COUNTS = frozenset(map(str, range(11)))  # ten people saw each picture
VOTES = "fer2013new.csv"
PIXELS = ("fer2013.csv", "icml_face_data.csv")
LAYOUT = f"FER+ is {VOTES} (from github.com/microsoft/FERPlus) beside {PIXELS[0]} or {PIXELS[1]}."


class VoteRow(NamedTuple):
    """The votes for one picture, in the order of COUNTED. problem: what is wrong with the row, or ''."""

    place: str
    split: str = ""
    removed: bool = False
    votes: Sequence[int] = (0,) * len(COUNTED)
    problem: str = ""


def recognises(root: Path) -> bool:
    """Whether a folder has the votes."""
    return (root / VOTES).is_file()


def read(path: Path | None, encoding: str | None = None) -> Listing:
    """List the pictures that have a majority, from the folder of both files or from either of them.

    Raises MissingError when one of the files is not there, DataError when they are not row for row about the same
    pictures. What is wrong with a row, a number of votes, say, is in `Listing.problems`.
    """
    pixels, votes = _files(existing(path, "FER+"))
    faces = pixel_table.read(pixels, labels.FER2013, encoding)
    rows = list(_rows(votes, encoding))
    _refuse_other_rows(faces, rows, pixels, votes)
    soft_labels, majority = tally(np.array([row.votes for row in rows]))
    reasons = [_left_out(row, int(column)) for row, column in zip(rows, majority, strict=True)]
    everything = replace(
        faces,
        classes=CLASSES,
        labels=majority.clip(0, len(CLASSES) - 1).tolist(),
        soft_labels=soft_labels,
        signature=signature([faces.signature, file_stamp(votes)]),
        problems={**faces.problems, **{i: row.problem for i, row in enumerate(rows) if row.problem}},
        left_out=dict(Counter(reason for reason in reasons if reason)),
    )
    return everything.subset([i for i, reason in enumerate(reasons) if not reason])


def tally(votes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Votes for each of COUNTED, int (N, 10) -> soft labels float32 (N, 8), and what has the majority, int (N,).

    -1: nothing has. Where no vote for an expression is left the soft label is 0.
    """
    counted = np.where(votes == 1, 0, votes)
    majority = np.where(2 * counted.max(axis=1) > counted.sum(axis=1), counted.argmax(axis=1), -1)
    expressions = counted[:, : len(CLASSES)]
    sums = expressions.sum(axis=1, keepdims=True)  # (N, 1)
    return (expressions / np.maximum(sums, 1)).astype(np.float32), majority


def _left_out(row: VoteRow, majority: int) -> str:
    """Why a picture is left out, or ''; a row that is wrong is not, so that it is told."""
    if row.problem:
        return ""
    if row.removed:
        return "removed"
    reasons = {-1: "without majority", COUNTED.index("unknown"): "unknown", COUNTED.index("nf"): "not a face"}
    return reasons.get(majority, "")


def _files(path: Path) -> tuple[Path, Path]:
    """The pixels and the votes."""
    folder = path if path.is_dir() else path.parent
    there = [folder / name for name in PIXELS if (folder / name).is_file()]
    if path.is_file() and path.name != VOTES:
        there = [path]
    for file in (*(there or [folder / PIXELS[0]]), folder / VOTES):
        if not file.is_file():
            raise MissingError(f"{file} is missing. {LAYOUT}")
    return there[0], folder / VOTES


def _refuse_other_rows(faces: Listing, rows: Sequence[VoteRow], pixels: Path, votes: Path) -> None:
    if len(faces) != len(rows):
        raise DataError(
            f"{votes} has {len(rows):,} rows and {pixels.name} {len(faces):,}: they must be about the same pictures, "
            "row for row. Take both files whole, as they were downloaded."
        )
    for i, row in enumerate(rows):
        if i not in faces.problems and not row.problem and row.split != faces.splits[i]:
            raise DataError(
                f"{row.place} is in {row.split} and {faces.names[i]} in {faces.splits[i]}: the files must be about "
                "the same pictures, row for row. Take both whole and in their order, as they were downloaded."
            )


def _rows(path: Path, encoding: str | None) -> Iterator[VoteRow]:
    lines = table_rows(path, encoding)
    _, header = next(lines, ("", []))
    where = _columns(header, path)
    for place, cells in lines:
        yield _row(place, cells, where)


def _columns(header: Sequence[str], path: Path) -> dict[str, int]:
    """Column -> its place; expressions by mien's words, whatever theirs are."""
    names = [labels.canonical(name) for name in header]
    for needed in ("usage", "image name", *COUNTED):
        if needed not in names:
            raise DataError(
                f"{path} lacks the column '{needed}': its header is {', '.join(names) or 'empty'}."
                f"{nearest(needed, names)} {LAYOUT}"
            )
    return {name: names.index(name) for name in ("usage", "image name", *COUNTED)}


def _row(place: str, cells: Sequence[str], where: dict[str, int]) -> VoteRow:
    if len(cells) <= max(where.values()):
        return VoteRow(place, problem=f"{place} has {len(cells)} columns, {max(where.values()) + 1} are needed.")
    values = {name: cells[position].strip() for name, position in where.items()}
    split = split_of(values["usage"])
    if split is None:
        wanted = "Training, PublicTest or PrivateTest"
        return VoteRow(place, problem=f"{place}: Usage is '{values['usage'][:20]}', it must be {wanted}.")
    for name in COUNTED:
        if values[name] not in COUNTS:
            wrong = f"{place}: the votes for {name} are '{values[name][:20]}', they must be a number from 0 to 10."
            return VoteRow(place, problem=wrong)
    return VoteRow(place, split, not values["image name"], [int(values[name]) for name in COUNTED])
