"""Pictures of the quickstart's pages for README and docs. Needs Chromium and the test extra.

mien quickstart && python docs/screenshots.py runs/quickstart-*.html docs/comparison.png
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright


def main(page_file: Path, picture: Path) -> None:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox"]
        )
        page = chromium.new_page(viewport={"width": 1180, "height": 1240})
        page.goto(page_file.absolute().as_uri())
        page.screenshot(path=picture)
        chromium.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
