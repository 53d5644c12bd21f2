"""Requests to `mien serve` that several test files make."""

import io
import zlib
from contextlib import contextmanager

import httpx
from starlette.testclient import TestClient

from mien.serve import Limits, create_app

HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

# A server with a body limit of 1 MB and one second of patience, which prints its address.
LIMITED = """
import sys
from mien.runtime import Network
from mien.serve import Limits, create_app
from mien.serve.server import PatientProtocol, address, listen, run
PatientProtocol.patience = 1.0
listening = listen("127.0.0.1", 0)
print(address(listening), flush=True)
app = create_app(Network.open(sys.argv[1]), limits=Limits(body=1_000_000, seconds=1.0))
app.linger = 2.0
run(app, listening)
"""


@contextmanager
def client_of(network, detector=None, **limits):
    detectors = {} if detector is None else {"detector": detector}
    with TestClient(create_app(network, limits=Limits(**limits), **detectors), raise_server_exceptions=False) as client:
        yield client


def asgi(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://mien", timeout=60)


def png(image, kind="PNG", **settings):
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def post(client, *contents, detect=False, name="photo.png"):
    files = [("file", (name, content, "image/png")) for content in contents]
    return client.post("/v1/predict", files=files, data={"detect": str(detect)})


def png_header(width, height):
    """The first bytes of a PNG that says it is as large, and a few zeros."""

    def chunk(kind, body):
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
