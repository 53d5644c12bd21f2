"""An Embedding -> the values of templates/map.html.j2: every picture a dot, its neighbours beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mien.evaluate.embedding import Embedding, Projection
from mien.report.inline_images import address, colours

SIDE = 40  # pixels of a picture in the sheet that dots are looked up in
COLUMNS = 50
VIEW, EDGE = 1000, 30  # units of the map's longer side, and what is left free around
WORDS = {"pca": "the two directions of most variance", "tsne": "t-SNE"}


def context(embedding: Embedding, projection: Projection) -> dict[str, Any]:
    """Everything the page of a map shows."""
    rows, places = embedding.project(projection)
    spans = np.ptp(places, axis=0)
    scale = (VIEW - 2 * EDGE) / (spans.max() or 1)  # one for both axes
    width, height = VIEW, round(spans[1] * scale) + 2 * EDGE
    middle = (places.max(axis=0) + places.min(axis=0)) / 2
    shown = np.round((places - middle) * (scale, -scale) + (width / 2, height / 2), 1)  # (m, 2)
    labels, said = embedding.labels, embedding.predicted
    dots = [
        {"x": x, "y": y, "label": int(labels[row]), "said": None if said is None else int(said[row]), "tile": tile}
        | {"name": embedding.names[row], "split": embedding.splits[row]}
        for tile, (row, (x, y)) in enumerate(zip(rows.tolist(), shown.tolist(), strict=True))
    ]
    return {
        "dots": dots,
        "width": width,
        "height": height,
        "classes": embedding.classes,
        "counts": np.bincount(labels[rows], minlength=len(embedding.classes)).tolist(),
        "pictures": len(labels),
        "model": Path(embedding.model).name if Path(embedding.model).exists() else embedding.model,
        "numbers": embedding.features.shape[1],
        "mistakes": None if said is None else int((said[rows] != labels[rows]).sum()),
        "how": WORDS[projection],
        "projection": projection,
        "sheet": _sheet([embedding.store.images[i] for i in embedding.indices[rows]]),
        "side": SIDE,
        "columns": COLUMNS,
    }


def _sheet(pictures: list[np.ndarray]) -> str:
    """Pictures uint8 (C, S, S) in rows of COLUMNS, as one JPEG."""
    rows = -(-len(pictures) // COLUMNS)
    paper = np.full((rows * SIDE, COLUMNS * SIDE, 3), 255, dtype=np.uint8)
    for number, pixels in enumerate(pictures):
        top, left = (SIDE * place for place in divmod(number, COLUMNS))
        small = Image.fromarray(colours(pixels)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        paper[top : top + SIDE, left : left + SIDE] = np.asarray(small)
    return address(paper, quality=80)
