"""The page of `mien export --web` in headless Chromium: how soon it answers, and how far its answers are from Python's.

For each network, in a browser without anything cached, served by http.server: seconds from opening the page to the
first answer, and the processor time of all of Chromium's processes meanwhile; the same on the second visit; the time
that a later photo takes. Then 50 faces of FER2013's validation split as PNG, and photos as they are, in the browser and
by `mien predict`: the largest difference of a probability, and of a box in pixels. JPEG is decoded by each in its own
way. Sizes of files are those that travel. Where others use the machine, --quiet waits before each opening until they
leave it a second alone, for so many seconds at most; `busy` is the share of the processors that they took then.

Command   python benchmarks/web_page.py FACES PHOTO [PHOTO ...] [--opens 5] [--quiet 120] [--json result.json]
          FACES is a folder of cut-out faces. Linux, Chromium and playwright.
Time      two minutes on two cores.
Expected  at most 3 seconds with mien:tiny, 1e-4 for PNG: results/web_page.json
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import shutil
import statistics
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

import mien
from mien.hardware import commit, hardware

MODELS = ("mien:tiny", "mien:base")
READ = """async ([content, detect]) => {
  const { predict } = await import("./api.js");
  const picture = new Blob([Uint8Array.from(atob(content), sign => sign.charCodeAt(0))]);
  const start = performance.now();
  return { ...await predict(picture, { detect }), milliseconds: performance.now() - start };
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def processor_seconds() -> float:
    """Of all processes that this one has started, and theirs."""
    rows = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        rows[int(folder.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    found, ours = 0, {os.getpid()}
    for pid in sorted(rows):
        parent, ticks = rows[pid]
        if parent in ours:
            ours.add(pid)
            found += ticks
    return found / os.sysconf("SC_CLK_TCK")


def await_quiet(most: float) -> float:
    """Wait until the processors are idle for a second; returns the share of their time that was taken in the last."""
    end = time.monotonic() + most
    while True:
        before = processor_times()
        time.sleep(1)
        busy, idle = (after - earlier for after, earlier in zip(processor_times(), before, strict=True))
        share = busy / max(1, busy + idle)
        if share < 0.1 or time.monotonic() > end:
            return share


def processor_times() -> tuple[int, int]:
    """Ticks of all processors: busy and idle."""
    ticks = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    return sum(ticks) - ticks[3] - ticks[4], ticks[3] + ticks[4]


def first_answer(page: Page, url: str, photo: Path) -> tuple[float, float]:
    """Wall and processor seconds from opening the page until a face stands on it."""
    start, used = time.perf_counter(), processor_seconds()
    page.goto(url)
    page.set_input_files("#files", photo)
    page.wait_for_selector(".face")
    return time.perf_counter() - start, processor_seconds() - used


def opening(browser: Browser, url: str, photo: Path, opens: int, quiet: float) -> dict[str, Any]:
    """Medians and extremes of cold opens, of second visits, and of later photos."""
    cold, warm, later, busy = [], [], [], []
    for _ in range(opens):
        busy.append(await_quiet(quiet))
        context = browser.new_context()
        page = context.new_page()
        cold.append(first_answer(page, url, photo))
        page.evaluate("async () => { await navigator.serviceWorker.ready; }")
        warm.append(first_answer(page, url, photo))
        later += [read(page, photo.read_bytes(), None)["milliseconds"] for _ in range(5)]
        context.close()
    return {
        "busy": spread(busy),
        "first visit, seconds": spread([wall for wall, _ in cold]),
        "first visit, processor seconds": spread([used for _, used in cold]),
        "second visit, seconds": spread([wall for wall, _ in warm]),
        "a later photo, milliseconds": spread(later),
    }


def spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 2),
        "least": round(min(values), 2),
        "most": round(max(values), 2),
    }


def read(page: Page, content: bytes, detect: bool | None) -> dict[str, Any]:
    return page.evaluate(READ, [base64.b64encode(content).decode(), detect])


def difference(page: Page, reader: mien.Reader, contents: list[bytes], detect: bool | None) -> dict[str, Any]:
    """Of the browser's answers from Python's, over all faces of all pictures."""
    shares, boxes, labels, counts, faces = [0.0], [0], 0, 0, 0
    for content in contents:
        found, wanted = read(page, content, detect)["faces"], reader.read(content, detect=detect)
        counts += len(found) != len(wanted)
        for one, own in zip(found, wanted, strict=False):
            faces += 1
            shares.append(max(abs(one["probabilities"][name] - value) for name, value in own.probabilities.items()))
            boxes.append(int(np.abs(np.array(one["box"]) - own.box).max()))
            labels += one["most_probable"] != own.label
    return {
        "pictures": len(contents),
        "faces": faces,
        "pictures with another number of faces": counts,
        "largest difference of a probability": float(f"{max(shares):.2g}"),
        "largest difference of a box, pixels": max(boxes),
        "other most probable class": labels,
    }


def encoded(picture: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def pictures(folder: Path, photos: list[Path]) -> dict[str, tuple[list[bytes], bool | None]]:
    """By name: contents, and whether faces are looked for."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    faces = [Image.open(path) for path in files[:: max(1, len(files) // 50)][:50]]
    large = [Image.open(path).convert("RGB") for path in photos]
    return {
        "faces, PNG": ([encoded(face, "PNG") for face in faces], False),
        "faces, JPEG": ([encoded(face.convert("RGB"), "JPEG") for face in faces], False),
        "photos, PNG": ([encoded(photo, "PNG") for photo in large], None),
        "photos, JPEG": ([path.read_bytes() for path in photos], None),
    }


def measured(browser: Browser, model: str, options: argparse.Namespace, place: Path) -> dict[str, Any]:
    page_folder = mien.export(model, web=place)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(place)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    times = opening(browser, url, options.photos[0], options.opens, options.quiet)
    page = browser.new_page()
    page.goto(url)
    reader = mien.load(model, threads=1)
    differences = {
        name: difference(page, reader, contents, detect)
        for name, (contents, detect) in pictures(options.faces, options.photos).items()
    }
    server.shutdown()
    return {"bytes": page_folder.size, "files": page_folder.files, **times, "differences": differences}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--opens", type=int, default=5)
    parser.add_argument("--quiet", type=float, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {"hardware": hardware(), "commit": commit(), "load": round(os.getloadavg()[0], 1)}
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        found |= {"browser": f"Chromium {browser.version}", "opens": options.opens}
        for model in MODELS:
            found[model] = measured(browser, model, options, Path(scratch) / model.replace(":", "-"))
        browser.close()
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
