"""Every picture of README and docs, made again from runs. Needs Chromium and the train, serve and test extras.

Command   mien quickstart && mien run fer2013_vit_best --data.path FER2013 && mien run fer2013_lenet --data.path FER2013
          python docs/screenshots.py --quickstart runs --vit runs/fer2013_vit_best-… --cnn runs/fer2013_lenet-…
Time      under a minute.

The photo is NASA's portrait of Eileen Collins (S93-42345, public domain); all other faces are drawn.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from PIL import Image
from playwright.sync_api import sync_playwright

from mien.data.sources import drawn_faces

PICTURES = Path(__file__).parent / "pictures"
PHOTO = PICTURES / "astronaut.jpg"
SERVER = "http://127.0.0.1:8765/"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quickstart", type=Path, required=True, help="the folder that `mien quickstart` wrote to")
    parser.add_argument("--vit", type=Path, required=True, help="a ViT's run on FER2013")
    parser.add_argument("--cnn", type=Path, required=True, help="a CNN's run on FER2013")
    given = parser.parse_args()
    with TemporaryDirectory() as scratch, chromium() as browser:
        comparison = newest(given.quickstart, "quickstart-*.html")
        whole(browser, comparison.absolute().as_uri(), "comparison", height=932)
        report = newest(given.quickstart, "quickstart-vit-*") / "report.html"
        whole(browser, report.absolute().as_uri(), "report", height=1330)
        explained = explanation(given.vit, Path(scratch) / "vit")
        part(browser, explained, "#walk > .columns", "explain-walk")
        part(browser, explanation("mien:vit", Path(scratch) / "shipped"), "#why > .columns", "explain-why", columns=4)
        part(browser, explained, "#attention .card:has(.heads) >> nth=0", "explain-attention")
        part(browser, explained, "#positions > .columns", "explain-positions")
        part(browser, explanation(given.cnn, Path(scratch) / "cnn"), "#features", "explain-features")
        mien("predict", PHOTO, "--draw", scratch)
        save((Path(scratch) / f"{PHOTO.name}.png").read_bytes(), "predict")
        served(browser)
        reviewed(browser, Path(scratch))


def explanation(run: Path | str, folder: Path) -> str:
    """Address of the page on how a run, or what comes with mien, reads the photo."""
    mien("explain", run, PHOTO, "--out", folder)
    return (folder / f"{PHOTO.stem}.html").as_uri()


def whole(browser: Any, address: str, name: str, width: int = 1180, height: int = 800) -> None:
    """What a window of this size shows of the page."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(address)
    save(page.screenshot(), name)
    page.close()


def part(browser: Any, address: str, selector: str, name: str, columns: int = 0) -> None:
    """One element of the page, its cards in so many columns."""
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.goto(address)
    if columns:
        page.add_style_tag(content=f"{selector} {{ grid-template-columns: repeat({columns}, 1fr) }}")
    save(page.locator(selector).screenshot(), name)
    page.close()


def served(browser: Any) -> None:
    """The page of `mien serve` after a photo was dropped on it."""
    server = subprocess.Popen([sys.executable, "-m", "mien", "serve", "--port", "8765"], stderr=subprocess.DEVNULL)
    try:
        wait_for(SERVER + "healthz")
        page = browser.new_page(viewport={"width": 1000, "height": 1210})
        page.goto(SERVER)
        page.set_input_files("#files", PHOTO)
        page.wait_for_selector(".face")
        save(page.screenshot(), "serve")
        page.close()
    finally:
        server.terminate()
        server.wait()


def reviewed(browser: Any, folder: Path) -> None:
    """A suspect of `mien data review`, of drawn faces some of which lie in the folder of another class."""
    faces = drawn_faces.read(420, 48, seed=0)
    for number in range(420):
        label = faces.classes[(faces.labels[number] + (number % 40 == 7)) % 7]
        path = folder / "faces" / label / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        faces.read(number).save(path)
    command = [sys.executable, "-m", "mien", "data", "review", "faces", "--port", "8765"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=folder)
    try:
        wait_for(SERVER, seconds=300)  # features of every picture come first
        page = browser.new_page(viewport={"width": 1160, "height": 1000})
        page.goto(SERVER)
        page.wait_for_selector("#picture")
        for number in range(3):
            page.keyboard.press("s")
            page.locator("#count", has_text=f"{number + 1} of").wait_for()
        page.wait_for_load_state("networkidle")
        save(page.screenshot(), "review")
        page.close()
    finally:
        server.terminate()
        server.wait()


def save(png: bytes, name: str) -> None:
    """In 256 colours, a third of the bytes."""
    Image.open(BytesIO(png)).convert("RGB").quantize(256).save(PICTURES / f"{name}.png", optimize=True)


def wait_for(address: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            urlopen(address).close()
            return
        except URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def mien(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "mien", *map(str, arguments)], check=True)


def newest(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        sys.exit(f"{folder} holds no {pattern}: run `mien quickstart` there first.")
    return found[-1]


@contextmanager
def chromium() -> Iterator[Any]:
    with sync_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


if __name__ == "__main__":
    main()
