"""What `mien explain` of one photo costs: seconds by the clock and of the processor, and the page's size.

The command as a user gives it, all methods and their tests, in a process of its own; three times, in the order of the
rounds. The processor's seconds are those of all threads, the start of Python and torch included.

Command   python benchmarks/explain_page.py RUN [--photo docs/pictures/astronaut.jpg] [--rounds 3] [--json result.json]
Time      a minute and a half for a ViT of 48 pixels on two cores.
Expected  under 20 seconds by the clock on two idle cores, under 6 MB: results/explain_page.json
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mien.hardware import hardware
from mien.runs import read_recipe

PHOTO = Path(__file__).parent.parent / "docs" / "pictures" / "astronaut.jpg"


def processor_seconds() -> float:
    """Of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def explain(run: Path, photo: Path) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mien", "explain", str(run), str(photo), "--out", folder]
        before, start = processor_seconds(), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - start
        page = Path(folder) / f"{photo.stem}.html"
        foreign = re.findall(r"<(?:link|script|img)[^>]+(?:href|src)=\"https?:", page.read_text())
        return {
            "seconds": round(seconds, 1),
            "processor's seconds": round(processor_seconds() - before, 1),
            "bytes": page.stat().st_size,
            "loads from elsewhere": len(foreign),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--photo", type=Path, default=PHOTO)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = {
        "recipe": read_recipe(options.run).name,
        "photo": options.photo.name,
        "hardware": hardware(),
        "rounds": [explain(options.run, options.photo) for _ in range(options.rounds)],
    }
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
