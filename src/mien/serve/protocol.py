"""HTTP on one connection: uvicorn's reading of it with httptools, and limits on what a client may do to the others."""

from __future__ import annotations

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mien.serve.gate import gives_way

PATIENCE = 15.0  # seconds for the head of a request; uvicorn itself would wait for ever
CONNECTIONS = 500  # well below the usual 1,024 open files of a process
OVERHEAD = 131_072  # bytes of a request besides its body: its head, and what frames the pieces of a chunked body
PIECE = 65_536  # bytes that are parsed before the limits are looked at
PIPELINED = 8  # requests that may be sent ahead of their answers


class RefusedHead(Exception):  # noqa: N818  (it never leaves the parser)
    """What a callback of the parser raises to have the request refused as no HTTP."""


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's, with refusals in JSON and an end to connections that never finish the head of a request.

    When there are more connections than `most`, the one whose client has let the server wait longest is ended, of
    those of the address that has the most. One that waits for its answer is never ended.
    """

    patience = PATIENCE
    most = CONNECTIONS
    _ending: asyncio.TimerHandle | None = None
    _overhead = 0  # of this request, bytes
    since = 0.0  # when the client was last answered, or came
    address = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address, self.since = self.client[0] if self.client else "", self.loop.time()
        self._expect_head()
        if len(self.connections) > self.most:
            idle = [one for one in self.connections if isinstance(one, PatientProtocol) and not one.waits]
            gives_way(sorted(idle, key=lambda one: one.since)).transport.abort()  # this one is among them

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_expecting()
        super().connection_lost(exc)

    @property
    def waits(self) -> bool:
        """Whether the client has sent all of a request and has no answer yet."""
        return self.cycle is not None and not (self.cycle.more_body or self.cycle.response_started)

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE):
            if self.transport.is_closing():
                return
            piece = data[start : start + PIECE]
            self._overhead += len(piece)
            super().data_received(piece)
            if self._overhead > OVERHEAD:
                text = f"The request has more than {OVERHEAD // 1024} kB besides its body. Send fewer headers, or a "
                self._refuse("431 Request Header Fields Too Large", f"{text}chunked body in larger chunks.")

    def on_headers_complete(self) -> None:
        self._stop_expecting()
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts != 1 and not (hosts == 0 and self.parser.get_http_version() == "1.0"):  # RFC 9112, 3.2
            raise RefusedHead
        if len(self.pipeline) >= PIPELINED:
            raise RefusedHead
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._overhead -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._overhead = 0
        self._expect_head()

    def on_response_complete(self) -> None:
        self.since = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, in the shape of all refusals; uvicorn's own is plain text."""
        text = "This is no HTTP request that can be read. Send HTTP/1.1, not https, with a Host and a true length."
        self._refuse("400 Bad Request", text)

    def _expect_head(self) -> None:
        self._stop_expecting()
        self._ending = self.loop.call_later(self.patience, self._end)

    def _stop_expecting(self) -> None:
        if self._ending:
            self._ending.cancel()
            self._ending = None

    def _end(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:  # it is the server that is awaited
            self._expect_head()
        elif not self.transport.is_closing():
            text = f"The request did not arrive within {self.patience:g} seconds. Send it again."
            self._refuse("408 Request Timeout", text)

    def _refuse(self, status: str, text: str) -> None:
        if metrics := self.app_state.get("metrics"):
            metrics.refused(int(status.split()[0]))
        answering = self.cycle is not None and not self.cycle.response_complete
        if not answering or not (self.cycle.response_started or self.pipeline):  # else it would stand in an answer
            body = json.dumps({"error": text}).encode()
            head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n"
            self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        if answering:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()
