"""Pictures that strangers sent: opened, looked at for what would cost too much, and decoded."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
from PIL import Image, UnidentifiedImageError

from mien.pictures import UNREADABLE
from mien.serve.limits import Limits, RefusedError

# Formats that browsers show. Others that Pillow knows are left out: some start a program or write a file to decode.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
FORMAT_NAMES = "JPEG, PNG, WebP, GIF or BMP"

# What ends a JPEG's coded data: in it, 0xFF is followed by 0 or is the start of RSTn (ITU T.81, B.1.1)
MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length: TEM, RSTn, SOI
START_OF_SCAN, END = 0xDA, 0xD9


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
    with refusing(limits), file:
        file.load()
        keeps_decoder = getattr(file, "is_animated", False) or file.format == "WEBP"
        return file.copy() if keeps_decoder else file


def scans(content: bytes, most: int) -> int:
    """How many scans a JPEG has, counted until there are more than `most`.

    A progressive one is decoded scan by scan, each over the whole picture, and a scan may be a few bytes long.
    """
    found, place = 0, 2
    while found <= most and (marker := MARKER.search(content, place)):
        kind, place = marker[1][0], marker.end()
        if kind == END:
            break
        found += kind == START_OF_SCAN
        if kind not in ALONE:
            place += int.from_bytes(content[place : place + 2], "big")
    return found


def _opened(content: bytes, limits: Limits) -> Image.Image:
    """Its header has told its size before anything is decoded. Raises RefusedError 422, saying what is wrong."""
    if not content:
        raise RefusedError(422, f"This file is empty. Send a picture: {FORMAT_NAMES}.")
    with refusing(limits):
        file = Image.open(io.BytesIO(content), formats=FORMATS)
    if file.width * file.height > limits.pixels:
        raise RefusedError(422, _too_large(limits, f"{file.width:,} x {file.height:,} pixels, "))
    if file.format in ("JPEG", "MPO") and scans(content, limits.scans) > limits.scans:
        raise RefusedError(422, f"This JPEG has more than {limits.scans} scans. Save it again, as a usual one.")
    return file


@contextmanager
def refusing(limits: Limits) -> Iterator[None]:
    """What Pillow and OpenCV say is wrong with a picture, as RefusedError 422."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise RefusedError(422, f"This is no picture that can be read. Send {FORMAT_NAMES}.") from error
    except Image.DecompressionBombError as error:  # of Pillow itself, before the size is known
        raise RefusedError(422, _too_large(limits)) from error
    except MemoryError as error:
        raise RefusedError(422, _too_hungry(limits)) from error
    except cv2.error as error:
        if error.code != cv2.Error.StsNoMem:
            raise
        raise RefusedError(422, _too_hungry(limits)) from error
    except UNREADABLE as error:
        raise RefusedError(422, f"This picture is damaged ({error}). Send it in another copy or format.") from error


def _too_large(limits: Limits, size: str = "") -> str:
    return f"This picture has {size}more than {limits.pixels / 1e6:g} megapixels. Make it smaller."


def _too_hungry(limits: Limits) -> str:
    return f"This picture takes more than {limits.memory / 1e6:g} MB to read. Make it smaller."
