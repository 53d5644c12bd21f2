"""Several server processes behind one address: started, watched, started again when one ends, drained together."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from prometheus_client.multiprocess import mark_process_dead
from starlette.types import ASGIApp

from mien.errors import MienError, UsageError
from mien.progress import note
from mien.serve.metrics import SHARED
from mien.serve.server import DRAIN, FINISH

PAUSE = 0.1  # seconds between two looks at the workers
TRIES = 5  # how often in a row a worker may end soon after its start
SOON = 10.0  # seconds
MEMORY = Path("/dev/shm")  # Linux' folder in memory, which a container with a read-only disk has too


@dataclass
class Worker:
    """A server process and when it was started."""

    process: subprocess.Popen[bytes]
    since: float


class Supervisor:
    """Keeps `size` workers running. Used as `with Supervisor(...) as supervisor: supervisor.watch()`.

    build: makes the application in each of them; a function of a module, or functools.partial of one. They accept
    connections from one socket, so that none is lost with a worker that ends before it has taken it. At the end they
    drain, see `Server`.
    """

    def __init__(self, build: Callable[[], ASGIApp], listening: socket.socket, size: int) -> None:
        self._settings = pickle.dumps((build, listening.fileno(), os.getpid()))
        self._socket = listening
        self._size = size
        self._workers: list[Worker] = []
        self._failed = 0  # in a row
        self._signal: int | None = None  # that ends the server
        self._numbers = _folder()

    def __enter__(self) -> Supervisor:
        self._before = signal.signal(signal.SIGTERM, self._end)
        self._workers = [self._start() for _ in range(self._size)]
        return self

    def __exit__(self, *error: object) -> None:
        """Tell the workers to end, and wait for them."""
        self._tell(self._signal or signal.SIGINT)
        last = time.monotonic() + DRAIN + 2 * FINISH
        for worker in self._workers:
            try:
                worker.process.wait(max(0.0, last - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        self._numbers.cleanup()
        signal.signal(signal.SIGTERM, self._before)

    def watch(self) -> None:
        """Replace workers that end, until SIGTERM. Raises MienError when they end as soon as they are started."""
        while self._signal is None:
            time.sleep(PAUSE)
            for number, worker in enumerate(self._workers):
                if worker.process.poll() is not None and self._signal is None:
                    self._workers[number] = self._replaced(worker)

    def _replaced(self, worker: Worker) -> Worker:
        mark_process_dead(worker.process.pid, self._numbers.name)
        how = _described(worker.process.returncode)
        self._failed = self._failed + 1 if time.monotonic() - worker.since < SOON else 0
        if self._failed >= TRIES:
            raise MienError(f"{TRIES} workers in a row ended soon after their start, the last one {how}.")
        note(f"A worker ended {how}; another one is started.")
        return self._start()

    def _start(self) -> Worker:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mien.serve.worker"],
            stdin=subprocess.PIPE,
            pass_fds=[self._socket.fileno()],
            env={**os.environ, SHARED: self._numbers.name, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C in a terminal is for the supervisor
        )
        assert process.stdin is not None
        try:
            with process.stdin as stdin:
                stdin.write(self._settings)
        except BrokenPipeError:
            pass  # it has ended already, which `watch` sees
        return Worker(process, time.monotonic())

    def _end(self, sig: int, frame: FrameType | None) -> None:
        """Note that the server is to end; what leaves `watch` tells the workers, one that is just started too.

        A second signal is for those that drain already.
        """
        if self._signal is not None:
            self._tell(sig)
        self._signal = sig

    def _tell(self, sig: int) -> None:
        for worker in self._workers:
            worker.process.send_signal(sig)


def check_workers(size: int) -> None:
    """Raise UsageError for a number of workers that cannot be had."""
    if size < 1:
        raise UsageError(f"`workers` {size}: give 1 or more.")
    if size > 1 and sys.platform == "win32":
        raise UsageError(f"`workers` {size}: processes cannot share an address on Windows. Leave it out.")


def _described(code: int) -> str:
    return f"by signal {-code}" if code < 0 else f"with exit code {code}"


def _folder() -> TemporaryDirectory[str]:
    """For the workers' numbers. Raises MienError where nothing can be written."""
    try:
        return TemporaryDirectory(prefix="mien-metrics-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
    except OSError as error:
        place = tempfile.tempdir or "a folder for temporary files"
        raise MienError(f"`workers` need {place} to count together: {error.strerror}. Mount one at /tmp.") from error


def run_workers(build: Callable[[], ASGIApp], listening: socket.socket, size: int) -> None:
    """Serve with several processes until Ctrl-C (KeyboardInterrupt) or SIGTERM, which ends this process as usual.

    Arguments and errors as of `Supervisor`.
    """
    with Supervisor(build, listening, size) as supervisor:
        supervisor.watch()
    signal.raise_signal(signal.SIGTERM)
