"""Colours that everybody can read and tell apart, and SVG that follows the theme."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from mien.report.style import DARK, LIGHT, SERIES, STRONG, drawing, inline_svg, save_svg, series

# Machado, Oliveira and Fernandes (2009), IEEE Transactions on Visualization and Computer Graphics 15: 1291-1298.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def linear(colour: str) -> np.ndarray:
    """'#rrggbb' -> linear light (3,)."""
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(first: np.ndarray, second: np.ndarray) -> float:
    """WCAG 2 contrast of two linear colours, 1 to 21."""
    dim, bright = sorted(float(light @ [0.2126, 0.7152, 0.0722]) for light in (first, second))
    return (bright + 0.05) / (dim + 0.05)


def lab(light: np.ndarray) -> np.ndarray:
    """Linear light -> CIE Lab, where distances are differences one sees."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ light
    f = np.cbrt(xyz / [0.9505, 1, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def mixed(share: float, theme: dict[str, str]) -> str:
    """What CSS's color-mix(in srgb) makes of `share` of the shade on a card."""
    pairs = [(int(theme["card"][i : i + 2], 16), int(theme["shade"][i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(card * (1 - share) + shade * share):02x}" for card, shade in pairs)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
class TestTheme:
    def test_text_can_be_read(self, theme: dict[str, str]) -> None:
        for text, ground in itertools.product(("ink", "quiet", "link"), ("page", "card")):
            assert contrast(linear(theme[text]), linear(theme[ground])) >= 4.5, (text, ground)
        assert contrast(linear(theme["ink"]), linear(theme["notice"])) >= 7

    def test_numbers_can_be_read_on_every_shade(self, theme: dict[str, str]) -> None:
        for share in np.linspace(0, 1, 301):
            text = theme["on-shade" if share >= STRONG else "off-shade"]
            assert contrast(linear(mixed(share, theme)), linear(text)) >= 4.5, share

    def test_series_stand_out_from_the_card(self, theme: dict[str, str]) -> None:
        for i in range(SERIES):
            assert contrast(linear(theme[f"series-{i + 1}"]), linear(theme["card"])) >= 3

    @pytest.mark.parametrize("sight", SIGHT)
    def test_series_differ_for_everyone(self, theme: dict[str, str], sight: str) -> None:
        seen = [lab((np.array(SIGHT[sight]) @ linear(theme[f"series-{i + 1}"])).clip(1e-6, 1)) for i in range(SERIES)]
        nearest = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))
        assert nearest > 10  # 2.3 is just noticeable


def test_both_themes_name_the_same_colours() -> None:
    assert LIGHT.keys() == DARK.keys()
    assert sum(name.startswith("series-") for name in LIGHT) == SERIES


def test_eighteen_runs_look_different() -> None:
    assert len({str(series(i)) for i in range(18)}) == 18


def drawn(name: str = "one", title: str = "a title") -> str:
    with drawing():
        figure = Figure()
        axes = figure.subplots()
        axes.plot([1, 2], [3, 4], **series(1))
        axes.set_title(title)
        return str(inline_svg(figure, name, 'say "so" & more'))


def test_svg_has_no_colour_of_its_own() -> None:
    svg = drawn()
    assert "var(--series-2)" in svg
    assert "var(--ink)" in svg
    assert set(re.findall(r"#[0-9a-f]{6}", svg)) == set()


def test_svg_stands_alone_and_says_what_it_is() -> None:
    svg = drawn()
    assert svg.startswith('<svg role="img" aria-label="say &#34;so&#34; &amp; more" viewBox="0 0 ')
    for foreign in ("<metadata", "<?xml", "<!--", "DejaVu", "http"):
        assert foreign not in svg


def test_a_figure_in_a_file_of_its_own_has_the_colours_of_the_light_page(tmp_path: Path) -> None:
    save_svg(drawn(), tmp_path / "one.svg")
    saved = (tmp_path / "one.svg").read_text()
    assert saved.startswith(
        '<svg xmlns="http://www.w3.org/2000/svg" style="background: #ffffff; font-family: sans-serif"'
    )
    assert LIGHT["series-2"] in saved
    assert "var(--" not in saved


def test_svg_keeps_text_as_text_even_with_dollar_signs() -> None:
    assert "a $title$ &lt;b&gt;</text>" in drawn(title="a $title$ <b>")


def test_svg_is_the_same_every_time_and_its_ids_are_its_own() -> None:
    assert drawn() == drawn()
    ids = [set(re.findall(r'\bid="([^"]+)"', drawn(name))) for name in ("one", "two")]
    assert ids[0]
    assert not ids[0] & ids[1]
    references = re.findall(r'(?:href="#|url\(#)([^")]+)', drawn("one"))
    assert references
    assert set(references) <= ids[0]
