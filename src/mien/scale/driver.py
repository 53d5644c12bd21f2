"""A job from its beginning to its end: planned, what is there left out, the rest handed to Ray, and added up."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pyarrow import fs, parquet

from mien.cluster import address_of
from mien.errors import DataError, UsageError, require
from mien.progress import track
from mien.runtime import Network, Reader, open_detector
from mien.runtime.network import default_model, locate
from mien.scale.job import FACES, MODEL, RECORD, TRIES, UNREADABLE, Job, ScaleResult, put, put_json
from mien.scale.source import SourcePart, parts_of
from mien.scale.store import Place, steadily


def predict(
    source: str | Path,
    out: str | Path,
    *,
    on: str = "ray",
    model: str | Path | None = None,
    detect: bool | None = None,
    detector: str = "yunet",
    margin: float = 0.0,
    workers: int | None = None,
) -> ScaleResult:
    """Read a source of any size with Ray into a folder of Parquet files, `faces/part-000000.parquet` and so on.

    source: a folder of pictures, Parquet tables with pictures in them, or WebDataset's tar archives; a path that every
    machine has, or an address of pyarrow's file systems (s3://BUCKET/FOLDER). out: the folder, likewise. What is wrong
    with pictures that cannot be read is in `unreadable/`. A job that was stopped goes on: parts that are there are not
    read again. on: 'ray' starts Ray on this machine, 'ray:ADDRESS' joins a cluster ('ray:auto', 'ray:10.0.0.1:6379').
    workers: processes that read, each on one core; as many as there are cores if not given. The rest is as for
    `mien.load` and `Reader.read_folder`, whose tables have the same rows.
    Raises UsageError for settings that are none, MissingError where the source or the extra `scale` is not there,
    DataError for a source without pictures, or a folder `out` of another job.
    """
    address = address_of(on)
    if workers is not None and workers < 1:
        raise UsageError(f"`workers` {workers}: give 1 or more.")
    require("`on` ray", "ray", "pyarrow")
    file = locate(model or default_model())
    # What no process could do is refused here.
    reader = Reader(Network.open(file, threads=1), open_detector(detector, threads=1), margin)
    job = Job(str(source), str(out), detector, margin, detect, os.getcwd())
    _refuse_within(job)
    parts = parts_of(job.source)
    _begin(job, file, (reader.network.card or {}).get("fingerprint", ""), parts)
    place = Place(job.out)
    there = set(place.names(FACES))
    result = ScaleResult(parts=len(parts), held=sum(part.name in there for part in parts))
    missing = [part for part in parts if part.name not in there]
    if missing:
        from mien.scale.on_ray import each_done

        for done in track(each_done(job, missing, address, workers), "reading", len(missing)):
            result.add(done)
        steadily(place.text, lambda: place.system.delete_dir(place.below(TRIES)))
    result.bad = dict(_unreadable(place))
    return result


def _refuse_within(job: Job) -> None:
    """Raise UsageError where the answers would lie in the source, and be taken for a part of it the next time."""
    source, out = Place(job.source), Place(job.out)
    if source.local == out.local:
        inner, outer = (Path(os.path.abspath(place.path) if place.local else place.path) for place in (out, source))
        if type(source.system) is type(out.system) and inner.is_relative_to(outer):
            raise UsageError(f"`out` {out.text} lies in the source {source.text}. Choose a folder beside it.")


def _begin(job: Job, file: Path, fingerprint: str, parts: Sequence[SourcePart]) -> None:
    """Write what the job is, or see that it is the one that was begun here. Raises DataError for another."""
    text = json.dumps([asdict(part) for part in parts])
    settings = {"detector": job.detector, "margin": job.margin, "detect": job.detect}
    record = {
        "source": Place(job.source).text,
        "parts": len(parts),
        "plan": hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest(),
        "model": fingerprint,
        **settings,
    }
    out = Place(job.out)
    before = _record(out)
    if before is None:
        put(file, out, MODEL)
        put_json(record, out, RECORD)
        return
    other = [name for name, value in record.items() if before.get(name) != value]
    if other:
        shown = {"plan": "the files of the source", "parts": "the files of the source"}
        words = " and ".join(dict.fromkeys(shown.get(name, f"`{name}`") for name in other))
        raise DataError(f"{out.text} was begun with other values of {words}. Choose another `out`.")


def _record(out: Place) -> dict[str, Any] | None:
    if out.info(RECORD).type == fs.FileType.NotFound:
        if out.names(FACES):
            raise DataError(f"{out.text} holds parts, but no {RECORD} that says of what. Choose another `out`.")
        return None
    try:
        with out.open(out.name(out.below(RECORD))) as file:
            values = json.loads(file.read())
    except ValueError as error:
        raise DataError(f"{out.text}/{RECORD} is damaged ({error}). Choose another `out`.") from error
    return values if isinstance(values, dict) else {}


def _unreadable(out: Place) -> Iterator[tuple[str, str]]:
    for name in sorted(out.names(UNREADABLE)):
        with out.open(out.name(out.below(f"{UNREADABLE}/{name}"))) as file:
            rows = parquet.read_table(file).to_pydict()
        yield from zip(rows["source"], rows["error"], strict=True)
