"""The reports as a person sees them: in Chromium, at desktop and phone width, light and dark, and on paper."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from explained import write_page
from fake_runs import draw_pictures, picture_names, write_run
from pages import UNREADABLE
from PIL import Image

from mien.config.sweep_plan import make_plan
from mien.evaluate.compare import compare
from mien.evaluate.sweep_table import SweepTable, read_table
from mien.report import write_comparison, write_report, write_sweep

pytestmark = pytest.mark.browser

WIDTHS = {"desktop": 1280, "phone": 390}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A report, a comparison, a sweep and an explanation, with long names, seven classes, warnings and pictures."""
    root = tmp_path_factory.mktemp("pages")
    classes = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    counts = (47, 5, 41, 89, 61, 43, 59)
    names, labels = picture_names(classes, counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(root / "cache"))
        data = {"source": "folder", "path": str(draw_pictures(root / "pictures", classes, counts)), "size": 16}
        runs = [
            write_run(
                root / f"{name}-20260304-050607-{seed}",
                names=names, labels=labels, classes=classes, data=data, seed=seed, skill=2 - seed, epochs=5 + 9 * seed,
                warnings=["The loss before training is 2.96, a uniform guess has ln(7) = 1.95."],
            )
            for seed, name in enumerate(("fer2013_shallow_vit_scaled_init", "fer2013_cnn_v2_balanced"))
        ]  # fmt: skip
        write_report(runs[1])
        yield {
            "report": write_report(runs[0]),
            "comparison": write_comparison(compare(runs), root / "comparison.html"),
            "explanation": write_page(root / "photo.html")[0],
            "sweep": write_sweep(_sweep(root / "sweep", names=names, labels=labels, classes=classes)),
        }


def _sweep(folder: Path, **run: Any) -> SweepTable:
    """Four settings under two seeds, one run failed and one still to come."""
    flags = {"train.label_smoothing": "0,0.1", "model.representation_size": "64,128", "seed": "0,1"}
    plan = make_plan("fer2013_vit_scratch", None, [], flags)
    trials = plan.trials()
    for i, trial in enumerate(trials[:-2]):
        write_run(folder / trial.name, skill=0.5 * i, seed=i % 2, **run)
        write_report(folder / trial.name)
    problem = f"The training in {folder} diverged in epoch 1: its loss is not a number any more."
    return read_table(plan, folder, trials, {trials[-2].name: problem}, len(trials))


@pytest.fixture(params=["report", "comparison", "sweep", "explanation"])
def page(request: pytest.FixtureRequest, browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    """One of the pages, opened; its requests and errors are kept in page.requests and page.complaints."""
    opened = browser.new_page()
    opened.requests, opened.complaints = [], []
    opened.on("request", lambda asked: opened.requests.append(asked.url))
    opened.on("console", lambda message: opened.complaints.append(message.text))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.goto(pages[request.param].as_uri())
    yield opened
    opened.close()


def test_nothing_is_loaded_from_elsewhere(page: Any) -> None:
    own = [url for url in page.requests if not url.startswith("data:")]
    assert own == [page.url]
    assert page.complaints == []


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_the_page_never_scrolls_sideways(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    outside = page.evaluate(
        """width => [...document.querySelectorAll('body *')]
        .filter(element => !element.closest('.scroll, pre, svg') && element.getBoundingClientRect().right > width + 1)
        .map(element => element.outerHTML.slice(0, 80))""",
        width,
    )
    assert outside == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    seen, unreadable = page.evaluate(UNREADABLE)
    assert seen > 100
    assert unreadable == []


def test_dark_is_dark_and_paper_is_light(page: Any) -> None:
    brightness = "parseInt(getComputedStyle(document.body).color.match(/\\d+/)[0])"
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(brightness) > 200  # light text
    page.emulate_media(color_scheme="dark", media="print")
    assert page.evaluate(brightness) < 60  # dark text


def test_figures_are_as_wide_as_their_cards_and_their_text_large_enough(page: Any) -> None:
    page.set_viewport_size({"width": WIDTHS["phone"], "height": 844})
    sizes = page.evaluate(
        """() => [...document.querySelectorAll('svg text')]
        .map(text => [parseFloat(getComputedStyle(text).fontSize), text.getScreenCTM()])
        .map(([size, on_screen]) => size * Math.hypot(on_screen.a, on_screen.b))"""
    )
    assert len(sizes) >= 10
    assert min(sizes) > 8


def test_on_a_telephone_nothing_of_the_walk_is_out_of_sight(browser: Any, pages: dict[str, Path]) -> None:
    opened = browser.new_page(viewport={"width": WIDTHS["phone"], "height": 844})
    opened.goto(pages["explanation"].as_uri())
    rights = opened.evaluate("[...document.querySelectorAll('#walk td')].map(one => one.getBoundingClientRect().right)")
    assert len(rights) > 10
    assert max(rights) <= WIDTHS["phone"]
    assert opened.locator("#walk .scroll").count() == 0
    opened.close()


def test_every_link_leads_somewhere(page: Any) -> None:
    targets = page.evaluate("[...document.querySelectorAll('a')].map(link => link.getAttribute('href'))")
    assert len(targets) >= 5
    inside = [target for target in targets if target.startswith("#")]
    assert all(page.locator(target).count() == 1 for target in inside)
    papers = [target for target in targets if target.startswith("https://arxiv.org/abs/")]
    beside = [unquote(target) for target in targets if target not in inside + papers]
    assert all((Path(unquote(urlsplit(page.url).path)).parent / target).is_file() for target in beside)


@pytest.mark.parametrize("kind", ["report", "comparison", "sweep"])
def test_a_curve_shows_its_values_where_it_is_pointed_at(browser: Any, pages: dict[str, Path], kind: str) -> None:
    opened = browser.new_page(viewport={"width": 1280, "height": 900}, has_touch=True)
    opened.goto(pages[kind].as_uri())
    plot = opened.locator("#learning .plot").first
    plot.scroll_into_view_if_needed()
    shown = plot.locator("output")
    assert not shown.is_visible()
    curves = json.loads(plot.locator("svg").get_attribute("data-curves"))
    x, _, at, value = curves[0]["points"][1]
    box = plot.bounding_box()
    opened.mouse.move(box["x"] + x * box["width"] + 1, box["y"] + 20)
    assert shown.inner_text().startswith(f"{at}\n")
    assert f"{curves[0]['label']} {value}" in shown.inner_text()
    opened.mouse.move(0, 0)
    assert not shown.is_visible()
    plot.focus()
    opened.keyboard.press("ArrowLeft")  # from where it was pointed at
    assert shown.inner_text().startswith(f"{curves[0]['points'][0][2]}\n")
    opened.keyboard.press("ArrowRight")
    assert shown.inner_text().startswith(f"{at}\n")
    right = shown.evaluate("element => element.getBoundingClientRect().right")
    assert right <= box["x"] + box["width"]
    opened.close()


def test_a_mistake_opens_large_and_closes(browser: Any, pages: dict[str, Path]) -> None:
    opened = browser.new_page(viewport={"width": 390, "height": 844})
    opened.goto(pages["report"].as_uri())
    picture = opened.locator(".pictures img").first
    name = opened.locator(".pictures li").first.locator("code").inner_text()
    for way in (picture.click, lambda: (picture.focus(), opened.keyboard.press("Enter"))):
        way()
        large = opened.locator("dialog.large")
        assert large.is_visible()
        assert name in large.inner_text()
        assert large.locator("img").bounding_box()["width"] > 300
        assert unquote(large.locator("img").get_attribute("src")).endswith(name)  # the file itself
        opened.keyboard.press("Escape")
        assert not large.is_visible()
    opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_cut_table_shows_that_it_goes_on(browser: Any, pages: dict[str, Path], scheme: str) -> None:
    """Its right edge is shaded until it is scrolled to its end."""
    opened = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    opened.goto(pages["comparison"].as_uri())
    table = opened.locator("#scores .scroll")
    table.scroll_into_view_if_needed()
    assert table.evaluate("element => element.scrollWidth > element.clientWidth + 20")

    def edge() -> float:
        """How much the last pixels before the right border differ from the card, in grey levels."""
        shot = np.asarray(Image.open(io.BytesIO(table.screenshot())).convert("L")).astype(float)
        row = shot[shot.shape[0] // 2 - 8 : shot.shape[0] // 2 + 8]
        return float(np.abs(row[:, -3] - np.median(shot)).mean())

    before = edge()
    table.evaluate("element => element.scrollTo(element.scrollWidth, 0)")
    assert before > 15
    assert edge() < 5
    opened.close()


def test_no_card_stands_alone_in_a_row_of_a_desktop(browser: Any, pages: dict[str, Path]) -> None:
    for kind in ("report", "comparison", "sweep"):
        opened = browser.new_page(viewport={"width": 1280, "height": 900})
        opened.goto(pages[kind].as_uri())
        alone = opened.evaluate(
            """() => [...document.querySelectorAll('.columns')].filter(columns => {
              const tops = [...columns.children].map(child => Math.round(child.getBoundingClientRect().top));
              return tops.filter(top => top === tops.at(-1)).length < 2;
            }).map(columns => columns.closest('section').id)"""
        )
        assert alone == [], kind
        opened.close()


def test_pictures_are_drawn(browser: Any, pages: dict[str, Path]) -> None:
    opened = browser.new_page()
    opened.goto(pages["report"].as_uri())
    widths = opened.evaluate("[...document.images].map(image => image.complete && image.naturalWidth)")
    assert widths == [16] * 12
    opened.close()
