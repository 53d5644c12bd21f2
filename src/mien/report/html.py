"""Templates and values -> one self-contained HTML file."""

from __future__ import annotations

import base64
import io
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

from mien import words
from mien.atomic import written_whole
from mien.evaluate.metrics import format_recall
from mien.report import style

THUMBNAIL = 96  # largest side of a picture in a page, pixels; keeps a report of large images small


def write(template: str, path: Path, values: dict[str, Any]) -> Path:
    """Render a template into `path`, whole or not at all."""
    text = environment().get_template(template).render(values)
    with written_whole(path) as file:
        file.write(text)
    return path


@cache
def environment() -> jinja2.Environment:
    """The templates with the house's number formats; a name that a page does not know is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("mien", "report/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {name: getattr(words, name) for name in words.FILTERS}
    made.filters["breakable"] = breakable
    made.globals |= {"light": style.LIGHT, "dark": style.DARK, "strong": style.STRONG, "format_recall": format_recall}
    return made


def breakable(name: str) -> Markup:
    """A name such as fer2013_vit_scratch, which may go on in the next line after each '_'."""
    return Markup("_<wbr>").join(name.split("_"))


def data_uri(pixels: np.ndarray) -> str:
    """An image, uint8 (C, H, W) with one or three channels, as a small PNG inside an address."""
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))  # (C, H, W) -> (H, W[, C])
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
