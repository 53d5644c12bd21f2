"""Chromium, for the pages as a person sees them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="session")
def chromium() -> Callable[..., Any]:
    """Starts a browser with flags, as a context manager. Tests are skipped where it or playwright is not installed."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (looked for chromium, google-chrome)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

    @contextmanager
    def start(*flags: str) -> Iterator[Any]:
        with sync_api.sync_playwright() as playwright:
            started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *flags])
            yield started
            started.close()

    return start


@pytest.fixture(scope="module")
def browser(chromium: Callable[..., Any]) -> Iterator[Any]:
    with chromium() as started:
        yield started
