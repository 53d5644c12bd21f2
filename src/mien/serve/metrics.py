"""What the server counts for Prometheus, at /metrics: numbers alone, nothing of a picture or of who sent it."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # prometheus-client's own: the folder where the workers of a server count together
REFUSALS = (400, 403, 408, 413, 415, 422, 431, 503)
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # upper ends of the histogram's bins


class Metrics:
    """The numbers of one server; added up over its workers where the environment names a folder that they share."""

    def __init__(self) -> None:
        own: dict[str, Any] = {"registry": CollectorRegistry()}
        shown = {**own, "multiprocess_mode": "livesum"}
        self._registry = own["registry"]
        self._requests = Counter("mien_requests", "Requests answered.", ("path", "status"), **own)
        self._seconds = Histogram(
            "mien_request_seconds", "From a request's head to its answer.", ("path",), buckets=SECONDS, **own
        )
        self._refusals = Counter(
            "mien_refusals",
            "Requests refused, with those that are no HTTP and count as none.",
            ("status",),
            **own,
        )
        self._pictures = Counter("mien_pictures", "Pictures in answers.", ("outcome",), **own)
        self._faces = Counter("mien_faces", "Faces in answers.", **own)
        self.queued = Gauge("mien_requests_queued", "Requests received that wait or are at work.", **shown)
        self.at_work = Gauge("mien_requests_at_work", "Requests whose pictures are being read.", **shown)
        self._starts = Counter("mien_worker_starts", "Starts of server processes, those after a failure too.", **own)

    def started(self) -> None:
        self._starts.inc()

    def answered(self, path: str, status: int, seconds: float) -> None:
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)
        if status in REFUSALS:
            self.refused(status)

    def refused(self, status: int) -> None:
        self._refusals.labels(status).inc()

    def read(self, images: Sequence[Mapping[str, Any]]) -> None:
        """images: the answers to the pictures of one request."""
        for image in images:
            self._pictures.labels("unreadable" if "error" in image else "read").inc()
            self._faces.inc(len(image.get("faces", ())))

    def text(self) -> bytes:
        """All numbers in Prometheus' text format."""
        if SHARED not in os.environ:
            return generate_latest(self._registry)
        every_worker = CollectorRegistry()
        MultiProcessCollector(every_worker)
        return generate_latest(every_worker)


class Meter:
    """ASGI middleware, the outermost of the application: counts every answer before it goes out, so no client knows
    of more.

    paths: those that are counted by name; the rest is 'other', as a stranger may think of any number of them.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str]) -> None:
        self.app = app
        self.metrics = metrics
        self.paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        path = scope["path"] if scope["path"] in self.paths else "other"

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.answered(path, message["status"], time.perf_counter() - start)
            await send(message)

        try:
            await self.app(scope, receive, counted)
        except Exception:  # FastAPI answers it further out
            self.metrics.answered(path, 500, time.perf_counter() - start)
            raise
