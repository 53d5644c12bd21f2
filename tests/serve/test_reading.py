"""What is read in processes of its own: files that are made to be slow, large or harmful end those and nothing else."""

import asyncio
import base64
import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest
from detectors import Broken, ByWidth, Slow, TwoFaces, Writing
from PIL import Image
from served import client_of, png, png_header, post

from mien.errors import UsageError
from mien.serve import Limits, create_app, reading
from mien.serve.pictures import scans
from mien.serve.pool import Pool
from mien.serve.reading import ReadingSettings, RequestReader
from mien.serve.service import AFTER, BROKEN, PROCESSES, SLOW

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bomb():
    spec = importlib.util.spec_from_file_location("serve_attack", ROOT / "benchmarks" / "serve_attack.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.progressive_bomb


@pytest.fixture
def here(network, monkeypatch):
    """What a process answers to a request, in this one, without its limits."""
    monkeypatch.setattr(reading, "allow", lambda seconds: None)
    reader = RequestReader(ReadingSettings(network.preprocessing, TwoFaces, 0.0, True, Limits()))

    def answers(request):
        words = {"kind": request.headers["content-type"], "detect": None, "large": True}
        return [words for words, _ in reader.answers(words, request.read())]

    return answers


def form(*contents):
    return httpx.Request("POST", "http://mien", files=[("file", content) for content in contents])


def grey(width, height=48):
    return png(Image.new("L", (width, height)))


def test_a_bomb_is_never_decoded(here, monkeypatch):
    def decoded(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoded)
    for side in (9_000, 20_000):  # Pillow itself refuses the second
        assert "more than 40 megapixels" in here(form(png_header(side, side)))[1]["error"]


def test_no_picture_is_written_down(here, monkeypatch):
    """Starlette's own form parser puts files above 1 MB on the disk."""

    def on_disk(*_, **__):
        raise AssertionError("a temporary file")

    for name in ("TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, on_disk)
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (900, 900, 3), np.uint8))
    content = png(noise)
    assert len(content) > 2_000_000
    first, second = here(form(content))
    assert (first, second["size"]) == ({"pictures": 1}, (900, 900))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's limits are set on Linux")
def test_no_picture_can_be_written_down(network, tmp_path):
    with client_of(network, partial(Writing, tmp_path)) as client:
        assert "File too large" in post(client, grey(48), detect=True).json()["error"]
    assert [file.stat().st_size for file in tmp_path.iterdir()] == [0]


def test_a_fault_inside_is_json_too_and_the_next_request_is_served(network, pictures):
    with client_of(network, Broken) as client:
        answer = post(client, png(pictures[0]), detect=True)
        assert answer.status_code == 500
        assert "Something went wrong inside the server" in answer.json()["error"]
        assert "secret" not in answer.text
        assert "X-Frame-Options" in answer.headers
        assert post(client, png(pictures[0])).status_code == 200


def test_work_that_takes_too_long_is_ended_and_what_waits_of_it_is_not_begun(network, tmp_path):
    with client_of(network, partial(Slow, tmp_path, 0.4), reading=0.3) as client:
        post(client, grey(48))  # the processes have started
        answer = post(client, *[grey(48)] * 9, detect=True)
        assert (answer.status_code, "Retry-After" in answer.headers) == (422, False)  # the page would send it again
        assert answer.json() == {
            "error": "Reading these pictures took longer than 0.3 seconds. Send fewer or smaller ones."
        }
        time.sleep(1)
        assert len(list(tmp_path.iterdir())) == 1


def test_a_request_leaves_processes_to_others(network, tmp_path):
    with client_of(network, partial(Slow, tmp_path, 0.5)) as client:
        post(client, grey(48))
        many = threading.Thread(target=lambda: post(client, *[grey(48)] * 8, detect=True))
        many.start()
        time.sleep(0.3)
        start = time.monotonic()
        assert post(client, grey(48)).status_code == 200  # no face is looked for
        assert time.monotonic() - start < 3
        assert many.is_alive()
        many.join()
    assert len({file.name.partition("-")[0] for file in tmp_path.iterdir()}) == 1
    assert len(list(tmp_path.iterdir())) == 8


def test_what_ends_its_process_costs_no_other_picture_of_its_request_and_no_other_request(network):
    with client_of(network, ByWidth, processor=0.3) as client:
        for width, text in ((101, SLOW), (102, BROKEN)):
            answer = post(client, grey(60), grey(width), grey(60), detect=True)
            assert answer.status_code == 200
            assert answer.json()["images"] == [
                {"faces": [], "width": 60, "height": 48},
                {"error": text},
                {"error": AFTER},
            ]
            alone = post(client, grey(width), detect=True)
            assert (alone.status_code, alone.json()["error"]) == (422, text)
        assert [post(client, grey(60)).status_code for _ in range(4)] == [200] * 4


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's limits are set on Linux")
def test_a_picture_that_takes_too_much_memory(network):
    with client_of(network, ByWidth, memory=600_000_000) as client:
        answer = post(client, grey(103), grey(60), detect=True).json()["images"]
        assert answer[0] == {"error": "This picture takes more than 600 MB to read. Make it smaller."}
        assert answer[1]["faces"] == []


def test_a_progressive_jpeg_of_thousands_of_scans(network, bomb):
    content = bomb()
    assert 300_000 < len(content) < 330_000
    with client_of(network) as client:
        post(client, grey(48))
        start = time.monotonic()
        answer = post(client, content)
        assert time.monotonic() - start < 5
        assert answer.json()["error"] == "This JPEG has more than 100 scans. Save it again, as a usual one."
    with client_of(network, scans=10_000, processor=0.2) as client:  # as if it were not recognised
        assert post(client, content).json()["error"] == SLOW
        assert post(client, grey(48)).status_code == 200


def test_scans_are_counted_as_a_decoder_meets_them(bomb):
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8))
    assert scans(png(photo, "JPEG"), 100) == 1
    assert scans(png(photo, "JPEG", progressive=True), 100) == 10
    assert scans(png(photo, "JPEG", restart_marker_blocks=1), 100) == 1
    exif = Image.Exif()
    exif[0x9286] = b"\xff\xda\x00\x02" * 500  # a comment, as a thumbnail is
    assert scans(png(photo, "JPEG", exif=exif), 100) == 1
    assert scans(png(photo, "JPEG") + b"\xff\xda\x00\x02" * 500, 100) == 1  # a film after the photo
    assert scans(bomb(16, 500), 100) == 101
    assert scans(bomb(16, 50), 100) == 55
    for junk in (b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xda", b"\xff\xd8\xff\xe0\xff\xff"):
        assert scans(junk, 100) <= 1


def png_of_chunks(number):
    """A PNG with so many empty chunks that nothing needs."""
    content = grey(48)
    return content[:33] + b"\0\0\0\0abCd\xa1\x9a\x0b\x0c" * number + content[33:]


def gif_of_frames(number):
    frames = [Image.new("L", (40, 40), shade % 2) for shade in range(number)]
    return png(frames[0], "GIF", save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * 2_000_000,
        b"\x89PNG\r\n\x1a\n" + png_of_chunks(1_000_000)[8:],
        b"BM" + bytes(8_000_000),
        b"GIF89a" + b"\xff\x7f\xff\x7f\0\0\0" + b"!\xfe\x01a\0" * 1_500_000,
    ],
    ids=["jpeg of segments", "png of chunks", "bmp of nothing", "gif of comments"],
)
def test_files_of_millions_of_parts_are_ended(network, content):
    with client_of(network, processor=0.5) as client:
        post(client, grey(48))
        start = time.monotonic()
        answer = post(client, content)
        assert answer.status_code in (200, 422)
        assert time.monotonic() - start < 30
        assert post(client, grey(48)).status_code == 200


def test_many_frames_cost_no_more_than_one(network):
    with client_of(network, processor=1.0) as client:
        assert post(client, gif_of_frames(2000)).json()["images"][0]["width"] == 40


def test_large_pictures_share_one_place(network):
    large, small = grey(400, 400), grey(48)
    with client_of(network, large=100_000) as client:
        answer = post(client, small, large)
        assert [image["width"] for image in answer.json()["images"]] == [48, 400]
        together = [threading.Thread(target=post, args=(client, large)) for _ in range(6)]
        for thread in together:
            thread.start()
        assert post(client, small).status_code == 200
        for thread in together:
            thread.join()


def test_a_raw_picture_is_a_body(network, pictures):
    content = png(pictures[0], "JPEG")
    with client_of(network) as client:
        expected = client.post("/v1/predict", files={"file": content}, data={"detect": "false"}).json()["images"]
        sent = {"content": content, "headers": {"Content-Type": "image/jpeg"}}
        assert client.post("/v1/predict?detect=false", **sent).json()["images"] == expected
        assert client.post("/v1/predict", **sent).json()["images"][0]["faces"] == []  # they are looked for
        refused = client.post("/v1/predict?detect=perhaps", **sent)
        assert (refused.status_code, refused.json()["error"]) == (422, 'detect is "perhaps"; it is true or false.')
        empty = client.post("/v1/predict", headers={"Content-Type": "image/png"})
        assert (empty.status_code, "There is no picture in the request" in empty.json()["error"]) == (422, True)
        junk = client.post("/v1/predict", content=b"junk", headers={"Content-Type": "image/svg+xml"})
        assert "This is no picture that can be read" in junk.json()["error"]
        text = base64.b64encode(content).decode()
        body = client.post("/v1/predict?detect=true", json={"images": [text], "detect": False})
        assert body.json()["images"] == expected  # the body's own word counts


def test_a_detector_that_cannot_be_sent(network):
    with pytest.raises(UsageError, match="cannot be sent to the processes that read pictures"):
        create_app(network, lambda: TwoFaces())


def test_processes_end_with_the_server_and_are_replaced_when_something_ends_them(network, pictures):
    async def lives():
        settings = ReadingSettings(network.preprocessing, TwoFaces, 0.0, True, Limits())
        async with Pool(2, settings) as pool:
            async with pool.process() as first, pool.process() as second:
                numbers = {first._process.pid, second._process.pid}
            first.kill()
            await first._process.wait()
            async with pool.process() as second, pool.process() as third:
                for process in (second, third):
                    await process.send({"kind": "image/png", "detect": None, "large": False}, png(pictures[0]))
                    assert [(await process.receive())[0] for _ in range(2)][1]["size"] == [60, 40]
            everyone = list(pool._all)
        for process in everyone:
            await process._process.wait()
        return numbers | {process._process.pid for process in everyone}

    numbers = asyncio.run(lives())
    assert len(numbers) == 3
    for number in numbers:
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)


def test_a_process_that_cannot_start_is_said(network, pictures, monkeypatch, capfd):
    monkeypatch.setattr(sys, "executable", str(ROOT / "no-python"))
    with client_of(network) as client:
        assert post(client, png(pictures[0])).status_code == 500
        monkeypatch.undo()
        answers = [post(client, png(pictures[0])).status_code for _ in range(4)]
        assert answers[-1] == 200  # the next ones are started anew


def test_a_process_loads_no_network_and_no_torch():
    code = "import mien.serve.reading, sys; print({'torch', 'onnxruntime', 'fastapi', 'uvicorn'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_the_number_of_processes():
    assert 2 <= PROCESSES <= 4
