"""Dogs vs. Cats as Kaggle gives it: train/cat.0.jpg, train/dog.12.jpg, and test1/1.jpg without labels."""

from __future__ import annotations

from pathlib import Path

from mien import media
from mien.data.listing import Listing, existing, file_stamp, signature
from mien.errors import DataError, MissingError
from mien.pictures import image_files, open_image

CLASSES = ("cat", "dog")
UNLABELLED = "test1"
LAYOUT = "Dogs vs. Cats is a folder with train/cat.0.jpg, train/dog.0.jpg and so on."


def recognises(root: Path) -> bool:
    """Whether a folder has Kaggle's names in train/, or in train/train/ as some unpack it."""
    return any(any((root / "train").glob(f"{above}{name}.*.jpg")) for above in ("", "train/") for name in CLASSES)


def read(path: Path | None) -> Listing:
    """List train/. The source has no validation split; the unlabelled pictures are not part of it: see `unlabelled`.

    Raises MissingError when train/ is not there, DataError when a class has no picture. A picture whose
    name does not begin with its class is in `Listing.problems`.
    """
    root = existing(path, "Dogs vs. Cats")
    if not (root / "train").is_dir():
        raise MissingError(
            f"{root / 'train'} is missing. {LAYOUT} Pictures in a sub-folder a class: `data.source` folder."
        )
    others: list[Path] = []
    entries = list(image_files(root / "train", others=others))
    words = [entry.name.lower().partition(".")[0] for entry in entries]
    for name in CLASSES:
        if name not in words:
            raise DataError(f"{root / 'train'} holds no picture of a {name}. {LAYOUT}")
    return Listing(
        classes=CLASSES,
        names=[Path(entry.path).relative_to(root).as_posix() for entry in entries],
        labels=[CLASSES.index(word) if word in CLASSES else 0 for word in words],
        splits=[""] * len(entries),
        read=lambda i: open_image(Path(entries[i].path)),
        signature=signature([file_stamp(entry) for entry in entries]),
        problems={
            i: f"{entries[i].path} begins with neither 'cat.' nor 'dog.', so its class is not known."
            for i, word in enumerate(words)
            if word not in CLASSES
        },
        left_out={**media.counted(others), **_without_labels(root)},
    )


def _without_labels(root: Path) -> dict[str, int]:
    count = sum(1 for _ in image_files(root / UNLABELLED)) if (root / UNLABELLED).is_dir() else 0
    return {f"pictures in {UNLABELLED}/, which have no labels": count} if count else {}


def unlabelled(folder: Path) -> dict[int, Path]:
    """The competition's pictures, id -> path, ids rising: test1/1.jpg has the id 1.

    Raises MissingError when there is no such folder, DataError when it holds no picture, or one whose
    name is no number or the number of another.
    """
    if not folder.is_dir():
        raise MissingError(f"{folder} is missing: the folder of unlabelled pictures, 1.jpg, 2.jpg and so on.")
    found: dict[int, Path] = {}
    for path in (Path(entry.path) for entry in image_files(folder)):
        if not (path.stem.isascii() and path.stem.isdecimal()):
            raise DataError(f"{path} is not named after its id, as 1.jpg is. Rename it, or remove it.")
        if found.setdefault(int(path.stem), path) != path:
            raise DataError(f"{found[int(path.stem)]} and {path} have the same id. Remove one of them.")
    if not found:
        raise DataError(f"{folder} holds no pictures; 1.jpg, 2.jpg and so on are needed.")
    return dict(sorted(found.items()))
