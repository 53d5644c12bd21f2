"""Tables and lists of text, row by row, with the name that an error gives each row.

A table is CSV with commas, semicolons or tabs, as it is or packed (gzip, a zip or tar archive that holds one table), or
Parquet. Text is UTF-8, or UTF-16 with its mark. Other text is refused, not decoded with replacement: it becomes labels
and paths, and what is replaced in them would make one class of two.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mien import media
from mien.data import archives
from mien.errors import DataError, MissingError, UsageError, nearest
from mien.pictures import is_hidden

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

Row = tuple[str, list[str]]
DELIMITERS = ",;\t|"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
LEGACY = ("gbk", "shift_jis", "cp1251", "cp1252")  # what spreadsheets write elsewhere, to show what a row could say
SHOWN = 30  # characters of such a row
LONGEST = 2**24  # characters of a row, which is read into memory
ENDINGS = (".csv", ".tsv")
# What is raised for an archive that is damaged, of an unknown kind, or has a password.
BROKEN = (
    *(EOFError, zlib.error, lzma.LZMAError, tarfile.TarError),
    *(zipfile.BadZipFile, RuntimeError, OSError),
)
WANTED = "A table is CSV, packed (zip, tar, gzip) or not, or Parquet."


def table_rows(path: Path, encoding: str | None = None) -> Iterator[Row]:
    """('faces.csv row 7', its cells) of each row that is not empty, the header first.

    encoding: of the text; None is UTF-8 or, with its mark, UTF-16.
    Raises DataError when the file is no table, or naming a row that is no text or no CSV; UsageError for an encoding
    that Python does not know.
    """
    if media.kind_of(path).name == "a Parquet table":
        yield from _parquet_rows(path)
        return
    lines = _lines(path, encoding)
    first = next(lines, "")
    excel = re.fullmatch(r"sep=(.)\s*", first, re.I)  # its own first line
    if excel:
        first = next(lines, "")
    delimiter = excel[1] if excel else max(DELIMITERS, key=first.count)
    yield from _csv_rows(path.name, chain([first], lines), delimiter, rows_before=1 if excel else 0)


def text_lines(path: Path, encoding: str | None = None) -> list[str]:
    """The lines of a list, without their ends. Raises as `table_rows` does."""
    return [line.rstrip("\r\n") for line in _lines(path, encoding)]


def header_of(path: Path, encoding: str | None = None) -> list[str]:
    """The names of a table's columns, in lower case and without blanks around them. Raises as `table_rows` does."""
    _, header = next(table_rows(path, encoding), ("", []))
    return [name.strip().lower() for name in header]


def _csv_rows(name: str, lines: Iterable[str], delimiter: str, rows_before: int) -> Iterator[Row]:
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield f"{name} row {reader.line_num + rows_before}", cells
    except csv.Error as error:
        raise DataError(f"{name} row {reader.line_num + rows_before} is not CSV ({error}).") from error


def _lines(path: Path, encoding: str | None) -> Iterator[str]:
    """The lines of a text with their ends. Raises DataError naming the first row that is not of its encoding."""
    try:
        codec = encoding or _codec(path)
        codecs.lookup(codec)
        with _unpacked(path) as file:
            text = io.TextIOWrapper(file, codec, newline="")
            for number, line in enumerate(iter(partial(text.readline, LONGEST), ""), start=1):
                if len(line) == LONGEST:
                    raise DataError(f"{path.name} row {number} has {LONGEST:,} characters or more. {WANTED}")
                yield line
    except UnicodeError as error:
        raise _no_text(path, codec) from error
    except LookupError as error:
        raise UsageError(
            f"`data.encoding` {encoding}: there is no such encoding.{nearest(str(encoding), LEGACY)} "
            f"Give a name such as {', '.join(LEGACY)}."
        ) from error
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:  # the file's own, not of what is in it
            raise
        raise DataError(f"{path} cannot be unpacked ({error}). Take another copy, or unpack it.") from error


def _codec(path: Path) -> str:
    """The encoding that the first bytes show. Raises DataError when the file is no text."""
    with _unpacked(path) as file:
        start = file.read(media.HEAD)
    if start.startswith(UTF_16):
        return "utf-16"
    kind = media.kind_of_bytes(start)
    if kind not in (media.UNKNOWN, media.EMPTY):
        raise DataError(f"{path} is {kind.described}, no table. {WANTED}")
    if b"\0" in start:
        wide = start[1::2].count(0) > len(start) // 4
        advice = " If it is UTF-16 without its mark: `data.encoding` utf-16-le" if wide else ""
        raise DataError(f"{path} is no text. {WANTED}{advice}")
    return "utf-8-sig"


def _no_text(path: Path, codec: str) -> DataError:
    """The error for a text that is not of an encoding, with what its first such row says in others."""
    number, line = _first_other(path, codec)
    where = f"{path.name} row {number}"
    if codec not in ("utf-8", "utf-8-sig"):
        return DataError(f"{where} is not {codec}. Give another `data.encoding`, or save the file as UTF-8.")
    could = _readings(line)
    told = " or ".join(f"'{text}' ({name})" for name, text in could.items())
    return DataError(
        f"{where} is not UTF-8: it may say {told}. Save the file as UTF-8 ('CSV UTF-8' in Excel), or name its "
        f"encoding, `data.encoding` {next(iter(could), LEGACY[0])} say."
    )


def _first_other(path: Path, codec: str) -> tuple[int, bytes]:
    """The number of the first line that is not of an encoding, and its bytes."""
    number, line = 0, b""
    with _unpacked(path) as file:
        for number, line in enumerate(iter(partial(file.readline, LONGEST), b""), start=1):  # noqa: B007
            try:
                line.decode(codec)
            except UnicodeError:
                break
    return number, line


def _readings(line: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in LEGACY:
        with suppress(UnicodeError):
            found[name] = line.decode(name).strip()[:SHOWN]
    return found


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a table, out of its archive where it lies in one."""
    with ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(path.open("rb"))
        kind = media.kind_of(path).name
        if kind == "ZIP":
            packed = stack.enter_context(zipfile.ZipFile(file))
            yield _bounded(stack.enter_context(packed.open(_the_table(path, packed.namelist()))), path)
        elif kind == "tar" or (kind in ("gzip", "bzip2", "xz") and tarfile.is_tarfile(path)):
            archives.members(path)  # refuses one that holds too much
            tar = stack.enter_context(tarfile.open(path))
            member = tar.extractfile(_the_table(path, [each.name for each in tar if each.isfile()]))
            assert member is not None  # it is a file
            yield stack.enter_context(member)
        else:
            yield _bounded(gzip.GzipFile(fileobj=file), path) if kind == "gzip" else file


class _Bounded(io.RawIOBase):
    """What is unpacked of a file. Raises DataError once it is too much for the file's size."""

    def __init__(self, content: IO[bytes], path: Path) -> None:
        self._content, self._path = content, path
        self._left = max(archives.RATIO_FROM, archives.RATIO * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self._content.read(len(buffer))
        self._left -= len(found)
        if self._left < 0:
            raise DataError(
                f"{self._path} unpacks to more than {archives.RATIO} times its size, the most allowed. Unpack it, if "
                "that is what it should hold."
            )
        buffer[: len(found)] = found
        return len(found)


def _bounded(content: Any, path: Path) -> IO[bytes]:
    return io.BufferedReader(_Bounded(content, path), 2**16)


def _the_table(path: Path, names: Sequence[str]) -> str:
    """The one table in an archive. Raises DataError when there are more, or none."""
    own = [name for name in names if not any(map(is_hidden, Path(name).parts))]
    if "xl/workbook.xml" in own:
        raise DataError(f"{path} is an Excel workbook. Save it as 'CSV UTF-8' and give that file.")
    tables = [name for name in own if name.lower().endswith(ENDINGS)]
    if not tables:
        raise DataError(f"{path} is an archive of {len(own):,} files and no table. Unpack it, and give its folder.")
    if len(tables) > 1:
        raise DataError(
            f"{path} holds {len(tables)} tables ({', '.join(tables[:4])}). Unpack it, and give one of them."
        )
    return tables[0]


@contextmanager
def parquet_file(path: Path) -> Iterator[ParquetFile]:
    """The Parquet table at `path`, open. Raises DataError where it is damaged, MissingError without pyarrow."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise MissingError(f"{path} needs the 'parquet' extra: pip install 'mien[parquet]'") from error
    try:
        with ParquetFile(path) as table:
            yield table
    except (ArrowException, OSError) as error:
        raise DataError(f"{path} is damaged ({str(error).splitlines()[0]}). Take another copy.") from error


def _parquet_rows(path: Path) -> Iterator[Row]:
    with parquet_file(path) as table:
        yield path.name, list(table.schema_arrow.names)
        number = 0
        for batch in table.iter_batches(1024):
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                number += 1
                yield f"{path.name} row {number}", [_cell(value) for value in values]


def _cell(value: Any) -> str:
    """A value as CSV would have it; the numbers of a list with blanks between them."""
    if isinstance(value, list):
        return " ".join(map(_cell, value))
    return "" if value is None else str(value)
