"""`mien serve --workers 2`: what its clients count is what it counts, and no request is lost when processes end."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from served import client_of, png

from mien.errors import MienError, UsageError
from mien.serve import supervisor
from mien.serve.supervisor import Supervisor, check_workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc says which processes a server has")
CLIENTS = 64


def start(exported, workers):
    command = [sys.executable, "-m", "mien", "serve", "--model", str(exported), "--port", "0", "--workers", workers]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    url = process.stdout.readline().strip()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if httpx.get(f"{url}readyz", timeout=30).status_code == 200:
                return process, url
        except httpx.TransportError:  # no worker accepts yet
            pass
        time.sleep(0.1)
    raise AssertionError("the server is not ready")


@pytest.fixture(scope="module")
def server(exported):
    """One for two tests, of which the second ends it."""
    process, url = start(exported, "2")
    yield process, url
    if process.poll() is None:
        process.terminate()
    process.communicate(timeout=60)


def workers_of(process):
    """The ids of its server processes, in the order of their start."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children if b"mien.serve.worker" in Path(f"/proc/{child}/cmdline").read_bytes()]


def counted(url, name):
    """{labels: value} of a metric."""
    text = httpx.get(f"{url}metrics", timeout=30).text
    return {labels: float(value) for labels, value in re.findall(rf"^{name}({{.*?}})? (\S+)$", text, re.MULTILINE)}


async def load(url, content, tasks, until, seen):
    """Clients that ask again and again, until they are refused or `until` says so; `seen` counts what they see."""

    async def ask(http):
        while not until():
            try:
                answer = await http.post("v1/predict?detect=false", content=content, headers=PNG)
            except httpx.ConnectError:
                seen["nobody there"] += 1
                return
            except httpx.TransportError as error:
                seen[type(error).__name__] += 1
                return
            seen[answer.status_code] += 1
            seen["faces"] += sum(len(image["faces"]) for image in answer.json().get("images", []))
            if answer.status_code == 503:
                seen[answer.json()["error"]] += 1
                return

    limits = httpx.Limits(max_connections=tasks, max_keepalive_connections=tasks)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits, verify=False) as http:
        await asyncio.gather(*(ask(http) for _ in range(tasks)))


PNG = {"Content-Type": "image/png"}


def test_metrics_add_up_over_the_workers_and_one_that_is_killed_is_replaced(server, pictures):
    process, url = server
    seen, end = Counter(), time.monotonic() + 2
    asyncio.run(load(url, png(pictures[0]), CLIENTS, lambda: time.monotonic() > end, seen))
    assert set(seen) == {200, "faces"}
    assert seen[200] > CLIENTS
    assert counted(url, "mien_requests_total")['{path="/v1/predict",status="200"}'] == seen[200]
    assert counted(url, "mien_request_seconds_count")['{path="/v1/predict"}'] == seen[200]
    assert sum(counted(url, "mien_faces_total").values()) == seen["faces"] == seen[200]
    assert counted(url, "mien_requests_queued") == {"": 0}
    assert counted(url, "mien_worker_starts_total") == {"": 2}

    killed, other = workers_of(process)
    os.kill(killed, signal.SIGKILL)
    for _ in range(20):
        assert httpx.post(f"{url}v1/predict?detect=false", content=png(pictures[0]), headers=PNG).status_code == 200
    end = time.monotonic() + 60
    while counted(url, "mien_worker_starts_total") != {"": 3} and time.monotonic() < end:
        time.sleep(0.1)
    assert counted(url, "mien_worker_starts_total") == {"": 3}
    assert other in workers_of(process)
    assert counted(url, "mien_requests_total")['{path="/v1/predict",status="200"}'] == seen[200] + 20


def test_sigterm_under_load_loses_no_request_and_ends_every_worker(server, pictures):
    workers = workers_of(server[0])
    errors = end_under_load(*server, pictures)
    assert "A worker ended by signal 9; another one is started." in errors
    assert "Traceback" not in errors
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_sigterm_under_load_loses_no_request_of_a_server_without_workers(exported, pictures):
    assert "Traceback" not in end_under_load(*start(exported, "1"), pictures)


def end_under_load(process, url, pictures):
    """What the server said on stderr."""
    seen = Counter()

    async def ended_in_the_middle():
        asking = asyncio.create_task(load(url, png(pictures[0]), 16, lambda: False, seen))
        while seen[200] < 40:
            await asyncio.sleep(0.01)
        process.terminate()
        await asking

    asyncio.run(ended_in_the_middle())
    _, errors = process.communicate(timeout=60)
    refused = "The server ends. Send the request again to the one that follows."
    assert process.returncode == -signal.SIGTERM
    assert set(seen) <= {200, 503, refused, "faces", "nobody there"}, seen
    assert seen[503] + seen["nobody there"] == 16  # each client hears of it once, and has all its answers
    assert seen[refused] == seen[503] > 0
    return errors


def test_workers_end_with_their_supervisor(exported):
    process, _ = start(exported, "2")
    orphans = workers_of(process)
    (place,) = re.findall(rb"PROMETHEUS_MULTIPROC_DIR=([^\0]+)", Path(f"/proc/{orphans[0]}/environ").read_bytes())
    assert os.listdir(place)
    process.kill()
    end = time.monotonic() + 30
    while any(Path(f"/proc/{orphan}").exists() for orphan in orphans) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{orphan}").exists() for orphan in orphans)
    assert not os.path.exists(place)


def test_readiness_health_and_draining(network, pictures):
    with client_of(network) as client:
        end = time.monotonic() + 60
        while client.get("/readyz").status_code != 200 and time.monotonic() < end:
            time.sleep(0.05)
        assert client.get("/readyz").json() == {"status": "ready"}
        gate = client.app_state["gate"]
        gate.draining = True
        for answer in (client.get("/readyz"), client.post("/v1/predict", files={"file": png(pictures[0])})):
            assert (answer.status_code, answer.headers["Connection"]) == (503, "close")
            assert answer.headers["Retry-After"] == "1"
            assert answer.json()["error"].startswith("The server ends. Send the request again")
        assert client.get("/healthz").status_code == 200
        text = client.get("/metrics").text
        assert 'mien_refusals_total{status="503"} ' in text
        assert 'path="/readyz",status="200"' in text


def test_paths_that_strangers_think_of_are_counted_together(network):
    with client_of(network) as client:
        for number in range(3):
            client.get(f"/secret{number}")
        text = client.get("/metrics").text
    assert 'mien_requests_total{path="other",status="404"} 3.0' in text
    assert "secret" not in text


def test_a_fault_of_ours_is_counted(network, pictures, monkeypatch):
    from mien.serve.service import Service

    async def broken(*_):
        raise RuntimeError

    monkeypatch.setattr(Service, "read", broken)
    with client_of(network) as client:
        assert client.post("/v1/predict", files={"file": png(pictures[0])}).status_code == 500
        assert 'mien_requests_total{path="/v1/predict",status="500"} 1.0' in client.get("/metrics").text


def test_numbers_of_workers_that_cannot_be():
    with pytest.raises(UsageError, match="`workers` 0: give 1 or more"):
        check_workers(0)


def fails():
    raise RuntimeError("as it is meant to")


def test_workers_that_end_at_once_are_not_started_for_ever(monkeypatch):
    from mien.serve.server import listen

    monkeypatch.setattr(supervisor, "TRIES", 2)
    monkeypatch.setattr(supervisor, "SOON", 600.0)  # a busy machine takes a while to start one
    with (
        listen("127.0.0.1", 0) as listening,
        pytest.raises(MienError, match=r"2 workers in a row ended soon .* the last one with exit code 1"),
        Supervisor(fails, listening, 1) as started,
    ):
        started.watch()


class Started:
    """In place of a process: notes which signals it was sent."""

    def __init__(self):
        self.told = []

    def send_signal(self, sig):
        self.told.append(sig)

    def wait(self, seconds):
        return 0


def test_a_worker_that_is_started_while_the_server_is_told_to_end_is_told_too(monkeypatch):
    from mien.serve.server import listen

    started = []

    def start_late(self):
        os.kill(os.getpid(), signal.SIGTERM)  # before the supervisor knows of the worker
        started.append(Started())
        return supervisor.Worker(started[-1], 0.0)

    monkeypatch.setattr(Supervisor, "_start", start_late)
    with listen("127.0.0.1", 0) as listening, Supervisor(fails, listening, 1) as begun:
        begun.watch()
    assert [worker.told for worker in started] == [[signal.SIGTERM]]
