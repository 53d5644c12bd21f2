"""The page on which a person gives photos and turns the camera on.

What answers it is one module, api.js, of those who show the page: `mien serve` asks its server, a web folder runs the
network in the browser.
"""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parent
ICON, COLOURS = PAGE / "icon.svg", PAGE / "colours.css"  # which the page of a review has too
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def page_files(own: Path) -> dict[str, bytes]:
    """The page's files by name, with those of the folder `own`, among them its api.js."""
    found = [*PAGE.iterdir(), *own.iterdir()]
    return {file.name: file.read_bytes() for file in sorted(found) if file.suffix in KINDS}
