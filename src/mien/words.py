"""Numbers as a person writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

MISSING = "–"
UNITS = ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"))
FILTERS = (
    "amount", "coded", "count", "decimal", "duration", "interval", "listed", "p_value", "percent", "points",
    "signed_points", "times", "whole_percent",
)  # fmt: skip


def percent(share: float | None, digits: int = 1) -> str:
    """0.6071 -> '60.7%'."""
    return MISSING if share is None else f"{100 * share:.{digits}f}%"


def whole_percent(part: int, whole: int) -> str:
    """(710, 879) -> '80%', rounded down, so that 100% means all of them."""
    return f"{100 * part // whole}%" if whole else MISSING


def times(number: int) -> str:
    """1 -> 'once', 2 -> 'twice', 3 -> '3 times'."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def interval(bounds: Sequence[float], digits: int = 1) -> str:
    """(0.591, 0.623) -> '59.1–62.3%'."""
    return f"{100 * bounds[0]:.{digits}f}–{100 * bounds[1]:.{digits}f}%"


def alternatives(words: Sequence[str]) -> str:
    """('sad', 'fear', 'neutral') -> 'sad, fear or neutral'."""
    return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def points(difference: float) -> str:
    """0.021 -> '2.1 points'; the sign is left to the sentence."""
    shown = f"{abs(100 * difference):.1f}"
    return f"{shown} point{'' if shown == '1.0' else 's'}"


def signed_points(difference: float) -> str:
    """-0.021 -> '−2.1'."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def amount(number: float | None) -> str:
    """2_713_000 -> '2.71 million'; numbers below a million keep every digit."""
    if number is None:
        return MISSING
    if round(number) < 1e6:
        return f"{number:,.0f}"
    rounded = float(f"{number:.3g}")  # 999.6 million is a billion
    size, word = next(unit for unit in UNITS if rounded >= unit[0])
    return f"{number / size:.3g} {word}" if rounded < 1000 * size else f"{number / size:,.0f} {word}"


def duration(seconds: float | None) -> str:
    """75 -> '1 min 15 s'; 4000 -> '1 h 7 min'."""
    if seconds is None:
        return MISSING
    if round(seconds) < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


def coded(text: object) -> Markup:
    """A text of the library in HTML: what it puts between backticks, settings and calls, is code."""
    from markupsafe import Markup, escape  # comes with jinja2, which prediction does without

    return Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", str(escape(text))))


def p_value(p: float) -> str:
    """0.0031 -> 'p = 0.003'; smaller than a thousandth -> 'p < 0.001'. The spaces do not break."""
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
    return shown.replace(" ", "\N{NO-BREAK SPACE}")


def count(number: int, noun: str, plural: str = "") -> str:
    """(1, 'image') -> '1 image'; (1234, 'image') -> '1,234 images'."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def decimal(value: float | None, digits: int = 3) -> str:
    """A number with a fixed count of digits; '–' where there is none."""
    return MISSING if value is None or math.isnan(value) else f"{value:.{digits}f}"


def listed(items: Sequence[str]) -> str:
    """['a', 'b', 'c'] -> 'a, b and c'."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""
