"""Arrays -> small pictures inside a page: heat laid over an image, sheets of maps, grids of patches."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image

SIDE = 220  # pixels of a picture on the page


def image(pixels: np.ndarray, side: int = SIDE) -> str:
    """uint8 (C, S, S) as a data address, enlarged without smoothing."""
    return address(_enlarged(colours(pixels), side))


def heat(pixels: np.ndarray, values: np.ndarray, side: int = SIDE, signed: bool = False) -> str:
    """The image (C, S, S) in grey under the values (h, w), strongest where they are largest.

    signed: 0 is transparent, below it is blue and above it red; otherwise from transparent (least) to bright (most).
    """
    under = np.asarray(Image.fromarray(colours(pixels)).convert("L").resize((side, side), Image.Resampling.BICUBIC))
    values = np.asarray(Image.fromarray(values.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC))
    if signed:
        share = np.clip(values / (np.quantile(np.abs(values), 0.99) or 1), -1, 1)  # a few pixels would hide the rest
        over, strength = matplotlib.colormaps["coolwarm"](share / 2 + 0.5)[..., :3], np.abs(share)
    else:
        share = between_0_and_1(values, high=float(np.quantile(values, 0.99)))
        over, strength = matplotlib.colormaps["inferno"](share)[..., :3], 0.25 + 0.6 * share
    grey = np.repeat(under[..., None] / 255, 3, axis=2)  # (S, S) -> (S, S, 3)
    mixed = grey * (1 - strength[..., None]) + over * strength[..., None]
    return address((mixed * 255).round().astype(np.uint8), quality=85)


def sheet(
    maps: Sequence[np.ndarray], columns: int, side: int = 40, together: bool = False, gap: int = 2, signed: bool = False
) -> str:
    """Many maps (h, w) side by side, each between its own least and most value, or all between the same (together).

    signed: all on one scale about 0, which is white; below it is blue and above it red.
    """
    stack = np.stack([np.asarray(each, dtype=np.float32) for each in maps])  # (n, h, w)
    colour = matplotlib.colormaps["RdBu_r" if signed else "viridis"]
    most = float(np.quantile(np.abs(stack), 0.99)) or 1.0  # a few numbers would make all others pale
    low, high = (-most, most) if signed else (stack.min(), stack.max()) if together else (None, None)
    rows = -(-len(stack) // columns)
    paper = np.full((rows * (side + gap) - gap, columns * (side + gap) - gap, 3), 255, dtype=np.uint8)
    for number, one in enumerate(stack):
        shade = colour(between_0_and_1(one, low, high))[..., :3]
        tile = np.asarray(
            Image.fromarray((shade * 255).astype(np.uint8)).resize((side, side), Image.Resampling.NEAREST)
        )
        y, x = number // columns * (side + gap), number % columns * (side + gap)
        paper[y : y + side, x : x + side] = tile
    return address(paper)


def patches(pixels: np.ndarray, patch_size: int, side: int = SIDE) -> str:
    """The image (C, S, S) cut into its patches, a white line between them."""
    shown = colours(pixels)
    count = shown.shape[0] // patch_size
    tile = max(4, side // count)
    paper = np.full((count * (tile + 3) - 3, count * (tile + 3) - 3, 3), 255, dtype=np.uint8)
    for row in range(count):
        for column in range(count):
            part = shown[row * patch_size : (row + 1) * patch_size, column * patch_size : (column + 1) * patch_size]
            place = (
                slice(row * (tile + 3), row * (tile + 3) + tile),
                slice(column * (tile + 3), column * (tile + 3) + tile),
            )
            paper[place] = np.asarray(Image.fromarray(part).resize((tile, tile), Image.Resampling.NEAREST))
    return address(paper)


def rows(images: Sequence[np.ndarray], side: int = 96, gap: int = 4) -> str:
    """Rows of images, each uint8 (n, C, S, S), one below the other."""
    tiles = [[_enlarged(colours(one), side) for one in row] for row in images]
    step = tiles[0][0].shape[0] + gap
    paper = np.full((len(tiles) * step - gap, len(tiles[0]) * step - gap, 3), 255, dtype=np.uint8)
    for y, row in enumerate(tiles):
        for x, tile in enumerate(row):
            paper[y * step : (y + 1) * step - gap, x * step : (x + 1) * step - gap] = tile
    return address(paper)


def colours(pixels: np.ndarray) -> np.ndarray:
    """uint8 (C, S, S), grey or colour -> (S, S, 3)."""
    return np.ascontiguousarray(np.broadcast_to(pixels, (3, *pixels.shape[1:])).transpose(1, 2, 0))


def between_0_and_1(values: np.ndarray, low: float | None = None, high: float | None = None) -> np.ndarray:
    """Values moved and scaled so that the least is 0 and the most is 1; all alike gives 0."""
    low = float(values.min()) if low is None else low
    high = float(values.max()) if high is None else high
    return np.clip((values - low) / (high - low or 1), 0, 1)


def address(pixels: np.ndarray, quality: int | None = None) -> str:
    """uint8 (H, W, 3) as a data address: a PNG, or a JPEG of this quality."""
    file = io.BytesIO()
    picture = Image.fromarray(pixels)
    if quality is None:
        picture.save(file, "PNG", optimize=True)
    else:
        picture.save(file, "JPEG", quality=quality)
    kind = "png" if quality is None else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def _enlarged(shown: np.ndarray, side: int) -> np.ndarray:
    factor = max(1, side // shown.shape[0])
    return shown.repeat(factor, axis=0).repeat(factor, axis=1)
