"""Who may ask: a web page of another site could use the server of whoever looks at it, and by DNS rebinding read it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mien.errors import UsageError

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
OWN = ("same-origin", "none")  # Sec-Fetch-Site of the server's own pages, and of an address that somebody typed


class Door:
    """ASGI middleware that answers 403 to foreign names and pages.

    hosts: names under which the server may be asked, at any port; any if empty. DNS rebinding
    makes another site's name point here, so a server of this computer alone wants them.
    origins: pages of other origins that may use it, as 'http://localhost:5173'. The answers that they may read carry
    the headers of starlette's CORSMiddleware, not of this one.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str] = (), origins: Sequence[str] = ()) -> None:
        self.app = app
        self.hosts = {name_of(host.lower()) for host in hosts}
        self.origins = {origin.lower() for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        foreign = self._foreign(Headers(scope=scope), scope["method"]) if scope["type"] == "http" else None
        if foreign is None:
            await self.app(scope, receive, send)
        else:
            await JSONResponse({"error": foreign}, 403)(scope, receive, send)

    def _foreign(self, headers: Headers, method: str) -> str | None:
        """What is foreign about a request, or None."""
        host = headers.get("host", "").lower()
        if self.hosts and name_of(host) not in self.hosts:
            name = name_of(host)
            return f"This server does not answer to the name '{name}' (Host). Whoever runs it can allow the name."
        origin = headers.get("origin", "").lower()
        if origin in self.origins:
            return None
        if origin and origin.partition("://")[2] != host:
            return f"Pages of '{origin}' (Origin) may not use this server. Whoever runs it can allow them."
        followed = method == "GET" and headers.get("sec-fetch-mode") == "navigate"  # a link: nobody reads its answer
        if headers.get("sec-fetch-site", "none") not in OWN and not followed:
            return "Pages of other sites (Sec-Fetch-Site) may not use this server. Whoever runs it can allow them."
        return None


def name_of(host: str) -> str:
    """A Host header without its port: 'localhost:8000' -> 'localhost', '[::1]:8000' -> '[::1]'."""
    name, colon, port = host.rpartition(":")
    return (name if colon and "]" not in port else host).rstrip(".")


def checked_origins(origins: Sequence[str]) -> list[str]:
    """Origins as browsers send them. Raises UsageError for what is none."""
    lowered = [origin.lower() for origin in origins]
    for origin in lowered:
        if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#\s]+", origin):
            raise UsageError(
                f"'{origin}' is no origin. Give scheme, name and port of the page alone, as in http://localhost:5173"
            )
    return lowered
