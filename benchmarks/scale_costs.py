"""What a billion faces and 10,000 requests a second take, computed from what was measured and a few prices.

Reads results/scale.json, scale_dispatch.json and serve_workers.json; prints the tables of docs/understanding/scale.md,
which a test compares with this. Nothing here was run at that size: more than two workers are a model.

    python benchmarks/scale_costs.py [--write]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent.parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "understanding" / "scale.md"
FACES, REQUESTS = 1e9, 10_000
PART = 2048  # crops
# Taken from price lists of 2026 in round figures, in US dollars; put your own here.
CORE_HOUR, GIGABYTE_MONTH, MILLION_READS, MILLION_WRITES = 0.04, 0.023, 0.40, 5.00
READS, WRITES = 6, 8  # requests to the store for a part: footer and data; a mark, the file, their renaming and listing
NETWORK = 12.5e9  # bytes a second that a store gives to one job: 100 Gbit/s
USED = 0.7  # how much of its cores a service uses, to have room for peaks
MONTH = 730  # hours


def recorded(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def rate(workers: int, scale: dict[str, Any], dispatch: dict[str, Any]) -> tuple[float, str]:
    """Faces a second of as many workers, and what bounds them: the workers, the one driver, or the network."""
    one = median(scale["faces_per_processor_second"]["1"])
    kept = min(1.0, median(scale["speed_kept_beside_another"])) if workers > 1 else 1.0
    bounds = {
        "cores": workers * one * kept,
        "Ray's driver": PART / dispatch["processor_seconds_of_the_driver_a_part"],
        "network": NETWORK / scale["bytes_a_crop"],
    }
    bound = min(bounds, key=lambda name: bounds[name])
    return bounds[bound], bound


def faces(scale: dict[str, Any], dispatch: dict[str, Any]) -> list[str]:
    lines = [
        "| workers, one core each | faces a second | hours | core-hours | cores cost | bound by |",
        "|---|---|---|---|---|---|",
    ]
    for workers in (1, 2, 100, 1_000, 10_000):
        speed, bound = rate(workers, scale, dispatch)
        hours = FACES / speed / 3600
        cost = hours * workers * CORE_HOUR
        lines.append(f"| {workers:,} | {speed:,.0f} | {hours:,.1f} | {hours * workers:,.0f} | ${cost:,.0f} | {bound} |")
    parts = FACES / PART
    stored = FACES * (scale["bytes_a_crop"] + scale["bytes_a_row"]) / 1e9
    store = parts * (READS * MILLION_READS + WRITES * MILLION_WRITES) / 1e6
    return [
        *lines,
        "",
        "| besides | |",
        "|---|---|",
        f"| parts of {PART:,} crops | {parts:,.0f} |",
        f"| read | {FACES * scale['bytes_a_crop'] / 1e12:.2f} TB ({scale['bytes_a_crop']:,} bytes a crop) |",
        f"| written | {FACES * scale['bytes_a_row'] / 1e12:.2f} TB ({scale['bytes_a_row']:,} bytes a row) |",
        f"| requests to the store | {parts * (READS + WRITES) / 1e6:.1f} million, ${store:,.0f} |",
        f"| storage of both | ${stored * GIGABYTE_MONTH:,.0f} a month |",
        f"| memory of a worker | {scale['peak_memory_of_a_worker'] / 1e9:.2f} GB |",
    ]


def requests(serve: dict[str, Any]) -> list[str]:
    lines = ["| a request holds | a second of a core | cores | a month | memory |", "|---|---|---|---|---|"]
    for name, found in serve["loads"].items():
        each = 1000 / found["processor_ms_a_request"]
        cores = REQUESTS / each / USED
        memory = found["memory_of_all_mb"] / serve["cores"] * cores / 1e6
        lines.append(f"| {name} | {each:.1f} | {cores:,.0f} | ${cores * CORE_HOUR * MONTH:,.0f} | {memory:,.2f} TB |")
    return lines


def tables() -> str:
    """The computed part of the page."""
    scale, dispatch, serve = recorded("scale"), recorded("scale_dispatch"), recorded("serve_workers")
    measured = [
        "| measured | |",
        "|---|---|",
        f"| crops, network | {scale['crops']:,} of 48 x 48 pixels, `{scale['model']}` |",
        f"| plain reader, faces a second of processor time | {scale['faces_per_core_second_plain']:,} |",
        *(
            f"| {shown} | {'; '.join(f'{each:,}' for each in values)} |"
            for shown, values in {
                "one worker of Ray, faces a second of processor time": scale["faces_per_processor_second"]["1"],
                "each of two workers at once": scale["faces_per_processor_second"]["2"],
                "speed that a worker keeps beside another, in pairs": scale["speed_kept_beside_another"],
                "one worker, faces a second by the clock": scale["faces_per_second"]["1"],
                "two workers by the clock": scale["faces_per_second"]["2"],
                "two to one by the clock, in pairs": scale["two_workers_to_one"],
            }.items()
        ),
        f"| a part besides its pictures | {1000 * scale['processor_seconds_a_part']:.0f} ms of a worker's processor, "
        f"{_rounds(scale)} |",
        f"| handing out a part | {1000 * dispatch['seconds_a_part']:.1f} ms, of these "
        f"{1000 * dispatch['processor_seconds_of_the_driver_a_part']:.1f} ms of the driver's processor |",
        f"| starting Ray | {scale['seconds_to_start_ray']:.0f} s |",
        f"| a killed worker | table complete: {_yes(scale['killed_worker']['complete'])} |",
        f"| a killed driver | {scale['killed_driver']['parts_held']} parts kept, "
        f"table complete: {_yes(scale['killed_driver']['complete'])} |",
    ]
    return "\n".join([*measured, "", *faces(scale, dispatch), "", *requests(serve)])


def _rounds(scale: dict[str, Any]) -> str:
    """What each round said of the cost of a part."""
    return "in rounds " + "; ".join(f"{1000 * each:.1f}" for each in scale["processor_seconds_a_part_by_round"])


def write() -> None:
    """Put the tables in their place on the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, mark, rest = page.partition("<!-- computed by benchmarks/scale_costs.py -->\n")
    _, end, after = rest.partition("<!-- end -->")
    PAGE.write_text(f"{before}{mark}\n{tables()}\n\n{end}{after}", encoding="utf-8")


def _yes(value: bool) -> str:
    return "yes" if value else "no"


if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
    print(tables())
