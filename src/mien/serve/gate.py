"""Who is let in: a few requests at work, a short queue, and room for those that are being received."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol, TypeVar

from starlette.requests import Request

from mien.serve.limits import Limits, RefusedError


class Client(Protocol):
    """Anything that comes from somewhere."""

    @property
    def address(self) -> str: ...


Guest = TypeVar("Guest", bound=Client)


def gives_way(guests: Collection[Guest], last: bool = False) -> Guest:
    """Who has to go when there are too many: the first, or the last, of those of the address that has the most.

    So whoever comes with hundreds of connections pushes out their own, and one that is slow none that is fast.
    """
    counts = Counter(guest.address for guest in guests)
    most = max(counts.values())
    of_most = [guest for guest in guests if counts[guest.address] == most]
    return of_most[-1 if last else 0]


def network_of(host: str) -> str:
    """What one client owns: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a socket file, or a test
        return host
    return host if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


class Gate:
    """Lets a few requests work at once, a short queue wait, and sends the rest away."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.visits: set[Visit] = set()
        self.receiving = Stage(limits.receiving)
        self._queue = Stage(limits.at_work + limits.waiting, last=True)
        self._work = asyncio.Semaphore(limits.at_work)
        self.draining = False  # whether the server ends: what is inside is finished, and nobody else is let in

    @property
    def inside(self) -> int:
        """Requests from their first byte to their answer."""
        return len(self.visits)

    @property
    def taken(self) -> int:
        """Those of which all has come: they wait, or are at work."""
        return len(self._queue)

    @property
    def held(self) -> int:
        """Bytes of their bodies."""
        return sum(visit.held for visit in self.visits)

    @contextmanager
    def visit(self, host: str = "") -> Iterator[Visit]:
        """One request from its first byte to its answer. host: where it comes from.

        Raises RefusedError 503 while the server ends.
        """
        self.refuse_late()
        visit = Visit(self, network_of(host))
        self.visits.add(visit)
        try:
            yield visit
        finally:
            self.visits.discard(visit)

    def refuse_late(self) -> None:
        """Raise RefusedError 503 while the server ends."""
        if self.draining:
            raise RefusedError(503, "The server ends. Send the request again to the one that follows.", retry_after=1)

    @asynccontextmanager
    async def work(self, visit: Visit) -> AsyncIterator[None]:
        """One of the `at_work` places, in the order of asking. Raises RefusedError 503 when too many wait."""
        async with self._queue.enter(visit), self._work:
            visit.time = None  # from here on nobody ends it
            yield

    def make_room(self, newcomer: Visit) -> None:
        """End the request that holds the most bytes. Raises RefusedError 503 where that is the newcomer itself."""
        chosen = max((visit for visit in self.visits if visit.time), key=lambda visit: visit.held, default=newcomer)
        if chosen is newcomer:
            raise busy(self.inside)
        chosen.end()


class Stage:
    """A part of the way that at most `most` visits are on at once: when there are more, one `gives_way`."""

    def __init__(self, most: int, last: bool = False) -> None:
        self.most = most
        self._last = last
        self._inside: dict[Visit, None] = {}  # in the order of their coming

    def __len__(self) -> int:
        return len(self._inside)

    @asynccontextmanager
    async def enter(self, visit: Visit, seconds: float | None = None) -> AsyncIterator[None]:
        """Raises TimeoutError after `seconds`, RefusedError 503 for a visit that is ended to make room for others."""
        self._inside[visit] = None
        try:
            async with asyncio.timeout(seconds) as visit.time:
                if len(self._inside) > self.most:
                    self._make_room(visit)
                yield
        except TimeoutError:
            if visit.ended:
                raise busy(self.most) from None
            raise
        finally:
            visit.time = None
            self._inside.pop(visit, None)

    def _make_room(self, newcomer: Visit) -> None:
        chosen = gives_way([visit for visit in self._inside if visit.time], self._last)
        if chosen is newcomer:
            raise busy(self.most)
        del self._inside[chosen]
        chosen.end()


def busy(requests: int) -> RefusedError:
    return RefusedError(503, f"The server is busy with {requests} requests. Try again in a second.", retry_after=1)


class Visit:
    """One request at the gate.

    address: whose it is. held: bytes of its body. time: what ends it, while it is received or waits.
    """

    def __init__(self, gate: Gate, address: str) -> None:
        self.gate = gate
        self.address = address
        self.held = 0
        self.time: asyncio.Timeout | None = None
        self.ended = False

    def end(self) -> None:
        """Refuse it to make room for others."""
        if self.time:
            self.time.reschedule(asyncio.get_running_loop().time())
        self.time, self.held, self.ended = None, 0, True

    async def received(self, request: Request) -> bytearray:
        """The whole body. Raises RefusedError 408 when it takes too long, 413 and 503 as `body` does."""
        seconds = self.gate.limits.seconds
        whole = bytearray()
        try:
            async with self.gate.receiving.enter(self, seconds):
                async for piece in self.body(request):
                    whole += piece
        except TimeoutError:
            raise RefusedError(408, f"The request did not arrive within {seconds:g} seconds. Send it again.") from None
        return whole

    async def body(self, request: Request) -> AsyncGenerator[bytes, None]:
        """The request's body in pieces, counted as they come: a length that was announced may be wrong or missing.

        Raises RefusedError 413 when it is too long, 503 when all requests together hold too much.
        """
        limits = self.gate.limits
        if int(request.headers.get("content-length", 0)) > limits.body:
            raise self._too_long()
        async for piece in request.stream():
            self.held += len(piece)
            if self.held > limits.body:
                raise self._too_long()
            if self.gate.held > limits.held:
                self.gate.make_room(self)
            yield piece

    def _too_long(self) -> RefusedError:
        return RefusedError(
            413,
            f"The request is larger than {self.gate.limits.body / 1e6:g} MB. Send smaller pictures, or fewer at once.",
        )
