"""Who may ask: foreign names and pages are refused, allowed ones are not."""

import pytest
from starlette.testclient import TestClient

from mien.cli import main
from mien.errors import UsageError
from mien.serve import create_app
from mien.serve.door import checked_origins, name_of
from mien.serve.server import is_local, names

LOCAL = "http://localhost:8000"


@pytest.fixture(scope="module")
def client(network):
    app = create_app(network, hosts=names("127.0.0.1", ["box.lan", "bag.lan:8000"]), origins=["http://localhost:5173"])
    with TestClient(app, base_url=LOCAL) as client:
        yield client


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"Host": "evil.example"}, "the name 'evil.example' (Host)"),
        ({"Host": "evil.example:8000"}, "the name 'evil.example' (Host)"),
        ({"Host": "localhost.evil.example"}, "the name 'localhost.evil.example' (Host)"),
        ({"Host": "127.0.0.1.evil.example"}, "(Host)"),
        ({"Host": ""}, "the name '' (Host)"),
        ({"Host": "0.0.0.0:8000"}, "(Host)"),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, "(Host)"),  # DNS rebinding
        ({"Origin": "http://evil.example"}, "Pages of 'http://evil.example' (Origin)"),
        ({"Origin": "http://localhost:3000"}, "(Origin)"),  # another program of this computer
        ({"Origin": "http://[::1"}, "(Origin)"),  # nothing that can be taken apart
        ({"Origin": "null"}, "(Origin)"),  # a file, or a frame in a sandbox
        ({"Origin": "http://localhost:8000.evil.example"}, "(Origin)"),
        ({"Sec-Fetch-Site": "cross-site"}, "(Sec-Fetch-Site)"),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, "(Sec-Fetch-Site)"),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/healthz"), ("POST", "/v1/predict"), ("GET", "/nowhere")])
def test_what_is_foreign_is_refused(client, headers, named, method, path):
    answer = client.request(method, path, headers=headers)
    assert answer.status_code == 403
    assert named in answer.json()["error"]
    assert "Whoever runs it can allow" in answer.json()["error"]
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "127.0.0.1:8000"},
        {"Host": "[::1]:8000"},
        {"Host": "LOCALHOST"},
        {"Host": "box.lan:8000"},
        {"Host": "bag.lan:8000"},  # allowed with its port
        {"Host": "bag.lan"},
        {"Origin": LOCAL, "Sec-Fetch-Site": "same-origin"},
        {"Host": "box.lan", "Origin": "https://box.lan"},  # behind a proxy that has TLS
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},  # a link on another page
        {"Origin": "http://localhost:5173", "Sec-Fetch-Site": "same-site"},
    ],
)
def test_what_is_not_foreign_is_answered(client, headers):
    assert client.get("/healthz", headers=headers).status_code == 200


def test_an_allowed_page_may_ask_and_read(client):
    page = {"Origin": "http://localhost:5173"}
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for answer in (
        client.options("/v1/predict", headers=page | wanted),
        client.get("/v1/model", headers=page),
        client.post("/v1/predict", headers=page),  # what is wrong with a request can be read, too
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:5173"
        assert "Origin" in answer.headers["Vary"]
    assert client.options("/v1/predict", headers={"Origin": "http://evil.example"} | wanted).status_code == 403
    assert client.post("/v1/predict", headers=page | {"Host": "evil.example"}).status_code == 403


def test_names_of_an_address():
    assert names("127.0.0.1") == ["localhost", "127.0.0.1", "[::1]", "127.0.0.1"]
    assert "[::1]" in names("::1")
    assert "[fe80::1]" in names("::1", ["fe80::1"])
    assert "127.0.0.2" in names("127.0.0.2")
    assert names("0.0.0.0") == []  # others reach it under names that nobody knows here
    assert names("0.0.0.0", ["box.lan"]) == ["localhost", "127.0.0.1", "[::1]", "0.0.0.0", "box.lan"]
    assert [is_local(host) for host in ("localhost", "127.9.9.9", "::1", "0.0.0.0", "::", "192.0.2.1", "box")] == [
        *[True] * 3,
        *[False] * 4,
    ]
    hosts = {"a:1": "a", "a": "a", "[::1]:1": "[::1]", "[::1]": "[::1]", "a.:1": "a", "": ""}
    assert [name_of(host) for host in hosts] == list(hosts.values())


def test_an_origin_that_is_none(exported, capsys):
    for origin in ("localhost:5173", "http://localhost:5173/", "*", "http://", "http://a/b", "null"):
        with pytest.raises(UsageError, match=r"is no origin\. Give scheme, name and port"):
            checked_origins([origin])
    assert checked_origins(["HTTP://Localhost:5173"]) == ["http://localhost:5173"]
    assert main(["serve", "--model", str(exported), "--port", "0", "--allow-origin", "localhost"]) == 2
    assert "'localhost' is no origin" in capsys.readouterr().err
