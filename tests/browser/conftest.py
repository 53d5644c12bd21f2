"""Chromium, for the pages as a person sees them; one for the tests of a file.

Playwright keeps an event loop running until the browser ends, beside which other tests find no `asyncio.run`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

ASTRONAUT = Path(__file__).parents[2] / "docs" / "pictures" / "astronaut.jpg"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium whose camera shows a still face. Tests are skipped where it or playwright is not installed."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (looked for chromium, google-chrome)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    film = tmp_path_factory.mktemp("camera") / "camera.y4m"
    picture = cv2.imread(str(ASTRONAUT))[30:210, 60:380]
    frame = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).tobytes()
    film.write_bytes(b"YUV4MPEG2 W320 H180 F10:1 Ip A1:1 C420jpeg\n" + (b"FRAME\n" + frame) * 3)
    camera = ["--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={film}"]
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *camera])
        yield started
        started.close()
