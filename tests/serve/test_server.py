"""`mien serve` as a process, and clients that do not behave."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from served import HEAD, LIMITED

from mien.cli import main
from mien.errors import UsageError
from mien.serve.server import PatientProtocol, address, listen


def healthy(server):
    with urllib.request.urlopen(f"http://{server[0]}:{server[1]}/healthz", timeout=20) as answer:
        return answer.status == 200


def exchange(server, *pieces):
    """What comes back for bytes that are sent as they are, until the server ends the connection."""
    with socket.create_connection(server, timeout=20) as client:
        for piece in pieces:
            client.sendall(piece)
        client.settimeout(20)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_a_slow_body_is_ended_with_a_reason_and_others_are_served(server):
    with socket.create_connection(server, timeout=20) as slow:
        slow.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
        assert healthy(server)
        slow.settimeout(20)
        answer = slow.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"did not arrive within 1 seconds" in answer + slow.recv(65536)


def test_a_head_that_never_ends_is_ended(server):
    for start in (b"", b"GET / HTT", HEAD):
        began = time.monotonic()
        answer = exchange(server, start)
        assert answer.startswith(b"HTTP/1.1 408")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"].startswith("The request did not arrive within 1")
        assert time.monotonic() - began < 10


def test_too_much_is_refused_before_it_is_sent_and_while_it_is(server):
    announced = exchange(server, HEAD + b"Content-Length: 1000000000\r\n\r\n", b"x" * 100)
    assert announced.startswith(b"HTTP/1.1 413")
    assert b"larger than 1 MB" in announced
    assert b"connection: close" in announced.lower()
    piece = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    counted = exchange(server, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[piece] * 160)  # 10 MB, sent to the end
    assert counted.startswith(b"HTTP/1.1 413")
    assert healthy(server)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01junk\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        HEAD + b"Content-Length: -5\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nno chunk\r\n",
    ],
)
def test_what_is_not_http_is_refused_in_json(server, sent):
    head, _, body = exchange(server, sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert b"Content-Type: application/json" in head
    assert json.loads(body)["error"].startswith("This is no HTTP request that can be read. Send HTTP/1.1, not https")
    assert healthy(server)


def test_junk_in_a_form_is_told_to_its_sender_and_not_to_the_terminal(server, terminal):
    form = HEAD.replace(b"application/json", b"multipart/form-data; boundary=b") + b"Connection: close\r\n"
    answer = exchange(server, form + b"Content-Length: 4\r\n\r\njunk")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"The form cannot be read" in answer
    assert terminal.read_text() == ""


def test_a_client_that_leaves_is_forgotten(server):
    for _ in range(20):
        with socket.create_connection(server, timeout=20) as client:
            client.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
    assert healthy(server)


def test_the_command_prints_its_address_serves_and_ends_on_ctrl_c(exported):
    process = subprocess.Popen(
        [sys.executable, "-m", "mien", "serve", "--model", str(exported), "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"},
        # A background job of a shell ignores SIGINT, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    url = process.stdout.readline().strip()
    with urllib.request.urlopen(f"{url}healthz", timeout=30) as answer:
        assert json.load(answer)["status"] == "ok"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert "Ctrl-C ends it." in err
    assert "Traceback" not in err


def test_a_port_that_is_taken(exported, capsys):
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert address(taken) == f"http://127.0.0.1:{port}/"
        assert main(["serve", "--model", str(exported), "--port", str(port)]) == 1
    assert f"127.0.0.1 port {port} cannot be used: " in capsys.readouterr().err
    with pytest.raises(UsageError, match="`port` 70000: ports go from 0 to 65535"):
        listen("127.0.0.1", 70000)
    for host in ("no.such.host.invalid", "192.0.2.1"):  # RFC 5737: nobody's address
        with pytest.raises(UsageError, match=f"`host` {host} is no address of this computer"):
            listen(host, 0)


def test_patience_is_that_of_the_body():
    from mien.serve import Limits

    assert PatientProtocol.patience == Limits().seconds


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a device that is always full")
def test_an_address_that_cannot_be_printed_is_an_error_and_no_traceback(exported):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mien", "serve", "--model", str(exported), "--port", "0"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert "Writing failed: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_sigterm_ends_it_while_bodies_never_end(exported):
    code = LIMITED.replace("seconds=1.0", "seconds=60.0")
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(exported)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    host, _, port = process.stdout.readline().strip().removeprefix("http://").rstrip("/").partition(":")
    slow = [socket.create_connection((host, int(port)), timeout=20) for _ in range(20)]
    for client in slow:
        client.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
    assert healthy((host, int(port)))
    start = time.monotonic()
    process.terminate()
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - start < 10
    assert "Traceback" not in errors
    for client in slow:
        client.settimeout(5)
        assert client.recv(65536).startswith(b"HTTP/1.1 503")
        client.close()
