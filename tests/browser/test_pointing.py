"""A patch is pointed at on the page of an explanation: by mouse, finger and keyboard, in Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explained import write_page

from mien.explain import Explanation
from mien.report import explain_pointing

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[tuple[Any, Explanation]]:
    """The page of a ViT of 3 x 3 patches with a class token, two heads and three layers; and what it was made of."""
    path, found = write_page(tmp_path / "photo.html")
    page = browser.new_page(has_touch=True)
    page.goto(path.as_uri())
    yield page, found
    page.close()


def place(page: Any, row: int, column: int) -> dict[str, float]:
    """The middle of a patch, from the picture's corner."""
    box = page.locator(".picker").bounding_box()
    return {"x": box["width"] * (column + 0.5) / 3, "y": box["height"] * (row + 0.5) / 3}


def shown(page: Any, kind: str, layer: int, column: int) -> list[float]:
    cell = page.locator(f"[data-kind={kind}][data-layer='{layer}'][data-column='{column}']")
    return [float(value) for value in cell.locator("xpath=..").locator("small").inner_text().split(" to ")]


def expected(found: Explanation, kind: str, layer: int, head: int, patch: tuple[int, int] | None) -> Any:
    values = found.attention_from(patch, raw=kind == "logits")[layer, head]
    return pytest.approx((values.min(), values.max()), abs=0.006)


@pytest.mark.parametrize("kind", ["weights", "logits"])
def test_a_click_keeps_a_patch_and_back_leaves_it(opened, kind):
    page, found = opened
    assert shown(page, kind, 2, 1) == expected(found, kind, 2, 0, None)
    page.locator(".picker").click(position=place(page, 1, 2))
    page.mouse.move(0, 0)
    assert page.locator("output").inner_text() == "Where the patch in row 2, column 3 looks."
    for layer, head in np.ndindex(3, 2):
        assert shown(page, kind, layer, head + 1) == expected(found, kind, layer, head, (1, 2))
    assert page.locator(".heads canvas:visible").count() == 2 * 3 * 3
    assert page.locator(".heads img:visible").count() == 0
    page.get_by_role("button", name="Back").click()
    assert page.locator("output").inner_text() == "Where the class token looks."
    assert shown(page, kind, 2, 1) == expected(found, kind, 2, 0, None)
    assert page.locator(".heads canvas:visible").count() == 0


def test_the_mouse_shows_a_patch_while_it_is_over_it_a_finger_keeps_it(opened):
    page, found = opened
    page.locator(".picker").hover(position=place(page, 0, 1))
    assert shown(page, "weights", 0, 2) == expected(found, "weights", 0, 1, (0, 1))
    page.mouse.move(0, 0)
    assert shown(page, "weights", 0, 2) == expected(found, "weights", 0, 1, None)
    page.locator(".picker").tap(position=place(page, 2, 0))
    assert shown(page, "weights", 0, 2) == expected(found, "weights", 0, 1, (2, 0))


def test_arrow_keys_step_and_stay_inside(opened):
    page, _ = opened
    page.locator(".picker").focus()
    told = []
    for key in ("ArrowDown", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowLeft", "Escape"):
        page.keyboard.press(key)
        told.append("".join(re.findall(r"\d", page.locator("output").inner_text())))
    assert told == ["11", "12", "22", "32", "32", "31", "31", ""]


def test_the_brightest_place_is_the_most_attended_patch(opened):
    page, found = opened
    page.locator(".picker").click(position=place(page, 0, 0))
    weights = found.attention_from((0, 0))[1, 0]
    colours = page.locator("[data-kind=weights][data-layer='1'][data-column='1'] + canvas").evaluate(
        "canvas => [...canvas.getContext('2d').getImageData(0, 0, 96, 96).data]"
    )
    red = np.array(colours, dtype=float).reshape(96, 96, 4)[16::32, 16::32, 0]  # the middle of each patch
    assert red.argmax() == weights.argmax()


def test_of_a_large_model_there_is_the_mean_alone(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(explain_pointing, "MOST_NUMBERS", 3 * 81)
    path, found = write_page(tmp_path / "photo.html")
    page = browser.new_page()
    page.goto(path.as_uri())
    assert "the mean of the heads alone" in page.locator(".point").inner_text()
    page.locator(".picker").click(position=place(page, 1, 1))
    mean = found.attention_from((1, 1))[2].mean(axis=0)
    assert shown(page, "weights", 2, 0) == pytest.approx((mean.min(), mean.max()), abs=0.006)
    assert page.locator(".heads img:visible").count() == 0
    page.close()
    monkeypatch.setattr(explain_pointing, "MOST_NUMBERS", 3 * 81 - 1)
    assert explain_pointing.pointing(found) is None


def test_without_javascript_the_pictures_stay(browser, tmp_path):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(write_page(tmp_path / "photo.html")[0].as_uri())
    assert not page.locator(".point").is_visible()
    assert page.locator(".heads img:visible").count() == 2 * 3 * 3
    context.close()
