"""WebDataset: tar archives whose members of one key are a sample, pets-000000.tar with 000.jpg and 000.cls.

The label is what `.cls` says, else `.json` under one of KEYS, else `.txt`. One archive or a folder of them; what an
archive's name begins with is its split: train-000000.tar. A file classnames.txt beside them names the numbers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mien import media
from mien.data import archives
from mien.data.listing import Listing, existing
from mien.data.pixel_table import DIGITS
from mien.data.shards import TARS, Sample, Shard, key_of, listing_of, shards_of
from mien.data.text_table import text_lines
from mien.errors import DataError, MissingError
from mien.pictures import IMAGE_SUFFIXES, is_hidden

KEYS = ("label_name", "class_name", "class", "label", "cls")
NAMES = "classnames.txt"  # a name a line, in the order of the numbers
LABEL_BYTES = 2**20
LAYOUT = "A WebDataset is tar archives of 000.jpg beside 000.cls (or .json, .txt), one pair a sample."


def read(path: Path | None) -> Listing:
    """List the samples. Classes are the labels, numbers by value, or the names that classnames.txt gives them.

    Raises MissingError when nothing is there, DataError when an archive is refused or none has a picture. A picture
    without a label is in `Listing.problems`.
    """
    root = existing(path, "the WebDataset")
    shards = shards_of(root, *TARS)
    if not shards:
        raise MissingError(f"{root} holds no tar archive. {LAYOUT}")
    listed = root / NAMES if root.is_dir() else root.parent / NAMES
    classes = [line.strip() for line in text_lines(listed) if line.strip()] if listed.is_file() else []
    left_out: Counter[str] = Counter()
    found = [sample for shard in shards for sample in _samples(shard, classes, left_out)]
    if not found:
        raise DataError(f"{root} holds no pictures. {LAYOUT}")
    return listing_of(found, root, shards, classes).without_some(left_out)


def _samples(shard: Shard, classes: Sequence[str], left_out: Counter[str]) -> Iterator[Sample]:
    """The samples of an archive in its order; what is no picture and no label of one is counted."""
    if not archives.is_archive(shard.path) or media.kind_of(shard.path).name == "ZIP":
        raise DataError(f"{shard.path} is no tar archive. {LAYOUT}")
    parts: dict[str, dict[str, archives.Member]] = {}
    for member in archives.members(shard.path):
        if any(map(is_hidden, member.name.split("/"))):
            continue
        key, ending = key_of(member.name)
        if parts.setdefault(key, {}).setdefault(ending, member) is not member:
            raise DataError(f"{shard.path}: the member '{member.name}' is there twice. Make the archive again.")
    for key, members in parts.items():
        pictures = [ending for ending in members if f".{ending}".endswith(IMAGE_SUFFIXES)]
        if pictures:
            chosen = next((ending for ending in pictures if "." not in ending), pictures[0])  # 7.jpg, not 7.mask.png
            yield _sample(shard, key, members, members[chosen], classes)
            left_out["further pictures of a sample"] += len(pictures) - 1
        else:
            left_out["samples without a picture"] += 1


def _sample(
    shard: Shard,
    key: str,
    members: Mapping[str, archives.Member],
    picture: archives.Member,
    classes: Sequence[str],
) -> Sample:
    name = f"{shard.path.name}/{picture.name}"
    try:
        label = _label(members)
    except (ValueError, RecursionError) as error:
        return Sample(name, "", shard.split, picture.read, f"{name}: its label cannot be read ({error}).")
    if not label:
        problem = f"{name} has no label: there is no {key}.cls, .json or .txt that says one."
        return Sample(name, "", shard.split, picture.read, problem)
    if classes and label.isdecimal():
        if len(label) >= DIGITS or int(label) >= len(classes):
            problem = f"{name}: the label is {label[:DIGITS]}; {NAMES} names 0 to {len(classes) - 1}."
            return Sample(name, "", shard.split, picture.read, problem)
        label = classes[int(label)]
    return Sample(name, label, shard.split, picture.read)


def _label(members: Mapping[str, archives.Member]) -> str:
    """The label of a sample, '' where none of its members says one. Raises ValueError for what is no text or JSON."""
    if "cls" in members:
        return _text(members["cls"])
    if "json" in members:
        values = json.loads(_text(members["json"]))
        said = [values[key] for key in KEYS if key in values] if isinstance(values, dict) else [values]
        usable = (str(each).strip() for each in said if isinstance(each, str | int) and not isinstance(each, bool))
        if label := next(usable, ""):
            return label
    return _text(members["txt"]) if "txt" in members else ""


def _text(member: archives.Member) -> str:
    if member.size > LABEL_BYTES:
        raise ValueError(f"{member.name} has more than {LABEL_BYTES // 2**20} MiB")
    return member.read().decode("utf-8-sig").strip()
