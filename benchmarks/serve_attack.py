"""`mien serve` under attack."""

from __future__ import annotations

import io
import re

from PIL import Image


def progressive_bomb(side: int = 6000, scans: int = 3000) -> bytes:
    """A small JPEG that takes minutes to decode: progressive, grey, its last scan repeated; each costs a pass over all
    side x side pixels."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 128).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last = content.rindex(b"\xff\xda")
    scan = content[last : content.rindex(b"\xff\xd9")]
    assert not re.search(rb"\xff[^\x00]", scan[2:])  # nothing but the scan
    return content[:last] + scan * scans + b"\xff\xd9"
