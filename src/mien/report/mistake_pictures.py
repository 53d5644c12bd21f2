"""Mistakes as pictures: the images of a run's data, and beside them the maps that explaining them saved."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from mien.atomic import read_arrays
from mien.data import Store
from mien.errors import MienError
from mien.evaluate.mistakes import Mistake
from mien.report import inline_images
from mien.report.html import THUMBNAIL, data_uri
from mien.runs import RunFolder, layout, manifest
from mien.runs.data import moved, open_data

MENDING = {
    "folder": "Where the label is wrong, move the file to the folder of its class and run again.",
    "table": "Where the label is wrong, correct its row of the table and run again.",
}

Tile = tuple[Mistake, str | None, str | None]  # a mistake, its picture and its map


@dataclass(frozen=True, eq=False)
class MistakeMaps:
    """maps: float32 (S, S), the largest value 1 or -1, by image name and answer. seconds: what computing them took."""

    maps: dict[tuple[str, str], np.ndarray]
    seconds: float

    def of(self, mistake: Mistake) -> np.ndarray | None:
        """The map of this picture and this answer, None where it was not computed."""
        return self.maps.get((mistake.name, mistake.predicted))


def read_maps(run: Path) -> MistakeMaps:
    """What `explain_mistakes` has saved; no maps where it was not asked. Raises DataError for a damaged file."""
    path = manifest.check(run, layout.MISTAKE_MAPS)
    if not path.is_file():
        return MistakeMaps({}, 0.0)
    with read_arrays(path, f"`mien.Run.open({str(run)!r}).report(explain=True)`") as saved:
        keys = [(str(name), str(answer)) for name, answer in saved["of"]]
        maps = saved["maps"].astype(np.float32)  # (n, S, S)
        return MistakeMaps(dict(zip(keys, maps, strict=True)), float(saved["seconds"]))


def store_of(run: RunFolder) -> tuple[Store | None, str | Exception]:
    """The images of a run's data and '', or None and why they cannot be opened."""
    try:
        return open_data(run.path), ""
    except (MienError, OSError) as error:
        return None, error


def addresses(mistakes: Iterable[Mistake], run: RunFolder, page: Path) -> dict[str, str]:
    """Of mistakes whose pictures are files, their addresses from a page in the folder `page`, by the image's name."""
    place = moved(run.recipe).data.path
    if place is None or run.recipe.data.source not in MENDING:
        return {}
    folder = place if place.is_dir() else place.parent
    found = {mistake.name: folder / mistake.name for mistake in mistakes}
    return {name: address(file, page) for name, file in found.items() if file.is_file()}


def address(file: Path, folder: Path) -> str:
    """The address of a file from a page in a folder; whole where they lie on two drives."""
    try:
        return quote(Path(os.path.relpath(file, folder)).as_posix())
    except ValueError:
        return file.absolute().as_uri()


def mending(run: RunFolder) -> str:
    """What to do about a wrong label, by where the labels of a run's data stand; '' where they are not one's own."""
    return MENDING.get(run.recipe.data.source, "")


def tiles(mistakes: Sequence[Mistake], store: Store | None, maps: MistakeMaps) -> list[Tile]:
    """Each mistake with its picture and its map, where the store still has the one and the run the other."""
    place = {name: i for i, name in enumerate(store.names)} if store is not None else {}
    found: list[Tile] = []
    for each in mistakes:
        if store is None or each.name not in place:
            found.append((each, None, None))
            continue
        pixels, map_ = store.images[place[each.name]], maps.of(each)
        heat = None if map_ is None else inline_images.heat(pixels, map_, side=THUMBNAIL, signed=True)
        found.append((each, data_uri(pixels), heat))
    return found
