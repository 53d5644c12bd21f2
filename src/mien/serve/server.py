"""The application on a socket, with uvicorn."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import Sequence
from typing import Any

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.errors import MienError, UsageError
from mien.serve.door import LOCAL_NAMES
from mien.serve.protocol import PatientProtocol

BACKLOG = 256  # connections that may wait to be accepted; all of them are in one turn of the event loop


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections already; port 0 is any free one. Raises MienError when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    foreign = UsageError(f"`host` {host} is no address of this computer. Give 127.0.0.1, or 0.0.0.0 for all.")
    try:
        socket.getaddrinfo(host, None)
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except socket.gaierror as error:
        raise foreign from error
    except (OSError, OverflowError) as error:
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


def run(app: ASGIApp, listening: socket.socket) -> None:
    """Serve until Ctrl-C (KeyboardInterrupt) or SIGTERM. Requests are not logged: pictures are nobody's business."""
    settings: dict[str, Any] = {"access_log": False, "log_config": None, "log_level": "error"}
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what is wrong with a form is told to its sender
    config = uvicorn.Config(
        quietly_ended(app), http=PatientProtocol, ws="none", lifespan="on", server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=5, backlog=BACKLOG, **settings,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listening])
