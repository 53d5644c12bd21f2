"""A run's answers to Kaggle's Dogs vs. Cats: the probability of a dog for each unlabelled picture.

The competition scores by log loss, the mean of -ln(probability given to the truth): one sure mistake
costs without bound, so a submission may be clipped to CLIPPED.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mien import labels
from mien.atomic import written_whole
from mien.data.decode import decoded
from mien.data.listing import Listing
from mien.data.sources.dogs_vs_cats import CLASSES, unlabelled
from mien.data.text_table import table_rows
from mien.errors import DataError, MissingError, UsageError
from mien.evaluate.run_model import load_model
from mien.evaluate.split import probabilities_of
from mien.pictures import open_image
from mien.preprocessing import Preprocessing
from mien.progress import track
from mien.runs.folder import RunFolder

HEADER = ("id", "label")
CLIPPED = (0.005, 0.995)
BATCH = 256
SHOWN = 3  # ids that an error names
UNKNOWN = 0.5  # what a picture that cannot be read gets


@dataclass(frozen=True, eq=False)
class Submission:
    """ids: N rising numbers. dog: probability of a dog, float (N,). unreadable: id -> why it has UNKNOWN."""

    ids: list[int]
    dog: np.ndarray
    unreadable: dict[int, str]

    def write(self, path: Path, *, clip: bool = False) -> None:
        """The competition's CSV, id,label with 6 digits, whole or not at all. clip: keep within CLIPPED.

        Raises MienError when it cannot be written.
        """
        values = self.dog.clip(*CLIPPED) if clip else self.dog
        with written_whole(path) as file:
            file.write(f"{','.join(HEADER)}\n")
            file.writelines(f"{number},{value:.6f}\n" for number, value in zip(self.ids, values, strict=True))


def submit(run: Path, images: Path | None = None, *, check: Path | None = None, skip_bad: bool = False) -> Submission:
    """Predict the unlabelled pictures with a finished run, in fp32, without test-time augmentation.

    images: their folder; test1 beside the run's own data if not given. check: a sample submission
    whose ids must be those of the pictures. skip_bad: pictures that cannot be read get UNKNOWN.
    Raises MissingError when a file or the run's model is not there, UsageError when the run does not
    tell cats from dogs, DataError for other ids and for a picture that cannot be read.
    """
    folder = RunFolder.open(run)
    model, classes, preprocessing = load_model(run)
    dog = _position_of_dog(run, classes)
    paths = unlabelled(images or _beside(folder.recipe.data.path))
    if check:
        _refuse_other_ids(paths, check)
    return _predict(model, paths, preprocessing, dog, skip_bad=skip_bad)


def _position_of_dog(run: Path, classes: Sequence[str]) -> int:
    names = [labels.canonical(name) for name in classes]
    if sorted(names) != sorted(CLASSES):
        raise UsageError(
            f"{run} knows the classes {', '.join(classes)}; a submission needs cat and dog. "
            "Train on Dogs vs. Cats: `data.source` dogs_vs_cats"
        )
    return names.index("dog")


def _beside(data: Path | None) -> Path:
    """test1 in the folder of the run's data, or next to it."""
    if data is None:
        raise UsageError("The run's data has no path. Give the folder of unlabelled pictures: `images`")
    found = [folder / "test1" for folder in (data, data.parent) if (folder / "test1").is_dir()]
    if not found:
        raise MissingError(f"{data / 'test1'} is missing. Give the folder of unlabelled pictures: `images`")
    return found[0]


def _predict(
    model: nn.Module, paths: dict[int, Path], preprocessing: Preprocessing, dog: int, *, skip_bad: bool
) -> Submission:
    ids, files = list(paths), list(paths.values())
    listing = Listing((), list(map(str, files)), [], [], read=lambda i: open_image(files[i]), signature="")
    values = np.full(len(ids), UNKNOWN)
    unreadable: dict[int, str] = {}
    outcomes = track(decoded(listing, preprocessing), "predicting", len(ids))
    while part := list(islice(outcomes, BATCH)):
        good = {i: outcome[0] for i, outcome in part if not isinstance(outcome, DataError)}
        bad = {ids[i]: str(outcome) for i, outcome in part if isinstance(outcome, DataError)}
        if bad and not skip_bad:
            raise DataError(f"{next(iter(bad.values()))} Repair it, or give such pictures {UNKNOWN}: `skip_bad=True`")
        unreadable |= bad
        if good:
            pixels = torch.from_numpy(np.stack(list(good.values())))  # b x (C, H, W) -> (b, C, H, W)
            values[list(good)] = probabilities_of(model, pixels, preprocessing)[:, dog]
    return Submission(ids, values, unreadable)


def _refuse_other_ids(ids: Collection[int], check: Path) -> None:
    wanted = set(_sample_ids(check))
    differences = {"missing": sorted(wanted.difference(ids)), "surplus": sorted(set(ids) - wanted)}
    found = [f"{what} {_first(numbers)}" for what, numbers in differences.items() if numbers]
    if found:
        raise DataError(
            f"The pictures are not those of {check}: {'; '.join(found)}. Give the competition's whole folder: `images`"
        )


def _sample_ids(path: Path) -> Iterator[int]:
    if not path.is_file():
        raise MissingError(f"`check` {path}: there is no such file.")
    rows = table_rows(path)
    _, header = next(rows, ("", []))
    if tuple(name.strip().lower() for name in header) != HEADER:
        raise DataError(f"{path} must begin with the line {','.join(HEADER)}, not '{','.join(header)[:80]}'.")
    for place, cells in rows:
        try:
            yield int(cells[0])
        except ValueError as error:
            line = place.rpartition(" ")[2]
            raise DataError(
                f"{path} line {line} is '{','.join(cells)[:80]}'; it must be a number and a label."
            ) from error


def _first(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - SHOWN:,} more" if len(numbers) > SHOWN else ""
    return ", ".join(map(str, numbers[:SHOWN])) + more
