"""The page of `mien serve` as a person uses it: photos and the camera, by mouse and by keyboard, in Chromium."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from detectors import TwoFaces
from pages import UNREADABLE, opened
from PIL import Image

from mien.config import Data, Model, Recipe, Train
from mien.export import export
from mien.page import PAGE
from mien.report.style import DARK, LIGHT
from mien.runtime import Network
from mien.serve import Limits, create_app
from mien.serve.server import address, listen
from mien.train import run

MEDIA = Path(os.environ.get("MIEN_TEST_DATA", "/nowhere")) / "media"

pytestmark = pytest.mark.browser

RECIPE = Recipe(
    name="tiny",
    data=Data(source="drawn_faces", images=140, size=24),
    model=Model(name="lenet"),
    train=Train(epochs=1, batch_size=35, precision="fp32"),
)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    place = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(place / "cache"))
        folder = run.run(RECIPE, place / "run")
        export(folder, weights="fp32")
    return Network.open(folder, threads=1)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield address(listening)
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="module")
def url(network: Network) -> Iterator[str]:
    with serving(create_app(network, TwoFaces, limits=Limits(body=2_000_000))) as address:
        yield address


@pytest.fixture(scope="module")
def url_with_real_detector(network: Network) -> Iterator[str]:
    with serving(create_app(network)) as address:
        yield address


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    with opened(browser, url) as page:
        yield page


def until(page: Any, expression: str, seconds: float = 60) -> None:
    """Playwright's own wait_for_function evaluates a text inside the page, which the page's policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never: {expression}"
        page.wait_for_timeout(100)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)).save(path)
    return path


def test_a_photo_gets_boxes_cards_and_words(page: Any, url: str, photo: Path) -> None:
    page.set_input_files("#files", photo)
    page.wait_for_selector(".face")
    assert page.locator(".answer h2").inner_text() == "2 faces"
    assert page.locator(".box").count() == page.locator(".face").count() == 2
    shown = page.evaluate(
        """() => { const [photo, box] = ['.photo', '.box'].map(name => document.querySelector(name)
        .getBoundingClientRect()); return [(box.x - photo.x) / photo.width, box.width / photo.width]; }"""
    )
    assert shown == pytest.approx([50 / 400, 100 / 400], abs=0.005)
    rows = page.locator(".face").first.locator("tr").all_inner_texts()
    assert [row.split()[0] for row in rows] == ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    assert sum(int(row.split()[-1].rstrip("%")) for row in rows) == pytest.approx(100, abs=4)
    said = page.locator("#status").inner_text()
    assert said.startswith("2 faces. Face 1: ")
    assert "Face 2: " in said
    own = [asked for asked in page.requests if not asked.startswith("blob:")]
    assert all(asked.startswith(url) for asked in own)
    assert page.complaints == []


def test_it_says_when_it_is_unsure(browser: Any, network: Network, photo: Path) -> None:
    never_sure = create_app(replace(network, threshold=1.1), TwoFaces)
    with serving(never_sure) as url, opened(browser, url) as page:
        page.set_input_files("#files", photo)
        page.wait_for_selector(".face.unsure")
        assert page.locator(".said").all_inner_texts() == ["unsure", "unsure"]
        assert "too little to say so" in page.locator(".why").first.inner_text()
        assert page.locator(".box.unsure").count() == 2
        assert re.search(
            r"Face 1: unsure, (\w+, )*\w+ or \w+", page.locator("#status").inner_text()
        )  # what is left open


def test_no_face_gets_advice_and_another_try(page: Any, tmp_path: Path) -> None:
    Image.new("RGB", (120, 90), "teal").save(tmp_path / "small.png")
    page.set_input_files("#files", tmp_path / "small.png")
    page.wait_for_selector(".advice")
    assert page.locator(".answer h2").inner_text() == "No face found"
    assert "Faces are found when they look towards the camera" in page.locator(".advice").inner_text()
    page.get_by_role("button", name="Read the whole picture as one face").click()
    page.wait_for_selector(".face")
    assert page.locator(".answer h2").inner_text() == "1 face"


def test_a_model_of_other_things_speaks_of_pictures(browser: Any, network: Network, photo: Path) -> None:
    animals = replace(network, labels=tuple(f"animal {number}" for number in range(len(network.labels))))
    with serving(create_app(animals, TwoFaces)) as url, opened(browser, url) as page:
        assert page.locator("h1").inner_text() == "What does this picture seem to show?"
        page.set_input_files("#files", photo)
        page.wait_for_selector(".face")
        assert page.locator(".answer h2").inner_text() == "1 picture"
        assert "Picture 1" in page.locator("#status").inner_text()


def test_bad_files_are_explained_and_the_good_one_is_read(page: Any, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "large.jpg").write_bytes(bytes(2_000_001))
    page.set_input_files("#files", [tmp_path / "text.jpg", photo, tmp_path / "large.jpg"])
    until(page, "document.querySelectorAll('.answer').length === 3 && !document.querySelector('.reading')")
    assert page.locator(".answer h2").all_inner_texts() == ["This did not work", "2 faces", "This did not work"]
    bad = page.locator(".advice.bad").all_inner_texts()
    assert "no picture that can be read. Send JPEG, PNG" in bad[0]
    assert "text.jpg" in bad[0]
    assert "larger than 2 MB. Make the picture smaller." in bad[1]


def test_photos_are_pasted_and_dropped(page: Any, photo: Path) -> None:
    content = list(photo.read_bytes())
    for kind, holder in (("paste", "clipboardData"), ("drop", "dataTransfer")):
        page.evaluate(
            """([content, kind, holder]) => {
              const data = new DataTransfer();
              data.items.add(new File([new Uint8Array(content)], "photo.png", {type: "image/png"}));
              const Kind = kind === "paste" ? ClipboardEvent : DragEvent;
              document.body.dispatchEvent(new Kind(kind, {[holder]: data, bubbles: true, cancelable: true}));
            }""",
            [content, kind, holder],
        )
    until(page, "document.querySelectorAll('.face').length === 4")


def test_the_camera_runs_with_boxes_over_it_and_stops(page: Any, url: str) -> None:
    page.context.grant_permissions(["camera"], origin=url.rstrip("/"))
    page.get_by_role("button", name="Use the camera").click()
    page.wait_for_selector("#seen .face")
    drawn = """() => { const canvas = document.getElementById("overlay");
      if (!canvas.width || !canvas.height) return 0;
      const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      return data.filter((value, index) => index % 4 === 3 && value > 0).length; }"""
    until(page, f"({drawn})() > 1000")
    assert page.locator("#seen .face").count() == 2
    assert page.locator("#status").inner_text()
    assert page.evaluate("document.activeElement.id") == "stop"
    page.keyboard.press("Enter")
    assert page.locator("#live").is_hidden()
    assert page.locator("#seen .face").count() == 0
    assert page.evaluate("document.getElementById('video').srcObject") is None
    asked = len(page.requests)
    time.sleep(1)
    assert len(page.requests) <= asked + 1  # at most the frame that was on its way


def test_a_camera_that_is_not_allowed(browser: Any, url: str) -> None:
    with opened(browser, url) as page:
        page.evaluate(
            """() => { navigator.mediaDevices.getUserMedia =
            async () => { throw new DOMException("no", "NotAllowedError"); }; }"""
        )
        page.get_by_role("button", name="Use the camera").click()
        page.wait_for_selector("#trouble:not([hidden])")
        assert "The browser did not allow the camera" in page.get_by_role("alert").inner_text()
        assert page.get_by_role("button", name="Use the camera").is_enabled()


@pytest.mark.parametrize("how", ["called off", "a picture that does not start"])
def test_a_camera_that_does_not_start_is_let_go(page: Any, how: str) -> None:
    """The person stops it while the browser still asks, or the browser does not play it: no camera may go on unseen."""
    page.evaluate(
        """how => {
          const canvas = document.createElement("canvas");
          canvas.getContext("2d");
          window.stream = canvas.captureStream();
          const asked = new Promise(resolve => (window.allow = () => resolve(window.stream)));
          navigator.mediaDevices.getUserMedia = () => { window.asking = true; return asked; };
          if (how !== "called off") HTMLMediaElement.prototype.play = async () => { throw new Error("no picture"); };
        }""",
        how,
    )
    page.get_by_role("button", name="Use the camera").click()
    until(page, "window.asking === true")
    if how == "called off":
        page.get_by_role("button", name="Stop the camera").click()
    page.evaluate("window.allow()")
    until(page, "window.stream.getTracks().every(track => track.readyState === 'ended')")
    until(page, "!document.getElementById('camera').disabled")
    assert page.locator("#live").is_hidden()
    assert page.evaluate("document.getElementById('video').srcObject") is None
    assert page.locator("#trouble").is_hidden() == (how == "called off")


def test_it_works_by_keyboard(page: Any, photo: Path) -> None:
    order = []
    for _ in range(3):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert order == ["Skip to photo and camera", "Choose photos", "Use the camera"]
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Shift+Tab")
    choosers = listened_for_choosers(page)
    for _ in range(6):  # on a busy machine the page may be held up for too long: see the next test
        page.keyboard.press("Enter")
        if came(page, choosers, seconds=10):
            break
    choosers[0].set_files(photo)
    page.wait_for_selector(".face")
    page.get_by_role("button", name="Remove photo.png").press("Enter")
    assert page.locator(".answer").count() == 0
    assert page.evaluate("document.activeElement.id") == "choose"


def test_a_key_that_comes_too_late_is_not_passed_over_in_silence(page: Any) -> None:
    """Five seconds after a key or click, Chromium lets a page open no file chooser any more."""
    page.evaluate(
        """() => document.addEventListener("keydown", () => { const start = performance.now();
        while (performance.now() - start < 6000); }, {capture: true, once: true})"""
    )
    choosers = listened_for_choosers(page)
    page.locator("#choose").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#trouble:not([hidden])")
    assert "Press “Choose photos” again" in page.get_by_role("alert").inner_text()
    assert choosers == []
    for _ in range(6):
        page.keyboard.press("Enter")
        if came(page, choosers, seconds=10):
            break
    assert choosers
    assert page.locator("#trouble").is_hidden()


def listened_for_choosers(page: Any) -> list[Any]:
    """The file choosers that the page opens from now on; none is shown."""
    choosers: list[Any] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    return choosers


def came(page: Any, found: list[Any], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not found and time.monotonic() < end:
        page.wait_for_timeout(100)
    return bool(found)


def test_everything_has_a_name(page: Any, photo: Path) -> None:
    page.set_input_files("#files", photo)
    page.wait_for_selector(".face")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a, img, input, video, table, section")].filter(found =>
        !(found.textContent.trim() || found.alt || found.getAttribute("aria-label") || found.labels?.length))
        .map(found => found.outerHTML)"""
    )
    assert nameless == []
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.locator("[role=status]").count() == page.locator("[role=alert]").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_and_can_be_read(page: Any, photo: Path, width: int, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 844})
    page.set_input_files("#files", photo)
    page.wait_for_selector(".face")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    seen, unreadable = page.evaluate(UNREADABLE)
    assert seen > 40
    on_the_photo = ('SPAN "1 ', 'SPAN "2 ')  # their own dark background lets a little through
    assert [found for found in unreadable if not found.startswith(on_the_photo)] == []


def test_its_colours_are_those_of_the_reports() -> None:
    css = (PAGE / "colours.css").read_text(encoding="utf-8")
    light, dark = css.split("@media (prefers-color-scheme: dark)")[:2]
    for text, colours in ((light, LIGHT), (dark, DARK)):
        own = [line.strip() for part in text.split("}")[0].split("\n") for line in part.split(";")]
        found = dict(pair.strip().removeprefix("--").split(": ") for pair in own if pair.startswith("--"))
        assert len(found) >= 10
        assert {name: colours[name] for name in found} == found


@pytest.mark.skipif(not MEDIA.is_dir(), reason="MIEN_TEST_DATA has no media/")
def test_real_photos(browser: Any, url_with_real_detector: str) -> None:
    with opened(browser, url_with_real_detector) as page:
        page.set_input_files("#files", [MEDIA / "two_people.jpg", MEDIA / "no-faces.jpg"])
        until(page, "document.querySelectorAll('.answer').length === 2 && !document.querySelector('.reading')")
        assert page.locator(".answer h2").all_inner_texts() == ["2 faces", "No face found"]
        assert page.complaints == []
