"""Limits of connections with a real server: size and speed of requests, speed of reading, number of connections."""

import asyncio
import gc
import json
import os
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
import uvloop
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from newswire.http import server as http_protocol
from newswire.http.application import Service, serve
from newswire.http.listening import bind
from newswire.http.request_parsing import ParsedBody, json_body
from newswire.http.server import BoundedProtocol, mark_live
from newswire.observability import metrics
from newswire.settings import Settings
from tests.polling import DEADLINE_SECONDS

BIG = 30_000_000
"""Size of a response that no kernel buffers completely."""


class Anything(BaseModel):
    model_config = {"extra": "allow"}


def routes(held: asyncio.Event, begun: Counter[str]) -> APIRouter:
    router = APIRouter()

    @router.get("/small")
    async def small() -> dict[str, bool]:
        return {"fine": True}

    @router.get("/waits")
    async def waits(request: Request) -> dict[str, bool]:
        begun["waits"] += 1
        while not held.is_set():
            if await request.is_disconnected():
                begun["left"] += 1
                break
            await asyncio.sleep(0.01)
        return {"waited": True}

    @router.get("/big")
    async def big() -> Response:
        begun["big"] += 1
        return Response(bytes(BIG))

    @router.post("/reads")
    async def reads(sent: Annotated[ParsedBody[Anything], Depends(json_body(Anything))]) -> dict[str, int]:
        return {"members": len(sent.raw)}

    @router.post("/refuses")
    async def refuses() -> Response:
        return Response(status_code=401)

    @router.get("/live")
    async def live(request: Request) -> StreamingResponse:
        mark_live(request.scope)

        async def lines() -> AsyncIterator[bytes]:
            yield b": open\n\n"
            await held.wait()
            yield b": held\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    return router


class Site:
    """A server, and connections to it."""

    def __init__(self, port: int, held: asyncio.Event, begun: Counter[str]) -> None:
        self.port = port
        self.held = held
        self.begun = begun
        self.opened: list[asyncio.StreamWriter] = []

    async def connect(
        self, sent: bytes = b"", address: str = "127.0.0.2", **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(address, 0), **options)
        self.opened.append(writer)
        writer.write(sent)
        return reader, writer

    async def answers(self, address: str = "127.0.0.3") -> bool:
        transport = httpx.AsyncHTTPTransport(local_address=address)
        async with httpx.AsyncClient(transport=transport, timeout=DEADLINE_SECONDS) as http:
            return (await http.get(f"http://127.0.0.1:{self.port}/small")).json() == {"fine": True}


Serving = Callable[..., Any]


@pytest.fixture
def serving(redis_url: str, namespace: str) -> Serving:
    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[Site]:
        held, up, begun = asyncio.Event(), asyncio.Event(), Counter[str]()
        listener = bind("127.0.0.1", 0)

        @asynccontextmanager
        async def factory() -> AsyncIterator[Service]:
            yield Service("a", [routes(held, begun)])

        chosen = Settings(redis_url=redis_url, namespace=namespace, **settings)
        task = asyncio.create_task(serve([factory], chosen, listener, started=up.set))
        await asyncio.wait_for(up.wait(), DEADLINE_SECONDS)
        site = Site(listener.getsockname()[1], held, begun)
        try:
            yield site
        finally:
            held.set()
            for writer in site.opened:
                writer.transport.abort()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(task, DEADLINE_SECONDS)

    return run


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
    """Read a response to its end, and expect the connection to be closed after it."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        assert b"application/problem+json" in head, head
        body = await reader.read()
    return status, json.loads(body)


async def closed(reader: asyncio.StreamReader) -> bytes:
    """Wait until the server closes the connection, and return what it sent."""
    found = b""
    async with asyncio.timeout(60):
        try:
            while chunk := await reader.read(65_536):
                found += chunk
        except ConnectionError:
            pass
    return found


async def eventually(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not reached():
            await asyncio.sleep(0.01)


def closings(reason: str) -> float:
    return metrics.http_connections_closed.labels(reason)._value.get()


@pytest.mark.parametrize(
    ("reason", "status", "begin", "more"),
    [
        ("head_bytes", 431, b"GET /small HTTP/1.1\r\nhost: a\r\nx: ", b"x" * 1000),
        ("head_bytes", 431, b"GET /small HTTP/1.1\r\n", b"x" * 1000),
        ("head_bytes", 431, b"GET /small HTTP/1.1\r\n", b"x%d: " % 1 + b"y" * 900 + b"\r\n"),
        ("head_bytes", 431, b"", b"\r\n" * 500),
        ("header_count", 431, b"GET /small HTTP/1.1\r\n", b"x: y\r\n" * 20),
        ("url", 414, b"GET /small?", b"x" * 1000),
        ("malformed", 400, b"GE\x00T /small HTTP/1.1\r\n\r\n", b""),
        ("malformed", 400, b"\x16\x03\x01\x02\x00\x01\x00", b""),
        ("malformed", 400, b"GET /small HTTP/1.1\r\n\r\n", b""),
        ("malformed", 400, b"GET /small HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", b""),
    ],
)
async def test_an_oversized_or_malformed_head_is_rejected_early(
    serving: Serving, reason: str, status: int, begin: bytes, more: bytes
) -> None:
    before = closings(reason)
    async with serving() as site:
        reader, writer = await site.connect(begin)
        sent = 0
        while more and closings(reason) == before and sent < 1_000_000:
            writer.write(more)
            sent += len(more)
            await asyncio.sleep(0)
        said, document = await answer(reader)
        assert (said, document["status"]) == (status, status)
        assert await site.answers()
    assert closings(reason) == before + 1


async def test_a_request_of_http_1_0_needs_no_host(serving: Serving) -> None:
    async with serving() as site:
        reader, _ = await site.connect(b"GET /small HTTP/1.0\r\n\r\n")
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")


async def test_a_head_of_the_maximum_size_is_accepted(serving: Serving) -> None:
    async with (
        serving() as site,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{site.port}", timeout=DEADLINE_SECONDS) as http,
    ):
        headers = {f"x-{number}": "y" * 300 for number in range(90)}
        assert (await http.get("/small?" + "q" * 4000, headers=headers)).status_code == 200


async def test_a_slow_head_times_out(serving: Serving) -> None:
    async with serving(request_head_timeout=0.2) as site:
        partial, _ = await site.connect(b"GET /small HTTP/1.1\r\nhost: a\r\n")
        silent, _ = await site.connect()
        assert (await answer(partial))[0] == 408
        assert await closed(silent) == b""


async def test_a_head_sent_byte_by_byte_times_out(serving: Serving) -> None:
    async with serving(request_head_timeout=0.2) as site:
        before = closings("head_time")
        reader, writer = await site.connect(b"GET /small HTTP/1.1\r\n")
        async with asyncio.timeout(DEADLINE_SECONDS):
            while closings("head_time") == before:
                writer.write(b"x")
                await asyncio.sleep(0.02)
        assert (await answer(reader))[0] == 408


async def test_an_idle_connection_is_closed_despite_line_feeds(serving: Serving) -> None:
    async with serving(connection_idle_timeout=0.2) as site:
        reader, writer = await site.connect(b"GET /small HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
        ending = asyncio.create_task(closed(reader))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not ending.done():
                writer.write(b"\r\n")
                await asyncio.sleep(0.02)
        assert await ending == b""


async def test_connections_of_a_proxy_stay_open_longer(serving: Serving) -> None:
    limits = {"connection_idle_timeout": 0.5, "request_head_timeout": 0.5, "trusted_proxies": ["127.0.0.1"]}
    request = b"GET /small HTTP/1.1\r\nhost: a\r\n\r\n"
    async with serving(**limits) as site:
        of_proxy = [await site.connect(request, "127.0.0.1"), await site.connect(b"", "127.0.0.1")]
        await of_proxy[0][0].readuntil(b"}")
        other, _ = await site.connect(request)
        await other.readuntil(b"}")
        await closed(other)  # the limits were applied
        for reader, writer in of_proxy:
            writer.write(request)
            assert b"200" in await reader.readuntil(b"}")
        begun, _ = await site.connect(b"GET /small HT", "127.0.0.1")
        assert (await answer(begun))[0] == 408  # what a proxy has begun, it completes
    async with serving(proxy_idle_timeout=0.1) as site:
        for sent in (request, b""):
            reader, _ = await site.connect(sent, "127.0.0.1")
            await closed(reader)


async def test_a_connection_serves_one_request_after_another(serving: Serving) -> None:
    async with serving() as site:
        reader, writer = await site.connect()
        for _ in range(5):
            writer.write(b"GET /small HTTP/1.1\r\nhost: a\r\n\r\n")
            assert b"200" in await reader.readuntil(b"}")
        writer.write(
            b'POST /reads HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"a": '
        )
        await asyncio.sleep(0)
        writer.write(b"12}")
        assert b'{"members":1}' in await reader.readuntil(b"}")


async def test_pipelined_responses_with_and_without_a_body_come_in_order(serving: Serving) -> None:
    async with serving() as site:
        one, other = b"HEAD /small HTTP/1.1\r\nhost: a\r\n\r\n", b"GET /small HTTP/1.1\r\nhost: a\r\n\r\n"
        reader, _ = await site.connect(one + one + other + one)
        for expected in (b"", b"", b"{", b""):
            async with asyncio.timeout(DEADLINE_SECONDS):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                if expected:
                    assert (await reader.readuntil(b"}")).startswith(expected)


POST = b"POST /reads HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize("framing", [b"content-length: 1000\r\n\r\n{", b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"])
async def test_a_body_below_the_minimum_rate_times_out(serving: Serving, framing: bytes) -> None:
    async with serving(connection_stall_timeout=0.2) as site:
        reader, _ = await site.connect(POST + framing)
        assert (await answer(reader))[0] == 408
        assert await site.answers()


async def test_a_body_at_the_minimum_rate_is_accepted(serving: Serving) -> None:
    async with serving(connection_stall_timeout=3, connection_min_rate=1) as site:
        reader, writer = await site.connect(POST + b"content-length: 60\r\n\r\n")
        for piece in [b'{"a": "', *[b"x" * 5] * 10, b'x"}']:
            writer.write(piece)
            await asyncio.sleep(0.3)
        assert b'{"members":1}' in await reader.readuntil(b"}")


async def test_waiting_for_100_continue_does_not_count_as_slow(serving: Serving) -> None:
    async with serving() as site:
        reader, writer = await site.connect(POST + b"content-length: 2\r\nexpect: 100-continue\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(b"{}")
        assert b'{"members":0}' in await reader.readuntil(b"}")


@pytest.mark.parametrize("more", [b"1;", b"0\r\nx: "])
async def test_a_body_that_is_mostly_framing_is_rejected(serving: Serving, more: bytes) -> None:
    before = closings("framing")
    async with serving() as site:
        reader, writer = await site.connect(POST + b"transfer-encoding: chunked\r\n\r\n" + more)
        while closings("framing") == before:
            writer.write(b"x" * 1000)
            await asyncio.sleep(0)
        await closed(reader)


async def test_trailers_are_ignored(serving: Serving) -> None:
    async with serving() as site:
        chunked = b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + b"authorization: x\r\n" * 500 + b"\r\n"
        reader, _ = await site.connect(POST + chunked)
        assert b'{"members":0}' in await reader.readuntil(b"}")


async def test_draining_a_rejected_body_is_limited(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "DRAIN_SECONDS", 0.2)
    async with serving() as site:
        reader, writer = await site.connect(b"POST /refuses HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 401")
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not (reader.at_eof() or writer.is_closing()):
                writer.write(b"5\r\nxxxxx\r\n")
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("request_line", [b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n", b"GET /big HTTP/1.0\r\n\r\n"])
async def test_a_response_that_is_not_read_times_out(serving: Serving, request_line: bytes) -> None:
    before = closings("unread")
    async with serving(connection_stall_timeout=0.2) as site:
        _reader, writer = await site.connect(request_line, limit=1024)
        writer.transport.pause_reading()
        async with asyncio.timeout(60):
            while closings("unread") < before + 1:
                await asyncio.sleep(0.02)
        assert await site.answers()


async def test_a_reader_at_the_minimum_rate_gets_the_whole_response(serving: Serving) -> None:
    async with serving(connection_stall_timeout=10) as site:
        reader, _ = await site.connect(b"GET /big HTTP/1.0\r\n\r\n")
        await asyncio.sleep(1)
        found = 0
        async with asyncio.timeout(60):
            while chunk := await reader.read(1_000_000):
                found += len(chunk)
                await asyncio.sleep(0.005)
        assert found > BIG


async def test_beyond_the_buffer_limit_connections_of_the_largest_holder_are_closed(serving: Serving) -> None:
    before = closings("buffers")
    async with serving(connection_buffer_bytes=100_000_000) as site:
        honest, writer = await site.connect(b"GET /big HTTP/1.0\r\n\r\n", "127.0.0.4", limit=1024)
        writer.transport.pause_reading()
        for _ in range(8):
            _, greedy = await site.connect(b"GET /big HTTP/1.0\r\n\r\n", limit=1024)
            greedy.transport.pause_reading()
        async with asyncio.timeout(DEADLINE_SECONDS):
            while closings("buffers") < before + 5:
                await asyncio.sleep(0.02)
        writer.transport.resume_reading()
        assert len(await closed(honest)) > BIG


async def test_at_the_address_limit_the_least_active_connection_is_closed(serving: Serving) -> None:
    async with serving(connections_per_address=3) as site:
        busy = [await site.connect(b"GET /waits HTTP/1.1\r\nhost: a\r\n\r\n") for _ in range(2)]
        idle, writer = await site.connect(b"GET /small HTTP/1.1\r\nhost: a\r\n\r\n")
        await idle.readuntil(b"}")
        busy.append(await site.connect(b"GET /waits HTTP/1.1\r\nhost: a\r\n\r\n"))
        assert await closed(idle) == b""
        refused, _ = await site.connect(b"GET /small HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await answer(refused))[0] == 429
        assert await site.answers("127.0.0.3")
        site.held.set()
        for reader, _ in busy:
            assert b'{"waited":true}' in await reader.readuntil(b"}")
        assert writer is not None


async def test_a_trusted_proxy_is_exempt_from_the_address_limit(serving: Serving) -> None:
    async with serving(connections_per_address=2, trusted_proxies=["127.0.0.0/30"]) as site:
        opened = [await site.connect(b"GET /waits HTTP/1.1\r\nhost: a\r\n\r\n") for _ in range(10)]
        site.held.set()
        for reader, _ in opened:
            assert b'{"waited":true}' in await reader.readuntil(b"}")


async def test_at_the_total_limit_slow_connections_are_closed_for_new_ones(serving: Serving) -> None:
    async with serving(connections=20) as site:
        hostile = [
            await site.connect(part, f"127.0.1.{number}")
            for number, part in enumerate(
                [b"", b"GET /small HTTP/1.1\r\nx: ", POST + b"content-length: 9\r\n\r\n"] * 20, 1
            )
        ]
        for _ in range(10):
            assert await site.answers()
        assert len(hostile) == 60


async def test_a_process_with_only_busy_connections_rejects_new_ones(serving: Serving) -> None:
    async with serving(connections=5) as site:
        busy = [await site.connect(b"GET /waits HTTP/1.1\r\nhost: a\r\n\r\n") for _ in range(4)]
        live, _ = await site.connect(b"GET /live HTTP/1.1\r\nhost: a\r\n\r\n", "127.0.0.4")
        await live.readuntil(b": open")
        refused, _ = await site.connect(b"GET /small HTTP/1.1\r\nhost: a\r\n\r\n", "127.0.0.3")
        assert (await answer(refused))[0] == 503
        site.held.set()
        for reader, _ in busy:
            assert b'{"waited":true}' in await reader.readuntil(b"}")
        await live.readuntil(b": held")


async def test_a_live_stream_is_exempt_from_idle_limits(serving: Serving) -> None:
    limits = {"connection_idle_timeout": 0.1, "connection_stall_timeout": 0.1, "request_head_timeout": 0.1}
    async with serving(**limits) as site:
        live, _ = await site.connect(b"GET /live HTTP/1.1\r\nhost: a\r\n\r\n")
        await live.readuntil(b": open")
        await closed((await site.connect())[0])  # so that the limits were applied
        site.held.set()
        assert b": held" in await live.readuntil(b": held")


async def test_an_earlier_response_is_completed_before_a_rejection(serving: Serving) -> None:
    waits = b"GET /waits HTTP/1.1\r\nhost: a\r\n\r\n"
    async with serving() as site:
        for second in (b"GE\x00T / HTTP/1.1\r\n\r\n", b"GET /" + b"x" * 9000, waits * 100):
            site.held.clear()
            reader, _ = await site.connect(waits + second)
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not sum(closings(reason) for reason in ("malformed", "url", "pipelined")):
                    await asyncio.sleep(0.01)
            site.held.set()
            said = await closed(reader)
            assert said.startswith(b"HTTP/1.1 200")
            assert said.count(b"HTTP/1.1 ") == said.count(b'{"waited":true}') <= 20


async def test_a_pipelined_request_starts_after_the_previous_response_was_read(serving: Serving) -> None:
    async with serving() as site:
        big = b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n"
        reader, writer = await site.connect(big * 3, limit=1024)
        writer.transport.pause_reading()
        await eventually(lambda: site.begun["big"] == 1)
        writer.write(big)
        await closed((await site.connect(b"GET /small HTTP/1.0\r\n\r\n"))[0])
        assert await site.answers()
        assert site.begun["big"] == 1
        writer.transport.resume_reading()
        found = 0
        async with asyncio.timeout(60):
            while found < 4 * BIG:
                found += len(await reader.read(1_000_000))
        assert site.begun["big"] == 4


async def test_the_running_request_is_notified_of_a_disconnect_despite_pipelined_ones(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as site:
        _, writer = await site.connect(b"GET /waits HTTP/1.1\r\nhost: a\r\n\r\n" * 5)
        await eventually(lambda: site.begun["waits"] == 1)
        writer.transport.abort()
        await eventually(lambda: site.begun["left"] == 1)
        assert await site.answers()
        assert site.begun["waits"] == 1, "a request behind it was begun for a client that had left"
        assert not [record for record in caplog.records if record.levelname == "ERROR"]


def connections() -> list[BoundedProtocol]:
    return [each for each in gc.get_objects() if isinstance(each, BoundedProtocol)]


def test_many_connections_are_accepted_per_turn_of_the_event_loop(serving: Serving) -> None:
    async def turns_until_all_are_open() -> int:
        async with serving() as site:
            clients = [
                socket.create_connection(("127.0.0.1", site.port)) for _ in range(200)
            ]  # the event loop is blocked
            turns = 0
            async with asyncio.timeout(60):
                while len(connections()) < len(clients):
                    await asyncio.sleep(0)
                    turns += 1
            for client in clients:
                client.close()
            return turns

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(turns_until_all_are_open()) < 100


async def test_an_unread_body_is_not_kept_in_memory(serving: Serving) -> None:
    async with serving() as site:
        post = b"POST /refuses HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n"
        reader, _ = await site.connect(post + b" " * 100_000)
        assert b" 401 " in await reader.readuntil(b"\r\n\r\n")
        assert [len(each.cycle.body) for each in connections() if each.cycle] == [0]


async def test_a_response_counts_as_buffered_until_it_was_read_completely(serving: Serving) -> None:
    async with serving() as site:
        reader, writer = await site.connect(b"GET /big HTTP/1.0\r\n\r\n", limit=1024)
        await eventually(lambda: sum(each.held for each in connections()) > BIG * 0.8)
        found = await reader.readexactly(BIG // 2)
        [connection] = [each for each in connections() if each.held]
        connection.check(0, 0)
        assert connection.held > BIG * 0.8
        found += await reader.read()
        assert len(found) > BIG
        await eventually(lambda: not connection.held)
        writer.close()


async def test_an_upgrade_request_is_ignored(serving: Serving) -> None:
    async with serving() as site:
        reader, _ = await site.connect(
            b"GET /small HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n" + b"x" * 70_000
        )
        assert b'{"fine":true}' in await reader.readuntil(b"}")
