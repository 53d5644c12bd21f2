"""An Explanation and what was measured about it -> the values of templates/explain.html.j2."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mien.evaluate.metrics import beats_majority, majority
from mien.evaluate.training_pictures import told
from mien.explain import Explanation
from mien.explain.attention import grid_points, mean_attention_distance
from mien.explain.faithfulness import NOTICEABLE, Verdict
from mien.explain.study import Study
from mien.report import inline_images
from mien.report.explain_pointing import pointing, with_mean
from mien.report.figures import WIDTH
from mien.report.html import THUMBNAIL, write
from mien.report.style import QUIET, drawing, inline_svg, series
from mien.runs import layout

METHODS = {
    "grad_cam": (
        "Grad-CAM",
        "Where the last layer's features speak for the class (HiResCAM where the head weighs each place by itself).",
        "https://arxiv.org/abs/1610.02391",
    ),
    "integrated_gradients": (
        "Integrated gradients",
        "Each pixel's share of the way from a grey picture to this one.",
        "https://arxiv.org/abs/1703.01365",
    ),
    "smooth_gradients": (
        "SmoothGrad",
        "Integrated gradients, averaged over noisy copies of the picture.",
        "https://arxiv.org/abs/1706.03825",
    ),
    "occlusion": (
        "Occlusion",
        "How much the answer suffers when a small square is covered.",
        "https://arxiv.org/abs/1311.2901",
    ),
    "saliency": (
        "Saliency",
        "How strongly the answer reacts to a small change of each pixel.",
        "https://arxiv.org/abs/1312.6034",
    ),
    "rollout": (
        "Attention rollout",
        "Where attention leads, followed through all layers.",
        "https://arxiv.org/abs/2005.00928",
    ),
    "relevance": (
        "Attention relevance",
        "Attention weighted by how much it matters for this class.",
        "https://arxiv.org/abs/2103.15679",
    ),
}
SIGNED = ("integrated_gradients", "smooth_gradients", "occlusion")
MOST_MAPS = 16
MOST_FILTERS = 32

Seen = tuple[str, float, float]  # a picture, and the values that are darkest and brightest in it


def write_explanation(study: Study, out: Path | None = None) -> Path:
    """Write the page of a studied picture into a folder, by default RUN/explain, of an export ./explain; returns it.

    The page of photo.jpg is photo.html, or where another part of it was asked for photo-face2.html or photo-whole.html;
    with a number behind, photo-2.html, where that is the page of another picture or run.
    """
    identity = _identity(study)
    run = Path(study.model)
    folder = out or (run / layout.EXPLANATIONS if run.is_dir() else Path(layout.EXPLANATIONS))
    folder.mkdir(parents=True, exist_ok=True)
    part = "" if study.face is None else "-whole" if study.face == "none" else f"-face{study.face}"
    page = _free(folder, study.image.stem + part, identity)
    return write("explain.html.j2", page, context(study, identity))


def _identity(study: Study) -> str:
    """Which model and picture a page is of: their places, hashed, since a page is passed on."""
    places = "\n".join(str(Path(place).resolve()) for place in (study.model, study.image))
    return hashlib.sha256(places.encode()).hexdigest()[:16]


def _free(folder: Path, stem: str, identity: str) -> Path:
    """The first of stem.html, stem-2.html, … that is not there yet, or is the page of the same run and picture."""
    pages = (folder / f"{stem}{f'-{number}' if number > 1 else ''}.html" for number in itertools.count(1))
    return next(page for page in pages if not page.exists() or identity in page.read_text("utf-8", "replace"))


def context(study: Study, identity: str = "") -> dict[str, Any]:
    """Everything the page of an explanation shows. identity: which run and picture the page is of."""
    explanation, scores = study.explanation, study.scores
    order = np.argsort(-explanation.probabilities)
    return {
        "explanation": explanation,
        "source": study.image.name,
        "identity": identity,
        "what": study.part,
        "model": Path(study.model).name,
        "picture": inline_images.image(explanation.image),
        "answers": [(explanation.labels[i], float(explanation.probabilities[i])) for i in order],
        "target": explanation.labels[explanation.target],
        "noticeable": NOTICEABLE,
        "weak": scores if scores and not beats_majority(scores) else None,
        "majority": majority(scores) if scores else None,
        "methods": [_method(explanation, name, study.explanation.verdicts.get(name)) for name in explanation.maps],
        "patches": _patches(explanation),
        "filters": _filters(explanation),
        "most_filters": MOST_FILTERS,
        "attention": _attention(explanation),
        "pointing": pointing(explanation),
        "distance": _distance(explanation),
        "positions": _positions(explanation),
        "recovered": _recovered(explanation),
        "features": _features(explanation),
        "nearest": [(each, inline_images.image(each.image, THUMBNAIL)) for each in explanation.nearest],
        "nearest_told": told(explanation.nearest),
    }


def _method(explanation: Explanation, name: str, verdict: Verdict | None) -> dict[str, Any]:
    title, text, paper = METHODS[name]
    shown = inline_images.heat(explanation.image, explanation.maps[name], signed=name in SIGNED)
    return {"title": title, "text": text, "paper": paper, "picture": shown, "verdict": verdict}


def _patches(explanation: Explanation) -> str | None:
    tokens = explanation.tokens
    return inline_images.patches(explanation.image, tokens.patch_size) if tokens else None


def _filters(explanation: Explanation) -> str | None:
    """The first filters of the first layer, (n, C, k, k); of colour the mean over the channels."""
    filters = explanation.filters
    if filters is None:
        return None
    return inline_images.sheet(list(filters[:MOST_FILTERS].mean(axis=1)), columns=8, side=48, gap=12, signed=True)


def _attention(explanation: Explanation) -> list[tuple[str, str, list[list[Seen]]]]:
    """Attention after the softmax and before it: name, title, and for each layer the heads' mean, then each head."""
    if explanation.attention is None:
        return []
    return [
        ("weights", "After the softmax", _heads(explanation, raw=False)),
        ("logits", "Before it, the raw logits", _heads(explanation, raw=True)),
    ]


def _heads(explanation: Explanation, raw: bool) -> list[list[Seen]]:
    return [
        [(inline_images.heat(explanation.image, one, side=96), float(one.min()), float(one.max())) for one in layer]
        for layer in with_mean(explanation.attention_from(raw=raw))
    ]


def _distance(explanation: Explanation) -> Any:
    """Mean attention distance of every head by layer (the ViT paper, figure 7); a layer's heads stand side by side."""
    if explanation.attention is None or explanation.tokens is None:
        return None
    tokens = explanation.tokens
    found = mean_attention_distance(explanation.attention[:, None], tokens.patch_size, tokens.prefix)  # (layers, h)
    with drawing():
        figure = Figure(figsize=(WIDTH, 2.4))
        axes = figure.subplots()
        layers = np.arange(1, len(found) + 1)
        for head in range(found.shape[1]):
            aside = 0.5 * ((head + 0.5) / found.shape[1] - 0.5)  # equal distances must not hide each other
            axes.plot(layers + aside, found[:, head], "o", markersize=5, color=series(head)["color"])
        highest = float(found.max()) or 1.0
        axes.set(xlabel="layer", ylabel="distance, pixels", ylim=(0, 1.1 * highest), xlim=(0.5, len(found) + 0.5))
        axes.set_xticks(layers[:: -(-len(layers) // 12)])
        return inline_svg(figure, "distance", "Mean attention distance of every head by layer")


def _positions(explanation: Explanation) -> str | None:
    """A grid of grids: at (i, j), the similarity of patch (i, j)'s position with every patch's."""
    found = explanation.positions
    if found is None:
        return None
    maps: Sequence[np.ndarray] = list(found.reshape(-1, *found.shape[2:]))  # (g, g, g, g) -> g * g x (g, g)
    return inline_images.sheet(maps, columns=found.shape[0], side=max(24, 420 // found.shape[0]), together=True, gap=3)


def _recovered(explanation: Explanation) -> Any:
    """The grid that learned positions hold before and after training: a mesh of patches and their neighbours."""
    if explanation.recovered is None:
        return None
    with drawing():
        figure = Figure(figsize=(WIDTH, 2.2))
        for axes, title, found in zip(
            figure.subplots(1, 2), ("untrained", "trained"), explanation.recovered, strict=True
        ):
            side = math.isqrt(len(found.places))
            rows, columns = found.places.reshape(side, side, 2).transpose(2, 0, 1)  # (g*g, 2) -> 2 x (g, g)
            for mesh in ((columns, rows), (columns.T, rows.T)):
                axes.plot(*mesh, color=series(0)["color"], linewidth=0.8)
            axes.plot(columns.flat, rows.flat, "o", markersize=3.5, color=series(0)["color"])
            axes.plot(*grid_points(side).T, "o", markersize=2.5, color=QUIET)
            axes.set(
                title=title, xlim=(-0.6, side - 0.4), ylim=(side - 0.4, -0.6), aspect="equal"
            )  # row 0 is at the top
            axes.set_axis_off()
        return inline_svg(figure, "recovered", "The grid recovered from the positions, untrained and trained")


def _features(explanation: Explanation) -> list[tuple[str, str, str]]:
    """For each stage of a CNN: its name, the shape, and a sheet of its first maps."""
    rows = []
    for name, maps in explanation.feature_maps.items():
        shape = " x ".join(map(str, maps.shape))
        rows.append((name, shape, inline_images.sheet(list(maps[:MOST_MAPS]), columns=8, side=64)))
    return rows
