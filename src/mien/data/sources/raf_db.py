"""RAF-DB's seven basic expressions (Li, Deng and Du, CVPR 2017), in the official layout or in Kaggle's.

    Image/aligned/train_00001_aligned.jpg    EmoLabel/list_patition_label.txt: 'train_00001.jpg 5'
    DATASET/train/5/train_00001_aligned.jpg  train_labels.csv, test_labels.csv: 'train_00001_aligned.jpg,5'

A picture's name begins with its split, train or test; there is no validation split, so a share of train is held out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mien import media
from mien.data.listing import Listing, existing, file_stamp, meant_below, signature
from mien.data.text_table import text_lines
from mien.errors import DataError, MissingError
from mien.labels import FER2013
from mien.pictures import Entry, image_files, open_image

NUMBERS = dict(zip("1234567", ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"), strict=True))
LAYOUT = (
    "RAF-DB is a folder of Image/aligned and EmoLabel/list_patition_label.txt, or, as on Kaggle, of DATASET/train, "
    "DATASET/test, train_labels.csv and test_labels.csv."
)


class Layout(NamedTuple):
    """Where the pictures are, and the lists of their labels."""

    folders: tuple[str, ...]
    lists: tuple[str, ...]


LAYOUTS = (
    Layout(("Image/aligned",), ("EmoLabel/list_patition_label.txt",)),
    Layout(("DATASET/train", "DATASET/test"), ("train_labels.csv", "test_labels.csv")),
)


class Line(NamedTuple):
    """A line of a list: what an error calls it, and the number it gives."""

    place: str
    number: str


def recognises(root: Path) -> bool:
    """Whether a folder looks like RAF-DB, whole or not: a list called train_labels.csv alone may be of anything."""
    layout = _layout(root)
    if layout is None:
        return False
    return all((root / name).is_file() for name in layout.lists) or any(
        (root / name).is_dir() for name in layout.folders
    )


def read(path: Path | None, encoding: str | None = None) -> Listing:
    """List the pictures of the folders and of the lists. Classes are in the order of FER2013's.

    Raises MissingError naming what the layout lacks, DataError for a line that is none. A picture without a line, a
    line without its picture, or a label that is none of the seven, is in `Listing.problems`.
    """
    root = existing(path, "RAF-DB")
    layout = _whole(root)
    others: list[Path] = []
    pictures = _pictures(root, layout, others)
    lines = _lines(root, layout, encoding)
    names = sorted(pictures.keys() | lines.keys())
    if not pictures:
        raise DataError(f"{root / layout.folders[0]} holds no pictures. {LAYOUT}")
    problems = {i: _problem(name, pictures, lines, layout) for i, name in enumerate(names)}
    numbers = [lines[name].number if name in lines else "" for name in names]
    return Listing(
        classes=FER2013,
        names=[_relative(pictures[name], root) if name in pictures else lines[name].place for name in names],
        labels=[FER2013.index(NUMBERS.get(number, FER2013[0])) for number in numbers],
        splits=["test" if name.startswith("test_") else "train" for name in names],
        read=lambda i: open_image(Path(pictures[names[i]].path)),
        signature=signature([file_stamp(root / name) for name in layout.lists] + [*map(file_stamp, pictures.values())]),
        problems={i: problem for i, problem in problems.items() if problem},
        left_out=media.counted(others),
    )


def _layout(root: Path) -> Layout | None:
    return next((layout for layout in LAYOUTS if any((root / name).is_file() for name in layout.lists)), None)


def _whole(root: Path) -> Layout:
    """The layout that the folder has, with nothing missing."""
    layout = _layout(root)
    if layout is None:
        raise MissingError(f"{root} has no list of labels. {LAYOUT}{meant_below(root, recognises)}")
    for place in (*layout.folders, *layout.lists):
        if not (root / place).exists():
            raise MissingError(f"{root / place} is missing. {LAYOUT}")
    return layout


def _pictures(root: Path, layout: Layout, others: list[Path]) -> dict[str, Entry]:
    """The name that lists and pictures share, 'train_00001' -> the picture; files that are none go to `others`."""
    found: dict[str, Entry] = {}
    for folder in layout.folders:
        for entry in image_files(root / folder, others=others):
            first = found.setdefault(_name(entry.name), entry)
            if first is not entry:
                raise DataError(f"{first.path} and {entry.path} have the same name. Remove one of them.")
    return found


def _lines(root: Path, layout: Layout, encoding: str | None) -> dict[str, Line]:
    """Name -> its line. A file name and a number are parted by a blank or a comma; a header has no number."""
    found: dict[str, Line] = {}
    for path in (root / name for name in layout.lists):
        for number, text in enumerate(text_lines(path, encoding), start=1):
            cells = text.replace(",", " ").split()
            place = f"{path.name} line {number}"
            if not cells or cells == ["image", "label"]:
                continue
            if len(cells) != 2:
                raise DataError(f"{place} is '{text[:80]}'; it must be a file name and a number from 1 to 7.")
            first = found.setdefault(_name(cells[0]), Line(place, cells[1]))
            if first.number != cells[1]:
                raise DataError(f"{place}: {cells[0]} is {cells[1]} here and {first.number} in {first.place}.")
    return found


def _problem(name: str, pictures: Mapping[str, Entry], lines: Mapping[str, Line], layout: Layout) -> str:
    """What is wrong with a picture or its line, or ''."""
    if name not in lines:
        return f"{pictures[name].path} has no line in {' or '.join(layout.lists)}, so its class is not known."
    line = lines[name]
    if name not in pictures:
        return f"{line.place}: there is no picture of {name} in {' or '.join(layout.folders)}."
    picture = pictures[name]
    folder = Path(picture.path).parent.name
    if line.number not in NUMBERS:
        return f"{line.place}: the label of {name} is '{line.number[:20]}', it must be a number from 1 to 7."
    if folder.isdecimal() and folder != line.number:
        return f"{line.place}: the label of {name} is {line.number}, but {picture.path} lies in folder {folder}."
    if not name.startswith(("train_", "test_")):
        return f"{picture.path} begins with neither 'train_' nor 'test_', so its split is not known."
    return ""


def _name(file: str) -> str:
    return Path(file).stem.removesuffix("_aligned")


def _relative(picture: Entry, root: Path) -> str:
    return Path(picture.path).relative_to(root).as_posix()
