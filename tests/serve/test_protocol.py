"""HTTP on one connection: what a client may do to the others, in processor time, which no neighbour changes."""

import asyncio
import time

import pytest
import uvicorn
from served import HEAD
from uvicorn.server import ServerState

from mien.serve.protocol import CONNECTIONS, OVERHEAD, PIPELINED, PatientProtocol

READ = 262_144  # bytes that asyncio reads from a socket at once


class Transport(asyncio.Transport):
    """Where answers go."""

    def __init__(self, address="192.0.2.1"):
        super().__init__({"peername": (address, 1), "sockname": ("192.0.2.9", 80)})
        self.written, self.closed, self.aborted = bytearray(), False, False

    def write(self, data):
        self.written += data

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = self.aborted = True

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


async def received(scope, receive, send):
    """Answers with the number of bytes of a body."""
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    text = str(size).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(text)).encode())]}
    )
    await send({"type": "http.response.body", "body": text})


class Server:
    """What connections of one server share."""

    def __init__(self):
        self.config = uvicorn.Config(received, http=PatientProtocol, ws="none", log_config=None)
        self.config.load()
        self.state = ServerState()

    def connected(self, address="192.0.2.1"):
        protocol = PatientProtocol(self.config, self.state, {}, asyncio.get_running_loop())
        protocol.connection_made(Transport(address))
        return protocol


async def sent(content):
    """What comes back for bytes that arrive as a socket gives them, and the longest processor time of one turn."""
    protocol, longest = Server().connected(), 0.0
    for start in range(0, len(content), READ):
        if protocol.transport.closed:
            break
        began = time.thread_time()
        protocol.data_received(content[start : start + READ])
        longest = max(longest, time.thread_time() - began)
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    protocol.connection_lost(None)
    return bytes(protocol.transport.written), longest


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (CHUNKED + b"1\r\n[\r\n" * 1_000_000, b"431"),
        (CHUNKED + b"1;" + b"x" * 1_000_000, b"431"),
        (CHUNKED + b"0\r\n" + b"a: b\r\n" * 200_000, b"431"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 200_000, b"431"),
        (b"GET / HTTP/1.1\r\nHost: x\r\na: " + b"b" * 1_000_000, b"431"),
        (b"GET /" + b"a" * 1_000_000, b"431"),
        (GET * 20_000, None),
        (b"\r\n" * 1_000_000, b"431"),
    ],
    ids=["chunks", "extension", "trailers", "headers", "header", "path", "pipelined", "empty lines"],
)
def test_no_request_holds_up_the_others(content, status):
    answer, longest = asyncio.run(sent(content))
    assert longest < 0.1
    if status:
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert f"The request has more than {OVERHEAD // 1024} kB besides its body".encode() in answer


def test_usual_chunks_are_read():
    chunked = CHUNKED + (b"1000\r\n" + bytes(0x1000) + b"\r\n") * 4000 + b"0\r\n\r\n"  # 16 MB
    answer, longest = asyncio.run(sent(chunked))
    assert answer.endswith(str(4000 * 0x1000).encode())
    assert longest < 0.1


def test_a_few_requests_may_be_sent_ahead():
    assert asyncio.run(sent(GET * (PIPELINED + 1)))[0].count(b"HTTP/1.1 200") == PIPELINED + 1


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n"),
    ],
    ids=["two hosts", "no host", "two lengths"],
)
def test_what_could_be_read_in_two_ways_is_refused(head):
    assert asyncio.run(sent(head))[0].startswith(b"HTTP/1.1 400")


def test_http_1_0_needs_no_host():
    assert asyncio.run(sent(b"GET / HTTP/1.0\r\n\r\n"))[0].startswith(b"HTTP/1.1 200")


def test_of_too_many_connections_the_one_that_lets_the_server_wait_longest_goes():
    async def crowd():
        server = Server()
        slow = [server.connected("192.0.2.1") for _ in range(CONNECTIONS - 1)]
        for protocol in slow[1:]:
            protocol.data_received(HEAD + b"Content-Length: 9\r\n\r\n{")
        slow[0].data_received(GET)  # it waits for its answer: nobody may take that away
        slow[0].since = 0.0
        slow[1].since = 1.0
        other = server.connected("192.0.2.2")
        assert not any(protocol.transport.closed for protocol in [*slow, other])
        server.connected("192.0.2.2")
        assert [number for number, protocol in enumerate(slow) if protocol.transport.aborted] == [1]
        for protocol in [*server.state.connections]:
            protocol.connection_lost(None)
        await asyncio.gather(*server.state.tasks, return_exceptions=True)

    asyncio.run(crowd())
