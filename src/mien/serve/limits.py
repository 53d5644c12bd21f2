"""What one client may ask for, so that the others are served: sizes, numbers and time."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError
from starlette.requests import Request

from mien.errors import MienError
from mien.pictures import UNREADABLE

# Formats that browsers show. Others that Pillow knows are left out: some start a program or write a file to decode.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
FORMAT_NAMES = "JPEG, PNG, WebP, GIF or BMP"


@dataclass(frozen=True)
class Limits:
    """body: bytes of one request. pixels: of one picture. all_pixels: of all pictures of one request. images: pictures
    of one request. at_work: requests that are decoded at once; waiting: how many more may wait. held: bytes of all
    requests together, however many there are. seconds: how long a client may take to send its request.
    reading: how many seconds its pictures may take to read.
    """

    body: int = 20_000_000
    pixels: int = 40_000_000
    all_pixels: int = 100_000_000
    images: int = 16
    at_work: int = 8
    waiting: int = 120
    held: int = 256_000_000
    seconds: float = 15.0
    reading: float = 30.0


class RefusedError(MienError):
    """A request that is not answered: its HTTP status, the reason, and after how many seconds to come back."""

    def __init__(self, status: int, text: str, retry_after: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}


class Gate:
    """Lets a few requests work at once, a short queue wait, and sends the rest away."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.inside = 0  # requests that are being received, wait or work
        self.held = 0  # bytes of their bodies
        self._work = asyncio.Semaphore(limits.at_work)

    @contextmanager
    def visit(self) -> Iterator[Visit]:
        """Room for one request from its first byte to its answer. Raises RefusedError 503 when there is none."""
        if self.inside >= self.limits.at_work + self.limits.waiting:
            raise self.busy()
        self.inside += 1
        visit = Visit(self)
        try:
            yield visit
        finally:
            self.inside -= 1
            self.held -= visit.held

    @asynccontextmanager
    async def work(self) -> AsyncIterator[None]:
        """One of the `at_work` places, in the order of asking. Raises RefusedError 422 when the work takes too long."""
        seconds = self.limits.reading
        async with self._work:
            try:
                async with asyncio.timeout(seconds):
                    yield
            except TimeoutError:
                text = f"Reading these pictures took longer than {seconds:g} seconds. Send fewer or smaller ones."
                raise RefusedError(422, text) from None  # not 503: to send the same again would only repeat the work

    def busy(self) -> RefusedError:
        return RefusedError(
            503, f"The server is busy with {self.inside} requests. Try again in a second.", retry_after=1
        )


class Visit:
    """One request at the gate; counts the bytes that it holds."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.held = 0

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """Raises RefusedError 408 when what is inside, receiving a request, takes too long."""
        seconds = self.gate.limits.seconds
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise RefusedError(408, f"The request did not arrive within {seconds:g} seconds. Send it again.") from None

    async def body(self, request: Request) -> AsyncGenerator[bytes, None]:
        """The request's body in pieces, counted as they come: a length that was announced may be wrong or missing.

        Raises RefusedError 413 when it is too long, 503 when all requests together hold too much.
        """
        limits, gate = self.gate.limits, self.gate
        if int(request.headers.get("content-length", 0)) > limits.body:
            raise self._too_long()
        async for piece in request.stream():
            self.held += len(piece)
            gate.held += len(piece)
            if self.held > limits.body:
                raise self._too_long()
            if gate.held > limits.held:
                raise gate.busy()
            yield piece

    def _too_long(self) -> RefusedError:
        return RefusedError(
            413,
            f"The request is larger than {self.gate.limits.body / 1e6:g} MB. Send smaller pictures, or fewer at once.",
        )


def open_pictures(contents: Sequence[bytes], limits: Limits) -> list[Image.Image | RefusedError]:
    """The pictures of a request in their order, opened but not decoded; in the place of one that is refused, why."""
    opened: list[Image.Image | RefusedError] = []
    left = limits.all_pixels
    for content in contents:
        try:
            picture = _opened(content, limits)
            left -= picture.width * picture.height
            if left < 0:
                most = f"{limits.all_pixels / 1e6:g} megapixels"
                raise RefusedError(422, f"This picture and those before it have more than {most}. Send fewer at once.")
            opened.append(picture)
        except RefusedError as refusal:
            opened.append(refusal)
    return opened


def decoded(file: Image.Image, limits: Limits) -> Image.Image:
    """The pixels of an opened picture, of an animation the first frame. Raises RefusedError 422 where it is damaged."""
    with _refusing(limits), file:
        file.load()
        return file.copy() if getattr(file, "is_animated", False) else file


def _opened(content: bytes, limits: Limits) -> Image.Image:
    """Its header has told its size before anything is decoded. Raises RefusedError 422, saying what is wrong."""
    if not content:
        raise RefusedError(422, f"This file is empty. Send a picture: {FORMAT_NAMES}.")
    with _refusing(limits):
        file = Image.open(io.BytesIO(content), formats=FORMATS)
    if file.width * file.height > limits.pixels:
        raise RefusedError(422, _too_large(limits, f"{file.width:,} x {file.height:,} pixels, "))
    return file


@contextmanager
def _refusing(limits: Limits) -> Iterator[None]:
    """What Pillow says is wrong with a picture, as RefusedError 422."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise RefusedError(422, f"This is no picture that can be read. Send {FORMAT_NAMES}.") from error
    except Image.DecompressionBombError as error:  # of Pillow itself, before the size is known
        raise RefusedError(422, _too_large(limits)) from error
    except UNREADABLE as error:
        raise RefusedError(422, f"This picture is damaged ({error}). Send it in another copy or format.") from error


def _too_large(limits: Limits, size: str = "") -> str:
    return f"This picture has {size}more than {limits.pixels / 1e6:g} megapixels. Make it smaller."
