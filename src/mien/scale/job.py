"""One part of a job: read, and written as one file that is there whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pyarrow
from PIL import Image
from pyarrow import parquet

from mien.atomic import written_whole
from mien.errors import DataError
from mien.pictures import gone
from mien.runtime import Face, Network, Reader, open_detector
from mien.runtime.job import fault_of, read_decoded
from mien.runtime.reader import opened
from mien.runtime.table import ParquetTable
from mien.scale.source import SourcePart, items, not_there
from mien.scale.store import PASSING, Place, ReachError, steadily

# In the folder that a job writes. The network lies there too, as that is where every process can read it.
FACES, UNREADABLE, RECORD, MODEL = "faces", "unreadable", "job.json", "model.onnx"
TRIES = "tries"  # there too, while it goes on: a file for each time that a part was begun
MOST_TRIES = 4


@dataclass(frozen=True)
class Job:
    """What every process of a job is told.

    source: what is read. out: the folder that is written. detector, margin, detect: as for `mien.load` and
    `Reader.read`. folder: where relative paths start. run: what tells this run of the job from others.
    """

    source: str
    out: str
    detector: str
    margin: float
    detect: bool | None
    folder: str
    run: str = field(default_factory=lambda: uuid4().hex)


@dataclass
class Done:
    """What became of a part: pictures read, faces found, unsure answers among them, pictures that could not be read.

    processor: seconds of processor time that it took. peak: the most memory that its process has taken so far, bytes.
    """

    number: int
    pictures: int = 0
    found: int = 0
    unsure: int = 0
    bad: int = 0
    processor: float = 0.0
    peak: int = 0

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


@dataclass
class ScaleResult:
    """What became of a job.

    parts: how many there are. held: those that were written before. pictures, found, unsure: read in the others, faces
    found in them, and unsure answers among these. bad: what is wrong with each picture that could not be read, of all
    parts. processor: seconds of processor time that the workers took for the parts of this run. peak: the most memory
    that one of them took, bytes.
    """

    parts: int = 0
    held: int = 0
    pictures: int = 0
    found: int = 0
    unsure: int = 0
    bad: dict[str, str] = field(default_factory=dict)
    processor: float = 0.0
    peak: int = 0

    def add(self, done: Done) -> None:
        self.pictures += done.pictures
        self.found += done.found
        self.unsure += done.unsure
        self.processor += done.processor
        self.peak = max(self.peak, done.peak)


def reader_of(job: Job) -> Reader:
    """A reader of the job's network, on one core."""
    out = Place(job.out)
    with TemporaryDirectory(prefix="mien-model-") as folder:
        file = Path(folder) / MODEL
        with out.open(out.name(out.below(MODEL))) as content, file.open("wb") as here:
            shutil.copyfileobj(content, here)
        return Reader(Network.open(file, threads=1), open_detector(job.detector, threads=1), job.margin)


def score(reader: Reader, job: Job, part: SourcePart) -> Done:
    """Read a part and write its file.

    Ray gives a part whose process has ended to another one without end, and a picture may be what ends them: when it
    comes for the fifth time the part is given up, and what it holds counts as unreadable.
    """
    out = Place(job.out)
    tries = f"{TRIES}/{job.run}/{part.name}"
    number = len(out.names(tries))
    bad: dict[str, str] = {}
    if number >= MOST_TRIES:
        reason = (
            f"the process that read it ended {number} times; a picture in it may be what ends it, or a machine without "
            "enough memory for so many processes"
        )
        return _write(reader, out, part, [], dict.fromkeys(part.described, reason))
    with TemporaryDirectory(prefix="mien-try-") as folder:
        mark = Path(folder, "mark")
        mark.touch()
        put(mark, out, f"{tries}/{number}")
    source = Place(job.source)
    pictures = (
        (name, _decoded(name, content, partial(not_there, part, source, name)))
        for name, content in items(part, source, bad)
    )
    return _write(reader, out, part, read_decoded(reader, pictures, job.detect, bad), bad)


def _decoded(name: str, picture: Path | bytes, is_gone: Callable[[], bool]) -> Image.Image | str:
    """As `decoded`, but a drive or a network that fails is given time before a picture is taken to be at fault."""

    def decode() -> Image.Image | DataError:
        try:
            return opened(picture)
        except DataError as error:
            fault = fault_of(error)
            if fault and fault.errno in PASSING:
                raise fault from None
            return error

    try:
        found = steadily(name, decode)
    except ReachError as error:
        if is_gone():
            raise
        return str(error)
    if isinstance(found, DataError):
        fault = fault_of(found)
        if fault and is_gone():
            raise gone(name, fault) from found
        return str(found)
    return found


def _write(
    reader: Reader, out: Place, part: SourcePart, answers: Iterable[tuple[str, list[Face]]], bad: dict[str, str]
) -> Done:
    """Write a part's file; that of what could not be read, `bad` at the end, comes first, so that both are there."""
    done, start = Done(part.number), time.process_time()
    with TemporaryDirectory(prefix="mien-part-") as folder:
        faces = Path(folder) / part.name
        with closing(ParquetTable(faces, reader.names)) as table:
            for name, found in answers:
                table.add(name, found)
                done.pictures += 1
                done.found += len(found)
                done.unsure += sum(not face.sure for face in found)
        if bad:
            errors = Path(folder) / "unreadable.parquet"
            rows = {"source": [*map(_utf8, bad)], "error": [*map(_utf8, bad.values())]}
            parquet.write_table(pyarrow.table(rows), errors)
            put(errors, out, f"{UNREADABLE}/{part.name}")
        put(faces, out, f"{FACES}/{part.name}")
    done.bad, done.processor, done.peak = len(bad), time.process_time() - start, _peak()
    return done


def _utf8(text: str) -> str:
    """As `ParquetTable` writes names of files that are no UTF-8."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def put(file: Path, out: Place, name: str) -> None:
    """Copy a file to its place in the folder `out`, whole or not at all."""
    if out.local:
        with file.open("rb") as content, written_whole(Path(out.path, name), binary=True) as there:
            shutil.copyfileobj(content, there)
        return
    steadily(out.name(out.below(name)), lambda: _sent(file, out, out.below(name)))


def _sent(file: Path, out: Place, final: str) -> None:
    folder, _, last = final.rpartition("/")
    out.system.create_dir(folder, recursive=True)
    draft = f"{folder}/.{last}.{uuid4().hex}"
    with file.open("rb") as content, out.system.open_output_stream(draft) as stream:
        shutil.copyfileobj(content, stream)
    out.system.move(draft, final)


def put_json(values: dict[str, Any], out: Place, name: str) -> None:
    with TemporaryDirectory(prefix="mien-job-") as folder:
        file = Path(folder) / name
        file.write_text(json.dumps(values, indent=1), encoding="utf-8")
        put(file, out, name)


def _peak() -> int:
    """The most memory that this process has taken, bytes; 0 on Windows, which does not say."""
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most  # Linux counts in kB
