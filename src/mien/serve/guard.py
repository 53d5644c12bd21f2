"""Around every answer: security headers, and a clean end for clients that were refused in the middle of sending."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER = 5.0  # seconds that a refused client may go on sending before the connection is closed on it

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """ASGI middleware, the outermost.

    A client that is refused before it has sent everything would lose the answer if the connection were closed at
    once: what it still sends resets the connection (RFC 9112, 9.6). So the answer goes out, then the rest is read and
    dropped for a while, then the connection ends. While the server ends, each connection does so with its answer.
    """

    def __init__(self, app: ASGIApp, linger: float = LINGER) -> None:
        self.app = app
        self.linger = linger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body, gate = _Body(scope, receive), scope.get("state", {}).get("gate")

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
                if not body.whole or (gate and gate.draining):
                    headers["Connection"] = "close"
            elif not message.get("more_body") and not body.whole:
                await send({**message, "more_body": True})
                await body.drop_rest(self.linger)
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self.app(scope, body.receive, answer)


class _Body:
    """A request's body on its way in. whole: nothing more of it will come."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = Headers(scope=scope)
        self.whole = "transfer-encoding" not in headers and headers.get("content-length", "0") == "0"
        self._receive = receive

    async def receive(self) -> Message:
        message = await self._receive()
        self.whole = self.whole or message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message

    async def drop_rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not self.whole:
                    await self.receive()
        except TimeoutError:
            pass
