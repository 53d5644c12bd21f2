"""Faces of several clients share one call of the network, which costs little more than one face does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mien.runtime.network import Prediction
from mien.runtime.reader import BATCH

Waiting = tuple[np.ndarray, asyncio.Future[Prediction]]


class Batcher:
    """Collects faces for at most `wait` seconds, or until there are `most`, and answers them in a thread of its own.

    answer: uint8 (B, C, size, size) -> what is said of each face. While it runs, the next batch gathers. Used as
    `async with Batcher(...) as batcher`.
    """

    def __init__(
        self, answer: Callable[[np.ndarray], Sequence[Prediction]], most: int = BATCH, wait: float = 0.005
    ) -> None:
        self.answer = answer
        self.most = most
        self.wait = wait
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mien-network")

    async def __aenter__(self) -> Batcher:
        self._collecting = asyncio.create_task(self._collect())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._collecting.cancel()
        self._thread.shutdown()

    async def answers(self, faces: Sequence[np.ndarray]) -> list[Prediction]:
        """What is said of each face, uint8 (C, size, size)."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Prediction]] = [loop.create_future() for _ in faces]
        for face, future in zip(faces, futures, strict=True):
            self._queue.put_nowait((face, future))
        return await asyncio.gather(*futures)

    async def _collect(self) -> None:
        while True:
            batch = [await self._queue.get()]
            if self._queue.qsize() < self.most - 1:
                await asyncio.sleep(self.wait)
            while len(batch) < self.most and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            if batch := [one for one in batch if not one[1].done()]:  # of requests that were ended meanwhile
                await self._answer(batch)

    async def _answer(self, batch: list[Waiting]) -> None:
        faces = np.stack([face for face, _ in batch])  # B x (C, size, size) -> (B, C, size, size)
        loop = asyncio.get_running_loop()
        try:
            rows = await loop.run_in_executor(self._thread, self.answer, faces)
        except Exception as error:  # those who wait must hear of it, and the next batch goes on
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), row in zip(batch, rows, strict=True):
            if not future.done():
                future.set_result(row)
