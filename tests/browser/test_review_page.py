"""A label review in Chromium, by keys and by mouse."""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from mislabelled import WRONG, draw_folder

from mien.config import Data
from mien.review.app import Review, create_app
from mien.review.choice import open_session
from mien.review.corrected import CorrectedTable
from mien.serve.server import address, listen, names

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("mislabelled") / "pictures")


@pytest.fixture
def served(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a review of four suspects and two random pictures."""
    monkeypatch.setenv("MIEN_CACHE", str(pictures.parent / "cache"))
    data, table = Data(path=pictures), tmp_path / "corrected.csv"
    session, listing = open_session(data, None, None, table, suspects=4, controls=2)
    review = Review(session, CorrectedTable(table, listing, session, pictures), listing, "pictures", "mien run RECIPE")
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(create_app(review, names("127.0.0.1")), log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield address(listening)
    server.should_exit = True
    thread.join()


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Any, served: str) -> Iterator[Any]:
    opened = browser.new_page(color_scheme=request.param, viewport={"width": 390, "height": 844})
    foreign: list[str] = []
    opened.on("request", lambda each: foreign.append(each.url) if not each.url.startswith(served) else None)
    opened.on("pageerror", lambda error: foreign.append(str(error)))
    opened.goto(served)
    opened.locator("#picture").wait_for()
    yield opened
    opened.close()
    assert not foreign


def count(page: Any, wanted: int) -> None:
    page.get_by_text(f"{wanted} of 6", exact=True).wait_for()


def test_answers_by_keys_and_mouse(page: Any, tmp_path: Path) -> None:
    count(page, 0)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    first = page.locator("#name").inner_text()
    page.keyboard.press("k")
    count(page, 1)
    assert page.locator("#name").inner_text() != first
    page.keyboard.press("z")
    count(page, 0)
    assert page.locator("#name").inner_text() == first
    for number in range(6):
        wrong = page.locator("#name").inner_text() in WRONG
        if number % 2:
            page.locator("#suggestion" if wrong else "#keep").click()
        else:
            page.keyboard.press("s" if wrong else "k")
        count(page, number + 1)
    assert page.locator("#rate").inner_text() == "About 5.0 % of the labels are wrong"
    assert "4 labels of the 4 most suspicious were wrong" in page.locator("#how").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    with (tmp_path / "corrected.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] != row["original_label"]]
    assert {"/".join(Path(row["path"]).parts[-2:]) for row in rows} == WRONG
    page.get_by_role("button", name="Undo").click()
    count(page, 5)
    assert page.locator("#question").is_visible()


def test_a_class_by_its_number_and_pictures_left_out(page: Any) -> None:
    """The classes are blue, 1, and red, 2."""
    given = page.locator("#label").inner_text()
    page.keyboard.press("1" if given == "red" else "2")
    count(page, 1)
    page.locator("#drop").click()
    count(page, 2)
    page.keyboard.press("u")
    count(page, 3)
    page.get_by_role("button", name="Result so far").click()
    counts = page.locator("#answers dd").all_inner_texts()
    assert counts == ["0", "1", "1", "1"]  # kept, changed, not sure, left out
    page.get_by_role("button", name="Go on").click()
    assert page.locator("#question").is_visible()
