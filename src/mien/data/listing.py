"""What every reader returns: the images a source has, before any is decoded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from mien.errors import MissingError, UsageError, nearest
from mien.labels import canonical
from mien.pictures import odd_kind

SPLITS = ("train", "validation", "test")
ALL = "all"  # of an image of any split, and of those of none


@dataclass(frozen=True)
class Listing:
    """N images of one source, not yet decoded.

    classes: class names in order. names: what an error calls image i (a path, or 'file.csv row 7').
    labels: index into classes. splits: 'train', 'validation', 'test', or '' where the source has none.
    groups: images of one group never end in different splits; empty where there are no groups.
    read(i) opens image i and raises DataError when it cannot.
    signature: changes whenever the source does; cheap to compute (names, sizes, times).
    problems: position -> what is wrong with an image, where listing alone shows it (a label that is
    not known, say); its label and split mean nothing.
    soft_labels: float32 (N, K), the probability of each class where the source has it (votes, say), else None.
    left_out: why images or files of the source are not in the listing -> how many.
    notes: what the user must know of how the source was read, that two spellings became one class, say.
    """

    classes: tuple[str, ...]
    names: list[str]
    labels: list[int]
    splits: list[str]
    read: Callable[[int], Image.Image]
    signature: str
    groups: Sequence[str] = ()
    problems: Mapping[int, str] = field(default_factory=dict)
    soft_labels: np.ndarray | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, positions: Sequence[int]) -> Listing:
        """The images at these positions, in that order."""
        return replace(
            self,
            names=[self.names[i] for i in positions],
            labels=[self.labels[i] for i in positions],
            splits=[self.splits[i] for i in positions],
            read=lambda i: self.read(positions[i]),
            groups=[self.groups[i] for i in positions] if self.groups else (),
            problems={new: self.problems[old] for new, old in enumerate(positions) if old in self.problems},
            soft_labels=None if self.soft_labels is None else self.soft_labels[np.array(positions, dtype=int)],
        )

    def without(self, names: Sequence[str]) -> Listing:
        """The images of the classes that are not named; soft labels are shared out among those.

        names: of classes, or several with commas between them.

        Raises UsageError when there is no class of a name, or fewer than two are left.
        """
        index = {canonical(name): label for label, name in enumerate(self.classes)}
        whole = [[name] if canonical(name) in index else name.split(",") for name in names]
        names = [name.strip() for each in whole for name in each]
        for name in names:
            if canonical(name) not in index:
                near = nearest(name, self.classes)
                there = ", ".join(self.classes)
                raise UsageError(f"`data.without` {name}: no class of that name. There are {there}.{near}")
        gone = {index[canonical(name)] for name in names}
        kept = [label for label in range(len(self.classes)) if label not in gone]
        if len(kept) < 2:
            raise UsageError(f"`data.without` leaves {len(kept)} class(es); a classifier needs at least two.")
        rest = self.subset([i for i, label in enumerate(self.labels) if label not in gone or i in self.problems])
        return replace(
            rest,
            classes=tuple(self.classes[label] for label in kept),
            labels=[kept.index(label) if label in kept else 0 for label in rest.labels],
            soft_labels=None if rest.soft_labels is None else _shares(rest.soft_labels[:, kept]),
        ).without_some({f"of {', '.join(names)}": len(self) - len(rest)})

    def without_some(self, left_out: Mapping[str, int], notes: Sequence[str] = ()) -> Listing:
        """The same images, with more that are not in the listing and more to say of them."""
        return replace(self, left_out={**self.left_out, **left_out}, notes=(*self.notes, *notes))


def existing(path: Path | None, what: str) -> Path:
    """`path` as it is, or the error that says what to give."""
    if path is None:
        raise MissingError(f"Where is {what}? Give `data.path`.")
    try:
        kind = odd_kind(path)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        where = "" if path.is_absolute() else f" in {Path.cwd()}"  # a run names it as it was given
        raise MissingError(f"`data.path` {path}: there is no such file or folder{where}.") from error
    except OSError as error:
        raise MissingError(f"`data.path` {path} cannot be looked at: {error.strerror}.") from error
    if kind not in ("", "a folder"):
        raise MissingError(f"`data.path` {path} is {kind}; a file or a folder is needed.")
    return path


def meant_below(root: Path, recognises: Callable[[Path], bool]) -> str:
    """' Did you mean FOLDER?' for a folder in `root` that is laid out as a reader wants it, or ''."""
    below = [child for child in root.iterdir() if recognises(child)] if root.is_dir() else []
    return f" Did you mean {below[0]}?" if below else ""


def file_stamp(entry: os.DirEntry[str] | Path) -> str:
    """Name, size and time of change of a file, for a signature; of a link that leads nowhere, its name."""
    try:
        found = entry.stat()
    except OSError:
        return f"{os.fspath(entry)} is missing"
    return f"{os.fspath(entry)}|{found.st_size}|{found.st_mtime_ns}"


def signature(parts: Sequence[str]) -> str:
    """sha256 over the parts, hexadecimal."""
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _shares(weights: np.ndarray) -> np.ndarray:
    """Weights (N, K) over their sums, float32; rows of zeros stay."""
    sums = weights.sum(axis=1, keepdims=True)  # (N, 1)
    return (weights / np.where(sums > 0, sums, 1)).astype(np.float32)
