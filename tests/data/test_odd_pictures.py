"""Files in a class folder that are no usual pictures: damaged, called something else, of unusual modes.

Each is read rightly, or named with what it is and what to do.
"""

import io
import zlib

import numpy as np
import pytest
from odd_inputs import Odd, check, png, prepared, rows, tree
from PIL import Image

from mien import media
from mien.cli import main
from mien.errors import DataError
from mien.pictures import open_image
from mien.preprocessing import Preprocessing

FILM = b"\0\0\0\x18ftypmp42" + bytes(40)
JPEG_XL = b"\xff\x0a" + bytes(40)
WIDE = png(0)[12:16] + (60_000).to_bytes(4, "big") * 2 + png(0)[24:29]  # the header of a PNG of 60,000 x 60,000
BOMB = png(0)[:12] + WIDE + zlib.crc32(WIDE).to_bytes(4, "big") + png(0)[33:]
STREAM = (b"\x47" + bytes(187)) * 4


def saved(image: Image.Image, kind: str, **how) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def values(numbers, dtype) -> bytes:
    """A TIFF of these values, grey."""
    return saved(Image.fromarray(np.full((9, 9), numbers, dtype) * 1), "TIFF")


def beside(name: str, content: bytes):
    """A file in one of two classes of two pictures each."""
    return tree({"cat": 2, "dog": 2, f"cat/{name}": content})


RAMP = np.linspace(0, 1, 81).reshape(9, 9)
TORN = "HERE/cat/a.jpg cannot be read as an image (image file is truncated"
SKIP = ("--data.skip_bad",)

REFUSED = rows(
    Odd("a letter", beside("a.jpg", b"Dear Sir"), 4, ("a.jpg cannot be read as an image (no image format recognised).",
        "Repair or remove it, or go on without unreadable images: --data.skip_bad")),
    Odd("a web page", beside("a.jpg", b"<!DOCTYPE html><html>"), 4, "cannot be read as an image (it is a web page)."),
    Odd("an empty file", beside("a.jpg", b""), 4, "HERE/cat/a.jpg cannot be read as an image (it is an empty file)."),
    Odd("a film", beside("a.jpg", FILM), 4, "cannot be read as an image (it is a film (MP4 or QuickTime))."),
    Odd("an archive", beside("a.png", b"PK\x03\x04" + bytes(40)), 4, "(it is an archive (ZIP))."),
    Odd("a PDF", beside("a.png", b"%PDF-1.4"), 4, "cannot be read as an image (it is a PDF)."),
    Odd("an array", beside("a.png", b"\x93NUMPY" + bytes(40)), 4, "cannot be read as an image (it is a NumPy array)."),
    Odd("JPEG XL", beside("a.jpg", JPEG_XL), 4, "(it is JPEG XL: save as PNG or JPEG)."),
    Odd("half a JPEG", beside("a.jpg", saved(Image.effect_noise((99, 99), 50), "JPEG")[:900]), 4, TORN),
    Odd("half a PNG", beside("a.png", png(0)[:80]), 4, "HERE/cat/a.png cannot be read as an image ("),
    Odd("a bomb", beside("a.png", BOMB), 4, "a.png cannot be read as an image (Image size (3600000000 pixels)"),
    Odd("a damaged header", beside("a.png", png(0)[:16] + bytes(8) + png(0)[24:]), 4, "(damaged PNG)."),
    Odd("floats below 0", beside("a.tif", values(-1, "float32")), 4, "a.tif cannot be turned into pixels (its values "
        "lie between -1 and -1, so it is not clear which is white: save it with 8 or 16 bits)."),
    Odd("floats that are none", beside("a.tif", values(np.nan, "float32")), 4, "its values lie between nan and nan"),
    Odd("floats of millions", beside("a.tif", values(3e6, "float32")), 4, "between 3e+06 and 3e+06"),
    Odd("integers of millions", beside("a.tif", values(3_000_000, "int32")), 4, "between 3e+06 and 3e+06"),
    Odd("integers below 0", beside("a.tif", values(-7, "int32")), 4, "its values lie between -7 and -7"),
)  # fmt: skip

READ = rows(
    Odd("a letter, skipped", beside("a.jpg", b"Dear Sir"), 0, ("4 train images", "left out: 1 unreadable"), SKIP),
    Odd("a PNG called .jpg", beside("a.jpg", png(9)), 0, "5 train images"),
    Odd("a JPEG called .png", beside("a.png", png(9, "JPEG")), 0, "5 train images"),
    Odd("a WebP without an ending", beside("a", png(9, "WEBP")), 0, "5 train images"),
    Odd("JPEG 2000", beside("a.jp2", png(9, "JPEG2000")), 0, "5 train images"),
    Odd("an upper-case ending", beside("A.JPG", png(9, "JPEG")), 0, "5 train images"),
    Odd("an animation", beside("a.gif", saved(Image.new("L", (9, 9)), "GIF", save_all=True,
        append_images=[Image.new("L", (9, 9), 99)])), 0, "5 train images"),
    Odd("one pixel", beside("a.png", saved(Image.new("L", (1, 1)), "PNG")), 0, "5 train images"),
    Odd("a line", beside("a.png", saved(Image.new("L", (900, 1)), "PNG")), 0, "5 train images"),
    Odd("CMYK", beside("a.jpg", saved(Image.new("CMYK", (9, 9)), "JPEG")), 0, "5 train images"),
    Odd("CIE-Lab", beside("a.tif", saved(Image.new("LAB", (9, 9)), "TIFF")), 0, "5 train images"),
    Odd("one bit", beside("a.png", saved(Image.new("1", (9, 9)), "PNG")), 0, "5 train images"),
    Odd("a palette with transparency", beside("a.png", saved(Image.new("P", (9, 9)), "PNG", transparency=0)), 0,
        "5 train images"),
    Odd("16 bits", beside("a.png", saved(Image.fromarray(np.uint16(RAMP * 65535)), "PNG")), 0, "5 train images"),
    Odd("JPEG XL by its ending", beside("a.jxl", JPEG_XL), 0, ("4 train images",
        "left out: 1 .jxl file (save as PNG or JPEG)")),
    Odd("a camera's raw", beside("a.dng", saved(Image.new("L", (9, 9)), "TIFF")), 0, ("4 train images",
        "left out: 1 .dng file (save as PNG or JPEG)")),
    Odd("Windows Media", beside("a.wmv", b"\x30\x26\xb2\x75" + bytes(40)), 0, "left out: 1 .wmv file"),
    Odd("text that begins as a BMP", beside("list", b"BMW, Audi, and so on"), 0, "left out: 1 file without an ending"),
)  # fmt: skip

PREDICT = rows(
    Odd("a film in a folder", tree({".": 1, "a.mp4": FILM, "b.ts": STREAM, "c.txt": b"c"}), 0, "HERE: "
        "left out are 1 .mp4 file, 1 .ts file, 1 .txt file. Films are read one by one: give each by its name."),
    Odd("nothing but films", tree({"a.mp4": FILM, "b.MOV": FILM}), 4,
        "HERE holds no pictures (but 1 .mp4 file, 1 .mov file)."),
    Odd("a transport stream", tree({"b.ts": STREAM}, "b.ts"), 4, "b.ts has no frames that can be read as a video."),
    Odd("Windows Media", tree({"b.wmv": b"\x30\x26\xb2\x75" + bytes(40)}, "b.wmv"), 4, "no frames that can be read"),
    Odd("a picture called .mp4", tree({"a.mp4": png(3)}, "a.mp4"), 0, "HERE/a.mp4  "),
    Odd("floats below 0", tree({"a.tif": values(-1, "float32")}, "a.tif"), 4,
        "a.tif cannot be read as an image (its values"),
    Odd("a letter", tree({"a.jpg": b"Dear Sir"}, "a.jpg"), 4,
        "a.jpg cannot be read as an image (no image format recognised)"),
    Odd("nothing there", tree({}, "a.jpg"), 3, "HERE/a.jpg: there is no such file or folder."),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(cache):
    """Stores of these tests are thrown away."""


@REFUSED
def test_a_file_that_is_refused(odd, tmp_path, capsys):
    prepared(odd, tmp_path, capsys)


@READ
def test_a_file_that_is_read_or_left_out(odd, tmp_path, capsys):
    prepared(odd, tmp_path, capsys)


@PREDICT
def test_predict(odd, tmp_path, capsys):
    code = main(["predict", str(odd.made(tmp_path)), "--model", "mien:tiny", "--no-detect"])
    check(odd, code, "".join(capsys.readouterr()).replace(str(tmp_path), "HERE"))


@pytest.mark.parametrize(
    ("what", "stored"),
    [
        ("floats 0..1", RAMP.astype("float32")),
        ("floats 0..255", (RAMP * 255).astype("float32")),
        ("floats 0..65535", (RAMP * 65535).astype("float32")),
        ("int32 0..255", (RAMP * 255).astype("int32")),
        ("int32 0..65535", (RAMP * 65535).astype("int32")),
        ("12 bits in 16", (RAMP * 4095).astype("uint16")),
        ("16 bits", (RAMP * 65535).astype("uint16")),
        ("8 bits in 16", (RAMP * 255).astype("uint16")),
    ],
)
def test_the_range_is_that_of_the_values(what, stored, tmp_path):
    Image.fromarray(stored).save(tmp_path / "a.tif")
    pixels = Preprocessing(size=9).pixels(open_image(tmp_path / "a.tif"))
    assert np.abs(pixels[0] - RAMP * 255).max() <= 1, what


@pytest.mark.parametrize(("mode", "plain"), [("RGBa", "RGBA"), ("La", "LA")])
def test_alpha_that_is_multiplied_in_is_taken_out(mode, plain):
    half = Image.new("RGBA", (9, 9), (200, 200, 200, 128)).convert(plain)
    wanted = Preprocessing(size=9).pixels(half)
    assert np.abs(Preprocessing(size=9).pixels(half.convert(mode)) - wanted.astype(int)).max() <= 2


def test_heic_is_read_where_pillow_heif_is_installed_whatever_its_name(tmp_path, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.new("RGB", (64, 64), (200, 30, 30))).save(tmp_path / "a.heic", format="HEIF")
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.heic").read_bytes())
    for name in ("a.heic", "b.jpg"):
        red = np.asarray(open_image(tmp_path / name).convert("RGB"))[32, 32]
        assert np.abs(red.astype(int) - (200, 30, 30)).max() < 20


def test_heic_is_named_with_what_to_install_where_it_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(media, "lacking", lambda kind: "pip install 'mien[heic]'" if kind == media.HEIC else "")
    content = b"\0\0\0\x18ftypheic" + bytes(40)
    (tmp_path / "b.jpg").write_bytes(content)
    (tmp_path / "a.HEIC").write_bytes(content)
    wanted = r"b\.jpg cannot be read as an image \(it is HEIC: pip install 'mien\[heic\]'\)"
    with pytest.raises(DataError, match=wanted):
        open_image(tmp_path / "b.jpg")
    assert media.counted([tmp_path / "a.HEIC"]) == {".heic files (pip install 'mien[heic]')": 1}
