"""A running `mien serve` under many clients: requests/s, latencies, errors and the growth of its memory.

Each client keeps one connection and sends the next request when it has the answer. The first tenth of the time warms up
and is not counted. Memory is the resident size of the process --pid (Linux), after the warm-up and at the end; at the
end also that of it and all that it started. The server's own count of answers, /metrics, is set beside that of the
clients, who must be the only ones since its start. Processor time is the server's: other work disturbs it least.

    mien serve --model model.onnx & python benchmarks/serve_load.py http://127.0.0.1:8000 PHOTO --pid $! \\
        [--clients 64] [--seconds 60] [--no-detect]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections import Counter
from pathlib import Path

import httpx


class Tally:
    """What all clients saw, from the moment that counting starts."""

    def __init__(self) -> None:
        self.counting = False
        self.seconds: list[float] = []
        self.errors: Counter[str] = Counter()
        self.answers = 0  # of status 200, with those of the warm-up

    def add(self, seconds: float, error: str | None) -> None:
        if error is not None:
            self.errors[error] += 1
            return
        self.answers += 1
        if self.counting:
            self.seconds.append(seconds)


async def client(options: argparse.Namespace, content: bytes, tally: Tally, end: float) -> None:
    async with httpx.AsyncClient(base_url=options.url, timeout=60) as http:
        while time.perf_counter() < end:
            start = time.perf_counter()
            error = None
            try:
                answer = await http.post(
                    "/v1/predict", files={"file": content}, data={"detect": str(not options.no_detect)}
                )
                if answer.status_code != 200:
                    error = f"{answer.status_code} {answer.text[:100]}"
            except httpx.HTTPError as failure:
                error = type(failure).__name__
            tally.add(time.perf_counter() - start, error)


def resident(pid: int | None) -> float | None:
    """Resident memory of a process, MB."""
    if pid is None:
        return None
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1000


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def processor(pid: int | None) -> float:
    """Seconds of processor time that a process and all that it started have taken."""
    ticks = 0
    for each in family(pid) if pid else ():
        ticks += sum(map(int, Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def told(url: str) -> float:
    """Answers of status 200 to /v1/predict, as the server has counted them."""
    text = httpx.get(f"{url}/metrics", timeout=60).text
    start = 'mien_requests_total{path="/v1/predict",status="200"} '
    return next(float(line.removeprefix(start)) for line in text.splitlines() if line.startswith(start))


async def load(options: argparse.Namespace) -> dict[str, object]:
    content, tally = options.photo.read_bytes(), Tally()
    warm_up = options.seconds / 10
    start = time.perf_counter()
    clients = [
        asyncio.create_task(client(options, content, tally, start + options.seconds)) for _ in range(options.clients)
    ]
    await asyncio.sleep(warm_up)
    tally.counting, before, used = True, resident(options.pid), processor(options.pid)
    await asyncio.gather(*clients)
    counted, after = time.perf_counter() - start - warm_up, resident(options.pid)
    found = sorted(tally.seconds) or [float("nan")]
    return {
        "clients": options.clients,
        "seconds": round(counted, 1),
        "requests": len(tally.seconds),
        "requests_per_second": round(len(tally.seconds) / counted, 2),
        "p50_ms": round(1000 * statistics.median(found), 1),
        "p99_ms": round(1000 * found[min(len(found) - 1, int(0.99 * len(found)))], 1),
        "errors": dict(tally.errors),
        "answers": {"of_the_clients": tally.answers, "of_the_server": told(options.url)},
        "processor_ms_a_request": options.pid and round(1000 * (processor(options.pid) - used) / len(found), 1),
        "memory_mb": after,
        "memory_of_all_mb": options.pid and round(sum(resident(each) or 0 for each in family(options.pid)), 1),
        "memory_growth_mb": None if before is None or after is None else round(after - before, 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("photo", type=Path)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pid", type=int)
    parser.add_argument("--no-detect", action="store_true")
    print(json.dumps(asyncio.run(load(parser.parse_args()))))
