"""The live stream, read by a third-party client."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from newswire.filters import Filter
from newswire.keys import Keyspace
from newswire.messaging.retention import trim
from newswire.messaging.stream_position import parse_position
from newswire_notify.settings import NotifySettings
from newswire_notify.streaming.broadcaster import StreamBroadcaster
from newswire_notify.streaming.event_names import ENDED, TRIMMED
from newswire_notify.streaming.sse_client import ResumeFrom
from newswire_notify.streaming.stream_events import StreamFilter, read_stream_entry
from tests.notify.conftest import Desk, until
from tests.notify.notify_server import served
from tests.notify.sse_reader import following
from tests.polling import DEADLINE_SECONDS

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(redis_url: str, namespace: str) -> NotifySettings:
    return NotifySettings(
        redis_url=SecretStr(redis_url),
        namespace=namespace,
        allow_volatile=True,
        webhook_allow_private=True,
        live_heartbeat=0.2,
    )


@pytest.fixture
async def url(redis: Redis, settings: NotifySettings) -> AsyncIterator[str]:
    async with served(redis, settings) as (address, _):
        yield address


async def test_events_come_as_they_happen(url: str, desk: Desk) -> None:
    async with following(url) as reader:
        await desk.put("a1")
        await desk.put("a2")
        await desk.put_retraction("a1", 1)
        await until(lambda: reader.ids == ["a1.1", "a2.1", "a1.1.retracted"])
    assert reader.headers["cache-control"] == "no-store"
    assert reader.headers["content-type"].startswith("text/event-stream")
    assert reader.headers["access-control-allow-origin"] == "*"
    first = reader.events[0]
    assert first.event == "newswire.article.published.v1"
    assert first.id == desk.entries["a1.1"].entry_id
    assert first.retry == 2000
    assert json.loads(first.data)["data"]["title"] == "The ferry leaves on time"


async def test_resuming_has_neither_gap_nor_repeat(url: str, desk: Desk) -> None:
    for number in range(450):
        await desk.put(f"a{number}")
    stop = asyncio.Event()

    async def go_on() -> None:
        number = 450
        while not stop.is_set():
            await desk.put(f"a{number}")
            number += 1
            await asyncio.sleep(0)

    publishing = asyncio.create_task(go_on())
    async with following(url, after=desk.entries["a9.1"].entry_id) as reader:
        await until(lambda: len(reader.events) > 600)
        stop.set()
        await publishing
        await until(lambda: len(reader.events) == len(desk.entries) - 10)
    assert reader.ids == [f"a{number}.1" for number in range(10, len(desk.entries))]


async def test_events_that_no_client_saw_are_sent_to_those_that_resume(
    url: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("newswire_notify.streaming.broadcaster.UNOBSERVED_SECONDS", -1.0)
    for at in (0, 10):
        for number in range(at, at + 6):
            await desk.put(f"a{number}")
        async with following(url, after=desk.entries[f"a{at}.1"].entry_id) as reader:
            await until(lambda: len(reader.events) == 5)
            await desk.put(f"a{at + 6}")
            await until(lambda: len(reader.events) == 6)
            assert reader.ids == [f"a{number}.1" for number in range(at + 1, at + 7)]


async def test_readers_that_come_and_go_while_events_are_published_have_neither_gap_nor_repeat(
    url: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream is not read without readers; each one here is the first after a while."""
    monkeypatch.setattr("newswire_notify.streaming.broadcaster.UNOBSERVED_SECONDS", -1.0)
    stop = asyncio.Event()

    async def go_on() -> None:
        while not stop.is_set():
            await desk.put(f"a{len(desk.entries)}")
            await asyncio.sleep(0)

    publishing = asyncio.create_task(go_on())
    for _ in range(8):
        async with following(url) as reader:
            await until(lambda: len(reader.events) > 20)
        positions = [entry.entry_id for entry in desk.entries.values()]
        resumed = reader.headers["newswire-resumed-from"]
        before = positions.index(resumed) if resumed in positions else -1
        seen = [event.id for event in reader.events]
        assert seen == positions[before + 1 : before + 1 + len(seen)]
    stop.set()
    await publishing


async def test_nothing_is_read_without_clients(
    redis: Redis, desk: Desk, keys: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tailing(redis, keys) as broadcaster:
        with broadcaster.connect(StreamFilter(), limit=3):
            await until(lambda: broadcaster._after is not None)
            monkeypatch.setattr("newswire_notify.streaming.broadcaster.UNOBSERVED_SECONDS", 0.0)
        await until(lambda: broadcaster._after is None)
        reads = (await redis.info("commandstats"))["cmdstat_xread"]["calls"]
        for number in range(20):
            await desk.put(f"a{number}")
        assert (await redis.info("commandstats"))["cmdstat_xread"]["calls"] == reads
        assert await broadcaster.check() is None
        with broadcaster.connect(StreamFilter(), limit=3) as client:  # a waiting pull, for example
            await broadcaster.resume(client, None)
            await until(lambda: broadcaster._after is not None)
            assert (len(broadcaster._recent), len(client.waiting), client.ended) == (20, 0, None)
            await desk.put("a20")
            await until(lambda: len(client.waiting) == 1)


async def test_a_process_without_clients_is_well_though_it_started_slowly(
    redis: Redis, keys: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis could not be reached in the first seconds, for example: it is not read before a client connects."""
    monkeypatch.setattr("newswire_notify.streaming.broadcaster.UNOBSERVED_SECONDS", -1.0)
    async with tailing(redis, keys) as broadcaster:
        assert await broadcaster.check() is None
        assert broadcaster._after is None


async def test_retractions_are_filtered_by_fields_alone(url: str, desk: Desk) -> None:
    async with (
        following(url, q="ferry", publisher="harbour-post") as ferries,
        following(url, publisher="valley-times") as valley,
    ):
        await desk.put("a1")
        await desk.put("a2", title="Nothing", text="Of that kind")
        await desk.put("a3", publisher="Valley-Times")
        await desk.put_retraction("a2", 1)
        await until(lambda: ferries.ids == ["a1.1", "a2.1.retracted"] and valley.ids == ["a3.1"])


async def test_invalid_requests_are_refused(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        for params, headers in (
            ({"sort": "newest"}, {}),
            ({"q": ["a", "b"]}, {}),
            ({}, {"Last-Event-ID": "yesterday"}),
            ({"since": "yesterday"}, {}),
            ({"since": "2026-03-01"}, {}),
            ({"since": "1772357400"}, {}),
            ({"since": "2026-W09-7T09:30:00Z"}, {}),
            ({"since": "1-x"}, {}),
            ({}, {"Last-Event-ID": "99999999999999999999999-0"}),
        ):
            answer = await http.get("/v1/stream", params=params, headers=headers)
            assert answer.status_code == 422, (params, headers)
            assert answer.headers["content-type"] == "application/problem+json"


async def test_an_idle_stream_sends_heartbeats(url: str) -> None:
    async with httpx.AsyncClient(timeout=DEADLINE_SECONDS) as http, http.stream("GET", f"{url}/v1/stream") as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        seen = [await anext(lines) for _ in range(2)]
    assert seen == [": still here"] * 2


async def test_stopping_ends_open_streams(redis: Redis, settings: NotifySettings) -> None:
    async with httpx.AsyncClient(timeout=DEADLINE_SECONDS) as http:
        async with served(redis, settings) as (address, _):
            request = http.build_request("GET", f"{address}/v1/stream")
            answer = await http.send(request, stream=True)
            assert answer.status_code == 200
        assert [line async for line in answer.aiter_lines()][:1] == ["retry: 2000"]


async def test_the_broadcaster_recovers_from_a_lost_connection(url: str, desk: Desk) -> None:
    async with following(url) as reader:
        await desk.put("a1")
        await until(lambda: reader.ids == ["a1.1"])
        for client in await desk.redis.client_list():
            if client["cmd"] == "xread":
                await desk.redis.client_kill_filter(_id=client["id"])
        await desk.put("a2")
        await until(lambda: reader.ids == ["a1.1", "a2.1"])


async def test_a_replaced_stream_is_read_from_its_beginning(url: str, desk: Desk) -> None:
    """After a flush, or a failover to an empty server whose clock is behind, ids begin lower than those already read."""
    ahead = "9999999999999-0"
    entry = await desk.put("a0")
    [(_, fields)] = await desk.redis.xrange(desk.keys.stream, entry.entry_id)
    await desk.redis.xadd(desk.keys.stream, fields, ahead)
    async with following(url, after=entry.entry_id) as reader:
        await until(lambda: [event.id for event in reader.events] == [ahead])
        await desk.redis.delete(desk.keys.stream)
        await desk.put("a1")
        await until(lambda: reader.ids == ["a0.1", "a1.1"])
    async with following(url, after=ahead) as late:
        await until(lambda: late.ids == ["a1.1"])


async def test_a_stream_that_lost_its_end_goes_on_without_repeats(url: str, desk: Desk) -> None:
    """After a failover to a server that had not received the last entries, and whose clock is behind."""
    async with following(url) as reader:
        kept_entry = await desk.put("a1")
        await until(lambda: reader.ids == ["a1.1"])
        kept = await desk.redis.dump(desk.keys.stream)
        lost = await desk.put("a2")
        await until(lambda: reader.ids == ["a1.1", "a2.1"])
        [(_, fields)] = await desk.redis.xrange(desk.keys.stream, lost.entry_id)
        await desk.redis.restore(desk.keys.stream, 0, kept, replace=True)
        await desk.redis.xadd(desk.keys.stream, fields, f"{kept_entry.entry_id.partition('-')[0]}-9")
        await until(lambda: reader.ids == ["a1.1", "a2.1", "a2.1"])
        await desk.put("a3")
        await until(lambda: reader.ids[3:] == ["a3.1"])


@asynccontextmanager
async def tailing(redis: Redis, keys: Keyspace) -> AsyncIterator[StreamBroadcaster]:
    broadcaster = StreamBroadcaster(redis, keys)
    stopping = asyncio.Event()
    running = asyncio.create_task(broadcaster.run(stopping))
    await until(lambda: broadcaster.running)
    yield broadcaster
    stopping.set()
    await asyncio.wait_for(running, 60)


async def test_a_retraction_drops_queued_text_and_slow_clients_are_disconnected(
    redis: Redis, desk: Desk, keys: Keyspace
) -> None:
    stream_filter = StreamFilter()
    async with tailing(redis, keys) as broadcaster:
        with broadcaster.connect(stream_filter, limit=3) as client:
            resumed = await broadcaster.resume(client, None)
            frames = broadcaster.follow(client, stream_filter, resumed, stopped=lambda: False)
            assert await anext(frames) == b"retry: 2000\n"
            waiting = asyncio.ensure_future(anext(frames))
            await until(lambda: not client.resuming)
            await desk.put("a1")
            assert b"a1.1" in await waiting
            await desk.put("a2")
            await desk.put_retraction("a2", 1)
            await until(lambda: len(client.waiting) == 2)
            assert b"a2.1.retracted" in await anext(frames)
            for number in range(3, 9):
                await desk.put(f"a{number}")
            await until(lambda: client.ended == "too_slow")
            seen = desk.entries["a2.1.retracted"].entry_id
            [last] = [frame async for frame in frames]
        assert not broadcaster._groups
    said, event, data, *_ = last.decode().splitlines()
    assert (said, event) == (f"id: {seen}", f"event: {ENDED}")
    assert json.loads(data.removeprefix("data: ")) == {"reason": "too_slow", "resume_from": seen}


async def test_articles_retracted_during_a_resume_are_not_sent(redis: Redis, desk: Desk, keys: Keyspace) -> None:
    """From the broadcaster's memory, and from the stream."""
    for number in range(1, 40):
        await desk.put(f"a{number}")
    stream_filter = StreamFilter()
    async with tailing(redis, keys) as broadcaster:
        for forgotten in (False, True):
            if forgotten:
                broadcaster._recent.after = parse_position(desk.entries["a39.1"].entry_id)
            with broadcaster.connect(stream_filter, limit=100) as client:
                resumed = await broadcaster.resume(client, ResumeFrom((0, 0)))
                frames = broadcaster.follow(client, stream_filter, resumed, stopped=lambda: False)
                await anext(frames)
                assert b"a1.1" in await anext(frames)  # a first part is written, the rest waits
                retracted = await desk.put_retraction("a39", 1)
                await until(lambda: "a39" in client.retracted)
                rest = await anext(frames)
                assert b"a38.1" in rest
                assert b'"a39.1"' not in rest
                withdrawn = retracted.entry_id.encode()
                assert withdrawn in rest or withdrawn in await anext(frames)
                await frames.aclose()
            await desk.redis.xdel(keys.stream, retracted.entry_id)
            await desk.put("a39")
            await until(lambda: (newest := list(broadcaster._recent)[-1]).article == "a39" and not newest.retraction)


async def test_equal_filters_are_evaluated_once(
    redis: Redis, desk: Desk, keys: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_of: list[str] = []
    matches = Filter.matches

    def counting(self: Filter, facts: Any, *, text: bool = True) -> bool:
        asked_of.append(str(self.query))
        return matches(self, facts, text=text)

    async with tailing(redis, keys) as broadcaster:
        with ExitStack() as stack:
            clients = [
                stack.enter_context(
                    broadcaster.connect(StreamFilter.combine([Filter(query=query), None, Filter()]), limit=9)
                )
                for query in ("ferry", "FERRY", " Ferry ", "bridge", None)
            ]
            monkeypatch.setattr(Filter, "matches", counting)
            await desk.put("a1")
            await until(lambda: len(clients[-1].waiting) == 1)
            assert [len(client.waiting) for client in clients] == [1, 1, 1, 0, 1]
    assert sorted(asked_of) == ["bridge", "ferry"]


async def test_since_takes_a_time_or_an_id_and_the_response_names_the_position(url: str, desk: Desk) -> None:
    first, second, third = [await desk.put(f"a{number}") for number in (1, 2, 3)]
    for since, ids, resumed in (
        (first.entry_id, ["a2.1", "a3.1"], first.entry_id),
        ("0-0", ["a1.1", "a2.1", "a3.1"], "0-0"),
        ("2001-01-01T00:00:00Z", ["a1.1", "a2.1", "a3.1"], "978307199999-18446744073709551615"),
        ("2199-01-01T00:00:00+01:00", [], third.entry_id),
    ):
        async with following(url, since=since) as reader:
            await until(lambda: reader.ids == ids)  # noqa: B023 (it is awaited here)
            assert reader.headers["newswire-resumed-from"] == resumed
            assert "Newswire-Resumed-From" in reader.headers["access-control-expose-headers"]
    async with following(url, after=second.entry_id, since="0-0") as reader:  # as a browser reconnects
        await until(lambda: reader.ids == ["a3.1"])
    async with following(url) as reader:
        assert reader.headers["newswire-resumed-from"] == third.entry_id
        await desk.put("a4")
        await until(lambda: reader.ids == ["a4.1"])


async def test_clients_are_notified_of_trimmed_history(url: str, desk: Desk) -> None:
    for number in range(5):
        await desk.put(f"a{number}")
        await asyncio.sleep(0.002)  # an id of its own millisecond
    oldest = desk.entries["a3.1"].entry_id
    now = int(oldest.split("-")[0])
    assert await trim(desk.redis, desk.keys, timedelta(0), now_ms=now) == 3
    last_gone = desk.entries["a2.1"].entry_id
    for after in ("0-0", desk.entries["a1.1"].entry_id):
        async with following(url, after=after) as reader:
            await until(lambda: reader.ids == ["a3.1", "a4.1"])
            assert reader.stream_events(TRIMMED) == [{"resumed_from": last_gone, "first": oldest}]
            assert reader.headers["newswire-resumed-from"] == last_gone
    async with following(url, after=last_gone) as reader:  # nothing is gone that it has not seen
        await until(lambda: reader.ids == ["a3.1", "a4.1"])
        assert reader.stream_events(TRIMMED) == []
    await desk.redis.xdel(desk.keys.stream, oldest)  # as its retraction does
    await desk.put_retraction("a3", 1)
    async with following(url, after=last_gone) as reader:
        await until(lambda: reader.ids == ["a4.1", "a3.1.retracted"])
        assert reader.stream_events(TRIMMED) == []


async def test_resuming_from_memory_equals_resuming_from_the_stream(redis: Redis, desk: Desk, keys: Keyspace) -> None:
    for number in range(700):
        await desk.put(f"a{number}")
    async with tailing(redis, keys) as broadcaster:
        assert len(broadcaster._recent) >= 500
        for number in range(700, 720):
            await desk.put(f"a{number}")
        await until(lambda: list(broadcaster._recent)[-1].article == "a719")
        assert len(broadcaster._recent) == 500
        for seen in (0, 218, 219, 220, 400, 719):
            stream_filter = StreamFilter()
            with broadcaster.connect(stream_filter, limit=100) as client:
                resumed = await broadcaster.resume(
                    client, ResumeFrom(parse_position(desk.entries[f"a{seen}.1"].entry_id))
                )
                frames = broadcaster.follow(client, stream_filter, resumed, stopped=lambda: False)
                got = b""
                while got.count(b"data: ") < 719 - seen:
                    got += await asyncio.wait_for(anext(frames), 60)
                await frames.aclose()
            ids = [json.loads(line[6:])["id"] for line in got.split(b"\n") if line.startswith(b"data: ")]
            assert ids == [f"a{number}.1" for number in range(seen + 1, 720)]


def test_positions() -> None:
    assert parse_position("12-3") == (12, 3)
    assert parse_position("12") == (12, 0)
    for wrong in ("", "-", "1-", "a", "1-2-3", "$", "+", "²"):
        with pytest.raises(ValueError):
            parse_position(wrong)


def test_other_entries_are_skipped() -> None:
    assert read_stream_entry(b"1-0", {}) is None
    assert read_stream_entry(b"1-0", {b"__data__": b"{"}) is None
