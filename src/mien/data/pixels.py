"""The images of a store on disk: mapped, and each compared with its digest when it is first read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

DIGEST = 16  # bytes


def digest(image: np.ndarray) -> bytes:
    """A hash of one image's pixels, 16 bytes: equal where the images are pixel-identical."""
    return hashlib.blake2b(image, digest_size=DIGEST).digest()  # type: ignore[arg-type]


class Pixels:
    """uint8 images (N, C, S, S), read as an array is: pixels[7], pixels[3:9], pixels[positions], np.asarray(pixels).

    Opening compares nothing. An image is compared with its digest (N, 16 bytes) when it is first asked for, and
    served as it lies in the map from then on. damaged(i): the error that reading image i raises when it differs.
    """

    def __init__(self, mapped: np.ndarray, digests: np.ndarray, damaged: Callable[[int], Exception]) -> None:
        self.shape, self.dtype, self.ndim, self.nbytes = mapped.shape, mapped.dtype, mapped.ndim, mapped.nbytes
        self._mapped = np.asarray(mapped)  # np.memmap's own way to slice is slower
        self._digests = digests.tobytes()
        self._damaged = damaged
        self._positions = np.arange(len(mapped))
        self._unread: np.ndarray | None = np.ones(len(mapped), dtype=bool)  # None: all were compared

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        if self._unread is not None:
            self._compare(self._unread, key[0] if isinstance(key, tuple) else key)
        return self._mapped[key]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self[:], dtype=dtype, copy=True) if copy else np.asarray(self[:], dtype=dtype)

    def differing(self) -> list[int]:
        """Positions of the images that differ from their digests; reads all of them."""
        return [i for i in range(len(self)) if not self._is_whole(i)]

    def _compare(self, unread: np.ndarray, chosen: Any) -> None:
        asked = self._positions[chosen].ravel()
        asked = asked[unread[asked]]
        for i in asked.tolist():
            if not self._is_whole(i):
                raise self._damaged(i)
        unread[asked] = False
        if asked.size and not unread.any():
            self._unread = None

    def _is_whole(self, i: int) -> bool:
        return digest(self._mapped[i]) == self._digests[i * DIGEST : (i + 1) * DIGEST]
