"""The application on a socket, with uvicorn."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import logging
import socket
from collections.abc import Sequence
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from mien.errors import MienError, UsageError
from mien.serve.door import LOCAL_NAMES

PATIENCE = 15.0  # seconds for the head of a request; uvicorn itself would wait for ever


class PatientProtocol(H11Protocol):
    """uvicorn's, with refusals in JSON and an end to connections that never finish the head of a request."""

    patience = PATIENCE
    _ending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ending:
            self._ending.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        headless = self.conn.their_state is h11.IDLE
        if headless and self._ending is None:
            self._ending = self.loop.call_later(self.patience, self._end)
        elif not headless and self._ending is not None:
            self._ending.cancel()
            self._ending = None

    def _end(self) -> None:
        if not self.transport.is_closing():
            text = f"The request did not arrive within {self.patience:g} seconds. Send it again."
            self._refuse("408 Request Timeout", text)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, in the shape of all refusals; uvicorn's own is plain text."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # else it would stand in the middle of an answer
            text = "This is no HTTP request that can be read. Send HTTP/1.1, not https, with a Host and a true length."
            self._refuse("400 Bad Request", text)
        self.transport.close()

    def _refuse(self, status: str, text: str) -> None:
        body = json.dumps({"error": text}).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n"
        self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections already; port 0 is any free one. Raises MienError when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    foreign = UsageError(f"--host {host} is no address of this computer. Give 127.0.0.1, or 0.0.0.0 for all.")
    try:
        socket.getaddrinfo(host, None)
        return socket.create_server((host, port), family=family, backlog=512)
    except socket.gaierror as error:
        raise foreign from error
    except (OSError, OverflowError) as error:
        if getattr(error, "errno", None) == errno.EADDRNOTAVAIL:
            raise foreign from error
        reason = getattr(error, "strerror", None) or error
        raise MienError(f"{host} port {port} cannot be used: {reason}. Choose another one: --port 8001") from error


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
    return [*LOCAL_NAMES, f"[{host}]" if ":" in host else host, *allowed]


def run(app: ASGIApp, listening: socket.socket) -> None:
    """Serve until Ctrl-C (KeyboardInterrupt) or SIGTERM. Requests are not logged: pictures are nobody's business."""
    settings: dict[str, Any] = {"access_log": False, "log_config": None, "log_level": "error"}
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what is wrong with a form is told to its sender
    config = uvicorn.Config(
        app, http=PatientProtocol, ws="none", lifespan="on", server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=5, **settings,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listening])
