"""Any folder of labelled images: ROOT/<class>/*.jpg, or ROOT/{train,validation,test}/<class>/*.jpg."""

from __future__ import annotations

import os
from pathlib import Path

from mien.data.listing import SPLIT_ALIASES, Listing, existing, file_stamp, signature
from mien.errors import DataError, MissingError, nearest
from mien.pictures import IMAGE_SUFFIXES, image_files, is_folder, leads_back, open_image


def read(path: Path | None) -> Listing:
    """List a folder of images. Classes are the sub-folders' names, sorted.

    Raises MissingError when the folder is not there, DataError when a class has no images or when
    validation or test has a class that train lacks.
    """
    root = existing(path, "the folder of labelled images")
    if not root.is_dir():
        raise MissingError(f"`data.path` {root} is a file; a folder with one sub-folder per class is needed.")
    folders = split_folders(root)
    return list_classes(folders, class_names(folders), root)


def split_folders(root: Path) -> dict[str, Path]:
    """{'train': ROOT/train, …} where ROOT has split folders, else {'': ROOT}.

    Raises DataError when a split is there twice, or when there are splits and no train.
    """
    found: dict[str, Path] = {}
    children = _folders(root)
    for child in children:
        split = SPLIT_ALIASES.get(child.name.lower())
        if split in found:
            raise DataError(f"{root} has both {found[split].name}/ and {child.name}/: keep one of them as {split}.")
        if split:
            found[split] = child
    if found and "train" not in found and len(found) == len(children):
        raise DataError(f"{root} has {', '.join(child.name for child in children)} and no train folder. Add train/.")
    return found if "train" in found else {"": root}


def class_names(folders: dict[str, Path]) -> tuple[str, ...]:
    """The classes of the training folder; the other splits may not have further ones."""
    train = next(iter(folders.get(split) for split in ("train", "") if split in folders))
    assert train is not None
    names = tuple(child.name for child in _folders(train))
    if len(names) < 2:
        raise DataError(f"{train} has {len(names)} class folder(s); a classifier needs at least two.")
    for folder in folders.values():
        strange = [child.name for child in _folders(folder) if child.name not in names]
        if strange:
            raise DataError(
                f"{folder / strange[0]} is a class that {train} lacks (it has {', '.join(names)}). "
                f"Add training images of '{strange[0]}', or remove that folder.{nearest(strange[0], names)}"
            )
    return names


def list_classes(folders: dict[str, Path], classes: tuple[str, ...], root: Path) -> Listing:
    """List every image of every class in every split folder; a name is a path below `root`."""
    paths: list[str] = []
    names: list[str] = []
    labels: list[int] = []
    splits: list[str] = []
    stamps: list[str] = []
    for split, folder in folders.items():
        for child in _folders(folder):
            entries = list(image_files(child))
            if not entries:
                raise DataError(f"{child} holds no images{_instead(child)}. Add some, or remove the folder.")
            above = child.relative_to(root).as_posix()
            paths += [entry.path for entry in entries]
            names += [above + entry.path[len(str(child)) :].replace(os.sep, "/") for entry in entries]
            stamps += [file_stamp(entry) for entry in entries]
            labels += [classes.index(child.name)] * len(entries)
            splits += [split] * len(entries)
    return Listing(
        classes=classes,
        names=names,
        labels=labels,
        splits=splits,
        read=lambda i: open_image(Path(paths[i])),
        signature=signature(stamps),
    )


def _folders(folder: Path) -> list[Path]:
    try:
        children = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be listed ({error.strerror}). Make it readable, or remove it.") from error
    seen = (child for child in children if not child.name.startswith("."))
    return [child for child in seen if is_folder(child) and not leads_back(child)]


def _instead(folder: Path) -> str:
    """What a folder without images does hold."""
    other = sorted(child.name for child in folder.iterdir())
    return f" (but {other[0]}; images end in {', '.join(IMAGE_SUFFIXES)})" if other else ""
