"""The colours of every page and figure, and matplotlib figures as inline SVG that follows the page's theme.

A figure is drawn once. Its colours are place-holders, replaced by CSS variables in the SVG, so that the same
figure is right on a light page, on a dark one and on paper.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from mien.atomic import written_whole

# The series are told apart under every common colour blindness, have a contrast of at least 3 on their
# card, and belong to the same hues in both themes. Text has at least 4.5 everywhere (tests/report/test_style.py).
LIGHT = {
    "page": "#faf9f6",
    "card": "#ffffff",
    "ink": "#1d2126",
    "quiet": "#565e6b",
    "line": "#d9d6cf",
    "link": "#0b5fa8",
    "shade": "#062a55",
    "on-shade": "#ffffff",
    "off-shade": "#000000",
    "notice": "#fdf1dc",
    "good": "#1a6b3c",
    "bad": "#a3231b",
    "even": "#7a4d00",
    "series-1": "#0b5fa8",
    "series-2": "#d2560c",
    "series-3": "#2b9a73",
    "series-4": "#7a2f8a",
    "series-5": "#4a3500",
    "series-6": "#8b8f97",
}
DARK = {
    "page": "#14171b",
    "card": "#1c2026",
    "ink": "#e8e6e1",
    "quiet": "#a6aebb",
    "line": "#3a414b",
    "link": "#7cc1f7",
    "shade": "#6aaee8",
    "on-shade": "#000000",
    "off-shade": "#ffffff",
    "notice": "#33290f",
    "good": "#6fd49a",
    "bad": "#ff9d93",
    "even": "#f0c36a",
    "series-1": "#62b6f5",
    "series-2": "#ff9147",
    "series-3": "#3fc795",
    "series-4": "#d873d0",
    "series-5": "#f6e08a",
    "series-6": "#7f8b9c",
}
STRONG = 0.64  # from this share of `shade` on, text on it is written in on-shade instead of off-shade
SERIES = 6
DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1, 1.5)))  # after six colours they repeat, dashed

_TOKENS = {name: f"#01fe{index:02x}" for index, name in enumerate(LIGHT)}
INK, QUIET, LINE, CARD = (_TOKENS[name] for name in ("ink", "quiet", "line", "card"))

_RC: Any = {
    "svg.fonttype": "none",  # text stays text: the page's font, selectable
    "text.parse_math": False,  # a recipe may be called what it likes
    "svg.hashsalt": "mien",  # the same figure gives the same file
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": LINE,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
}


def series(index: int) -> dict[str, Any]:
    """Colour and dash of the index-th run or curve, as keyword arguments of `Axes.plot`."""
    return {
        "color": _TOKENS[f"series-{index % SERIES + 1}"],
        "linestyle": DASHES[index // SERIES % len(DASHES)],
    }


def drawing() -> Any:
    """A context in which figures are made and drawn in the house style."""
    return rc_context(_RC)


@dataclass(frozen=True)
class Reading:
    """A curve whose values the page shows where it is pointed at.

    index: as for `series`. x, y: its points, in the data's units. at, shown: these in words.
    """

    label: str
    index: int
    x: Sequence[float]
    y: Sequence[float]
    at: Sequence[str]
    shown: Sequence[str]


def inline_svg(figure: Figure, name: str, description: str, readings: Sequence[Reading] = ()) -> Markup:
    """A figure as an SVG element that fills the width of its box.

    name: unique on its page; every id in the SVG begins with it. description: read out by screen readers. readings: the
    curves of its only axes.
    """
    file = io.StringIO()
    FigureCanvasSVG(figure).print_svg(file, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = _with_own_ids(_without_wrapping(file.getvalue()), name)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)  # the page chooses the family
    text = re.sub(r" ?font-family: [^;\"]*;?", "", text)
    for token, place_holder in _TOKENS.items():
        text = text.replace(place_holder, f"var(--{token})")
    opening = Markup('<svg role="img" aria-label="{}"').format(description)
    if readings:
        curves = json.dumps([_points(figure, each) for each in readings], ensure_ascii=False, separators=(",", ":"))
        opening += Markup(' data-curves="{}"').format(curves)
    return Markup(re.sub(r'<svg[^>]*?( viewBox="[^"]*")[^>]*>', lambda found: f"{opening}{found[1]}>", text, count=1))


def _points(figure: Figure, curve: Reading) -> dict[str, Any]:
    """A curve's label, colour and points: [x, y] as shares of the figure from its upper left corner, both in words."""
    axes = figure.axes[0]
    pixels = axes.transData.transform(np.column_stack([curve.x, curve.y]))  # (n, 2)
    places = pixels / [figure.bbox.width, figure.bbox.height]
    points = [
        [round(float(x), 4), round(1 - float(y), 4), at, shown]
        for (x, y), at, shown in zip(places, curve.at, curve.shown, strict=True)
        if np.isfinite((x, y)).all() and 0 <= y <= 1
    ]
    return {"label": curve.label, "series": curve.index % SERIES + 1, "points": points}


def save_svg(svg: str, path: Path) -> None:
    """What `inline_svg` gives as a file of its own: the colours of the light page, on its card."""
    text = str(svg)  # no longer Markup, which would escape what is put in
    for name, colour in LIGHT.items():
        text = text.replace(f"var(--{name})", colour)
    own = f'<svg xmlns="http://www.w3.org/2000/svg" style="background: {LIGHT["card"]}; font-family: sans-serif"'
    with written_whole(path) as file:
        file.write(text.replace("<svg", own, 1) + "\n")


def _without_wrapping(svg: str) -> str:
    """The SVG element alone, without XML declaration, metadata and comments."""
    return re.sub(r"<metadata>.*?</metadata>|<!--.*?-->\n?", "", svg[svg.index("<svg") :], flags=re.S)


def _with_own_ids(svg: str, name: str) -> str:
    """Ids and the references to them, made unique on a page of several figures."""
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    return re.sub(r'(?:xlink:)?(href="#|url\(#)', rf"\g<1>{name}-", svg)
