"""Small grey JPEGs by OpenCV have Pillow's pixels, and whatever is less simple is left to Pillow."""

import io
import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.errors import DataError
from mien.jpeg import small_grey
from mien.pictures import open_image

FER2013 = Path(os.environ.get("MIEN_TEST_DATA", "nowhere")) / "fer2013"
PHOTO = np.random.default_rng(0).integers(0, 256, (48, 40), dtype=np.uint8)


def jpeg(pixels: np.ndarray = PHOTO, **settings: object) -> bytes:
    Image.fromarray(pixels).save(file := io.BytesIO(), "JPEG", **settings)
    return file.getvalue()


def oriented() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return jpeg(exif=exif)


def oriented_after_the_frame() -> bytes:
    """The same mark behind the frame, just before the data, where few programs write it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    mark = b"\xff\xe1" + (2 + len(exif.tobytes())).to_bytes(2) + exif.tobytes()
    before, scan, after = jpeg().partition(b"\xff\xda")
    return before + mark + scan + after


@pytest.mark.parametrize("quality", [10, 75, 100])
@pytest.mark.parametrize("progressive", [False, True])
def test_pixels_are_pillows(quality, progressive, tmp_path):
    content = jpeg(quality=quality, progressive=progressive, dpi=(72, 72))
    found = small_grey(io.BytesIO(content))
    assert found is not None
    assert found.mode == "L"
    assert np.array_equal(found, Image.open(io.BytesIO(content)))
    (tmp_path / "a.jpg").write_bytes(content)
    assert np.array_equal(open_image(tmp_path / "a.jpg"), found)


@pytest.mark.skipif(not FER2013.is_dir(), reason="MIEN_TEST_DATA names no folder with fer2013")
def test_faces_of_fer2013():
    for path in islice(FER2013.rglob("*.jpg"), 200):
        with path.open("rb") as file:
            found = small_grey(file)
        assert found is not None
        assert np.array_equal(found, Image.open(path))


@pytest.mark.parametrize(
    "content",
    [
        oriented(),
        oriented_after_the_frame(),
        jpeg(np.stack([PHOTO] * 3, axis=-1)),
        jpeg(np.zeros((200, 200), np.uint8)),
        jpeg()[:-2],
        jpeg()[:300] + b"\xff\xd9",
        jpeg(comment=b"a note"),
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0\xff\xd9",
        b"no picture",
        b"",
    ],
    ids=[
        "turned",
        "turned late",
        "colour",
        "large",
        "cut off",
        "torn",
        "with a note",
        "start",
        "empty",
        "text",
        "nothing",
    ],
)
def test_what_is_left_to_pillow(content):
    assert small_grey(file := io.BytesIO(content)) is None
    assert file.tell() == 0


def test_a_picture_that_is_turned_or_cut_off_is_read_as_before(tmp_path):
    for content in (oriented(), oriented_after_the_frame()):
        (tmp_path / "turned.jpg").write_bytes(content)
        assert open_image(tmp_path / "turned.jpg").getexif()[0x0112] == 6
    (tmp_path / "cut.jpg").write_bytes(jpeg()[:400])
    with pytest.raises(DataError, match=r"cut\.jpg cannot be read as an image"):
        open_image(tmp_path / "cut.jpg")
