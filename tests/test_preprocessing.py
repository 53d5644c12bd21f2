import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

from mien import preprocessing
from mien.errors import UsageError
from mien.pictures import open_image
from mien.preprocessing import UPRIGHT, Preprocessing, upright


def halves(size=(24, 12), left=10, right=250) -> Image.Image:
    """A picture that is dark on the left and bright on the right."""
    picture = np.full((size[1], size[0]), left, np.uint8)
    picture[:, size[0] // 2 :] = right
    return Image.fromarray(picture)


def test_a_picture_of_the_right_size_keeps_its_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (13, 13), dtype=np.uint8)
    np.testing.assert_array_equal(Preprocessing(size=13).pixels(Image.fromarray(pixels)), pixels[None])


def test_colour_has_its_channel_first():
    pixels = np.random.default_rng(0).integers(0, 256, (13, 13, 3), dtype=np.uint8)
    made = Preprocessing(size=13, channels=3).pixels(Image.fromarray(pixels))
    np.testing.assert_array_equal(made, pixels.transpose(2, 0, 1))
    assert made.flags.c_contiguous


def test_grey_is_the_luma_of_itu_r_601():
    for colour, luma in (((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)):
        assert Preprocessing(size=2).pixels(Image.new("RGB", (2, 2), colour)).tolist() == [[[luma] * 2] * 2]


def test_crop_cuts_the_longer_side():
    made = Preprocessing(size=12).pixels(halves((36, 12)))
    assert made[0, :, :6].max() == 10
    assert made[0, :, 6:].min() == 250


def test_pad_adds_black_bars():
    made = Preprocessing(size=24, fit="pad").pixels(halves((24, 12)))
    assert made[0, :6].max() == made[0, 18:].max() == 0
    assert made[0, 6:18, :12].max() == 10
    assert made[0, 6:18, 12:].min() == 250


def test_stretch_keeps_everything():
    made = Preprocessing(size=12, fit="stretch").pixels(halves((24, 7)))
    assert made[0, :, :5].max() == 10
    assert made[0, :, 7:].min() == 250


def test_making_smaller_is_antialiased():
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    made = Preprocessing(size=8).pixels(Image.fromarray(stripes))
    assert 100 < made.min() <= made.max() < 155


def test_transparency_lies_on_white():
    clear = Image.new("RGBA", (5, 5), (0, 0, 0, 0))
    half = Image.new("LA", (5, 5), (0, 127))
    palette = Image.new("P", (5, 5), 3)
    palette.info["transparency"] = 3
    for picture, grey in ((clear, 255), (half, 128), (palette, 255)):
        assert set(Preprocessing(size=5).pixels(picture).ravel().tolist()) == {grey}


def test_sixteen_bits_keep_their_range():
    deep = Image.fromarray((np.arange(256, dtype=np.uint16) * 257).reshape(16, 16))
    assert Preprocessing(size=16).pixels(deep).ravel().tolist() == list(range(256))


def test_scale_is_mean_then_std():
    made = Preprocessing(mean=0.25, std=0.5)
    assert made.scale(np.array([0.0, 0.25, 1.0])).tolist() == [-0.5, 0.0, 1.5]


def test_to_dict_gives_it_back():
    made = Preprocessing(size=31, channels=3, fit="pad", mean=0.1, std=0.2)
    assert Preprocessing(**made.to_dict()) == made


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_agrees_with_pillow(orientation, tmp_path):
    picture = Image.fromarray(np.arange(35, dtype=np.uint8).reshape(5, 7))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    picture.save(tmp_path / "turned.png", exif=exif)
    turned = open_image(tmp_path / "turned.png")
    np.testing.assert_array_equal(np.asarray(upright(turned)), np.asarray(ImageOps.exif_transpose(turned)))
    assert (orientation in UPRIGHT) == (np.asarray(upright(turned)).tobytes() != picture.tobytes())


@settings(max_examples=80, deadline=None)
@given(place=st.integers(0, 60), value=st.integers(0, 255), end=st.integers(1, 80))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_exif_does_not_matter(tmp_path_factory, place, value, end):
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "camera"
    exif[ExifTags.Base.Orientation] = 6
    damaged = bytearray(exif.tobytes())
    damaged[place % len(damaged)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.jpg"
    Image.new("L", (19, 11), 90).save(path, exif=bytes(damaged[:end]))
    assert np.unique(Preprocessing(size=11).pixels(open_image(path))).tolist() == [90]


@settings(max_examples=80, deadline=None)
@given(
    mode=st.sampled_from(["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16"]),
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    fit=st.sampled_from(["crop", "pad", "stretch"]),
    channels=st.sampled_from([1, 3]),
)
def test_any_mode_and_size_becomes_pixels(mode, width, height, fit, channels):
    made = Preprocessing(size=11, channels=channels, fit=fit).pixels(Image.new(mode, (width, height)))
    assert (made.dtype, made.shape) == (np.uint8, (channels, 11, 11))
    assert made.flags.c_contiguous


def test_a_mean_for_each_channel():
    preprocessing = Preprocessing(size=2, channels=3, mean=[0.5, 0.25, 0.0], std=[0.5, 0.25, 2.0])  # lists, as JSON has
    pixels = np.ones((2, 3, 2, 2), dtype=np.float32)
    scaled = preprocessing.scale(pixels)
    np.testing.assert_allclose(scaled[1, :, 0, 0], [1.0, 3.0, 0.5])
    torch.testing.assert_close(preprocessing.scale(torch.from_numpy(pixels)), torch.from_numpy(scaled))
    assert Preprocessing(**json.loads(json.dumps(preprocessing.to_dict()))) == preprocessing
    with pytest.raises(UsageError, match=r"mean \[0.5, 0.25\] needs one number, or 3 numbers, one for each channel"):
        Preprocessing(channels=3, mean=(0.5, 0.25))
    with pytest.raises(UsageError, match=r"std 0 must be above 0"):
        Preprocessing(std=0)


def test_exif_that_is_none_does_not_matter(tmp_path):
    picture = halves()
    picture.save(tmp_path / "p.webp", exif=b"Exif\0\0garbage!", lossless=True)
    with Image.open(tmp_path / "p.webp") as image:
        assert upright(image).size == picture.size


def test_a_16_bit_picture_with_a_transparent_grey_is_no_white_one(tmp_path):
    ramp = np.linspace(0, 65535, 30 * 30).reshape(30, 30).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "ramp.png", transparency=3)
    made = Preprocessing(size=30).pixels(open_image(tmp_path / "ramp.png"))
    np.testing.assert_allclose(made[0], ramp / 257, atol=1)


@pytest.mark.parametrize("size", [(50_000, 1), (1, 50_000)])
def test_a_picture_as_thin_as_a_thread_takes_no_memory(size, monkeypatch):
    """Its shorter side made 40 pixels, the longer one would have 2,000,000."""
    sides, resize = [], Image.Image.resize

    def noted(self, to, *how, **more):
        sides.append(to)
        return resize(self, to, *how, **more)

    monkeypatch.setattr(Image.Image, "resize", noted)
    found = Preprocessing(size=32, resize_size=40).pixels(Image.new("L", size, 90))
    assert found.shape == (1, 32, 32)
    assert set(found.ravel()) == {90}
    assert math.prod(sides[-1]) < 10_000


@pytest.mark.parametrize("interpolation", ["bilinear", "hamming"])
def test_the_part_that_is_seen_is_that_of_the_whole(interpolation, monkeypatch):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 300), dtype=np.uint8))
    asked = Preprocessing(size=32, resize_size=40, interpolation=interpolation)
    whole = asked.pixels(picture).astype(int)
    monkeypatch.setattr(preprocessing, "MOST", 0)
    assert np.abs(asked.pixels(picture) - whole).max() <= 2
