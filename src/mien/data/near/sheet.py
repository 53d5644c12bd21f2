"""A contact sheet of near copies: the images of each group side by side, to be looked through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mien.atomic import written_whole
from mien.data.listing import SPLITS
from mien.data.near import NearCopies
from mien.data.near.findings import groups
from mien.data.store import Store

PAGE, INK = "#faf9f6", "#565e6b"
COLOURS = dict(zip(SPLITS, ("#0b5fa8", "#d2560c", "#2b9a73"), strict=True))  # as `mien data show` has them
SIDE, GAP, LINE = 96, 4, 16  # pixels
WIDTH = 1500  # pixels
GROUPS, IMAGES = 300, 8  # most that are drawn, of groups and of images of each


def draw_sheet(store: Store, found: NearCopies, out: Path) -> int:
    """Draw the groups of near copies into `out`, the least alike first, and say how many there are.

    Under each image stand the first letters of its split and its class. Raises MienError when `out` cannot be written.
    """
    least: dict[int, float] = {}
    for (first, _), alike in zip(found.pairs.tolist(), found.alike.tolist(), strict=True):
        number = int(found.group[first])
        least[number] = min(alike, least.get(number, 1.0))
    every = sorted(groups(store, found), key=lambda group: least[int(found.group[group[0]])])
    drawn = [(group[:IMAGES], least[int(found.group[group[0]])]) for group in every[:GROUPS]]
    places, height = _places([len(group) for group, _ in drawn])
    page = Image.new("RGB", (WIDTH, max(height, 1)), PAGE)
    pen = ImageDraw.Draw(page)
    for (group, alike), (left, top) in zip(drawn, places, strict=True):
        for place, position in enumerate(group):
            x = left + place * (SIDE + 1)
            page.paste(_picture(store.images[position]), (x, top))
            pen.text((x + 2, top + SIDE + 2), _caption(store, position), fill=_colour(store, position))
        pen.text((left + 2, top + SIDE + LINE), f"{alike:.2f}", fill=INK)
    with written_whole(out, binary=True) as file:
        page.save(file, format="PNG")
    return len(every)


def _places(counts: list[int]) -> tuple[list[tuple[int, int]], int]:
    """Where each group begins, as (left, top), and the height of all."""
    places: list[tuple[int, int]] = []
    left = top = GAP
    for count in counts:
        width = count * (SIDE + 1) + 2 * GAP
        if left + width > WIDTH:
            left, top = GAP, top + SIDE + 2 * LINE + GAP
        places.append((left, top))
        left += width
    return places, top + SIDE + 2 * LINE + GAP


def _picture(image: np.ndarray) -> Image.Image:
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)  # (C, H, W) -> (H, W, C)
    return Image.fromarray(pixels).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _caption(store: Store, position: int) -> str:
    split = int(store.splits[position])
    name = store.classes[int(store.labels[position])].encode("ascii", "replace").decode()
    return f"{SPLITS[split][:2] if split < len(SPLITS) else '-'} {name}"[:15]


def _colour(store: Store, position: int) -> str:
    split = int(store.splits[position])
    return COLOURS[SPLITS[split]] if split < len(SPLITS) else INK
