"""Faces of several requests go through the network together."""

import asyncio
import time

import numpy as np
import pytest

from mien.serve.batching import Batcher


def test_faces_are_batched_and_an_error_reaches_those_who_wait():
    seen = []

    def answer(faces):
        seen.append(len(faces))
        if faces.max() == 255:
            raise ValueError("bad face")
        return faces.reshape(len(faces), -1)[:, :2].astype(np.float32)

    async def asked():
        faces = [np.full((1, 2, 2), number, np.uint8) for number in range(10)]
        async with Batcher(answer, most=4) as batcher:
            rows = await batcher.answers(faces)
            with pytest.raises(ValueError, match="bad face"):
                await batcher.answers([np.full((1, 2, 2), 255, np.uint8)])
            assert await batcher.answers([]) == []
            assert (await batcher.answers(faces[:1]))[0].tolist() == [0, 0]
            return rows

    assert [row.tolist() for row in asyncio.run(asked())] == [[number, number] for number in range(10)]
    assert seen == [4, 4, 2, 1, 1]


def test_faces_of_a_request_that_was_ended_are_not_read():
    seen = []

    def answer(faces):
        seen.extend(faces[:, 0, 0, 0].tolist())
        time.sleep(0.05)
        return faces.reshape(len(faces), -1)[:, :2].astype(np.float32)

    async def asked():
        faces = [np.full((1, 2, 2), number, np.uint8) for number in range(6)]
        async with Batcher(answer, most=2) as batcher:
            ended = asyncio.create_task(batcher.answers(faces[:4]))
            await asyncio.sleep(0.02)  # its first two faces are being read
            ended.cancel()
            await batcher.answers(faces[4:])

    asyncio.run(asked())
    assert seen == [0, 1, 4, 5]
