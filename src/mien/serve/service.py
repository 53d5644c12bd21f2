"""Requests -> what is answered for each picture. The pictures are read in a few processes, the faces here."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from mien.labels import has_expressions
from mien.runtime.faces import Box, Detector
from mien.runtime.network import Network, Prediction
from mien.runtime.reader import Reader
from mien.serve.batching import Batcher
from mien.serve.limits import Limits, RefusedError
from mien.serve.pool import EndedError, Pool
from mien.serve.reading import ReadingSettings

PROCESSES = min(4, max(2, os.cpu_count() or 1))  # that read pictures: a slow one leaves a core to others

SLOW = "This picture takes too long to read. Send it in another copy or format."
BROKEN = "This picture breaks what reads it. Send it in another copy or format."
AFTER = "This picture was not read, as one before it could not be. Send it again without that one."


@dataclass(frozen=True)
class Sent:
    """A request as it came: its Content-Type, its body, and what its address says of `detect`."""

    kind: str
    body: bytearray
    detect: str | None = None


@dataclass(frozen=True)
class Found:
    """Of one picture: width and height, boxes, and what the network sees of each, uint8 (N, C, size, size)."""

    size: tuple[int, int]
    boxes: list[Box]
    seen: np.ndarray


class Service:
    """Reads pictures for many clients at once. Used as `async with Service(...) as service`.

    detector: makes one for each process; a class or function of a module, as it is sent there. One request is read by
    one process, so it leaves the others to other requests. processes: how many there are.
    """

    def __init__(
        self, network: Network, detector: Callable[[], Detector], margin: float, limits: Limits, processes: int
    ) -> None:
        self.network = network
        self.detects = has_expressions(network.labels)  # where a request does not say
        self.limits = limits
        self._reader = Reader(network, detector(), margin)
        settings = ReadingSettings(network.preprocessing, detector, margin, self.detects, limits)
        self._pool = Pool(processes, settings)
        self._large = asyncio.Semaphore(1)  # however many there are, the others get through, and memory is bounded
        self._batcher = Batcher(network.predict)

    async def __aenter__(self) -> Service:
        await self._pool.__aenter__()
        await self._batcher.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._pool.__aexit__(*error)
        await self._batcher.__aexit__(*error)

    @property
    def ready(self) -> bool:
        """Whether a process that reads pictures runs."""
        return self._pool.ready

    async def read(self, sent: Sent) -> list[dict[str, Any]]:
        """For each picture {"faces", "width", "height"}, or {"error"} for one that cannot be read.

        Raises RefusedError for a request that makes no sense, or takes too long.
        """
        found = await self._find(sent)
        if found is None:
            async with self._large:
                found = await self._find(sent, large=True) or []
        seen = [face for one in found if isinstance(one, Found) for face in one.seen]
        answers = iter(await self._batcher.answers(seen))
        return [{"error": one} if isinstance(one, str) else self._answer(one, answers) for one in found]

    async def _find(self, sent: Sent, large: bool = False) -> list[Found | str] | None:
        """The faces of each picture, not yet read, or why it has none; None: it has a large picture, and must not."""
        found: list[Found | str] = []
        total = 0
        try:
            async with self._pool.process() as process, self._in_time():
                await process.send({"kind": sent.kind, "detect": sent.detect, "large": large}, sent.body)
                first, _ = await process.receive()
                total = first.get("pictures", 0)
                while len(found) < total:
                    found.append(self._found(*await process.receive()))
        except EndedError as ended:
            text = SLOW if ended.slow else BROKEN
            if not total:
                raise RefusedError(422, text.replace("picture", "request")) from None
            return [*found, text, *[AFTER] * (total - len(found) - 1)]
        if refused := first.get("refused"):
            raise RefusedError(*refused)
        return None if "large" in first else found

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Raises RefusedError 422 when the work takes too long; the process that does it is ended."""
        seconds = self.limits.reading
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            text = f"Reading these pictures took longer than {seconds:g} seconds. Send fewer or smaller ones."
            raise RefusedError(422, text) from None  # not 503: to send the same again would only repeat the work

    def _found(self, words: dict[str, Any], content: bytes) -> Found | str:
        if "error" in words:
            return str(words["error"])
        asked, boxes = self.network.preprocessing, [tuple(box) for box in words["boxes"]]
        seen = np.frombuffer(content, np.uint8).reshape(len(boxes), asked.channels, asked.size, asked.size)
        return Found(tuple(words["size"]), boxes, seen)

    def _answer(self, found: Found, answers: Iterator[Prediction]) -> dict[str, Any]:
        faces = self._reader.faces(found.boxes, [next(answers) for _ in found.boxes])
        return {"faces": [face.to_dict() for face in faces], "width": found.size[0], "height": found.size[1]}
