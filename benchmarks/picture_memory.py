"""Memory that the largest picture of `mien serve` takes, 40 megapixels, in `mien predict` and in a server.

Draws one PNG of each kind (grey, colour, colour with transparency, 16 bits) and writes the peaks of resident memory
to results/picture_memory.json, MB: of `mien predict`, of the process of the server that reads it, and of the whole
server (sampled every 20 ms). Linux only.

    python benchmarks/picture_memory.py [--model mien:tiny]
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
WIDTH, HEIGHT = 8000, 5000
PREDICT = """
import resource, sys
from mien.cli import main
assert main(["predict", *sys.argv[1:]]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def pictures(folder: Path) -> Iterator[Path]:
    small = np.random.default_rng(0).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 4), dtype=np.uint8)
    coloured = Image.fromarray(small.repeat(8, 0).repeat(8, 1))
    for mode in ("L", "RGB", "RGBA"):
        yield saved(coloured.convert(mode), folder / f"{mode}.png")
    yield saved(Image.fromarray(np.asarray(coloured.convert("L")).astype(np.uint16) * 257), folder / "16 bits.png")


def saved(picture: Image.Image, path: Path) -> Path:
    picture.save(path, compress_level=1)
    return path


def of_predict(path: Path, model: str) -> int:
    command = [sys.executable, "-c", PREDICT, str(path), "--model", model]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return int(told.splitlines()[-1]) // 1024


@contextmanager
def server(model: str) -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-m", "mien", "serve", "--port", "0", "--model", model]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.terminate()
        process.wait()


def of_server(url: str, pid: int, path: Path) -> tuple[int, int]:
    """The most that one process of the server, and that all of them, took meanwhile."""
    done = threading.Event()
    one, together = [0], [0]

    def watch() -> None:
        while not done.wait(0.02):
            now = list(resident(pid))
            one[0], together[0] = max(one[0], *now[1:], 0), max(together[0], sum(now))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        request = urllib.request.Request(f"{url}v1/predict", path.read_bytes(), {"Content-Type": "image/png"})
        urllib.request.urlopen(request).read()
    finally:
        done.set()
        watching.join()
    return one[0], together[0]


def resident(pid: int) -> Iterator[int]:
    """Resident memory of a process and of those that it started, MB."""
    with suppress(OSError, AttributeError):
        yield int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) // 1024  # type: ignore[index]
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from resident(int(child))


def measured(model: str) -> dict[str, dict[str, int]]:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for path in pictures(Path(folder)):
            with server(model) as (url, pid):
                one, together = of_server(url, pid, path)
            found[path.stem] = {"predict": of_predict(path, model), "server_process": one, "server": together}
            print(path.stem, found[path.stem], flush=True)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mien:tiny")
    given = parser.parse_args()
    about = {"model": given.model, "pixels": WIDTH * HEIGHT, "peak_mb": measured(given.model)}
    (ROOT / "results" / "picture_memory.json").write_text(json.dumps(about, indent=1) + "\n")
