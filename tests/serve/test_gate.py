"""Who is let in, and who gives way."""

import asyncio
from dataclasses import dataclass

import pytest
from served import asgi, client_of, png

from mien.serve import Limits, create_app
from mien.serve.gate import Gate, Stage, gives_way, network_of
from mien.serve.limits import RefusedError


def test_beyond_the_queue_is_503_and_those_within_are_served(network, pictures):
    content = png(pictures[0])

    async def crowd():
        app = create_app(network, limits=Limits(at_work=1, waiting=2))
        async with app.app.router.lifespan_context(app.app), asgi(app) as client:
            form = {"files": {"file": content}, "data": {"detect": "false"}}
            return await asyncio.gather(*(client.post("/v1/predict", **form) for _ in range(8)))

    answers = asyncio.run(crowd())
    refused = [answer for answer in answers if answer.status_code == 503]
    assert sum(answer.status_code == 200 for answer in answers) >= 3
    assert refused
    assert all(answer.headers["Retry-After"] == "1" for answer in refused)
    assert "The server is busy with 3 requests. Try again" in refused[0].json()["error"]


def test_what_all_requests_hold_together_is_bounded():
    gate = Gate(Limits(held=100))

    class Sent:
        def __init__(self):
            self.headers = {}

        async def stream(self):
            yield bytes(60)

    async def held_twice():
        with gate.visit() as first, gate.visit() as second:
            assert [len(piece) async for piece in first.body(Sent())] == [60]
            with pytest.raises(RefusedError, match="busy with 2 requests"):
                _ = [piece async for piece in second.body(Sent())]

    asyncio.run(held_twice())
    assert (gate.inside, gate.held) == (0, 0)


@dataclass
class From:
    address: str
    name: str = ""


def test_those_who_have_the_most_give_way():
    crowd = [From("a", "1"), From("b", "2"), From("a", "3"), From("b", "4"), From("a", "5"), From("c", "6")]
    assert gives_way(crowd).name == "1"
    assert gives_way(crowd, last=True).name == "5"
    assert gives_way(crowd[:2], last=True).name == "2"
    assert gives_way(crowd[:1]).name == "1"


def test_what_one_client_owns():
    assert network_of("192.0.2.7") == "192.0.2.7"
    assert network_of("2001:db8:0:1::7") == network_of("2001:db8:0:1:ffff::9") == "2001:db8:0:1::/64"
    assert network_of("2001:db8:0:2::7") != network_of("2001:db8:0:1::7")
    assert network_of("testclient") == "testclient"


class Sending:
    """A request whose body comes in pieces, and then no more of it."""

    headers = {}  # noqa: RUF012

    def __init__(self, *pieces, whole=True):
        self.pieces, self.whole = pieces, whole

    async def stream(self):
        for piece in self.pieces:
            yield piece
            await asyncio.sleep(0)
        if not self.whole:
            await asyncio.sleep(30)


async def received(gate, host, sent):
    with gate.visit(host) as visit:
        return bytes(await visit.received(sent))


def refusals(tasks):
    return [task.done() and isinstance(task.exception(), RefusedError) and task.exception().status for task in tasks]


def test_slow_bodies_take_no_places_and_give_way_to_fast_ones():
    async def crowd():
        gate = Gate(Limits(receiving=10))
        slow = [asyncio.create_task(received(gate, "192.0.2.1", Sending(b"{", whole=False))) for _ in range(10)]
        await asyncio.sleep(0.01)
        for _ in range(5):
            assert await received(gate, "192.0.2.2", Sending(b"ab", b"c")) == b"abc"
        await asyncio.sleep(0)
        assert refusals(slow) == [503] + [False] * 9  # the eldest went; then there was room for one
        assert (gate.inside, gate.held) == (9, 9)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        assert (gate.inside, gate.held) == (0, 0)

    asyncio.run(crowd())


def test_the_one_that_holds_the_most_gives_way_when_there_is_no_memory():
    async def crowd():
        gate = Gate(Limits(held=100))
        large = [
            asyncio.create_task(received(gate, "192.0.2.1", Sending(bytes(size), whole=False))) for size in (60, 30)
        ]
        await asyncio.sleep(0.01)
        assert await received(gate, "192.0.2.1", Sending(bytes(20))) == bytes(20)
        await asyncio.sleep(0)
        assert refusals(large) == [503, False]
        with pytest.raises(RefusedError, match="The server is busy with 2 requests"):
            await received(gate, "192.0.2.1", Sending(bytes(80)))
        large[1].cancel()

    asyncio.run(crowd())


def test_a_client_that_fills_the_queue_makes_room_for_another():
    async def crowd():
        gate = Gate(Limits(at_work=1, waiting=3))

        async def work(host):
            with gate.visit(host) as visit:
                async with gate.work(visit):
                    await asyncio.sleep(0.05)
                    return host

        many = [asyncio.create_task(work("192.0.2.1")) for _ in range(4)]
        await asyncio.sleep(0.01)
        other = asyncio.create_task(work("192.0.2.2"))
        await asyncio.wait([*many, other])
        assert await other == "192.0.2.2"
        assert refusals(many) == [False, False, False, 503]  # the last one of those who had them all

    asyncio.run(crowd())


def test_a_stage_that_is_left_in_time_is_empty():
    async def late():
        gate = Gate(Limits())
        stage = Stage(1)
        with gate.visit() as visit, pytest.raises(TimeoutError):
            async with stage.enter(visit, 0.01):
                await asyncio.sleep(1)
        with gate.visit() as visit:
            async with stage.enter(visit, 0.01):
                pass

    asyncio.run(late())


def test_a_client_that_has_left_is_not_worked_for(network, pictures, monkeypatch):
    from starlette.requests import Request

    from mien.serve.service import Service

    async def gone(self):
        return True

    async def read(*_):
        raise AssertionError("read")

    monkeypatch.setattr(Request, "is_disconnected", gone)
    monkeypatch.setattr(Service, "read", read)
    with client_of(network) as client:
        assert client.post("/v1/predict", files={"file": png(pictures[0])}).status_code == 400
