import io
import os
import struct

import numpy as np
import pytest
from PIL import Image

from mien.data.listing import existing, file_stamp, signature
from mien.errors import DataError, MissingError
from mien.pictures import image_files, open_image


def test_a_picture_is_decoded_whole(write_picture, tmp_path):
    image = open_image(write_picture(tmp_path / "a.png", size=(17, 5)))
    os.remove(tmp_path / "a.png")
    assert image.size == (17, 5)
    assert image.tobytes()


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "webp", "tif"])
def test_a_truncated_picture_is_named(write_picture, tmp_path, suffix):
    path = write_picture(tmp_path / f"torn.{suffix}", size=(97, 89))
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(DataError, match=rf"torn\.{suffix} cannot be read as an image"):
        open_image(path)


def test_a_truncated_animation_is_read_or_named(tmp_path):
    """Wherever it ends: Pillow looks for the second frame in ways that fail otherwise than decoding does."""
    frames = [Image.fromarray(pixels) for pixels in np.random.default_rng(0).integers(0, 256, (2, 9, 9), np.uint8)]
    whole = io.BytesIO()
    frames[0].save(whole, "GIF", save_all=True, append_images=frames[1:])
    path, causes = tmp_path / "torn.gif", set()
    for end in range(len(whole.getvalue())):
        path.write_bytes(whole.getvalue()[:end])
        try:
            open_image(path)
        except DataError as error:
            causes.add(type(error.__cause__))
    assert causes >= {IndexError, struct.error}


def test_text_called_jpg_is_named(tmp_path):
    (tmp_path / "letter.jpg").write_text("Dear reader")
    with pytest.raises(DataError, match=r"letter\.jpg cannot be read as an image \(no image format recognised\)"):
        open_image(tmp_path / "letter.jpg")


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match=r"empty\.png cannot be read as an image"):
        open_image(tmp_path / "empty.png")


def test_a_picture_that_went_away(tmp_path):
    with pytest.raises(DataError, match=r"gone\.png: there is no such file"):
        open_image(tmp_path / "gone.png")


def test_the_first_frame_of_an_animation_counts(tmp_path):
    frames = [Image.new("L", (7, 7), grey) for grey in (30, 200)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert open_image(tmp_path / "moving.gif").convert("L").getpixel((3, 3)) == 30


def test_image_files_are_sorted_and_found_at_any_depth(write_picture, tmp_path):
    for name in ("b.PNG", "a.jpeg", ".hidden.png", "deep/er/c.webp", ".cache/d.png"):
        write_picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    assert [entry.name for entry in image_files(tmp_path)] == ["a.jpeg", "b.PNG", "c.webp"]


def test_a_stamp_changes_with_size_and_time(tmp_path):
    path = tmp_path / "a"
    path.write_text("one")
    os.utime(path, ns=(5, 5))
    first = file_stamp(path)
    assert first == f"{path}|3|5"
    os.utime(path, ns=(5, 6))
    assert file_stamp(path) != first


def test_signatures_tell_parts_apart():
    assert signature(["a", "b"]) != signature(["b", "a"])
    assert len(signature([])) == 64


def test_existing_says_what_to_give(tmp_path):
    assert existing(tmp_path, "it") == tmp_path
    with pytest.raises(MissingError, match=r"Where is the data\? Give `data\.path`"):
        existing(None, "the data")
    with pytest.raises(MissingError, match=r"`data\.path` .*nowhere: there is no such file or folder"):
        existing(tmp_path / "nowhere", "the data")
