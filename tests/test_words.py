"""Numbers as a person writes them."""

from __future__ import annotations

import pytest

from mien import words


@pytest.mark.parametrize(
    ("function", "given", "expected"),
    [
        ("coded", ("<b>: `data.path` of 'a'",), "&lt;b&gt;: <code>data.path</code> of &#39;a&#39;"),
        ("alternatives", (("sad", "fear", "neutral"),), "sad, fear or neutral"),
        ("alternatives", (("sad",),), "sad"),
        ("percent", (0.6071,), "60.7%"),
        ("percent", (1.0, 0), "100%"),
        ("percent", (None,), "–"),
        ("whole_percent", (710, 879), "80%"),
        ("whole_percent", (999, 1000), "99%"),
        ("whole_percent", (0, 0), "–"),
        ("interval", ((0.5914, 0.6231),), "59.1–62.3%"),
        ("points", (0.021,), "2.1 points"),
        ("points", (-0.0101,), "1.0 point"),
        ("signed_points", (-0.021,), "−2.1"),
        ("signed_points", (0.034,), "+3.4"),
        ("amount", (None,), "–"),
        ("amount", (987_654,), "987,654"),
        ("amount", (2_713_007,), "2.71 million"),
        ("amount", (999_999,), "999,999"),
        ("amount", (999_999.7,), "1 million"),
        ("amount", (310e6,), "310 million"),
        ("amount", (999_400_000,), "999 million"),
        ("amount", (999_600_000,), "1 billion"),
        ("amount", (999.6e9,), "1 trillion"),
        ("amount", (999.6e12,), "1,000 trillion"),
        ("amount", (4.1e9,), "4.1 billion"),
        ("amount", (17.55e12,), "17.6 trillion"),
        ("amount", (2.5e15,), "2,500 trillion"),
        ("duration", (None,), "–"),
        ("duration", (7.26,), "7.3 s"),
        ("duration", (59.2,), "59 s"),
        ("duration", (59.9,), "1 min 0 s"),
        ("duration", (75,), "1 min 15 s"),
        ("duration", (3600,), "1 h 0 min"),
        ("duration", (4000,), "1 h 6 min"),
        ("p_value", (0.0004,), "p\xa0<\xa00.001"),
        ("p_value", (0.0031,), "p\xa0=\xa00.003"),
        ("p_value", (0.25,), "p\xa0=\xa00.25"),
        ("p_value", (1.0,), "p\xa0=\xa01.00"),
        ("count", (1, "image"), "1 image"),
        ("count", (1234, "image"), "1,234 images"),
        ("count", (2, "class", "classes"), "2 classes"),
        ("decimal", (0.12345,), "0.123"),
        ("decimal", (float("nan"),), "–"),
        ("decimal", (None,), "–"),
        ("listed", ([],), ""),
        ("listed", (["a"],), "a"),
        ("listed", (["a", "b", "c"],), "a, b and c"),
        ("times", (1,), "once"),
        ("times", (2,), "twice"),
        ("times", (3,), "3 times"),
    ],
)
def test_words(function: str, given: tuple[object, ...], expected: str) -> None:
    assert getattr(words, function)(*given) == expected


def test_every_filter_exists() -> None:
    assert all(callable(getattr(words, name)) for name in words.FILTERS)
