"""How a folder of labelled images is laid out: which of its sub-folders are splits, and which are classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mien import media
from mien.data.text_table import ENDINGS, header_of
from mien.errors import DataError, MienError
from mien.labels import folded
from mien.packed import path_of, scan
from mien.pictures import Entry, image_files, is_folder, is_hidden, is_picture, leads_back

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation", "publictest", "public"), "validation"),
    **dict.fromkeys(("test", "testing", "privatetest", "private"), "test"),
}
# 'seg_train', 'training_set', 'val_256', 'test1', 'TrainImages'
SPLIT_NAME = re.compile(
    rf"(?:seg[_ -]?)?({'|'.join(sorted(SPLIT_WORDS, key=len, reverse=True))})"
    r"(?:[_ -]*(?:(?:data)?set|data|images?|imgs?|pictures|pics|photos|faces|split|folder|\d+(?:x\d+)?))*",
    re.I,
)
NAMED = 6  # sub-folders that an error names


@dataclass
class FolderLayout:
    """Where the classes of each split are.

    splits: 'train', 'validation', 'test', or '' where there are none -> the folder whose sub-folders are its classes.
    left_out: why something of the folder is not used -> how many pictures or files.
    """

    splits: dict[str, Path]
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def train(self) -> Path:
        """The folder whose sub-folders are the classes to learn."""
        return self.splits["train" if "train" in self.splits else ""]


def split_of(name: str) -> str | None:
    """The split that a folder or a cell names: 'Training', 'seg_train' and 'train_set' are 'train'. None: none."""
    found = SPLIT_NAME.fullmatch(name.strip())
    return SPLIT_WORDS[found[1].lower()] if found else None


def _splits_in(name: str) -> set[str]:
    """The splits of which a name has a word: 'cats_train' and 'FER2013Train' have train."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    return {SPLIT_WORDS[word.lower()] for word in words if word.lower() in SPLIT_WORDS}


def laid_out(root: Path) -> FolderLayout:
    """Find the splits and what holds the classes.

    Raises DataError when a split is there twice, when there are splits and no train, and when it cannot be told which
    folders are the classes.
    """
    root = _inner(root)
    children = sub_folders(root)
    splits = _splits(root, children)
    if "train" not in splits:
        _refuse_unlabelled(root, children)
        splits = {"": root}
    for folder in splits.values():
        _refuse_same_sub_folders(folder)
    layout = FolderLayout(splits)
    if "" not in splits:
        _leave_out_other_folders(layout, children)
    for folder in {root, *splits.values()}:
        _leave_out_files(layout, folder)
    return layout


def sub_folders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, hidden ones left out. Raises DataError when it cannot be listed."""
    paths = [path_of(entry) for entry in _entries(folder) if is_folder(entry)]
    return [path for path in paths if not leads_back(path)]


def advice_on_classes(root: Path) -> str:
    """What to do with a folder that has fewer than two class folders."""
    children = _children(root)
    inside = [child for child in children if is_folder(child) and len(sub_folders(child)) > 1]
    tables = [child for child in children if child.name.lower().endswith(ENDINGS) and _has_labels(child)]
    archives = [child for child in children if child.is_file() and media.kind_of(child).group == "archive"]
    if inside or tables:
        return f" Did you mean {(inside or tables)[0]}?"
    if archives:
        return f" Unpack {archives[0].name} first."
    return " Put the pictures of each class in a sub-folder named after it, or list them in a CSV of path,label."


def _has_labels(table: Path) -> bool:
    try:
        return not {"label", "emotion"}.isdisjoint(header_of(table))
    except (MienError, OSError):
        return False


def _children(folder: Path) -> list[Path]:
    return [path_of(entry) for entry in _entries(folder)]


def _entries(folder: Path) -> list[Entry]:
    """What is in a folder, sorted, hidden entries left out. An entry knows what it is without another look."""
    try:
        with scan(folder) as found:
            return sorted((entry for entry in found if not is_hidden(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder} cannot be listed ({error.strerror}). Make it readable, or remove it.") from error


def _inner(folder: Path) -> Path:
    """The folder itself, or the one of the same name in it, where an archive was unpacked into it: train/train."""
    children = _children(folder)
    if len(children) == 1 and is_folder(children[0]) and _same_name(children[0].name, folder.name):
        return _inner(children[0])
    return folder


def _same_name(one: str, other: str) -> bool:
    return folded(one) == folded(other) or (split_of(one) is not None and split_of(one) == split_of(other))


def _splits(root: Path, children: Sequence[Path]) -> dict[str, Path]:
    """Each split's folder. A folder of pictures is a class, whatever it is called: train/ beside car/ and plane/."""
    found: dict[str, Path] = {}
    for child in children:
        split = split_of(child.name)
        if split is None or not _holds_classes(_inner(child)):
            continue
        if split in found:
            raise DataError(f"{root} has both {found[split].name}/ and {child.name}/: keep one of them as {split}.")
        found[split] = child
    if found and "train" not in found and len(found) == len(children):
        raise DataError(f"{root} has {_listed(children)} and no train folder. Add train/.")
    return {split: _inner(folder) for split, folder in found.items()}


def _holds_classes(folder: Path) -> bool:
    inside = sub_folders(folder)
    return len(inside) > 1 or (len(inside) == 1 and not _has_pictures(folder))


def _has_pictures(folder: Path) -> bool:
    return any(is_picture(entry) for entry in _entries(folder) if not is_folder(entry))


def _refuse_unlabelled(root: Path, children: Sequence[Path]) -> None:
    """train/ and test/ full of pictures are no two classes, nor are FER2013Train/ and FER2013Test/."""
    named = [_splits_in(child.name) for child in children]
    if len(children) > 1 and all(named) and any("train" in splits for splits in named):
        raise DataError(
            f"{root} has {_listed(children)}, which hold pictures and no class folders. "
            "Sort the pictures into a sub-folder for each class, or list them in a CSV of path,label."
        )


def _refuse_same_sub_folders(folder: Path) -> None:
    children = sub_folders(folder)
    if len(children) < 2 or len(first := _folded_sub_folders(children[0])) < 2:
        return
    if any(_folded_sub_folders(child) != first for child in children) or any(map(_has_pictures, children)):
        return
    raise DataError(
        f"{_listed(children)} in {folder} all hold the same sub-folders, {_listed(sub_folders(children[0]))}, so it is "
        "not clear which are the classes. Call splits train, validation and test; put the pictures of a class directly "
        "in its folder."
    )


def _folded_sub_folders(folder: Path) -> set[str]:
    return {folded(child.name) for child in sub_folders(folder)}


def _leave_out_other_folders(layout: FolderLayout, children: Sequence[Path]) -> None:
    used = set(layout.splits.values())
    for child in children:
        if child not in used and _inner(child) not in used:
            pictures = sum(1 for _ in image_files(child))
            why = "which has no class folders" if split_of(child.name) else "which is none of train, validation, test"
            layout.left_out[f"pictures in {child.name}/, {why}"] = pictures


def _leave_out_files(layout: FolderLayout, folder: Path) -> None:
    """Pictures that lie beside the folders of classes, in none of them."""
    stray = sum(1 for entry in _entries(folder) if not is_folder(entry) and is_picture(entry))
    if stray:
        layout.left_out[f"pictures directly in {folder.name}/, in no class folder"] = stray


def _listed(folders: Iterable[Path]) -> str:
    names = [folder.name for folder in folders]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
