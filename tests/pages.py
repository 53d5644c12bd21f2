"""Pages opened in a browser, with all that they ask for and complain of, and what of their text cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Every element with text of its own, whose colour has too little contrast with what lies behind it. Colours are
# drawn on a canvas, which understands every way a browser may write them.
UNREADABLE = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const found = rgba(getComputedStyle(element).backgroundColor);
      if (found[3] === 255) return found;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  let seen = 0;
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility()) continue;
    seen += 1;
    const style = getComputedStyle(element);
    const pair = [light(rgba(element.closest("svg") ? style.fill : style.color)), light(behind(element))];
    const contrast = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (contrast < 4.45) found.push(`${element.tagName} "${element.textContent.trim().slice(0, 30)}" ${contrast}`);
  }
  return [seen, found];
}
"""


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
