"""The process that reads what clients sent, `python -m mien.serve.reading`: it can be ended at any moment.

The server interprets nothing of a request but its head. Forms, JSON and pictures are read here, within limits on
processor time and memory that the kernel keeps, so a file that is made to be slow, large or harmful ends this process
and nothing else.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mien.preprocessing import Preprocessing, upright
from mien.runtime.faces import Detector
from mien.runtime.reader import FaceFinder
from mien.serve.limits import Limits, RefusedError
from mien.serve.messages import Channel
from mien.serve.pictures import decoded, open_pictures, refusing
from mien.serve.requests import asked

Answer = tuple[dict[str, Any], bytes]


@dataclass(frozen=True)
class ReadingSettings:
    """What a process is started with. detector: makes the one that finds faces. detects: where a request is silent."""

    preprocessing: Preprocessing
    detector: Callable[[], Detector]
    margin: float
    detects: bool
    limits: Limits


class RequestReader:
    """Reads one request after the other."""

    def __init__(self, settings: ReadingSettings) -> None:
        self.settings = settings
        self._runner = asyncio.Runner()
        self.finder = FaceFinder(settings.preprocessing, settings.detector(), settings.margin)

    def answers(self, request: dict[str, Any], body: bytes) -> Iterator[Answer]:
        """To a request {"kind", "detect", "large"} one of these:

        {"refused": [status, text]};
        {"large": true}: it has a picture that only a request with "large" may have;
        {"pictures": N}, then for each {"error"}, or {"size": [width, height], "boxes"} with what the network sees of
        each box, uint8 (C, size, size).
        """
        limits = self.settings.limits
        allow(limits.processor)
        try:
            found = self._runner.run(asked(request["kind"], body, request["detect"], limits))
        except RefusedError as refusal:
            yield {"refused": [refusal.status, str(refusal)]}, b""
            return
        opened = open_pictures(found.pictures, limits)
        sizes = [one.width * one.height for one in opened if isinstance(one, Image.Image)]
        if not request["large"] and max(sizes, default=0) > limits.large:
            yield {"large": True}, b""
            return
        yield {"pictures": len(opened)}, b""
        detect = self.settings.detects if found.detect is None else found.detect
        while opened:  # each is let go when it is read
            yield self._read(opened.pop(0), detect)

    def _read(self, picture: Image.Image | RefusedError, detect: bool) -> Answer:
        if isinstance(picture, RefusedError):
            return {"error": str(picture)}, b""
        limits = self.settings.limits
        allow(limits.processor * (1 + picture.width * picture.height / 10e6))
        try:
            with refusing(limits):
                picture = upright(decoded(picture, limits))  # the opened one keeps what decoded it, and goes
                boxes, seen = self.finder.find(picture, detect=detect)
        except RefusedError as refusal:
            return {"error": str(refusal)}, b""
        content = np.stack(seen).tobytes() if seen else b""  # N x (C, size, size) -> (N, C, size, size)
        return {"size": picture.size, "boxes": boxes}, content


def allow(seconds: float) -> None:
    """How much processor time, from now on, the kernel lets this process have until it ends it."""
    if hasattr(signal, "setitimer"):  # not on Windows, where the server's own clock is all there is
        signal.setitimer(signal.ITIMER_PROF, seconds)


def confine(memory: int) -> None:
    """Take no more than `memory` bytes besides what there is, and write no file."""
    if sys.platform != "linux":
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + memory
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    channel = Channel(sys.stdin.buffer, os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # what a library prints must not come between the answers
    if (first := channel.receive()) is None:
        return
    settings: ReadingSettings = pickle.loads(first[1])  # from the server, which started this process
    reader = RequestReader(settings)
    confine(settings.limits.memory)
    gc.freeze()  # what is there stays, so that looking for what a request left is quick
    channel.send({"ready": True})
    while _answered(reader, channel):
        allow(0)  # no clock runs while there is nothing to do
        gc.collect()  # errors and what raised them hold each other, and with them the request


def _answered(reader: RequestReader, channel: Channel) -> bool:
    """Whether there was a request."""
    if (received := channel.receive()) is None:
        return False
    try:
        for answer in reader.answers(*received):
            channel.send(*answer)
    except Exception:  # a fault of ours: the server says so, and its terminal shows this
        channel.send({"fault": traceback.format_exc()})
    return True


if __name__ == "__main__":
    main()
