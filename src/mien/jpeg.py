"""Small grey JPEGs, such as FER2013's 35,887, decoded by OpenCV: Pillow's pixels in less time (benchmarks/photos.py).

Both decode with libjpeg-turbo; what Pillow spends on a picture of 48 x 48 pixels is mostly Python. Whatever is not as
simple as it can be (colours, EXIF or Adobe's marks, large or cut off) is left to Pillow.
"""

from __future__ import annotations

from typing import IO

import numpy as np
from PIL import Image

START, END = b"\xff\xd8\xff", b"\xff\xd9"
FRAMES = (0xC0, 0xC1, 0xC2)  # markers of sizes: baseline, extended and progressive, with Huffman's code
PLAIN = (0xDB, 0xC4, 0xDD, 0xE0)  # tables, restarts and JFIF, which change nothing that is not known
SCAN = 0xDA  # begins the picture's data; marks that count, such as EXIF, come before it
MOST = 2**14  # bytes of a file, and pixels


def small_grey(file: IO[bytes]) -> Image.Image | None:
    """The picture of an open file, mode L; None, and the file at its beginning, where Pillow is to read it."""
    content = file.read(MOST)
    file.seek(0)
    if not content.startswith(START) or not content.endswith(END) or not _is_small_grey(content):
        return None
    import cv2

    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    return (
        None
        if pixels is None or pixels.ndim != 2
        else Image.frombuffer("L", pixels.shape[::-1], pixels, "raw", "L", 0, 1)
    )


def _is_small_grey(content: bytes) -> bool:
    """Whether the segments before the data are plain ones and the frame has one channel of 8 bits."""
    at, framed = 2, False
    while at + 10 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == SCAN:
            return framed
        if marker in FRAMES:
            height, width = (int.from_bytes(content[i : i + 2]) for i in (at + 5, at + 7))
            framed = content[at + 4] == 8 and content[at + 9] == 1 and 0 < width * height <= MOST
        elif marker not in PLAIN:
            return False
        at += 2 + int.from_bytes(content[at + 2 : at + 4])
    return False
