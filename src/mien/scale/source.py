"""What is read, in parts: a folder of pictures, Parquet tables or tar archives, here or on an object store."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow
from pyarrow import parquet

from mien.data.archives import MEMBER_BYTES
from mien.data.shards import picture_column
from mien.errors import DataError, UsageError
from mien.pictures import IMAGE_SUFFIXES, gone, is_gone, is_hidden
from mien.progress import note
from mien.runtime.job import AT_ONCE, pictures
from mien.scale.store import BUFFER, OWN_FAULTS, Place, ReachError

PART = 32 * AT_ONCE  # pictures of a folder in one part; whole groups, so that batches are those of a plain `predict`
PICTURES, PARQUET, TAR = "pictures", "parquet", "tar"


@dataclass(frozen=True)
class SourcePart:
    """What one process reads at a time, and writes as one file.

    kind: 'pictures', 'parquet' or 'tar'. files: names as `Place` takes them. group: of a Parquet file's row groups.
    row: how many rows of the file are before it.
    """

    number: int
    kind: str
    files: tuple[str, ...]
    group: int = 0
    row: int = 0

    @property
    def name(self) -> str:
        return f"part-{self.number:06d}.parquet"

    @property
    def described(self) -> list[str]:
        """What it holds, as a list of what cannot be read has it."""
        return [f"{self.files[0]} after row {self.row}"] if self.kind == PARQUET else list(self.files)


Item = tuple[str, Path | bytes]  # the name of a picture, and the picture


def parts_of(source: str) -> list[SourcePart]:
    """The parts of a source, in its order, the same whenever it is the same.

    Where there are Parquet tables or tar archives, they are the source, and a line says what is left out. Raises
    MissingError for a source that is not there, DataError for one without pictures, UsageError for one of both kinds.
    """
    place = Place(source)
    files = place.files()
    shards = {
        kind: [file for file in files if file.lower().endswith(ends)]
        for kind, ends in ((PARQUET, ".parquet"), (TAR, (".tar", ".tar.gz", ".tgz")))
    }
    if all(shards.values()):
        raise UsageError(f"{place.text} holds Parquet tables and tar archives. Give one kind.")
    for kind, found in shards.items():
        if found:
            _tell_rest(place.text, len(files) - len(found))
            return _numbered(kind, [place.name(file) for file in found], place)
    if place.local:
        names = [str(path) for path in pictures(Path(source))]
    else:
        found = [file for file in files if file.lower().endswith(IMAGE_SUFFIXES)]
        if not found:
            raise DataError(f"{place.text} holds no pictures.")
        _tell_rest(place.text, len(files) - len(found))
        names = list(map(place.name, found))
    starts = range(0, len(names), PART)
    return [SourcePart(number, PICTURES, tuple(names[start : start + PART])) for number, start in enumerate(starts)]


def _tell_rest(source: str, number: int) -> None:
    if number:
        note(f"{source}: {number:,} other {'file is' if number == 1 else 'files are'} left out.")


def _numbered(kind: str, names: Sequence[str], place: Place) -> list[SourcePart]:
    """A part for each archive, and for each row group of a table."""
    if kind == TAR:
        return [SourcePart(number, TAR, (name,)) for number, name in enumerate(names)]
    found: list[SourcePart] = []
    for name in names:
        row = 0
        with _table(place, name) as table:
            picture_of(name, table.schema_arrow)
            for group in range(table.metadata.num_row_groups):
                found.append(SourcePart(len(found), PARQUET, (name,), group, row))
                row += table.metadata.row_group(group).num_rows
    return found


def items(part: SourcePart, place: Place, bad: dict[str, str]) -> Iterator[Item]:
    """The pictures of a part with their names, a few in memory at a time.

    Of an archive or table that is damaged, what is before the damage; the rest goes into `bad`, under its name. Raises
    MienError where the source is gone, or its store cannot be reached: that says nothing about the pictures.
    """
    if part.kind == PICTURES:
        yield from _of_folder(part, place, bad)
        return
    (name,) = part.files
    try:
        yield from _of_table(part, place, name) if part.kind == PARQUET else _of_archive(part, place, name, bad)
    except ReachError as error:
        if not_there(part, place, name):
            raise
        bad[name] = f"{error} What comes before was read."
    except (tarfile.TarError, EOFError, pyarrow.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OWN_FAULTS) and not_there(part, place, name):
            raise gone(name, error) from error
        bad[name] = f"it is damaged from here on ({error}); what comes before was read"


def not_there(part: SourcePart, place: Place, name: str) -> bool:
    """Whether it is the source that is gone, where one of its files cannot be read; see `mien.pictures.is_gone`.

    Files of the part are asked first: to list the whole source takes long. Of one table or archive alone its own first
    byte says it; of one picture alone nothing does.
    """
    if not is_gone(part.files, name, place.reads):
        return False
    files = [place.name(file) for file in place.files()]
    if len(files) == 1:
        return part.kind != PICTURES and not place.reads(name)
    return is_gone(files, name, place.reads)


def _of_folder(part: SourcePart, place: Place, bad: dict[str, str]) -> Iterator[Item]:
    for name in part.files:
        if place.local:
            yield name, Path(name)
            continue
        try:
            with place.open(name) as file:
                content = file.read()
        except OWN_FAULTS as error:
            if not_there(part, place, name):
                raise gone(name, error) from error
            bad[name] = f"{name} cannot be read ({error})."
            continue
        except ReachError as error:
            if not_there(part, place, name):
                raise
            bad[name] = str(error)
            continue
        yield name, content


def _of_archive(part: SourcePart, place: Place, name: str, bad: dict[str, str]) -> Iterator[Item]:
    plain = name.lower().endswith(".tar")
    with place.open(name) as packed:
        stream = packed if plain else gzip.GzipFile(fileobj=packed)
        with tarfile.open(fileobj=cast(Any, stream), mode="r|") as archive:
            for member in iter(archive.next, None):
                cast(Any, archive).members = []  # which it keeps otherwise, all of them
                shown = not any(map(is_hidden, member.name.split("/")))
                if member.isreg() and shown and member.name.lower().endswith(IMAGE_SUFFIXES):
                    if member.size > MEMBER_BYTES:
                        bad[f"{name}/{member.name}"] = f"it has more than {MEMBER_BYTES // 2**20} MiB, the most allowed"
                        continue
                    file = archive.extractfile(member)
                    assert file is not None
                    yield f"{name}/{member.name}", file.read()
            rest = cast(Any, packed.raw).size - archive.offset if plain else tarfile.BLOCKSIZE
            if rest < tarfile.BLOCKSIZE or any(map(any, iter(lambda: stream.read(BUFFER), b""))):
                raise tarfile.ReadError("it has no end, or a damaged header")  # which tarfile takes for the end


def _of_table(part: SourcePart, place: Place, name: str) -> Iterator[Item]:
    with _table(place, name) as table:
        column = picture_of(name, table.schema_arrow)
        rows = table.iter_batches(batch_size=AT_ONCE, row_groups=[part.group], columns=[column])
        row = part.row
        for batch in rows:
            for value in batch.column(0).to_pylist():
                row += 1
                yield f"{name} row {row}", (value.get("bytes") if isinstance(value, dict) else value) or b""


def _table(place: Place, name: str) -> parquet.ParquetFile:
    try:
        return parquet.ParquetFile(place.open(name), buffer_size=BUFFER, pre_buffer=False)
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{name} cannot be read as a Parquet table ({error}).") from error


def picture_of(name: str, schema: Any) -> str:
    """The column of a table that holds pictures. Raises DataError where there is none."""
    column = picture_column(schema)
    if column is None:
        there = ", ".join(schema.names)
        raise DataError(f"{name} has no column of pictures; it has {there[:200]}. Write them as bytes, in `image` say.")
    return str(column)
