"""The API: what it answers, and that nobody can take it from the others."""

import asyncio
import base64
import json
import subprocess
import sys
from dataclasses import replace

import pytest
from PIL import Image
from served import asgi, client_of, png, png_header, post

import mien
from mien.cli import main
from mien.runtime import Reader
from mien.serve import create_app


@pytest.fixture(scope="module")
def client(network):
    with client_of(network) as client:
        yield client


def test_it_answers_as_predict_does(client, network, pictures):
    answer = post(client, *map(png, pictures)).json()
    assert answer["model"] == network.card["fingerprint"]
    assert answer["milliseconds"] > 0
    expected = Reader(network).read(pictures, detect=False)
    for found, faces, picture in zip(answer["images"], expected, pictures, strict=True):
        assert (found["width"], found["height"]) == picture.size
        assert found["faces"][0]["box"] == [0, 0, 60, 40]
        assert found["faces"][0]["label"] == faces[0].to_dict()["label"]
        assert found["faces"][0]["probabilities"] == pytest.approx(faces[0].probabilities, abs=2e-4)


def test_faces_are_looked_for_unless_told_otherwise(client, pictures):
    sent = {"file": ("x.png", png(pictures[0].resize((300, 200))))}
    answer = client.post("/v1/predict", files=sent).json()
    assert answer["images"] == [{"faces": [], "width": 300, "height": 200}]


def test_a_model_of_other_things_reads_whole_pictures(network, pictures):
    sent = {"file": ("x.png", png(pictures[0].resize((300, 200))))}
    text = base64.b64encode(png(pictures[0])).decode()
    animals = tuple(f"animal {number}" for number in range(len(network.labels)))
    with client_of(replace(network, labels=animals)) as client:
        assert client.get("/v1/model").json()["detect"] is False
        (answer,) = client.post("/v1/predict", files=sent).json()["images"]
        assert [face["box"] for face in answer["faces"]] == [[0, 0, 300, 200]]
        assert len(client.post("/v1/predict", json={"images": [text]}).json()["images"][0]["faces"]) == 1
        assert client.post("/v1/predict", files=sent, data={"detect": "true"}).json()["images"][0]["faces"] == []


def test_json_gives_what_a_form_gives(client, pictures):
    content = png(pictures[0])
    text = base64.b64encode(content).decode()
    expected = post(client, content).json()["images"]
    for image in (text, f"data:image/png;base64,{text}"):
        answer = client.post("/v1/predict", json={"images": [image], "detect": False})
        assert answer.status_code == 200
        assert answer.json()["images"] == expected


def test_a_turned_photo_is_upright(client, pictures):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    plain = png(pictures[0].transpose(Image.Transpose.ROTATE_270))
    turned = png(pictures[0], exif=exif)
    assert post(client, turned).json()["images"] == post(client, plain).json()["images"]
    assert post(client, turned).json()["images"][0]["height"] == 60


def test_healthz_model_and_openapi(client, network):
    assert client.get("/healthz").json() == {"status": "ok", "mien": mien.__version__, "device": "cpu"}
    found = client.get("/v1/model").json()
    assert found["labels"] == [label.lower() for label in network.labels]
    assert found["detect"] is True
    assert found["unsure_below"] == pytest.approx(network.threshold)
    assert found["prediction_sets"]["coverage"] == network.sets.coverage == 0.9
    assert list(found["prediction_sets"]["least"].values()) == list(network.sets.least)
    assert found["card"]["recipe"] == "tiny"
    assert found["limits"] == {
        **{"body": 20e6, "pixels": 40e6, "all_pixels": 100e6},
        **{"images": 16, "seconds": 15, "reading": 30},
    }
    described = client.get("/openapi.json").json()["paths"]["/v1/predict"]["post"]
    kinds = {"multipart/form-data", "application/json", *(f"image/{kind}" for kind in ("jpeg", "png", "webp", "gif"))}
    assert set(described["requestBody"]["content"]) == kinds | {"image/bmp"}
    assert {"200", "408", "413", "422", "503"} <= set(described["responses"])
    assert client.get("/docs").status_code == 404  # it would load scripts from elsewhere


def test_one_bad_picture_does_not_stop_the_others(client, pictures):
    answer = post(client, png(pictures[0]), b"junk", png(pictures[1]))
    assert answer.status_code == 200
    good, bad, also_good = answer.json()["images"]
    assert bad == {"error": "This is no picture that can be read. Send JPEG, PNG, WebP, GIF or BMP."}
    assert len(good["faces"]) == len(also_good["faces"]) == 1


def torn_animation():
    """A GIF whose first frame is whole and whose second one ends in its header."""
    content = png(Image.new("L", (40, 40)), "GIF", save_all=True, append_images=[Image.new("L", (40, 40), 200)])
    return content[: content.rindex(b"!\xf9\x04") + 20]


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"  # Pillow would start Ghostscript for it


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"junk" * 1000, "This is no picture that can be read"),
        (b"", "This file is empty"),
        (EPS, "This is no picture that can be read"),
        (b"II*\0\x08\0\0\0\0\0", "This is no picture that can be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "This is no picture that can be read"),
        (png_header(6400, 6400), "6,400 x 6,400 pixels, more than 40 megapixels. Make it smaller"),
        (png_header(2**31 - 1, 2**31 - 1), "This picture has more than 40 megapixels. Make it smaller"),
        (png_header(300, 300), "This picture is damaged"),
        (png(Image.new("RGB", (99, 99)), "JPEG")[:400], "This picture is damaged"),
        (torn_animation(), "This picture is damaged"),
    ],
    ids=["junk", "empty", "eps", "tiff", "svg", "bomb", "huge bomb", "too few pixels", "cut off", "torn"],
)
def test_what_is_no_picture(client, content, text):
    answer = post(client, content)
    assert answer.status_code == 422
    assert text in answer.json()["error"]
    assert text in answer.json()["images"][0]["error"]


@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        ({"json": {"images": []}}, 422, "There is no picture in the request"),
        ({"json": {"images": ["%%%"]}}, 422, "Image 1 is not base64"),
        ({"json": {"images": [7]}}, 422, "images.0: Input should be a valid string"),
        ({"json": {"pictures": []}}, 422, "images: Field required"),
        ({"json": {"images": ["eA=="] * 17}}, 422, "more than 16 pictures"),
        ({"json": [1]}, 422, "The JSON does not fit: the body"),
        ({"content": b"{" * 99999, "headers": {"Content-Type": "application/json"}}, 422, "The JSON does not fit"),
        ({"content": b"[" * 99999, "headers": {"Content-Type": "application/json"}}, 422, "The JSON does not fit"),
        ({"content": b"x"}, 415, "Content-Type '' is not understood. Send the pictures as multipart"),
        ({"data": {"file": "x"}}, 415, "Content-Type 'application/x-www-form-urlencoded' is not understood"),
        ({"files": {"picture": b"x"}}, 422, "There is no picture in the request"),
        ({"files": {"file": b"x"}, "data": {"detect": "perhaps"}}, 422, 'detect is "perhaps"; it is true or false'),
        ({"files": [("file", b"x")] * 17}, 422, "more than 16 pictures"),
        ({"files": {"file": b"x"}, "data": {"note": "x" * 2000}}, 400, "Part exceeded maximum size"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "Missing boundary"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=y"}}, 400, "form cannot be read"),
    ],
)
def test_requests_that_make_no_sense(client, request_, status, text):
    answer = client.post("/v1/predict", **request_)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert text in answer.json()["error"]


def test_a_path_as_a_file_name_is_nothing_but_a_name(client, pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("../../../etc/passwd", "/etc/passwd", "..\\..\\x.png", "a\x00b.png", "x" * 3000):
        assert post(client, png(pictures[0]), name=name).status_code == 200
    assert list(tmp_path.iterdir()) == []
    for path in ("/../limits.py", "/%2e%2e/limits.py", "/page/../app.py", "//etc/passwd"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "There is nothing at" in answer.json()["error"]


FORM_START = b'--x\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'


def test_a_body_is_counted_whatever_it_says_of_itself(network, pictures):
    with client_of(network, body=50_000) as client:
        answer = client.post("/v1/predict", files={"file": bytes(60_000)})
        assert (answer.status_code, answer.json()["error"]) == (
            413,
            "The request is larger than 0.05 MB. Send smaller pictures, or fewer at once.",
        )
        starts = {"application/json": b"[", "multipart/form-data; boundary=x": FORM_START}
        for kind, start in starts.items():  # sent in chunks, without Content-Length
            chunks = (piece for piece in (start, *[bytes(10_000)] * 9))
            answer = client.post("/v1/predict", content=chunks, headers={"Content-Type": kind})
            assert answer.status_code == 413
        assert post(client, png(pictures[0])).status_code == 200


def test_headers_of_every_answer(client):
    for answer in (client.get("/"), client.get("/nowhere"), client.get("/v1/model"), client.get("/v1/predict")):
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Permissions-Policy"].startswith("camera=(self)")
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert client.get("/v1/model").headers["Cache-Control"] == "no-store"
    assert "/v1/predict does not answer to GET" in client.get("/v1/predict").json()["error"]


def test_many_at_once_get_the_answers_that_each_gets_alone(network, pictures):
    sizes = []

    async def all_at_once(app):
        async with app.app.router.lifespan_context(app.app), asgi(app) as client:
            sent = [png(pictures[number % 5]) for number in range(40)]
            alone = [await ask(client, content) for content in sent[:5]]
            sizes.clear()
            together = await asyncio.gather(*(ask(client, content) for content in sent))
            return alone, together

    async def ask(client, content):
        answer = await client.post("/v1/predict", files={"file": content}, data={"detect": "false"})
        assert answer.status_code == 200, answer.text
        return answer.json()["images"][0]["faces"][0]

    class Counted(type(network)):
        def predict(self, pixels):
            sizes.append(len(pixels))
            return super().predict(pixels)

    counted = Counted(**{name: getattr(network, name) for name in network.__dataclass_fields__})
    alone, together = asyncio.run(all_at_once(create_app(counted)))
    for number, face in enumerate(together):
        assert face["label"] == alone[number % 5]["label"]
        assert face["probabilities"] == pytest.approx(alone[number % 5]["probabilities"], abs=2e-4)
    assert sum(sizes) == 40
    assert len(sizes) < 40  # requests of several clients went through the network together


def test_the_pictures_of_a_request_have_so_many_pixels_together(network):
    content = png(Image.new("L", (48, 48)))
    with client_of(network, all_pixels=5000) as client:
        first, second, third = post(client, content, content, content).json()["images"]
        assert len(first["faces"]) == len(second["faces"]) == 1
        assert third == {
            "error": "This picture and those before it have more than 0.005 megapixels. Send fewer at once."
        }
        assert post(client, content).status_code == 200  # it is each request's own


def test_no_torch_is_imported(exported):
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['lightning'] = None\n"
        "from starlette.testclient import TestClient\n"
        "from mien.runtime import Network\nfrom mien.serve import create_app\n"
        f"with TestClient(create_app(Network.open({str(exported)!r}))) as client:\n"
        "    print(client.get('/healthz').status_code, 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["200", "False"], done.stderr


def test_the_extra_is_named_when_it_is_missing(exported, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("mien.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", "--model", str(exported)]) == 3
    assert "this needs the 'serve' extra: pip install 'mien[serve]'" in capsys.readouterr().err


def test_a_detector_or_model_that_is_not_there(exported, tmp_path, capsys):
    assert main(["serve", "--model", str(tmp_path / "none.onnx")]) == 3
    assert "there is no such model file" in capsys.readouterr().err
    assert main(["serve", "--model", str(exported), "--detector", str(tmp_path / "none.onnx"), "--port", "0"]) == 3
    assert "there is no such detector file" in capsys.readouterr().err


def test_what_the_page_says(client):
    page = client.get("/").text
    for word in ("Hiring", "Policing", "Lie detection", "Diagnosis", "at work and in schools", "stay on this computer"):
        assert word in page
    assert client.get("/page.js").headers["Content-Type"].startswith("text/javascript")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    for sheet in ("/page.css", "/colours.css"):
        assert json.dumps(client.get(sheet).text).count("url(") == 0
