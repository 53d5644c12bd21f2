"""What the server and a process that reads pictures say to each other: JSON, and bytes that go with it."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

HEAD = struct.Struct(">II")  # bytes of JSON, bytes that go with it


def packed(words: dict[str, Any], size: int = 0) -> bytes:
    """What precedes `size` bytes."""
    text = json.dumps(words).encode()
    return HEAD.pack(len(text), size) + text


@dataclass
class Channel:
    """The reading process's end: its own standard input and output, both waited for."""

    incoming: BinaryIO
    outgoing: BinaryIO

    def receive(self) -> tuple[dict[str, Any], bytes] | None:
        """None when the server has gone."""
        head = self.incoming.read(HEAD.size)
        if len(head) < HEAD.size:
            return None
        words, size = HEAD.unpack(head)
        return json.loads(self.incoming.read(words)), self.incoming.read(size)

    def send(self, words: dict[str, Any], content: bytes = b"") -> None:
        self.outgoing.write(packed(words, len(content)))
        self.outgoing.write(content)
        self.outgoing.flush()
