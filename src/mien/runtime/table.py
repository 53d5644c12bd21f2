"""What was read, as a table of one row a face that can be continued: CSV or Parquet."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from mien.atomic import put
from mien.errors import DataError, MienError, MissingError, UsageError
from mien.runtime.reader import Face


class Table:
    """A CSV with one row a face (one without a face too), to which every picture is added as soon as it is read.

    known: what it held already when it was opened, sources with the last second that was read of each (0 of a picture).
    """

    COLUMNS = ("source", "seconds", "face", "x", "y", "width", "height", "label", "confidence")

    def __init__(self, path: Path, labels: Sequence[str], rows: Path | None = None) -> None:
        self.path = path
        self.rows = rows or path  # the CSV itself
        self.labels = list(labels)
        begun = self.rows.is_file()
        self.known = self._read() if begun else {}
        if not begun:
            self._append([[*self.COLUMNS, *self.labels]])

    def add(self, source: str | Path, faces: Sequence[Face], seconds: float | None = None) -> None:
        """seconds: where in a video the faces are. A picture without a face has one row, of face 0."""
        when = "" if seconds is None else f"{seconds:.2f}"
        rows: list[list[object]] = [
            [self._name(source), when, number, *face.box, shown["label"], f"{face.confidence:.4f}"]
            + [f"{face.probabilities[label]:.4f}" for label in self.labels]
            for number, face in enumerate(faces, 1)
            for shown in [face.to_dict()]
        ]
        self._append(rows or [[self._name(source), when, 0, *[""] * (6 + len(self.labels))]])

    def reached(self, source: str | Path) -> float | None:
        """Up to which second the table held a film already, 0 for a picture; None for a source that is new to it."""
        return self.known.get(self._name(source))

    def close(self) -> None:
        """Nothing is left to be done: every row is in the file already."""

    def _name(self, source: str | Path) -> str:
        return str(source)

    def _read(self) -> dict[str, float]:
        """`known`. A last line without an end is cut off: the next row would be glued to it."""
        content = self.rows.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        try:
            text = io.StringIO(whole.decode("utf-8", "surrogateescape"), newline="")
            header, *rows = csv.reader(text)
            known = {row[0]: float(row[1] or 0) for row in rows if row}
        except (csv.Error, ValueError, IndexError):
            header = []
        if header != [*self.COLUMNS, *self.labels]:
            raise DataError(f"{self.path} is there and no table of this model's. Choose another `out`.")
        if whole != content:
            os.truncate(self.rows, len(whole))
        return known

    def _append(self, rows: list[list[object]]) -> None:
        try:
            self.rows.parent.mkdir(parents=True, exist_ok=True)
            with self.rows.open("a", newline="", encoding="utf-8", errors="surrogateescape") as file:
                csv.writer(file).writerows(rows)
        except OSError as error:
            raise MienError(
                f"Writing {self.path} failed: {error.strerror}. Free some space, or write elsewhere."
            ) from error


class ParquetTable(Table):
    """The same table as Parquet. Rows are collected in a hidden CSV beside it, so that a stopped job can go on.

    Raises MissingError without pyarrow, DataError when `path` is there and no Parquet file.
    """

    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        try:
            import pyarrow.parquet  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingError(f"{path} needs the 'parquet' extra: pip install 'mien[parquet]'") from error
        rows = path.with_name(f".{path.name}.csv")
        if path.is_file() and not rows.is_file():
            _to_csv(path, rows)
        super().__init__(path, labels, rows)

    def close(self) -> None:
        """Write the Parquet file, whole or not at all, and remove the CSV."""
        import pyarrow
        from pyarrow import csv, parquet

        words, number = pyarrow.string(), pyarrow.float64()
        types = dict.fromkeys(("seconds", "x", "y", "width", "height", "confidence", *self.labels), number)
        options = csv.ConvertOptions(column_types=types | {"source": words, "label": words, "face": pyarrow.int64()})
        draft = self.rows.with_suffix(".draft")
        try:
            parquet.write_table(csv.read_csv(self.rows, convert_options=options), draft)
            put(draft, self.path)
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise MienError(f"Writing {self.path} failed: {error}. Its rows are in {self.rows}.") from error
        self.rows.unlink()

    def _name(self, source: str | Path) -> str:
        """Parquet's text is UTF-8, which names of files need not be: what is none is written as \\xe9."""
        return os.fsencode(source).decode("utf-8", "backslashreplace")


def open_table(path: Path, labels: Sequence[str]) -> Table:
    """A table at `path`, continued where it is there: CSV or Parquet by its ending. Raises UsageError for another."""
    kinds = {".csv": Table, ".parquet": ParquetTable}
    if path.suffix.lower() not in kinds:
        raise UsageError(f"`out` {path}: a table ends in .csv or .parquet.")
    return kinds[path.suffix.lower()](path, labels)


def _to_csv(path: Path, rows: Path) -> None:
    import pyarrow
    from pyarrow import csv, parquet

    try:
        draft = rows.with_suffix(".draft")
        csv.write_csv(parquet.read_table(path), draft)
        put(draft, rows)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is there and no table of this model's. Choose another `out`.") from error
