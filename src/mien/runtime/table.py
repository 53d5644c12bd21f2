"""What was read, as a table of one row a face that can be continued: CSV, Parquet or JSON Lines."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mien.atomic import written_whole
from mien.cells import cell, words_of
from mien.errors import DataError, MienError, MissingError, UsageError, unwritable
from mien.locks import lock
from mien.runtime.reader import Face

SET = "prediction_set"  # the last column
QUOTED = re.compile(rb'"[^"]*("|$)')


class Table:
    """A CSV with one row a face (one without a face too), to which every picture is added as soon as it is read.

    known: what it held already when it was opened, sources with the last second that was read of each (0 of a picture).
    One process at a time has a table, until it closes it or ends. Raises UsageError for the others, DataError for a
    file that is no table of these labels.
    """

    COLUMNS = ("source", "seconds", "face", "x", "y", "width", "height", "label", "confidence")

    def __init__(self, path: Path, labels: Sequence[str], rows: Path | None = None) -> None:
        self.path = path
        self.rows = rows or path  # the CSV itself
        self.labels = list(labels)
        self.columns = [self._column(label) for label in labels]
        self.header = [*self.COLUMNS, *self.columns, SET]
        self._hold()
        try:
            self.known = self._begun()
        except BaseException:
            if not self._content():
                self.rows.unlink(missing_ok=True)
            self._let_go()
            raise

    def add(self, source: str | Path, faces: Sequence[Face], seconds: float | None = None) -> None:
        """seconds: where in a video the faces are. A picture without a face has one row, of face 0."""
        name, when = self._cell(self._name(source)), "" if seconds is None else f"{seconds:.2f}"
        rows: list[list[object]] = [
            [name, when, number, *face.box, self._cell(shown["label"]), f"{face.confidence:.4f}"]
            + [f"{face.probabilities[label]:.4f}" for label in self.labels]
            + [self._cell("|".join(face.prediction_set))]
            for number, face in enumerate(faces, 1)
            for shown in [face.to_dict()]
        ]
        self._append(rows or [[name, when, 0, *[""] * (len(self.header) - 3)]])

    def reached(self, source: str | Path) -> float | None:
        """Up to which second the table held a film already, 0 for a picture; None for a source that is new to it."""
        return self.known.get(self._name(source))

    def close(self) -> None:
        """Let other processes have the table; every row is in the file already."""
        self._let_go()

    def _column(self, label: str) -> str:
        """What the column of a class is called: as the class, but for one that is called as another column is."""
        return f"probability of {label}" if label in (*self.COLUMNS, SET) else label

    def _name(self, source: str | Path) -> str:
        return str(source)

    def _cell(self, words: str) -> str:
        return cell(words)

    def _words(self, written: str) -> str:
        return words_of(written)

    def _hold(self) -> None:
        """Lock the rows for this process; makes the file."""
        try:
            self.rows.parent.mkdir(parents=True, exist_ok=True)
            handle = lock(self.rows, create=True)
        except BlockingIOError:
            raise UsageError(f"Another process is writing {self.path}. Wait for it, or choose another `out`.") from None
        except OSError as error:
            raise self._unwritable(error) from error
        self._let_go = weakref.finalize(self, os.close, handle) if handle is not None else lambda: None

    def _begun(self) -> dict[str, float]:
        """`known`, once the file holds its header and nothing half-written, which a killed process leaves behind."""
        content = self._content()
        header = _lines([self._cell(name) for name in self.header])
        if header.startswith(content):
            self._cut(0)
            self._append_bytes(header)
            return {}
        whole = content[: QUOTED.sub(lambda quoted: b"x" * len(quoted[0]), content).rfind(b"\n") + 1]
        rows = self._parsed(whole)
        if whole != content:
            last = _torn(rows, content[len(whole) :])
            whole = whole.removesuffix(_lines(*last))
            rows = self._parsed(whole)
            self._cut(len(whole))
        return {self._words(row[0]): float(row[1] or 0) for row in rows}

    def _content(self) -> bytes:
        with suppress(FileNotFoundError):  # where there are no locks, it is not made yet
            return self.rows.read_bytes()
        return b""

    def _parsed(self, content: bytes) -> list[list[str]]:
        """The rows without the header. Raises DataError for another table, and for rows that are damaged."""
        reader = csv.reader(io.StringIO(content.decode("utf-8", "surrogateescape"), newline=""), strict=True)
        try:
            header = next(reader, [])
            if [self._words(name) for name in header] != self.header:
                raise DataError(f"{self.path} is there and no table of this model's. Choose another `out`.")
            rows = [row for row in reader if row]
            damaged = next((row for row in rows if not _is_row(row, len(header))), None)
        except csv.Error as error:
            raise DataError(f"{self.path} is damaged: {error}. Repair it, or choose another `out`.") from error
        if damaged is not None:
            shown = ",".join(damaged)[:80]
            raise DataError(f"{self.path} is damaged: the row '{shown}'. Repair it, or choose another `out`.")
        return rows

    def _append(self, rows: Sequence[Sequence[object]]) -> None:
        self._append_bytes(_lines(*rows))

    def _append_bytes(self, content: bytes) -> None:
        """Add a picture's rows, all or none of them."""
        try:
            with self.rows.open("ab", buffering=0) as file:
                start = file.seek(0, os.SEEK_END)
                try:
                    while content:
                        content = content[file.write(content) :]
                except OSError:
                    with suppress(OSError):
                        file.truncate(start)
                    raise
        except OSError as error:
            raise self._unwritable(error) from error

    def _cut(self, size: int) -> None:
        with suppress(FileNotFoundError):
            os.truncate(self.rows, size)

    def _unwritable(self, error: OSError) -> MienError:
        return unwritable(self.path, error)


class ParquetTable(Table):
    """The same table as Parquet. Rows are collected in a hidden CSV beside it, so that a stopped job can go on.

    Raises MissingError without pyarrow, DataError when `path` is there and no Parquet file.
    """

    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        try:
            import pyarrow.parquet  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingError(f"{path} needs the 'parquet' extra: pip install 'mien[parquet]'") from error
        super().__init__(path, labels, path.with_name(f".{path.name}.csv"))

    def close(self) -> None:
        """Write the Parquet file, whole or not at all, and remove the CSV."""
        import pyarrow
        from pyarrow import csv, parquet

        words, number = pyarrow.string(), pyarrow.float64()
        types = dict.fromkeys(("seconds", "x", "y", "width", "height", "confidence", *self.columns), number)
        types |= dict.fromkeys(("source", "label", SET), words) | {"face": pyarrow.int64()}
        options = csv.ConvertOptions(column_types=types)
        lines = csv.ParseOptions(newlines_in_values=True)  # names of files may have them
        try:
            read = csv.read_csv(self.rows, parse_options=lines, convert_options=options)
            with written_whole(self.path, binary=True) as file:
                parquet.write_table(read, file, write_page_checksum=True)
            self.rows.unlink()
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise MienError(f"Writing {self.path} failed: {error}. Its rows are in {self.rows}.") from error
        finally:
            self._let_go()

    def _begun(self) -> dict[str, float]:
        """Rows of a table that was finished are taken up again."""
        if self.path.is_file() and not self._content():
            _to_csv(self.path, self.rows)
            self._let_go()
            self._hold()  # what lies there now
        return super()._begun()

    def _name(self, source: str | Path) -> str:
        """Parquet's text is UTF-8, which names of files need not be: what is none is written as \\xe9."""
        return os.fsencode(source).decode("utf-8", "backslashreplace")

    def _cell(self, words: str) -> str:
        """No spreadsheet runs a Parquet file's words."""
        return words

    def _words(self, written: str) -> str:
        return written


class JsonLinesTable(Table):
    """A line of JSON a picture, or a moment of a film, with all its faces as `Face.to_dict` has them."""

    def add(self, source: str | Path, faces: Sequence[Face], seconds: float | None = None) -> None:
        """seconds: where in a video the faces are."""
        when = {} if seconds is None else {"seconds": round(seconds, 3)}
        values = {"source": str(source), **when, "faces": [face.to_dict() for face in faces]}
        self._append_bytes(json.dumps(values).encode() + b"\n")

    def _begun(self) -> dict[str, float]:
        """`known`. A last line without an end, of a process that was killed, is cut off."""
        content = self._content()
        whole = content[: content.rfind(b"\n") + 1]
        known: dict[str, float] = {}
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                values = json.loads(line)
                known[values["source"]] = float(values.get("seconds", 0))
                read = {tuple(face["probabilities"]) for face in values["faces"]}
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise DataError(
                    f"{self.path} is damaged in line {number}. Repair it, or choose another `out`."
                ) from error
            if read - {tuple(self.labels)}:
                raise DataError(f"{self.path} is there and no table of this model's. Choose another `out`.")
        if whole != content:
            self._cut(len(whole))
        return known


def open_table(path: Path, labels: Sequence[str]) -> Table:
    """A table at `path`, continued where it is there: CSV, Parquet or JSON Lines by its ending.

    Raises UsageError for another.
    """
    kinds = {".csv": Table, ".parquet": ParquetTable, ".jsonl": JsonLinesTable}
    if path.suffix.lower() not in kinds:
        raise UsageError(f"`out` {path}: a table ends in .csv, .parquet or .jsonl.")
    return kinds[path.suffix.lower()](path, labels)


def _lines(*rows: Sequence[object]) -> bytes:
    """Rows as they stand in the file; b"" for none."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _torn(rows: list[list[str]], rest: bytes) -> list[list[str]]:
    """The whole rows of a picture to which the rest of a row belongs, or may: it has to be read again."""
    if not rows:
        return []
    key = _lines(rows[-1][:2])[:-2] + b","
    same = rest.startswith(key) or key.startswith(rest)
    return [row for row in rows if row[:2] == rows[-1][:2]] if same else []


def _is_row(row: list[str], columns: int) -> bool:
    """Whether a row has its source, its second if any, and the number of a face."""
    try:
        return len(row) == columns and math.isfinite(float(row[1] or 0)) and int(row[2]) >= 0
    except ValueError:
        return False


def _to_csv(path: Path, rows: Path) -> None:
    import pyarrow
    from pyarrow import csv, parquet

    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path} is there and no table of this model's. Choose another `out`.") from error
    with written_whole(rows, binary=True) as file:
        csv.write_csv(table, file)
