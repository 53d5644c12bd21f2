"""`mien serve` while it is attacked: latencies of well-behaved clients, memory, and the time that SIGTERM takes.

Starts a server of its own on 127.0.0.1 and measures `--clients` that ask for the faces of a photo, first alone, then
while others send, each again when it was answered or ended: two small JPEGs that take minutes to decode, one body with
millions of empty pictures, one of a million chunks, and `--slow` bodies that never end. Every answer is compared with
the one that was given before. Afterwards memory is measured once more, the attack is begun again and the server is told
to end. Prints a table, and with --json the numbers.

    python benchmarks/serve_attack.py [--photo docs/pictures/astronaut.jpg] [--seconds 30] [--unrecognised]

--unrecognised: without the count of scans, so that the bombs are decoded until their processor time is used up.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import multiprocessing
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

ROOT = Path(__file__).parents[1]
HEAD = "POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {}\r\n"
SERVER = """
import sys
from mien.runtime import Network
from mien.serve import Limits, create_app
from mien.serve.server import address, listen, run
listening = listen("127.0.0.1", 0)
print(address(listening), flush=True)
run(create_app(Network.open(sys.argv[1]), limits=Limits(scans=int(sys.argv[2]))), listening)
"""


def progressive_bomb(side: int = 6000, scans: int = 3000) -> bytes:
    """A small JPEG that takes minutes to decode: progressive, grey, its last scan repeated; each costs a pass over all
    side x side pixels."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 128).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last = content.rindex(b"\xff\xda")
    scan = content[last : content.rindex(b"\xff\xd9")]
    assert not re.search(rb"\xff[^\x00]", scan[2:])  # nothing but the scan
    return content[:last] + scan * scans + b"\xff\xd9"


def empty_pictures(number: int = 6_600_000) -> bytes:
    """JSON of so many empty pictures, about 3 bytes each."""
    return b'{"images":[' + b'"",' * (number - 1) + b'""]}'


def whole(kind: str, body: bytes) -> bytes:
    return f"{HEAD.format(kind)}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


def in_chunks(number: int) -> bytes:
    """A request whose body comes one byte a chunk."""
    return f"{HEAD.format('application/json')}Transfer-Encoding: chunked\r\n\r\n".encode() + b"1\r\n[\r\n" * number


async def again_and_again(host: str, port: int, request: bytes, pause: float, unfinished: bool = False) -> None:
    """Send it until this is cancelled, each time on a connection of its own. unfinished: and then a byte a second."""
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(host, port)
            answer = asyncio.create_task(reader.read())
            try:
                writer.write(request)
                await writer.drain()
                while unfinished and not answer.done():
                    writer.write(b" ")
                    await asyncio.wait({answer}, timeout=1)
                await answer
            finally:
                answer.cancel()
                writer.close()
        await asyncio.sleep(pause)


def attack(host: str, port: int, slow: int, seconds: float, begun: Event) -> None:
    """Everything at once, for so many seconds. begun: set when all of it has been sent once."""
    bomb = whole("image/jpeg", progressive_bomb())
    requests = [(bomb, 1.0, False)] * 2 + [(whole("application/json", empty_pictures()), 1.0, False)]
    requests += [(in_chunks(1_000_000), 1.0, False)]
    requests += [(f"{HEAD.format('image/jpeg')}Content-Length: 1000000\r\n\r\n".encode(), 1.0, True)] * slow

    async def everything() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                asyncio.get_running_loop().call_later(2, begun.set)
                await asyncio.gather(*(again_and_again(host, port, *request) for request in requests))

    asyncio.run(everything())


@contextmanager
def attacked(url: httpx.URL, slow: int, seconds: float) -> Iterator[None]:
    """In a process of its own, so that it does not take the time that clients are measured by."""
    spawn = multiprocessing.get_context("spawn")
    begun = spawn.Event()
    process = spawn.Process(target=attack, args=(url.host, url.port, slow, seconds, begun))
    process.start()
    try:
        begun.wait()
        yield
        if not process.is_alive():
            raise RuntimeError("The attack ended before what it was to disturb.")
    finally:
        process.terminate()
        process.join()


@contextmanager
def server(model: str, scans: int) -> Iterator[tuple[httpx.URL, subprocess.Popen[str]]]:
    command = [sys.executable, "-c", SERVER, model, str(scans)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield httpx.URL(process.stdout.readline().strip()), process
    finally:
        process.kill()
        process.wait()


def resident(pid: int) -> float:
    """Resident memory of a process and its children, MB."""
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6 + sum(resident(int(child)) for child in children)
    return 0.0  # it has just ended


async def clients(url: httpx.URL, photo: bytes, number: int, seconds: float) -> dict[str, Any]:
    """What well-behaved clients see: latencies in ms, and how many answers were wrong or none."""
    took: list[float] = []
    wrong: Counter[str] = Counter()
    end = time.perf_counter() + seconds

    async def one(http: httpx.AsyncClient) -> None:
        while time.perf_counter() < end:
            start = time.perf_counter()
            try:
                answer = await http.post("/v1/predict", files={"file": photo})
                if answer.status_code != 200:
                    wrong[f"{answer.status_code} {answer.text[:100]}"] += 1
                elif _seen(answer) != expected:
                    wrong["another answer"] += 1
            except httpx.HTTPError as failure:
                wrong[type(failure).__name__] += 1
            took.append(1000 * (time.perf_counter() - start))

    async with httpx.AsyncClient(base_url=url, timeout=120, limits=httpx.Limits(max_connections=number + 1)) as http:
        expected = _seen(await http.post("/v1/predict", files={"file": photo}))
        alive = asyncio.create_task(_health(url, end))
        await asyncio.gather(*(one(http) for _ in range(number)))
        health = await alive
    took.sort()
    p99 = took[min(len(took) - 1, int(0.99 * len(took)))]
    return {
        "requests": len(took),
        "p50_ms": round(statistics.median(took)),
        "p99_ms": round(p99),
        "health_p50_ms": round(statistics.median(health), 1),
        "health_most_ms": round(max(health), 1),
        "wrong": dict(wrong),
    }


def _seen(answer: httpx.Response) -> list[tuple[Any, ...]]:
    faces = answer.json()["images"][0]["faces"]
    return [(*face["box"], face["most_probable"], round(face["confidence"], 2)) for face in faces]


async def _health(url: httpx.URL, end: float) -> list[float]:
    """How long /healthz takes, ms: it waits for nothing but the event loop."""
    took = []
    async with httpx.AsyncClient(base_url=url, timeout=120) as http:
        while time.perf_counter() < end:
            start = time.perf_counter()
            await http.get("/healthz")
            took.append(1000 * (time.perf_counter() - start))
            await asyncio.sleep(0.05)
    return took


def measured(options: argparse.Namespace) -> dict[str, Any]:
    photo = options.photo.read_bytes()
    scans = 1_000_000 if options.unrecognised else 100
    with server(options.model, scans) as (url, process):
        alone = asyncio.run(clients(url, photo, options.clients, options.seconds))
        before = resident(process.pid)
        with attacked(url, options.slow, 2 * options.seconds + 60):
            attacked_ = asyncio.run(clients(url, photo, options.clients, options.seconds))
        time.sleep(10)  # bodies that never ended are ended after 15 s, their senders are gone
        after = resident(process.pid)
        with attacked(url, options.slow, 60):
            start = time.perf_counter()
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            ended = time.perf_counter() - start
    return {
        "clients": options.clients, "slow": options.slow, "alone": alone, "attacked": attacked_,
        "p99_ratio": round(attacked_["p99_ms"] / alone["p99_ms"], 2), "sigterm_seconds": round(ended, 1),
        "memory_mb": round(before), "memory_growth_mb": round(after - before),
    }  # fmt: skip


def table(found: dict[str, Any]) -> str:
    rows = [["", "alone", "attacked"]]
    for name in found["alone"]:
        rows.append([name, *(str(found[when][name]) for when in ("alone", "attacked"))])
    lines = [f"{name:<16}{alone:>12}{attacked_:>12}" for name, alone, attacked_ in rows]
    lines += [f"{name:<16}{found[name]:>12}" for name in found if name not in ("alone", "attacked")]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, default=ROOT / "docs" / "pictures" / "astronaut.jpg")
    parser.add_argument("--model", default="mien:base")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--slow", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--unrecognised", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    result = measured(given)
    print(json.dumps(result) if given.json else table(result))
