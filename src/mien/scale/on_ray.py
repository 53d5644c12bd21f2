"""The parts of a job on Ray Data: actors that hold the network take a part at a time and say what became of it."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import ray
import ray.data
from pyarrow import fs

from mien.cluster import connected
from mien.errors import MienError, MissingError
from mien.scale.job import Done, Job, reader_of, score
from mien.scale.source import SourcePart
from mien.scale.store import Place

QUEUED = 2  # parts that a process has or waits for; the rest is for whoever is free first


class Scorer:
    """An actor: the network is opened once, then parts come one by one."""

    def __init__(self, job: Job) -> None:
        with suppress(OSError):  # on another machine, which needs it for relative paths alone
            os.chdir(job.folder)
        source = Place(job.source)
        if source.info().type == fs.FileType.NotFound:  # else each picture would be named as one that is gone
            raise MissingError(f"{socket.gethostname()} has no {source.text}, which all machines need under one path")
        self.job = job
        self.reader = reader_of(job)

    def __call__(self, row: dict[str, Any]) -> dict[str, float]:
        values = json.loads(row["part"])
        part = SourcePart(**{**values, "files": tuple(values["files"])})
        return score(self.reader, self.job, part).to_dict()


def each_done(job: Job, parts: Sequence[SourcePart], address: str | None, workers: int | None) -> Iterator[Done]:
    """What became of each part, as soon as it is written.

    Ray starts an actor again that was killed, and gives the part that it had to one of them. Only what parts are, and
    what became of them, goes through Ray: pictures are read where they are needed, so that no memory fills with them.
    Raises MienError where a process cannot go on: a full disk, a store that cannot be reached.
    """
    with connected(address, workers):
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what ends a job is said in a sentence
        ray.data.DataContext.get_current().enable_progress_bars = False
        number = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        rows = [{"part": json.dumps(asdict(part))} for part in parts]
        scored = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            Scorer,
            fn_constructor_kwargs={"job": job},
            compute=ray.data.ActorPoolStrategy(size=min(number, len(rows)), max_tasks_in_flight_per_actor=QUEUED),
            num_cpus=1,
        )
        try:
            for row in scored.iter_rows():
                yield Done(**row)
        except ray.exceptions.RayError as error:  # whose text is the process's traceback
            last = str(error).strip().splitlines()[-1].rstrip(".")
            why = re.sub(r"^mien\.errors\.\w+: ", "", last)
            raise MienError(
                f"A part could not be read or written ({why}). Those that are written stay: once that is mended, give "
                "the same command again."
            ) from error
