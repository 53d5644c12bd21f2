"""Data sets in shards: one file or a folder of train-00000-of-00002.parquet, validation-00000.tar and so on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from mien import media
from mien.data import archives
from mien.data.layouts import split_of, sub_folders
from mien.data.listing import SPLITS, Listing, file_stamp, signature
from mien.data.pixel_table import DIGITS
from mien.data.text_table import parquet_file
from mien.errors import DataError, nearest
from mien.labels import folded, merged, one_spelling
from mien.packed import packed
from mien.pictures import IMAGE_SUFFIXES, is_hidden, open_image
from mien.words import count

NUMBERED = re.compile(r"(.*?)[-_.]?\d+(?:[-_]of[-_]\d+)?", re.I)  # train-00000-of-00002, pets-000012
TARS = (".tar", ".tar.gz", ".tgz")
DATA = "data"  # the folder in which Hugging Face keeps a set's shards
LABEL_SUFFIXES = (".cls", ".json", ".txt")


class Shard(NamedTuple):
    """One file of a set. split: 'train', 'validation', 'test', or ''."""

    path: Path
    split: str


class Sample(NamedTuple):
    """One picture of a shard. label: its class's name, '' where there is none. read: its bytes; raises DataError.

    problem: what is wrong with it, or ''.
    """

    name: str
    label: str
    split: str
    read: Callable[[], bytes]
    problem: str = ""


def shards_of(path: Path, *endings: str) -> list[Shard]:
    """The shards at `path`: the file itself, or those of a folder, or of `data` in it, sorted; empty: none.

    Raises DataError where some are of a split and others are not.
    """
    if path.is_file():
        return [Shard(path, _split(path))]
    files = _files(path, *endings)
    found = [Shard(each, _split(each)) for each in files]
    strange = [each.path.name for each in found if not each.split]
    if strange and len(strange) < len(found):
        raise DataError(
            f"{path}: {strange[0]} says of no split, as others do. Call it train-..., validation-... or test-..., or "
            "move it elsewhere."
        )
    if found and not any(each.split in ("", SPLITS[0]) for each in found):
        raise DataError(f"{path} has {', '.join(each.path.name for each in found[:4])} and no shard of train. Add it.")
    return found


def are_parquet(path: Path) -> bool:
    """Whether there are Parquet tables with a column of pictures at `path`, a file or a folder of shards."""
    files = _without_classes(path, ".parquet")
    if not files or media.kind_of(files[0]).name != "a Parquet table":
        return False
    with parquet_file(files[0]) as table:
        return picture_column(table.schema_arrow) is not None


def picture_column(schema: object) -> str | None:
    """The column of an Arrow schema that holds pictures: of bytes, or of structs with a field `bytes`; None: none.

    Of several the one called image, img, picture or jpg counts, else the first.
    """
    from pyarrow import types

    def holds_bytes(kind: object) -> bool:
        if types.is_struct(kind):
            position = kind.get_field_index("bytes")  # type: ignore[attr-defined]
            return position >= 0 and holds_bytes(kind.field(position).type)  # type: ignore[attr-defined]
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    found = [field.name for field in schema if holds_bytes(field.type)]  # type: ignore[attr-defined]
    usual = [name for name in ("image", "img", "picture", "jpg") if name in found]
    return next(iter(usual + found), None)


def are_samples(path: Path) -> bool:
    """Whether there are tar archives of WebDataset's at `path`: a picture and a label of one key in them."""
    files = _without_classes(path, *TARS)
    if not files or not archives.is_archive(files[0]) or media.kind_of(files[0]).name == "ZIP":
        return False
    names = [member.name for member in archives.members(files[0])]
    pictures = {key_of(name)[0] for name in names if name.lower().endswith(IMAGE_SUFFIXES)}
    # In a folder a list or JSON beside a picture is mostly no label: boxes, a caption.
    labels = [name for name in names if name.endswith(".cls") or ("/" not in name and name.endswith(LABEL_SUFFIXES))]
    return any(key_of(name)[0] in pictures for name in labels)


def key_of(name: str) -> tuple[str, str]:
    """What WebDataset takes for the key of a member, and what remains: 'a/7.seg.png' is 'a/7' and 'seg.png'."""
    above, slash, last = name.rpartition("/")
    stem, _, ending = last.partition(".")
    return f"{above}{slash}{stem}", ending.lower()


def listing_of(samples: Sequence[Sample], path: Path, shards: Sequence[Shard], classes: Sequence[str] = ()) -> Listing:
    """The samples as a listing. classes: in their order, where the source says them; else the labels, sorted.

    Raises DataError where there are fewer than two classes, or validation or test has one that train lacks.
    """
    good = [each for each in samples if not each.problem]
    training = [each for each in good if each.split in ("", SPLITS[0])]
    spelling = one_spelling(Counter(each.label for each in training)) if not classes else {}
    names = tuple(classes) or tuple(sorted(set(spelling.values()), key=_number_first))
    if len(names) < 2:
        wrong = next((each.problem for each in samples if each.problem), "A classifier needs at least two.")
        raise DataError(f"{path} has {count(len(names), 'label')} in its training samples. {wrong}")
    _refuse_no_text(names, path)
    index = {folded(name): label for label, name in enumerate(names)}
    for each in good:
        if folded(each.label) not in index:
            raise DataError(
                f"{each.name}: the label '{each.label}' is in {each.split} and not in train (there: "
                f"{', '.join(names)}).{nearest(each.label, names)}"
            )
    return Listing(
        classes=names,
        names=[each.name for each in samples],
        labels=[index.get(folded(each.label), 0) for each in samples],
        splits=[each.split for each in samples],
        read=lambda i: _open(samples[i]),
        signature=signature([*(file_stamp(each.path) for each in shards), str(len(samples)), *names]),
        problems={i: each.problem for i, each in enumerate(samples) if each.problem},
        notes=merged(spelling),
    )


def _refuse_no_text(names: Sequence[str], path: Path) -> None:
    """Raise DataError for half a character, which JSON can write and no file can hold."""
    for name in names:
        try:
            name.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise DataError(f"{path}: the class {name!r} is no text ({error.reason}). Name it otherwise.") from error


def _open(sample: Sample) -> Image.Image:
    content = sample.read()
    return open_image(packed(sample.name, lambda: content, len(content)))


def _number_first(name: str) -> tuple[int, str]:
    """Numbers by their value, then words: 2 comes before 10."""
    return (int(name) if name.isdecimal() and len(name) < DIGITS else 2**63, name)


def _split(path: Path) -> str:
    """The split in a shard's name, '' where there is none: train-00000-of-00002 is of train."""
    stem = path.name.partition(".")[0]
    found = NUMBERED.fullmatch(stem)
    return split_of(stem) or (split_of(found[1]) if found else None) or ""


def _without_classes(path: Path, *endings: str) -> list[Path]:
    """The file itself, or those of these endings in a folder that has no others in it, which may be classes."""
    if not path.is_dir():
        return [path] if path.is_file() else []
    return [] if {each.name for each in sub_folders(path)} - {DATA} else _files(path, *endings)


def _files(folder: Path, *endings: str) -> list[Path]:
    """The files of these endings in a folder and its folder `data`, sorted."""
    found = [each for place in (folder, folder / DATA) if place.is_dir() for each in place.iterdir()]
    named = (each for each in found if each.name.lower().endswith(endings) and not is_hidden(each.name))
    return sorted(each for each in named if each.is_file())
