"""The one place that turns a picture into a model's input.

Training, evaluation and prediction all go through `Preprocessing`, which travels with every
checkpoint, so a model never sees pixels prepared in another way than those it learned from.
"""

from __future__ import annotations

import math
import struct
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from PIL import ExifTags, Image, ImageOps

from mien.errors import DataError, UsageError
from mien.words import count

# EXIF orientation -> what turns the picture upright (EXIF 2.32, 4.6.4)
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
DECODING = ("size", "channels", "fit", "interpolation", "resize_size", "rounding")  # what decides the stored pixels
MOST, LARGEST = 2**26, 2**12  # pixels of a picture that was resized and is still to be cut, and of its shorter side
Fit = Literal["crop", "pad", "stretch"]
Rounding = Literal["even", "down"]
Interpolation = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]  # by their number in Pillow


@dataclass(frozen=True)
class Preprocessing:
    """Size, colour and scale of a model's input.

    size: side of the square image, pixels. channels: 1 (grey, ITU-R 601 luma) or 3 (RGB).
    fit: 'crop' cuts the longer side, 'pad' adds black bars, 'stretch' ignores the aspect ratio.
    mean, std: applied to pixels scaled to 0..1; one number for all channels, or one each.
    interpolation: Pillow's filters. resize_size: as other libraries prepare pictures: the shorter side is resized to
    it ('stretch': both sides), then the middle of size x size is cut out; None resizes and cuts in one go. rounding: of
    half the pixels that are spare: to an even number, as torchvision does, or down, as transformers does.
    """

    size: int = 48
    channels: Literal[1, 3] = 1
    fit: Fit = "crop"
    mean: float | tuple[float, ...] = 0.5
    std: float | tuple[float, ...] = 0.5
    interpolation: Interpolation = "bilinear"  # Pillow's: antialiased when it makes smaller
    resize_size: int | None = None
    rounding: Rounding | None = None

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            value = getattr(self, name)
            if isinstance(value, list):  # as JSON and YAML give it
                object.__setattr__(self, name, tuple(value))
            if not isinstance(value, float | int) and len(value) != self.channels:
                each = f", or {count(self.channels, 'number')}, one for each channel" if self.channels > 1 else ""
                raise UsageError(f"{name} {list(value)} needs one number{each}.")
            if not np.isfinite(getattr(self, name)).all():
                raise UsageError(f"{name} {value} is no number that pixels can be scaled with.")
        if np.min(self.std) <= 0:
            raise UsageError(f"std {self.std} must be above 0.")
        self._refuse_unknown()
        if self.resize_size is not None and (self.fit == "pad" or not self.size <= self.resize_size <= LARGEST):
            raise UsageError(
                f"resize_size {self.resize_size} needs fit 'crop' or 'stretch', and lies from size {self.size} to "
                f"{LARGEST:,}."
            )

    def _refuse_unknown(self) -> None:
        """Raise UsageError for words that are not known."""
        for name, kind in (("fit", Fit), ("interpolation", Interpolation), ("rounding", Rounding)):
            value, known = getattr(self, name), get_args(kind)
            if value not in known and not (name == "rounding" and value is None):
                raise UsageError(f"{name} {value!r} is not known; there are {', '.join(known)}.")

    def settings(self) -> dict[str, Any]:
        """What a data section says so that pictures are decoded in this way."""
        return {name: getattr(self, name) for name in DECODING}

    @property
    def decoding(self) -> tuple[Any, ...]:
        """What decides the stored pixels: all but mean and std, which are applied later."""
        first = () if self.resize_size is None else (self.resize_size, self.rounding)
        return (self.size, self.channels, self.fit, self.interpolation, *first)

    def pixels(self, image: Image.Image) -> np.ndarray:
        """A picture of any size and mode -> uint8 array (channels, size, size)."""
        return self.pixels_of_upright(plain(upright(image)))

    def pixels_of_upright(self, image: Image.Image) -> np.ndarray:
        """The same of a picture that is upright and of 8 bits a channel already, as `plain(upright(image))` is."""
        image = on_white(image)
        mode = "L" if self.channels == 1 else "RGB"
        image = image if image.mode == mode else image.convert(mode)  # which would copy
        if image.size != (self.size, self.size) or self.resize_size:
            image = self._resize(image)
        array = np.asarray(image, dtype=np.uint8)
        if self.channels == 1:
            return array[None]  # (H, W) -> (1, H, W)
        return np.ascontiguousarray(array.transpose(2, 0, 1))  # (H, W, 3) -> (3, H, W)

    def scale(self, pixels: Any) -> Any:
        """Pixels 0..1 as floats (NumPy or torch, (..., channels, H, W)) -> the model's input."""
        mean, std = self._moments(pixels)
        return (pixels - mean) / std

    def unscale(self, inputs: Any) -> Any:
        """The inverse of `scale`: a model's input (..., channels, H, W) -> pixels 0..1."""
        mean, std = self._moments(inputs)
        return inputs * std + mean

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; without what is None, so that earlier versions read it."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    def _moments(self, like: Any) -> tuple[Any, Any]:
        """Mean and deviation, as arrays (channels, 1, 1) of the kind of `like` where channels have their own."""
        if not isinstance(self.mean, tuple) and not isinstance(self.std, tuple):
            return self.mean, self.std
        mean, std = (np.asarray(value, dtype=np.float32).reshape(-1, 1, 1) for value in (self.mean, self.std))
        return (mean, std) if isinstance(like, np.ndarray) else (like.new_tensor(mean), like.new_tensor(std))

    def _resize(self, image: Image.Image) -> Image.Image:
        side, method = (self.size, self.size), Image.Resampling[self.interpolation.upper()]
        if self.resize_size is not None:
            return self._resize_and_cut(image, self.resize_size, method)
        if self.fit == "stretch":
            return image.resize(side, method)
        fitted = ImageOps.fit if self.fit == "crop" else ImageOps.pad
        return fitted(image, side, method=method)

    def _resize_and_cut(self, image: Image.Image, first: int, method: Image.Resampling) -> Image.Image:
        """To the pixel as torchvision, and with it timm, or transformers does it."""
        shorter = min(image.size)
        wanted = [first if self.fit == "stretch" else int(first * side / shorter) for side in image.size]
        spare = [side - self.size for side in wanted]
        left, top = (each // 2 if self.rounding == "down" else round(each / 2) for each in spare)
        part = (left, top, left + self.size, top + self.size)
        if math.prod(wanted) > MOST:  # of a picture as thin as a thread, memory holds the part alone
            x, y = (old / new for old, new in zip(image.size, wanted, strict=True))
            end = min(part[2] * x, image.width), min(part[3] * y, image.height)
            return image.resize((self.size, self.size), method, box=(left * x, top * y, *end))
        return image.resize((wanted[0], wanted[1]), method).crop(part)


def plain(image: Image.Image) -> Image.Image:
    """A picture of 8 bits a channel whose alpha, if any, is not multiplied into its colours.

    Grey of 16 or 32 bits or of floats, which PIL's own convert would clip at 255, becomes 8-bit grey; CIE-Lab, which it
    makes no grey of, RGB. Others are returned as they are. Raises DataError when the range of the values is not clear.
    """
    if image.mode == "LAB":
        return image.convert("RGB")
    if image.mode in ("RGBa", "La"):
        return image.convert(image.mode.upper())
    if image.mode[0] not in "IF" or not (image.width and image.height):
        return image
    values = np.asarray(image, dtype=np.float64)
    levels = values / (_white(image, values) / 255)
    return Image.fromarray((levels.round() if image.mode == "F" else levels).clip(0, 255).astype(np.uint8))


def on_white(image: Image.Image) -> Image.Image:
    """A picture of 8 bits a channel without transparency: it lies on white. Others are returned as they are."""
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA"):
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image


def _white(image: Image.Image, values: np.ndarray) -> float:
    """The value that stands for white: files do not say it, and 12-bit cameras write their pixels as 16 bits."""
    low, high = float(values.min()), float(values.max())
    if image.format == "PPM":  # Pillow has brought its own maximum to this
        return 65535
    known = (1, 255, 65535) if image.mode == "F" else (255, 4095, 65535)
    white = next((white for white in known if high <= white), None)
    if white is None or low < 0 or not np.isfinite(low):
        raise DataError(
            f"its values lie between {low:g} and {high:g}, so it is not clear which is white: save it with 8 or 16 bits"
        )
    return white


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF orientation says; other EXIF entries, damaged ones too, do not matter."""
    try:
        turn = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except (SyntaxError, ValueError, OSError, struct.error):  # Pillow's for EXIF data that is none
        turn = None
    if turn is None:
        return image
    turned = image.transpose(turn)
    for key in ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"):  # else it would be turned once more
        turned.info.pop(key, None)
    return turned
