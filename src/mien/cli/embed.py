"""`mien embed`: the pictures of a data set as vectors, and a map of them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mien.cli.app import Json, Path_
from mien.cli.data_settings import DataSettable, data_of
from mien.cli.output import print_json, print_lines
from mien.progress import note


def embed(
    path: Path_,
    *,
    out: Path | None = None,
    model: str | None = None,
    map_: Path | None = None,
    projection: Literal["pca", "tsne"] = "pca",
    json_: Json = False,
    settings: DataSettable = None,
) -> None:
    """Write what a network makes of each picture before its head reads it: features, in a table and on a map.

    Parameters
    ----------
    path
        A folder of images, a table, or a run, whose images and network are taken.
    out
        The table, a row a picture: .parquet (needs 'mien[parquet]'), .npz or .csv; features.npz if not given.
    model
        The network: a run folder, an export, mien:base or hf-hub:OWNER/NAME. If not given, the run's own, mien:base for
        expressions, mien:vit-tiny-imagenet for everything else.
    map_
        Also write a page with a dot for each picture (of at most 2,000), coloured by label, mistakes marked.
    projection
        How the map is laid out: pca, along the two directions of most variance, or tsne, which keeps neighbours
        together (needs 'mien[map]').
    """
    from mien.errors import require
    from mien.evaluate.embedding import check_suffix
    from mien.evaluate.embedding import embed as embed_data
    from mien.report import write_map

    table = out or Path("features.npz")
    check_suffix(table)
    if projection == "tsne":
        require("--projection tsne", "sklearn")
    data, own = data_of(path, settings)
    found = embed_data(data, model or own)
    found.save(table)
    page = write_map(found, map_, projection) if map_ else None
    n, size = found.features.shape
    if json_:
        about = {"table": str(table), "map": page and str(page), "model": found.model, "pictures": n, "size": size}
        wrong = None if found.predicted is None else int((found.predicted != found.labels).sum())
        print_json(about | {"classes": found.classes, "mistakes": wrong})
        return
    print_lines(f"{table}  {n:,} pictures, {size:,} numbers each, by {found.model}")
    if page:
        print_lines(str(page))
        note(f"Open {page} in a browser.")
