"""The folder of `mien export --web` in Chromium, served by a plain http.server: the answers are those of Python."""

from __future__ import annotations

import base64
import io
import itertools
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pages import opened
from PIL import Image

import mien
from mien.data.sources.drawn_faces import draw
from mien.labels import FER2013
from mien.preprocessing import Interpolation, Preprocessing
from mien.runtime import Face
from mien.runtime.seal import seal
from mien.web import write_web_folder

FACES = Path(os.environ.get("MIEN_TEST_DATA", "/nowhere")) / "fer2013" / "validation"
ASTRONAUT = Path(__file__).parents[2] / "docs" / "pictures" / "astronaut.jpg"
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}

READ = """async ([content, detect]) => {
  const { predict } = await import("./api.js");
  return predict(new Blob([Uint8Array.from(atob(content), sign => sign.charCodeAt(0))]), { detect });
}"""
PREPARE = """async ([content, width, height, asked]) => {
  const { pixels } = await import("./preprocessing.js");
  const data = Uint8ClampedArray.from(atob(content), sign => sign.charCodeAt(0));
  return asked.map(each => btoa(String.fromCharCode(...pixels({ width, height, data }, each))));
}"""

pytestmark = pytest.mark.browser


class Quiet(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, headers: dict[str, str], **kwargs: Any) -> None:
        self.extra = headers
        super().__init__(*args, **kwargs)

    def end_headers(self) -> None:
        for name, value in self.extra.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def hosted(folder: Path, headers: dict[str, str] | None = None) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder), headers=headers or {}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_web_folder("mien:tiny", tmp_path_factory.mktemp("web") / "page").path


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with hosted(folder) as url:
        yield url


@pytest.fixture(scope="module")
def page(browser: Any, url: str) -> Iterator[Any]:
    with opened(browser, url) as page:
        yield page


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def ask(page: Any, content: bytes, detect: bool | None = None) -> list[dict[str, Any]]:
    return page.evaluate(READ, [base64.b64encode(content).decode(), detect])["faces"]


def assert_equal(found: list[dict[str, Any]], wanted: list[Face]) -> None:
    assert len(found) == len(wanted)
    for one, face in zip(found, wanted, strict=True):
        own = face.to_dict()
        assert np.abs(np.array(one["box"]) - face.box).max() <= 1
        assert max(abs(one["probabilities"][name] - value) for name, value in face.probabilities.items()) <= 1e-4
        assert {key: one[key] for key in ("label", "most_probable", "prediction_set", "outlier")} == {
            key: own[key] for key in ("label", "most_probable", "prediction_set", "outlier")
        }


def faces() -> list[bytes]:
    """50 faces as PNG: of FER2013 where it is, else drawn ones."""
    files = sorted(FACES.rglob("*.*"))
    if files:
        return [png(Image.open(file)) for file in files[:: len(files) // 50][:50]]
    return [png(Image.fromarray(draw(FER2013[i % 7], i, 64).image)) for i in range(50)]


def several_faces() -> Image.Image:
    """One face in four sizes, longer than the finder of faces takes a picture."""
    face = Image.open(ASTRONAUT).convert("RGB").crop((120, 20, 330, 230))
    picture = Image.new("RGB", (1200, 700), (90, 110, 130))
    for place, size in (((40, 60), 210), ((320, 300), 330), ((800, 90), 160), ((900, 380), 250)):
        picture.paste(face.resize((size, size)), place)
    return picture


def test_the_answers_are_those_of_python(page: Any, url: str) -> None:
    reader = mien.load("mien:tiny", threads=1)
    for content in faces():
        assert_equal(ask(page, content, False), reader.read(content, detect=False))
    for picture in (several_faces(), Image.open(ASTRONAUT).convert("L"), Image.new("RGB", (33, 50), "teal")):
        assert_equal(ask(page, png(picture)), reader.read(png(picture)))
    assert len(reader.read(png(several_faces()))) == 4
    assert f"{url}model.onnx" in page.requests  # those of the worker are counted too
    assert [asked for asked in page.requests if not asked.startswith((url, f"blob:{url}"))] == []
    assert page.complaints == []


def test_pictures_are_prepared_to_the_last_level(page: Any) -> None:
    random = np.random.default_rng(0)
    ways = [
        Preprocessing(size=24, channels=channels, fit=fit, interpolation=how, resize_size=first, rounding=rounding)
        for channels in (1, 3)
        for how in get_args(Interpolation)
        for fit, first, rounding in (
            *(("crop", None, None), ("pad", None, None), ("stretch", None, None)),
            *(("crop", 31, "even"), ("crop", 31, "down"), ("stretch", 27, "even")),
        )
    ]
    for height, width in ((24, 24), (37, 91), (90, 41), (11, 7)):
        levels = random.integers(0, 256, (height, width, 3), np.uint8)
        content = np.dstack([levels, np.full((height, width), 255, np.uint8)]).tobytes()
        found = page.evaluate(
            PREPARE, [base64.b64encode(content).decode(), width, height, [way.to_dict() for way in ways]]
        )
        for way, text in zip(ways, found, strict=True):
            wanted = way.pixels(Image.fromarray(levels))
            assert np.array_equal(np.frombuffer(base64.b64decode(text), np.uint8), wanted.reshape(-1)), (way, width)


def test_it_is_the_page_of_mien_serve(page: Any, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(png(several_faces()))
    (tmp_path / "text.png").write_text("no picture")
    page.set_input_files("#files", [tmp_path / "photo.png", tmp_path / "text.png"])
    page.wait_for_selector(".advice.bad")
    assert page.locator(".answer h2").all_inner_texts() == ["4 faces", "This did not work"]
    assert "no picture that this browser can read" in page.locator(".advice.bad").inner_text()
    assert page.locator(".box").count() == page.locator(".face").count() == 4
    assert page.locator("#private").inner_text().startswith("Pictures stay in this browser")
    assert page.locator("#programs").is_hidden()
    assert page.locator("#asleep").is_hidden()


def test_it_films(page: Any, url: str) -> None:
    page.context.grant_permissions(["camera"], origin=url.rstrip("/"))
    page.get_by_role("button", name="Use the camera").click()
    page.wait_for_selector("#seen .face")
    page.get_by_role("button", name="Stop the camera").click()
    assert page.locator("#live").is_hidden()
    assert page.complaints == []


def test_it_has_threads_where_it_is_isolated_and_needs_no_network_once_loaded(browser: Any, folder: Path) -> None:
    with hosted(folder, ISOLATED) as url, opened(browser, url) as page:
        page.evaluate("async () => { await navigator.serviceWorker.ready; }")
        page.context.set_offline(True)
        page.reload()
        page.wait_for_selector("#facts dd")
        assert page.evaluate("crossOriginIsolated")
        assert_equal(ask(page, png(Image.open(ASTRONAUT))), mien.load("mien:tiny").read(png(Image.open(ASTRONAUT))))


@pytest.mark.parametrize("place", [1000, -1000], ids=["the network", "what is said of it"])
def test_a_changed_file_is_refused(browser: Any, folder: Path, tmp_path: Path, place: int) -> None:
    changed = Path(shutil.copytree(folder, tmp_path / "changed")) / "model.onnx"
    content = bytearray(changed.read_bytes())
    content[place] ^= 1
    changed.write_bytes(content)
    with hosted(changed.parent) as url, opened(browser, url) as page:
        said = page.get_by_role("alert").inner_text()
        assert re.fullmatch(r"The network, model.onnx, (was changed after|is damaged).*[^.]\. Export it again\.", said)
        page.set_input_files("#files", ASTRONAUT)
        page.wait_for_selector(".advice.bad")
        assert said in page.locator(".advice.bad").inner_text()


def animals(path: Path) -> Path:
    """An export that tells cats from dogs by colour; preprocessing and names are unlike those of mien:tiny."""
    weights = np.array([[4, -3], [-2, 1], [1, -2]], np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "animals",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 20, 20])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    asked = Preprocessing(
        20, 3, "crop", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bicubic", resize_size=24, rounding="even"
    )
    values = {
        "mien": mien.__version__,
        "labels": ["Katze 猫\ufb01", 'Hund "\\" 😀'],
        "preprocessing": asked.to_dict(),
        "calibration": {"temperature": 1.5, "threshold": 0.6, "error_rate": 1e-05, "images": 1.0},
        "sets": {"coverage": 0.9, "least": [0.2, 1e-07]},
        "outliers": None,
        "card": {"recipe": "animals", "\ufb01": 1, "😀": [], "b": {}, "test": None, "copies_dropped": True},
    }
    path.write_bytes(seal(model.SerializeToString(), values))
    onnx.checker.check_model(model)
    return path


def test_a_network_of_other_things_reads_whole_pictures(browser: Any, tmp_path: Path) -> None:
    file = animals(tmp_path / "animals.onnx")
    written = write_web_folder(file, tmp_path / "page")
    assert not [name for name in written.files if name.startswith("yunet")]
    with hosted(written.path) as url, opened(browser, url) as page:
        assert page.locator("h1").inner_text() == "What does this picture seem to show?"
        assert "expression" not in page.locator("section:has(#must-not)").inner_text()
        reader = mien.load(file, threads=1)
        picture = Image.open(ASTRONAUT)
        for part in itertools.chain((picture,), (picture.crop((x, 9, x + 90, 70)) for x in range(0, 300, 100))):
            assert_equal(ask(page, png(part)), reader.read(png(part)))
        assert page.complaints == []
