"""What a model said about the images of one split, and the file that keeps it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mien.atomic import read_arrays, write_arrays, written_whole
from mien.cells import cell, words_of
from mien.errors import DataError, MissingError
from mien.runs import layout, manifest

COLUMNS = ["name", "split", "label", "predicted"]


@dataclass(frozen=True, eq=False)
class AskedImages:
    """The images of one split that a model was asked about. names: N. labels: int (N,), index into classes."""

    names: list[str]
    labels: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.names),):
            raise DataError(f"{len(self.names):,} names need as many labels; given {self.labels.shape}.")

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said about the images of one split.

    names: N image names. labels: int (N,), index into classes. probabilities: float (N, K), rows sum to 1.
    classes: K names.
    """

    names: list[str]
    labels: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        wanted = (len(self.names), len(self.classes))
        if self.probabilities.shape != wanted or self.labels.shape != wanted[:1]:
            raise DataError(
                f"{wanted[0]} names and {wanted[1]} classes need probabilities of shape {wanted} and {wanted[0]} "
                f"labels; given {self.probabilities.shape} and {self.labels.shape}."
            )

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def predicted(self) -> np.ndarray:
        """The most probable class of each image, int (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @cached_property
    def confidence(self) -> np.ndarray:
        """The probability of the predicted class, float (N,)."""
        return np.asarray(self.probabilities.max(axis=1, initial=0.0))

    @cached_property
    def correct(self) -> np.ndarray:
        """True where the predicted class is the label, bool (N,)."""
        return np.asarray(self.predicted == self.labels)

    def only(self, chosen: np.ndarray) -> Predictions:
        """Those of the images where `chosen`, bool (N,), is True."""
        names = [name for name, there in zip(self.names, chosen, strict=True) if there]
        return Predictions(names, self.labels[chosen], self.probabilities[chosen], self.classes)

    def save(self, path: Path) -> None:
        """Write the predictions to a file that `layout.predictions` names, .npz or .csv, whole or not at all.

        Probabilities are float32, as networks compute them, so that scores of the file are those of the network
        exactly; in float16 equal ones would tie that are not, and confidences change their bin. The table gives nine
        digits, from which every float32 comes back exactly.
        """
        if path.suffix == ".csv":
            self._save_table(path)
            return
        shares = self.probabilities.astype(np.float32)
        names, classes = np.array(self.names, dtype=str), np.array(self.classes, dtype=str)
        write_arrays(path, names=names, labels=self.labels, probabilities=shares, classes=classes)

    @classmethod
    def of_run(cls, run: Path, split: str) -> Path | None:
        """The file with a run's predictions of a split, an older version's table too; None where there is none."""
        files = (layout.predictions(run, split, suffix) for suffix in (".npz", ".csv"))
        return next((path for path in files if path.is_file()), None)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read a file that `save` wrote.

        Raises MissingError when the split was not evaluated, DataError when the file is damaged.
        """
        again = _checked(path)
        if path.suffix == ".csv":
            return cls._load_table(path)
        with read_arrays(path, again) as saved:
            names, classes = saved["names"].tolist(), tuple(saved["classes"].tolist())
            return cls(names, saved["labels"], saved["probabilities"], classes)

    @classmethod
    def load_asked(cls, path: Path) -> AskedImages:
        """Read a file that `save` wrote but for the probabilities, of which there may be many. Errors as of `load`."""
        if path.suffix == ".csv":
            found = cls.load(path)
            return AskedImages(found.names, found.labels, found.classes)
        with read_arrays(path, _checked(path)) as saved:
            return AskedImages(saved["names"].tolist(), saved["labels"], tuple(saved["classes"].tolist()))

    @classmethod
    def _load_table(cls, path: Path) -> Predictions:
        try:
            with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
                header, *rows = list(csv.reader(file)) or [[]]
        except csv.Error as error:
            raise DataError(f"{path} is damaged: {error}. Evaluate the run again.") from error
        classes = tuple(map(words_of, header[len(COLUMNS) :]))
        if header[: len(COLUMNS)] != COLUMNS or not classes:
            raise DataError(f"{path} must begin with the columns {', '.join(COLUMNS)} and one per class.")
        parsed = [_parse(row, classes, f"{path}, line {line}") for line, row in enumerate(rows, start=2)]
        return cls(
            names=[name for name, _, _ in parsed],
            labels=np.array([label for _, label, _ in parsed], dtype=np.int64),
            probabilities=np.array([shares for _, _, shares in parsed]).reshape(len(parsed), len(classes)),
            classes=classes,
        )

    def _save_table(self, path: Path) -> None:
        with written_whole(path) as file:
            writer = csv.writer(file)
            writer.writerow([*COLUMNS, *map(cell, self.classes)])
            writer.writerows(self._rows(_split_of(path)))

    def _rows(self, split: str) -> Iterator[list[str]]:
        for name, label, predicted, shares in zip(
            self.names, self.labels, self.predicted, self.probabilities, strict=True
        ):
            words = map(cell, (name, split, self.classes[label], self.classes[predicted]))
            yield [*words, *(f"{share:.9g}" for share in shares)]


def _checked(path: Path) -> str:
    """The command that writes a file of predictions anew. Raises what `Predictions.load` raises."""
    again = f"`mien.evaluate({str(path.parent)!r}, split={_split_of(path)!r})`"
    if not path.is_file():
        raise MissingError(f"{path} is not there. Write it first: {again}")
    manifest.check(path.parent, path.name, f"Write it anew: {again}")
    return again


def _split_of(path: Path) -> str:
    return path.stem.removeprefix("predictions").removeprefix("-") or "validation"


def _parse(row: list[str], classes: tuple[str, ...], where: str) -> tuple[str, int, list[float]]:
    try:
        shares = [float(value) for value in row[len(COLUMNS) :]]
    except ValueError as error:
        raise DataError(f"{where}: a probability is not a number ({error}). Evaluate the run again.") from error
    if len(shares) != len(classes):
        raise DataError(f"{where}: {len(shares)} probabilities for {len(classes)} classes. Evaluate the run again.")
    name, label = words_of(row[0]), words_of(row[2])
    if label not in classes:
        raise DataError(f"{where}: label '{label}' is not among the classes {', '.join(classes)}.")
    return name, classes.index(label), shares
