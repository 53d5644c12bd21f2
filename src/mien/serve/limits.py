"""What one client may ask for, so that the others are served: sizes, numbers and time."""

from __future__ import annotations

from dataclasses import dataclass

from mien.errors import MienError


@dataclass(frozen=True)
class Limits:
    """body: bytes of one request. pixels: of one picture. all_pixels: of all pictures of one request. images: pictures
    of one request. scans: of a progressive JPEG, each of which costs as much as the whole picture.

    receiving: requests that are received at once. at_work: requests that are read at once; waiting: how many more may
    wait. held: bytes of all requests together, however many there are.

    seconds: how long a client may take to send its request. reading: how many seconds its pictures may take to read.
    processor: seconds of processor time that one picture may take, and a tenth as much again for each of its
    megapixels. memory: bytes that the process which reads pictures may take besides what it starts with.
    large: pixels of a picture that shares one place with all others of this size.
    """

    body: int = 20_000_000
    pixels: int = 40_000_000
    all_pixels: int = 100_000_000
    images: int = 16
    scans: int = 100
    receiving: int = 256
    at_work: int = 8
    waiting: int = 120
    held: int = 256_000_000
    seconds: float = 15.0
    reading: float = 30.0
    processor: float = 2.0
    memory: int = 1_500_000_000
    large: int = 16_000_000


class RefusedError(MienError):
    """A request that is not answered: its HTTP status, the reason, and after how many seconds to come back."""

    def __init__(self, status: int, text: str, retry_after: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
