"""Any folder of labelled images: ROOT/<class>/*.jpg, or ROOT/{train,validation,test}/<class>/*.jpg.

A zip or tar archive of such a folder is read where it lies; shards of WebDataset or Parquet by their readers.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from mien import media
from mien.data import archives, shards
from mien.data.layouts import advice_on_classes, laid_out, sub_folders
from mien.data.listing import Listing, existing, file_stamp, signature
from mien.data.sources import parquet, webdataset
from mien.errors import DataError, MissingError, nearest
from mien.labels import folded, merged, one_spelling
from mien.packed import path_of
from mien.pictures import Entry, image_files, open_image


class ClassFolder(NamedTuple):
    """A folder of the images of one class in one split. others: files in it that are none."""

    folder: Path
    split: str
    images: Sequence[Entry]
    others: Sequence[Path]


class Item(NamedTuple):
    """An image, or in its place a class folder that has none. name: a path below the data's folder."""

    name: str
    path: Path
    label: int
    split: str
    stamp: str
    problem: str = ""


def read(path: Path | None) -> Listing:
    """List a folder of images. Classes are the sub-folders' names, sorted; spellings of one name are one class.

    Raises MissingError when the folder is not there, DataError when it is not clear which folders are the classes, or
    when validation or test has a class that train lacks. A class without a training image is in `Listing.problems`.
    """
    root = existing(path, "the folder of labelled images")
    if shards.are_parquet(root):
        return parquet.read(root)
    if shards.are_samples(root):
        return webdataset.read(root)
    if archives.is_archive(root):
        listing = _laid_out(archives.tree(root))
        return replace(listing, signature=signature([file_stamp(root), listing.signature]))
    if not root.is_dir():
        raise MissingError(
            f"`data.path` {root} is a file; a folder with one sub-folder per class is needed. If it is a table of "
            "pictures: `data.source` table"
        )
    return _laid_out(root)


def _laid_out(root: Path) -> Listing:
    layout = laid_out(root)
    return list_classes(layout.splits, root).without_some(layout.left_out)


def list_classes(splits: Mapping[str, Path], root: Path) -> Listing:
    """List every image of every class in the folder of each split ('' where there are none). Errors as of `read`."""
    folders = [_class_folder(child, split) for split, folder in splits.items() for child in sub_folders(folder)]
    training = [each for each in folders if each.split in ("", "train")]
    spelling = one_spelling({each.folder.name: len(each.images) for each in training})
    classes = tuple(sorted(set(spelling.values())))
    _refuse_few(classes, next(folder for split, folder in splits.items() if split in ("", "train")))
    index = {folded(name): label for label, name in enumerate(classes)}
    _refuse_strange(folders, index, classes)
    items = [item for each in folders for item in _items(each, index[folded(each.folder.name)], root)]
    items += _without_images(training, index, root)
    return Listing(
        classes=classes,
        names=[item.name for item in items],
        labels=[item.label for item in items],
        splits=[item.split for item in items],
        read=lambda i: _open(items[i]),
        signature=signature([item.stamp for item in items]),
        problems={i: item.problem for i, item in enumerate(items) if item.problem},
        left_out=media.counted(path for each in folders for path in each.others),
        notes=merged(spelling),
    )


def _class_folder(folder: Path, split: str) -> ClassFolder:
    others: list[Path] = []
    return ClassFolder(folder, split, list(image_files(folder, others=others)), others)


def _items(found: ClassFolder, label: int, root: Path) -> Iterator[Item]:
    above, start = found.folder.relative_to(root).as_posix(), len(str(found.folder))
    for entry in found.images:
        name = above + entry.path[start:].replace(os.sep, "/")
        yield Item(name, path_of(entry), label, found.split, file_stamp(entry))


def _without_images(training: Sequence[ClassFolder], index: Mapping[str, int], root: Path) -> Iterator[Item]:
    """Classes whose training folders, all of them, hold no images."""
    counts: Counter[str] = Counter()
    for each in training:
        counts[folded(each.folder.name)] += len(each.images)
    for each in training:
        if not counts[folded(each.folder.name)]:
            held = media.told(media.counted(each.others))
            problem = (
                f"{each.folder} holds no images{f' (but {held})' if held else ''}. Add some, or remove the folder."
            )
            name = each.folder.relative_to(root).as_posix()
            yield Item(name, each.folder, index[folded(each.folder.name)], each.split, f"{name} is empty", problem)


def _open(item: Item) -> Image.Image:
    if item.problem:
        raise DataError(item.problem)
    return open_image(item.path)


def _refuse_few(classes: Sequence[str], train: Path) -> None:
    if len(classes) < 2:
        found = f"{train} has {'one' if classes else 'no'} class folder"
        raise DataError(f"{found}; a classifier needs at least two.{advice_on_classes(train)}")


def _refuse_strange(folders: Sequence[ClassFolder], index: Mapping[str, int], classes: Sequence[str]) -> None:
    """A split may lack a class of train, and have no further one."""
    for folder in (each.folder for each in folders):
        if folded(folder.name) not in index:
            raise DataError(
                f"{folder} is a class that train lacks (it has {', '.join(classes)}). Add training images of "
                f"'{folder.name}', or remove that folder.{nearest(folder.name, classes)}"
            )
