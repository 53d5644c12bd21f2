"""Parquet tables with the pictures' bytes in them, as Hugging Face lays out image classification sets.

A column of pictures (structs of bytes and path, or plain bytes) and a column of labels: numbers whose names stand in
the schema's metadata as a ClassLabel, or text. One file, or a folder of train-00000-of-00001.parquet, test-... and so
on, in `data` or not.
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from mien.data.archives import MEMBERS
from mien.data.listing import Listing, existing
from mien.data.shards import Sample, Shard, listing_of, picture_column, shards_of
from mien.data.text_table import parquet_file
from mien.errors import DataError, MissingError

LABELS = ("label", "labels", "class", "category", "emotion", "fine_label", "target", "cls")
GROUP_BYTES = 4 * 2**30  # of a row group, which is read into memory
PICTURE_BYTES = 256 * 2**20
KEPT = 3  # row groups in memory: the threads that decode are seldom in more
LAYOUT = "Needed are a column of pictures (bytes, or structs of bytes and path) and a column label."


def read(path: Path | None) -> Listing:
    """List the rows. Classes are a ClassLabel's names in their order, else the labels, sorted.

    Rows whose label is -1, as Hugging Face marks what has none, are left out and counted.
    Raises MissingError when nothing is there or pyarrow is lacking, DataError when a table is damaged, lacks a column,
    or has other classes than another. An empty label, or a number that has no name, is in `Listing.problems`.
    """
    root = existing(path, "the Parquet table")
    shards = shards_of(root, ".parquet")
    if not shards:
        raise MissingError(f"{root} holds no .parquet file. {LAYOUT}")
    left_out: Counter[str] = Counter()
    groups = _Groups()
    tables = [_table(shard, groups, left_out) for shard in shards]
    first = tables[0][0]
    for shard, (names, _) in zip(shards, tables, strict=True):
        if names != first:
            raise DataError(
                f"{shard.path} has other classes than {shards[0].path.name}. Give one of them, or write both anew."
            )
    return listing_of([each for _, samples in tables for each in samples], root, shards, first).without_some(left_out)


def _table(shard: Shard, groups: _Groups, left_out: Counter[str]) -> tuple[list[str], list[Sample]]:
    """A shard's class names, empty where it says none, and its rows."""
    with parquet_file(shard.path) as table:
        schema, meta = table.schema_arrow, table.metadata
        picture, label = _columns(shard.path, schema)
        _refuse_large(shard.path, meta)
        names = _names(schema, label)
        values = table.read(columns=[label]).column(0).to_pylist()
        starts = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    places = [(group, row) for group, count in enumerate(starts) for row in range(count)]
    samples = []
    for number, (value, (group, row)) in enumerate(zip(values, places, strict=True), start=1):
        if names and value == -1:
            left_out["rows without a label (-1)"] += 1
            continue
        read = partial(groups.read, shard.path, picture, group, row, f"{shard.path.name} row {number}")
        samples.append(_sample(f"{shard.path.name} row {number}", value, names, shard.split, read))
    return names, samples


def _columns(path: Path, schema: Any) -> tuple[str, str]:
    """The columns of the pictures and the labels. Raises DataError when one is missing."""
    picture, there = picture_column(schema), ", ".join(schema.names)
    if picture is None:
        raise DataError(f"{path} has no column of pictures; it has {there[:200]}. {LAYOUT}")
    folded = {name.strip().lower(): name for name in schema.names}
    label = next((folded[name] for name in LABELS if name in folded and folded[name] != picture), None)
    if label is None:
        raise DataError(f"{path} has no column label; it has {there[:200]}. {LAYOUT}")
    return picture, label


def _names(schema: Any, label: str) -> list[str]:
    """The names of a ClassLabel, from the metadata that Hugging Face's `datasets` writes; empty: none are said."""
    try:
        feature = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label]
        names = feature["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return []
    return list(map(str, names)) if isinstance(names, list) else []


def _refuse_large(path: Path, meta: Any) -> None:
    if meta.num_rows > MEMBERS:  # a few bytes may say that a value comes a billion times
        raise DataError(
            f"{path} has {meta.num_rows:,} rows, more than {MEMBERS:,}, the most that mien reads of one file."
        )
    largest = max((meta.row_group(i).total_byte_size for i in range(meta.num_row_groups)), default=0)
    if largest > GROUP_BYTES:
        raise DataError(
            f"{path} has a row group of {largest / 2**30:,.1f} GiB, more than {GROUP_BYTES // 2**30} GiB, the most "
            "that mien reads into memory. Write it with fewer rows a group (row_group_size=1000)."
        )


def _sample(name: str, value: Any, names: Sequence[str], split: str, read: Callable[[], bytes]) -> Sample:
    if value is None or not str(value).strip():
        return Sample(name, "", split, read, f"{name}: the label is empty.")
    if not isinstance(value, str | int):
        return Sample(name, "", split, read, f"{name}: the label is {str(value)[:40]}, no text or whole number.")
    if names and isinstance(value, int):
        if not 0 <= value < len(names):
            return Sample(name, "", split, read, f"{name}: the label is {value}; names are for 0 to {len(names) - 1}.")
        value = names[value]
    return Sample(name, str(value), split, read)


class _Groups:
    """The pictures of a few row groups in memory: rows are read in order, and a group is the least that can be read."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Path, int], Any] = OrderedDict()
        self._lock = Lock()

    def read(self, path: Path, column: str, group: int, row: int, name: str) -> bytes:
        """The bytes of a picture. Raises DataError where there are none."""
        with self._lock:
            value = self._group(path, column, group)[row].as_py()
        if isinstance(value, dict):
            if value.get("bytes") is None and value.get("path"):
                raise DataError(f"{name} holds the path {value['path'][:200]} and no bytes of a picture.")
            value = value.get("bytes")
        if not value:
            raise DataError(f"{name} holds no picture.")
        if len(value) > PICTURE_BYTES:
            raise DataError(f"{name} has more than {PICTURE_BYTES // 2**20} MiB, the most mien reads of a picture.")
        return bytes(value)

    def _group(self, path: Path, column: str, group: int) -> Any:
        key = (path, group)
        if key not in self._kept:
            with parquet_file(path) as table:
                self._kept[key] = table.read_row_group(group, columns=[column]).column(0)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]
