"""Pictures of a request -> what is answered for each. Decoding and detection run in a few threads."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from mien.labels import has_expressions
from mien.preprocessing import upright
from mien.runtime.faces import Box, Detector
from mien.runtime.network import Network
from mien.runtime.reader import Reader
from mien.serve.batching import Batcher
from mien.serve.limits import Limits, RefusedError, decoded, open_pictures

Found = tuple[tuple[int, int], list[Box], list[np.ndarray]]  # width and height, boxes, what the network sees of each


class Service:
    """Reads pictures for many clients at once. Used as `async with Service(...) as service`.

    detector: makes one for each thread, as detectors are not made for several at once.
    """

    THREADS = min(4, os.cpu_count() or 1)

    def __init__(self, network: Network, detector: Callable[[], Detector], margin: float, limits: Limits) -> None:
        self.network = network
        self.detects = has_expressions(network.labels)  # where a request does not say
        self.limits = limits
        self._reader = Reader(network, detector(), margin)
        self._own = threading.local()
        self._threads = ThreadPoolExecutor(
            self.THREADS, thread_name_prefix="mien-faces", initializer=self._start, initargs=(detector, margin)
        )
        self._batcher = Batcher(network.probabilities)

    async def __aenter__(self) -> Service:
        await self._batcher.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._batcher.__aexit__(*error)
        self._threads.shutdown(cancel_futures=True)

    async def read(self, pictures: Sequence[bytes], detect: bool | None) -> list[dict[str, Any]]:
        """For each picture {"faces", "width", "height"}, or {"error"} for one that cannot be read.

        Of several threads a request leaves one to the others.
        """
        wanted = self.detects if detect is None else detect
        places = asyncio.Semaphore(max(1, self.THREADS - 1))
        loop = asyncio.get_running_loop()
        opened = await loop.run_in_executor(self._threads, open_pictures, pictures, self.limits)
        return list(await asyncio.gather(*(self._read(picture, wanted, places) for picture in opened)))

    async def _read(
        self, picture: Image.Image | RefusedError, detect: bool, places: asyncio.Semaphore
    ) -> dict[str, Any]:
        if isinstance(picture, RefusedError):
            return {"error": str(picture)}
        loop = asyncio.get_running_loop()
        try:
            async with places:
                found = await loop.run_in_executor(self._threads, self._find, picture, detect)
        except RefusedError as refusal:
            return {"error": str(refusal)}
        (width, height), boxes, seen = found
        faces = self._reader.faces(boxes, await self._batcher.probabilities(seen))
        return {"faces": [face.to_dict() for face in faces], "width": width, "height": height}

    def _find(self, picture: Image.Image, detect: bool) -> Found:
        picture = upright(decoded(picture, self.limits))
        boxes, seen = self._own.reader.find(picture, detect=detect)
        return picture.size, boxes, seen

    def _start(self, detector: Callable[[], Detector], margin: float) -> None:
        self._own.reader = Reader(self.network, detector(), margin)
