"""Events are written straight to the connections of clients that wait for nothing; the others keep their order and lose nothing."""

import asyncio
import contextlib
import json
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httptools
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr
from redis.asyncio import Redis

from newswire.auth.accounts import disable_account
from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.filters import Filter
from newswire.keys import Keyspace
from newswire.shared_parts import SharedPart
from newswire_notify.settings import NotifySettings
from newswire_notify.streaming.broadcaster import StreamBroadcaster
from newswire_notify.streaming.event_names import ENDED
from newswire_notify.streaming.reach_publisher import ReachPublisher
from newswire_notify.streaming.sse_client import EXPIRED, SseClient
from newswire_notify.streaming.stream_events import StreamFilter
from tests.notify.conftest import Desk, until
from tests.notify.notify_server import served
from tests.notify.sse_reader import following

pytestmark = pytest.mark.slow
_ID = re.compile(rb'^data: .*?"id":"([a-z0-9.]+)"', re.MULTILINE)
MANY = 200


@dataclass
class FakeBody:
    """Takes parts, unless it is blocked."""

    parts: list[SharedPart] = field(default_factory=list)
    blocked: bool = False

    def write(self, part: SharedPart) -> bool:
        if not self.blocked:
            self.parts.append(part)
        return not self.blocked

    @property
    def ids(self) -> list[str]:
        return [found.decode() for part in self.parts for found in _ID.findall(part.data)]


@dataclass
class Connected:
    """A client of a broadcaster, without HTTP."""

    client: SseClient
    body: FakeBody
    sent: list[bytes] = field(default_factory=list)
    """What its task sent."""

    @property
    def sent_ids(self) -> list[str]:
        return [found.decode() for frames in self.sent for found in _ID.findall(frames)]


@asynccontextmanager
async def broadcasting(
    redis: Redis, keys: Keyspace, on_broadcast: Callable[[str, int], None] = lambda event, readers: None
) -> AsyncIterator[StreamBroadcaster]:
    broadcaster = StreamBroadcaster(redis, keys, on_broadcast=on_broadcast)
    stopping = asyncio.Event()
    running = asyncio.create_task(broadcaster.run(stopping))
    await until(lambda: broadcaster.running)
    yield broadcaster
    stopping.set()
    await asyncio.wait_for(running, 60)


@asynccontextmanager
async def connected(
    broadcaster: StreamBroadcaster, filter_: Filter | None = None, limit: int = 1000, ends: float | None = None
) -> AsyncIterator[Connected]:
    stream_filter = StreamFilter.combine([filter_])
    with broadcaster.connect(stream_filter, limit=limit, ends=ends) as client:
        body = client.body = FakeBody()
        found = Connected(client, body)
        resumed = await broadcaster.resume(client, None)

        async def send() -> None:
            async for frames in broadcaster.follow(client, stream_filter, resumed, stopped=lambda: broadcaster.ended):
                while body.blocked:
                    await asyncio.sleep(0.001)
                found.sent.append(frames)

        task = asyncio.create_task(send())
        await until(lambda: client.idle)
        yield found
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def put_together(desk: Desk, *articles: str) -> None:
    """Add events to the stream in one step, so that they are read together."""
    entries = []
    for article in articles:
        entry = await desk.put(f"{article}.draft")
        [(_, fields)] = await desk.redis.xrange(desk.keys.stream, entry.entry_id, entry.entry_id)
        entries.append(
            {name: value.replace(f"{article}.draft".encode(), article.encode()) for name, value in fields.items()}
        )
    async with desk.redis.pipeline(transaction=True) as pipe:
        for fields in entries:
            pipe.xadd(desk.keys.stream, fields)
        await pipe.execute()


class TestBroadcaster:
    async def test_idle_clients_are_written_the_same_bytes_and_their_tasks_sleep(
        self, redis: Redis, desk: Desk, keys: Keyspace
    ) -> None:
        async with (
            broadcasting(redis, keys) as broadcaster,
            connected(broadcaster) as first,
            connected(broadcaster) as second,
            connected(broadcaster, Filter(publishers=["harbour-post"])) as other_filter,
            connected(broadcaster, Filter(publishers=["valley-times"])) as unmatched,
        ):
            await desk.put("a1")
            await until(lambda: first.body.ids == ["a1.1"])
            await until(lambda: other_filter.body.ids == second.body.ids == ["a1.1"])
            assert first.body.parts[0] is second.body.parts[0] is other_filter.body.parts[0]
            assert unmatched.body.parts == []
            assert all(each.client.idle and not each.client.wakeup.is_set() for each in (first, second, other_filter))
            assert first.sent == [b"retry: 2000\n"]

    async def test_connected_clients_are_counted_and_reported(self, redis: Redis, desk: Desk, keys: Keyspace) -> None:
        reach = ReachPublisher(desk.broker, keys, "https://news.example")
        async with (
            broadcasting(redis, keys, reach.note) as broadcaster,
            connected(broadcaster),
            connected(broadcaster),
            connected(broadcaster, Filter(publishers=["harbour-post"])) as matched,
            connected(broadcaster, Filter(publishers=["valley-times"])),
        ):
            await desk.put("a1")
            await until(lambda: matched.body.ids == ["a1.1"])
        async with broadcasting(redis, keys, reach.note):  # without clients, nothing is reported
            await desk.put("a2")
        await reach.publish()
        await reach.publish()
        [(_, fields)] = await redis.xrange(keys.outcomes)
        report = json.loads(fields[b"__data__"])
        assert (report["type"], report["data"]["events"]) == (
            "newswire.articles.streamed.v1",
            [{"event": "a1.1", "readers": 3}],
        )

    async def test_events_that_are_read_together_are_written_together(
        self, redis: Redis, desk: Desk, keys: Keyspace
    ) -> None:
        async with broadcasting(redis, keys) as broadcaster, connected(broadcaster) as reader:
            await put_together(desk, "a1", "a2", "a3")
            await until(lambda: reader.body.ids[-3:] == ["a1.1", "a2.1", "a3.1"])
            assert [len(_ID.findall(part.data)) for part in reader.body.parts][-1] == 3

    async def test_a_client_that_lags_keeps_the_order_and_is_written_to_again_when_it_has_caught_up(
        self, redis: Redis, desk: Desk, keys: Keyspace
    ) -> None:
        async with broadcasting(redis, keys) as broadcaster, connected(broadcaster) as reader:
            expected = []
            for turn in range(5):
                reader.body.blocked = True
                for number in range(3):
                    await desk.put(f"q{turn}{number}")
                    expected.append(f"q{turn}{number}.1")
                await until(lambda: not reader.client.idle)
                reader.body.blocked = False
                await until(lambda: len(reader.sent_ids) + len(reader.body.ids) == len(expected))
                await until(lambda: reader.client.idle)
                await desk.put(f"d{turn}")
                expected.append(f"d{turn}.1")
                await until(lambda: reader.body.ids[-1:] == expected[-1:])
            assert sorted(reader.sent_ids + reader.body.ids) == sorted(expected)
            assert [each for each in expected if each in set(reader.sent_ids)] == reader.sent_ids
            assert [each for each in expected if each in set(reader.body.ids)] == reader.body.ids
            assert all(f"d{turn}.1" in reader.body.ids for turn in range(5))

    async def test_a_client_that_lags_too_far_is_disconnected_and_is_written_nothing_more(
        self, redis: Redis, desk: Desk, keys: Keyspace
    ) -> None:
        async with broadcasting(redis, keys) as broadcaster, connected(broadcaster, limit=3) as reader:
            await desk.put("a0")
            await until(lambda: reader.body.ids == ["a0.1"])
            reader.body.blocked = True
            for number in range(1, 40):
                await desk.put(f"a{number}")
            await until(lambda: reader.client.ended == "too_slow")
            reader.body.blocked = False
            await until(lambda: b"too_slow" in reader.sent[-1])
            await desk.put("a40")
            async with connected(broadcaster) as other:
                await desk.put("a41")
                await until(lambda: "a41.1" in other.body.ids)
            assert reader.body.ids == ["a0.1"]
            last_sent = reader.sent_ids[-1] if reader.sent_ids else "a0.1"
            resume_from = json.loads(reader.sent[-1].split(b"data: ")[1])["resume_from"]
            assert resume_from == desk.entries[last_sent].entry_id

    async def test_a_retraction_drops_text_that_was_read_with_it(
        self, redis: Redis, desk: Desk, keys: Keyspace
    ) -> None:
        async with broadcasting(redis, keys) as broadcaster, connected(broadcaster) as reader:
            published = await desk.put("a1")
            retracted = await desk.put_retraction("a1", 1)
            await until(lambda: "a1.1.retracted" in reader.body.ids)
            fields = [
                (await desk.redis.xrange(keys.stream, each.entry_id, each.entry_id))[0][1]
                for each in (published, retracted)
            ]
            before = len(reader.body.ids)
            async with desk.redis.pipeline(transaction=True) as pipe:
                for each in fields:
                    pipe.xadd(keys.stream, each)
                await pipe.execute()
            await until(lambda: len(reader.body.ids) > before)
            assert reader.body.ids[before:] == ["a1.1.retracted"]

    async def test_nothing_is_written_after_the_end_of_access(self, redis: Redis, desk: Desk, keys: Keyspace) -> None:
        """The timers do not run here: the broadcaster itself looks at the ends before it writes."""
        now = [1_000.0]
        async with broadcasting(redis, keys) as broadcaster:
            broadcaster.timers._wall_clock = lambda: now[0]
            async with connected(broadcaster, ends=1_010.0) as reader, connected(broadcaster) as unlimited:
                await desk.put("a1")
                await until(lambda: reader.body.ids == ["a1.1"])
                now[0] = 1_010.0
                await desk.put("a2")
                await until(lambda: unlimited.body.ids == ["a1.1", "a2.1"])
                await until(lambda: reader.client.ended == EXPIRED and b"expired" in reader.sent[-1])
                assert reader.body.ids == ["a1.1"]
                assert reader.sent_ids == []

    async def test_events_matched_before_an_error_are_written(
        self, redis: Redis, desk: Desk, keys: Keyspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with broadcasting(redis, keys) as broadcaster, connected(broadcaster) as reader:
            fails = [True]
            lookup = broadcaster._with_readers

            async def failing(entries: object) -> object:
                if fails[0]:
                    fails[0] = False
                    raise ConnectionError("no readers now")
                return await lookup(entries)  # type: ignore[arg-type]

            monkeypatch.setattr(broadcaster, "_with_readers", failing)
            await desk.put("a1")
            await desk.put_retraction("a0", 1)
            await until(lambda: reader.body.ids == ["a1.1", "a0.1.retracted"])

    async def test_clients_come_and_go_while_others_are_written_to(
        self, redis: Redis, desk: Desk, keys: Keyspace
    ) -> None:
        """Each receives everything from its connection on, exactly once."""
        async with broadcasting(redis, keys) as broadcaster:
            stop = asyncio.Event()
            order: list[str] = []

            async def publish() -> None:
                while not stop.is_set():
                    name = f"n{len(order)}"
                    await desk.put(name)
                    order.append(f"{name}.1")

            async def come_and_go(number: int) -> None:
                filter_ = Filter(publishers=["harbour-post"]) if number % 2 else None
                for _ in range(5):
                    async with connected(broadcaster, filter_) as reader:
                        await until(lambda: len(reader.body.ids) + len(reader.sent_ids) >= 3)
                        got = [*reader.sent_ids, *reader.body.ids]
                    first = int(min(got, key=lambda each: int(each[1:-2]))[1:-2])
                    assert sorted(got, key=lambda each: int(each[1:-2])) == [
                        f"n{at}.1" for at in range(first, first + len(got))
                    ]

            publishing = asyncio.create_task(publish())
            await asyncio.gather(*map(come_and_go, range(8)))
            stop.set()
            await publishing
            assert not broadcaster._groups
            assert not any(broadcaster.timers._wheel)


def open_streams() -> float:
    return REGISTRY.get_sample_value("newswire_live_clients") or 0.0


class RawReader:
    """A connection whose reads the test controls; it decodes the response."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = httptools.HttpResponseParser(self)
        self.body = b""
        self.statuses: list[int] = []
        self.complete = 0
        self.raw = b""

    @classmethod
    async def open(cls, url: str, request: bytes, receive_buffer: int = 0) -> "RawReader":
        host, port = url.removeprefix("http://").split(":")
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
        reader, writer = await asyncio.open_connection(sock=connection, limit=1024)
        writer.write(request)
        return cls(reader, writer)

    def on_headers_complete(self) -> None:
        self.statuses.append(self._parser.get_status_code())

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.complete += 1

    @property
    def ids(self) -> list[str]:
        return [found.decode() for found in _ID.findall(self.body)]

    async def read(self, size: int = 65536) -> bool:
        """Read up to a number of bytes; return whether there were any before the connection ended."""
        received = await asyncio.wait_for(self._reader.read(size), 60)
        self.raw += received
        if received:
            self._parser.feed_data(received)
        return bool(received)

    async def read_until(self, text: bytes) -> None:
        while text not in self.body:
            assert await self.read(), self.raw[-500:]

    async def read_to_the_end(self) -> None:
        while await self.read():
            pass

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def reset(self) -> None:
        """Close as a crashed client does, without reading what is left."""
        connection: socket.socket = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        self._writer.transport.abort()


GET = b"GET /v1/stream HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.fixture
def settings(redis_url: str, namespace: str) -> NotifySettings:
    return NotifySettings(
        redis_url=SecretStr(redis_url),
        namespace=namespace,
        allow_volatile=True,
        live_heartbeat=0.2,
        live_queue=MANY + 50,
        live_per_address=1000,
    )


@dataclass
class Site:
    """A served notify."""

    url: str
    opened: list[RawReader] = field(default_factory=list)

    async def open(self, request: bytes = GET, receive_buffer: int = 0) -> RawReader:
        reader = await RawReader.open(self.url, request, receive_buffer)
        self.opened.append(reader)
        return reader


@pytest.fixture(params=[True, False], ids=["own-protocol", "uvicorn"])
async def site(redis: Redis, settings: NotifySettings, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    async with served(redis, settings, own_protocol=request.param) as (url, _):
        found = Site(url)
        yield found
        for each in found.opened:
            each.close()


class TestConnections:
    async def test_a_reader_that_stops_reading_delays_no_other_and_loses_nothing(self, site: Site, desk: Desk) -> None:
        slow = await site.open(receive_buffer=4096)
        await slow.read_until(b"retry: 2000\n")
        healthy = await site.open()
        await healthy.read_until(b"retry: 2000\n")
        long = "A long text. " * 3000
        for number in range(MANY):
            await desk.put(f"a{number}", text=long)
        await healthy.read_until(f'"a{MANY - 1}.1"'.encode())
        assert healthy.ids == [f"a{number}.1" for number in range(MANY)]
        await slow.read_until(f'"a{MANY - 1}.1"'.encode())
        assert slow.ids == healthy.ids
        await desk.put("b1")
        await slow.read_until(b'"b1.1"')

    async def test_a_reader_of_single_bytes_gets_whole_frames(self, site: Site, desk: Desk) -> None:
        tiny = await site.open(receive_buffer=1)
        await tiny.read_until(b"retry: 2000\n")
        for number in range(5):
            await desk.put(f"a{number}", text="Some words. " * 400)
        while len(tiny.body) < 3000:
            await tiny.read(1)
        await tiny.read_until(b'"a4.1"')
        await tiny.read_until(b": still here\n")
        assert tiny.ids == [f"a{number}.1" for number in range(5)]
        frames = [line for line in tiny.body.splitlines() if line.startswith(b"data: ")]
        assert [json.loads(line[6:])["id"] for line in frames] == tiny.ids

    async def test_readers_that_crash_while_they_are_written_to_are_forgotten(self, site: Site, desk: Desk) -> None:
        before = open_streams()
        crashing = [await site.open(receive_buffer=4096) for _ in range(10)]
        staying = await site.open()
        for each in (*crashing, staying):
            await each.read_until(b"retry: 2000\n")
        long = "A long text. " * 3000
        for number in range(30):
            await desk.put(f"a{number}", text=long)
            if number >= 20:
                crashing[number - 20].reset()
        await staying.read_until(b'"a29.1"')
        assert staying.ids == [f"a{number}.1" for number in range(30)]
        staying.reset()
        await until(lambda: open_streams() == before)

    async def test_a_large_event_arrives_whole_with_those_around_it(self, site: Site, desk: Desk) -> None:
        reader = await site.open(receive_buffer=4096)
        await reader.read_until(b"retry: 2000\n")
        await desk.put("a1")
        await desk.put("a2", text="x" * 900_000)
        await desk.put("a3")
        await reader.read_until(b'"a3.1"')
        assert reader.ids == ["a1.1", "a2.1", "a3.1"]

    async def test_heartbeats_stand_between_events(self, site: Site, desk: Desk) -> None:
        reader = await site.open()
        for number in range(3):
            await reader.read_until(b": still here\n" * (number + 1) if not number else b": still here\n")
            reader.body = b""
            await desk.put(f"a{number}")
            await reader.read_until(f'"a{number}.1"'.encode())
            await reader.read_until(b"\n\n")
            assert reader.body.startswith((b"id: ", b": still here\nid: "))

    async def test_stopping_ends_the_responses_of_idle_readers(self, redis: Redis, settings: NotifySettings) -> None:
        async with served(redis, settings) as (url, _):
            readers = [await RawReader.open(url, GET) for _ in range(20)]
            for each in readers:
                await each.read_until(b"retry: 2000\n")
        for each in readers:
            await each.read_to_the_end()
            assert each.complete == 1
            each.close()

    async def test_a_pipelined_request_is_answered_after_the_stream(
        self, redis: Redis, settings: NotifySettings, keys: Keyspace, desk: Desk
    ) -> None:
        key = await create_key(redis, keys, "Reading Room", {Scope.READ})
        request = b"GET /v1/stream HTTP/1.1\r\nhost: a\r\nauthorization: Bearer %b\r\n\r\n" % key.token.encode()
        async with served(redis, settings) as (url, _):
            reader = await RawReader.open(url, request + b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
            await reader.read_until(b"retry: 2000\n")
            await desk.put("a1")
            await reader.read_until(b'"a1.1"')
            await disable_account(redis, keys, "Reading Room")
            while reader.complete < 2:
                assert await reader.read()
            assert reader.statuses == [200, 200]
            assert ENDED.encode() in reader.body
            reader.close()

    @pytest.mark.parametrize(
        "head", [b"GET /v1/stream HTTP/1.0\r\n\r\n", b"HEAD /v1/stream HTTP/1.1\r\nhost: a\r\n\r\n"]
    )
    async def test_old_clients_and_head(self, site: Site, desk: Desk, head: bytes) -> None:
        reader = await site.open(head)
        while b"\r\n\r\n" not in reader.raw:
            with contextlib.suppress(httptools.HttpParserError):
                assert await reader.read()
        if head.startswith(b"HEAD"):
            assert reader.raw.startswith(b"HTTP/1.1 405 ")
            return
        assert b"\r\nconnection: close\r\n" in reader.raw
        await desk.put("a1")
        await reader.read_until(b'"a1.1"')
        assert reader.ids == ["a1.1"]

    async def test_resuming_meets_the_events_that_are_written_now(self, site: Site, desk: Desk) -> None:
        for number in range(100):
            await desk.put(f"a{number}")
        stop = asyncio.Event()

        async def go_on() -> None:
            number = 100
            while not stop.is_set():
                await desk.put(f"a{number}")
                number += 1

        publishing = asyncio.create_task(go_on())
        for turn in range(5):
            async with following(site.url, after=desk.entries[f"a{turn * 10}.1"].entry_id) as reader:
                await until(lambda: len(reader.ids) > 110)
                got = reader.ids
            assert got == [f"a{number}.1" for number in range(turn * 10 + 1, turn * 10 + 1 + len(got))]
        stop.set()
        await publishing
