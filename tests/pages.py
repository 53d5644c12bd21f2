"""Pages opened in a browser, with all that they ask for and complain of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def opened(browser: Any, url: str) -> Iterator[Any]:
    """The page, once it has said which model answers, or why none does; its `requests`, `complaints` are kept."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.requests, page.complaints = [], []
    context.on("request", lambda asked: page.requests.append(asked.url))  # a worker's too
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(url)
    page.wait_for_selector("#facts dd, #trouble:not([hidden])")
    yield page
    context.close()
