"""The application: its routes, a page, and errors as JSON."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

import mien
from mien.page import KINDS, page_files
from mien.runtime.faces import Detector, YuNetDetector, open_detector
from mien.runtime.network import Network
from mien.runtime.reader import lower_case
from mien.serve.answers import DETECT, Answer, Error, Health, Predict, Ready, ServedModel, Sets
from mien.serve.door import Door, checked_origins
from mien.serve.gate import Gate
from mien.serve.guard import Guard
from mien.serve.limits import Limits, RefusedError
from mien.serve.metrics import Meter, Metrics
from mien.serve.requests import check_kind
from mien.serve.service import PROCESSES, Sent, Service

OWN = Path(__file__).parent / "page"  # what of the page is the server's alone
PICTURES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp")
WRONG = {
    400: "no form that can be read",
    403: "a foreign Host, or a page of another origin",
    408: "too slow",
    413: "too large",
    415: "neither form nor JSON nor picture",
    422: "no picture that can be read, or not in time",
    503: "too many requests, or the server ends; Retry-After says when to come back",
}
OF_A_REQUEST = ("body", "pixels", "all_pixels", "images", "seconds", "reading")  # limits that clients are told

FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "array", "items": {"type": "string", "format": "binary"}, "description": "Picture files."},
        "detect": {"type": "boolean", "description": DETECT},
    },
}
BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {"schema": FORM},
        "application/json": {"schema": Predict.model_json_schema()},
        **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in PICTURES},
    },
}
IN_ADDRESS = {"name": "detect", "in": "query", "schema": {"type": "boolean"}, "description": DETECT}


DESCRIBED = {"requestBody": BODY, "parameters": [IN_ADDRESS]}


def create_app(
    network: Network,
    detector: Callable[[], Detector] = YuNetDetector,
    margin: float = 0.0,
    limits: Limits | None = None,
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
    processes: int = PROCESSES,
) -> ASGIApp:
    """The ASGI application for an exported network.

    detector: makes one for each process that reads pictures; a class or function of a module, as it is sent there.
    margin: see `Reader`. hosts: the names under which it may be asked, any if none is given. origins: web pages of
    other origins that may use it, as 'http://localhost:5173'; see `Door` for both. processes: how many read pictures.
    Raises UsageError for an origin that is none, or a detector that cannot be sent.
    """
    limits = limits or Limits()
    gate, metrics = Gate(limits), Metrics()
    service = Service(network, detector, margin, limits, processes)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[dict[str, object]]:
        metrics.started()
        async with service:
            yield {"gate": gate, "metrics": metrics}  # for the server: it drains the one, and counts what is no HTTP

    app = FastAPI(
        title="mien",
        version=mien.__version__,
        description="Reads the expressions of faces in pictures. No picture is kept.",
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
        lifespan=running,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},  # nothing leaves
    )
    if origins := checked_origins(origins):
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=("GET", "POST"))
    app.add_middleware(Door, hosts=hosts, origins=origins)
    _add_errors(app)
    _add_page(app)
    _add_facts(app, service)
    _add_probes(app, service, gate, metrics)
    _add_predict(app, service, gate, metrics)
    paths = {route.path for route in app.routes if isinstance(route, APIRoute)}
    app.add_middleware(Meter, metrics=metrics, paths=paths)  # the last one is the outermost
    return Guard(app)


def open_app(
    model: str,
    detector: str,
    margin: float,
    hosts: Sequence[str],
    origins: Sequence[str],
    workers: int,
    device: str = "cpu",
) -> ASGIApp:
    """The application of one of `workers` processes, which share the cores of this computer; see `create_app`.

    model, device: as for `Network.open`. detector: as for `open_detector`.
    """
    threads = 0 if workers == 1 else max(1, (os.cpu_count() or 1) // workers)
    network = Network.open(model, threads, device)
    finder = partial(open_detector, detector, threads)
    return create_app(network, finder, margin, None, hosts, origins, max(2, PROCESSES // workers))


def _sets(network: Network) -> Sets | None:
    if network.sets is None:
        return None
    least = dict(zip(lower_case(network.labels), network.sets.least, strict=True))
    return Sets(coverage=network.sets.coverage, least=least)


def _add_facts(app: FastAPI, service: Service) -> None:
    network = service.network
    card = network.card or {}
    about = ServedModel(
        fingerprint=card.get("fingerprint", ""),
        labels=list(lower_case(network.labels)),
        detect=service.detects,
        unsure_below=network.threshold,
        prediction_sets=_sets(network),
        card=card,
        limits={name: asdict(service.limits)[name] for name in OF_A_REQUEST},
    )

    @app.get("/v1/model")
    async def model() -> ServedModel:
        """What answers: labels, where it comes from, how well it does, and what a request may hold."""
        return about


def _add_probes(app: FastAPI, service: Service, gate: Gate, metrics: Metrics) -> None:
    """What is asked by machines that watch the server."""

    @app.get("/healthz")
    async def healthz() -> Health:
        """Whether the server answers. If not, start it again."""
        return Health(mien=mien.__version__, device=service.network.device)

    @app.get("/readyz", responses={503: {"model": Error, "description": "It starts, or it ends."}})
    async def readyz() -> Ready:
        """Whether pictures may be sent: not before a process that reads them runs, and not while the server ends."""
        gate.refuse_late()
        if not service.ready:
            raise RefusedError(503, "The server starts. Try again in a second.", retry_after=1)
        return Ready()

    @app.get("/metrics", response_class=PlainTextResponse)
    async def counted() -> Response:
        """Requests, seconds, refusals, pictures, faces and the queue, as Prometheus reads them."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _add_predict(app: FastAPI, service: Service, gate: Gate, metrics: Metrics) -> None:
    fingerprint = (service.network.card or {}).get("fingerprint", "")
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": Error, "description": text} for status, text in WRONG.items()
    }

    @app.post("/v1/predict", response_model=Answer, responses=refusals, openapi_extra=DESCRIBED)
    async def predict(request: Request) -> Response:
        """The faces of each picture, with calibrated probabilities. A picture that cannot be read has an error in its
        place; when none can be read, the status is 422."""
        kind = request.headers.get("content-type", "")
        with gate.visit(request.client.host if request.client else "") as visit:
            check_kind(kind)
            sent = Sent(kind, await visit.received(request), request.query_params.get("detect"))
            start = time.perf_counter()
            with metrics.queued.track_inprogress():
                async with gate.work(visit):
                    if await request.is_disconnected():
                        raise ClientDisconnect
                    with metrics.at_work.track_inprogress():
                        images = await service.read(sent)
        metrics.read(images)
        answer = {"model": fingerprint, "milliseconds": round(1000 * (time.perf_counter() - start), 1)}
        if all("error" in image for image in images):
            return JSONResponse({"error": images[0]["error"], **answer, "images": images}, 422)
        return JSONResponse({**answer, "images": images})


def _add_page(app: FastAPI) -> None:
    """The page's files by name, read once: no path from outside is ever opened."""
    for name, content in page_files(OWN).items():
        path = "/" if name == "index.html" else f"/{name}"
        app.add_api_route(path, _sender(content, KINDS[Path(name).suffix]), include_in_schema=False)


def _sender(content: bytes, kind: str) -> Callable[[], Any]:
    async def send() -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return send


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> Response:
        return JSONResponse({"error": str(error)}, error.status, error.headers)

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> Response:
        text = {
            404: f"There is nothing at {request.url.path}. There are /, /healthz, /readyz, /metrics, "
            "/v1/model, /v1/predict and /openapi.json.",
            405: f"{request.url.path} does not answer to {request.method}. /openapi.json says what does.",
        }.get(error.status_code, f"{error.detail}.")
        return JSONResponse({"error": text}, error.status_code, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=400)  # nobody is there to read it

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        text = "Something went wrong inside the server; its terminal says what. Other pictures may work."
        return JSONResponse({"error": text}, 500)
