"""The processes that read pictures: started, asked one request at a time, ended and replaced."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from mien.errors import UsageError
from mien.serve.messages import HEAD, packed
from mien.serve.reading import ReadingSettings

PIECE = 1 << 20  # bytes that are handed over before others have a turn
# So that glibc returns the memory of a large request when it is over, and keeps none of it for the next.
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": str(1 << 22), "MALLOC_TRIM_THRESHOLD_": str(1 << 24)}
GONE = (asyncio.IncompleteReadError, BrokenPipeError, ConnectionResetError)  # what talking to an ended process raises
TOO_SLOW = {-signal.SIGPROF, -signal.SIGXCPU} if hasattr(signal, "SIGPROF") else set()


class EndedError(Exception):
    """A process that ended in the middle of its work. slow: it had used up its processor time."""

    def __init__(self, slow: bool) -> None:
        super().__init__()
        self.slow = slow


class Process:
    """One of the processes, see `reading`. Not for several requests at once."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout

    @classmethod
    async def start(cls, settings: bytes) -> Process:
        """settings: pickled `ReadingSettings`. Returns when it is ready."""
        command = [sys.executable, "-P", "-W", "ignore", "-m", "mien.serve.reading"]
        process = cls(
            await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, **GIVE_BACK, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,  # Ctrl-C in a terminal is for the server
            )
        )
        try:
            await process.send({}, settings)
            await process.receive()
        except BaseException:
            process.kill()
            await process.ended()
            raise
        return process

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def send(self, words: dict[str, Any], content: bytes | bytearray = b"") -> None:
        """Raises EndedError."""
        try:
            self._stdin.write(packed(words, len(content)))
            with memoryview(content) as view:
                for start in range(0, len(content), PIECE):
                    self._stdin.write(view[start : start + PIECE])
                    await self._stdin.drain()
        except GONE:
            raise await self.ended() from None

    async def receive(self) -> tuple[dict[str, Any], bytes]:
        """The next thing it says. Raises EndedError, RuntimeError for a fault of ours with its traceback."""
        try:
            length, size = HEAD.unpack(await self._stdout.readexactly(HEAD.size))
            words = json.loads(await self._stdout.readexactly(length))
            content = await self._stdout.readexactly(size)
        except GONE:
            raise await self.ended() from None
        if fault := words.get("fault"):
            raise RuntimeError(f"in a process that reads pictures:\n{fault}")
        return words, content

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        self._stdin.close()

    async def ended(self) -> EndedError:
        """How it ended, once it has."""
        return EndedError(await self._process.wait() in TOO_SLOW)


class Pool:
    """`size` processes. Used as `async with Pool(...) as pool`.

    Raises UsageError for a detector that cannot be sent to them.
    """

    def __init__(self, size: int, settings: ReadingSettings) -> None:
        try:
            self._settings = pickle.dumps(settings)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UsageError(
                f"The detector {settings.detector!r} cannot be sent to the processes that read pictures ({error}). "
                "Give a class or function of a module, or functools.partial of one."
            ) from error
        self._size = size
        self._free: asyncio.Queue[Process | Exception] = asyncio.Queue()  # or why one could not be started
        self._all: set[Process] = set()
        self._starting: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Pool:
        for _ in range(self._size):
            self._start_one()
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._starting:
            task.cancel()
        for process in self._all:
            process.kill()
        await asyncio.gather(*self._starting, return_exceptions=True)
        await asyncio.gather(*(process.ended() for process in self._all))

    @property
    def ready(self) -> bool:
        """Whether one of them runs."""
        return any(process.alive for process in self._all)

    @asynccontextmanager
    async def process(self) -> AsyncIterator[Process]:
        """One that is free, for one request. Where its work is not finished it is ended, and another one started."""
        process = await self._take()
        finished = False
        try:
            yield process
            finished = True
        finally:
            if finished:
                self._free.put_nowait(process)
            else:
                self._replace(process)

    async def _take(self) -> Process:
        while True:
            process = await self._free.get()
            if isinstance(process, Exception):
                self._start_one()
                raise process
            if process.alive:
                return process
            self._replace(process)  # something outside ended it

    def _replace(self, process: Process) -> None:
        process.kill()
        self._all.discard(process)
        self._start_one()

    def _start_one(self) -> None:
        task = asyncio.create_task(self._start())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _start(self) -> None:
        try:
            process = await Process.start(self._settings)
        except Exception as error:  # whoever waits for a process must hear of it
            self._free.put_nowait(error)
        else:
            self._all.add(process)
            self._free.put_nowait(process)
