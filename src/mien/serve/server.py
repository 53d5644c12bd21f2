"""The application on a socket, with uvicorn."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import signal
import socket
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.errors import MienError, UsageError
from mien.serve.door import LOCAL_NAMES
from mien.serve.gate import Gate
from mien.serve.protocol import PatientProtocol

BACKLOG = 256  # connections that may wait to be accepted; all of them are in one turn of the event loop
FINISH = 5  # seconds for a body to come once the server ends
DRAIN = 25.0  # seconds to answer what was taken; Kubernetes kills after 30
LINGER = 2.0  # seconds in which clients that were connected may ask, once more or anew, and hear that the server ends


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections already; port 0 is any free one. Raises MienError when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    foreign = UsageError(f"`host` {host} is no address of this computer. Give 127.0.0.1, or 0.0.0.0 for all.")
    try:
        socket.getaddrinfo(host, None)
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except socket.gaierror as error:
        raise foreign from error
    except OverflowError as error:
        raise UsageError(f"`port` {port}: ports go from 0 to 65535. Choose another one: `port=8001`") from error
    except OSError as error:
        if getattr(error, "errno", None) == errno.EADDRNOTAVAIL:
            raise foreign from error
        reason = getattr(error, "strerror", None) or error
        raise MienError(f"{host} port {port} cannot be used: {reason}. Choose another one: `port=8001`") from error


def address(listening: socket.socket) -> str:
    """The URL under which a browser on this computer finds the socket."""
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}/"


def is_local(host: str) -> bool:
    """Whether an address is reached from this computer alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def names(host: str, allowed: Sequence[str] = ()) -> list[str]:
    """The names under which a server at `host` may be asked: those of this computer and `allowed`, or any, [].

    An address that others reach has names that nobody knows here, so it takes any until some are given.
    """
    if not allowed and not is_local(host):
        return []
    return [
        *LOCAL_NAMES,
        *(f"[{each}]" if each.count(":") > 1 and "[" not in each else each for each in (host, *allowed)),
    ]


def quietly_ended(app: ASGIApp) -> ASGIApp:
    """The application, with an answer for requests that are ended because the server ends.

    uvicorn would show a traceback for each.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def note_start(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await app(scope, receive, note_start)
        except asyncio.CancelledError:
            if scope["type"] != "http":
                raise
            if started:
                await send({"type": "http.response.body", "body": b""})
            else:
                await JSONResponse({"error": "The server ends. Start it again."}, 503)(scope, receive, send)

    return answer


class Server(uvicorn.Server):
    """uvicorn's, which at SIGTERM finishes what it took before it stops to listen; meanwhile new requests get 503.

    A body that has not come after FINISH seconds is waited for no longer. Ctrl-C, and a second SIGTERM, end it at once:
    within FINISH seconds. parent: the process without which this one has nobody to serve for, and drains; None: none.
    """

    parent: int | None = None
    _since: float | None = None  # when it began to drain
    _linger = 0.0  # seconds that it does so at least

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or ():
            listening.listen(BACKLOG)  # asyncio has set it to what it accepts in one turn

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM and self.started and self._gate and not self._gate.draining:
            self._gate.draining, self._since = True, time.monotonic()
            self._linger = LINGER if self.server_state.connections else 0.0
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        if self.parent and self.parent != os.getppid():
            self.parent = None
            self.handle_exit(signal.SIGTERM, None)
        if self._drained():
            self.config.timeout_graceful_shutdown = 1  # for answers on their way, and for what takes too long
            super().handle_exit(signal.SIGTERM, None)
        return await super().on_tick(counter)

    @property
    def _gate(self) -> Gate | None:
        return self.lifespan.state.get("gate")

    def _drained(self) -> bool:
        if self._since is None or self.should_exit or not self._gate:
            return False
        passed = time.monotonic() - self._since
        if passed >= DRAIN:
            return True
        return passed >= self._linger and not (self._gate.taken if passed >= FINISH else self._gate.inside)


def run(app: ASGIApp, listening: socket.socket, *, at_once: int = BACKLOG, parent: int | None = None) -> None:
    """Serve until Ctrl-C (KeyboardInterrupt) or SIGTERM. Requests are not logged: pictures are nobody's business.

    at_once: connections that are accepted before others have a turn. parent: as of `Server`.
    """
    settings: dict[str, Any] = {"access_log": False, "log_config": None, "log_level": "error"}
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what is wrong with a form is told to its sender
    config = uvicorn.Config(
        quietly_ended(app), http=PatientProtocol, ws="none", lifespan="on", server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=FINISH, backlog=at_once, **settings,
    )  # fmt: skip
    server = Server(config)
    server.parent = parent
    server.run(sockets=[listening])
