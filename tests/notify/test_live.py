"""The live stream, read by other people's client."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse
from pydantic import SecretStr
from redis.asyncio import Redis

from newswire.filters import Filter
from newswire.keyspace import Keyspace
from newswire_notify.live import Tail, encode, position
from newswire_notify.settings import NotifySettings
from tests.notify.conftest import Desk, until
from tests.notify.serving import served


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


class Reader:
    """Follows a stream in the background."""

    def __init__(self) -> None:
        self.events: list[ServerSentEvent] = []
        self.opened = asyncio.Event()
        self.headers: httpx.Headers = httpx.Headers()

    @property
    def ids(self) -> list[str]:
        return [json.loads(event.data)["id"] for event in self.events]


@asynccontextmanager
async def following(url: str, after: str | None = None, **params: Any) -> AsyncIterator[Reader]:
    reader = Reader()

    async def follow() -> None:
        headers = {"Last-Event-ID": after} if after else {}
        async with (
            httpx.AsyncClient(timeout=30) as http,
            aconnect_sse(http, "GET", f"{url}/v1/stream", headers=headers, params=params) as source,
        ):
            source.response.raise_for_status()
            reader.headers = source.response.headers
            reader.opened.set()
            async for event in source.aiter_sse():
                reader.events.append(event)

    task = asyncio.create_task(follow())
    try:
        await asyncio.wait_for(reader.opened.wait(), 10)
        yield reader
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


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


async def test_filters_and_retractions_by_the_fields_alone(url: str, desk: Desk) -> None:
    async with (
        following(url, q="ferry", publisher="harbour-post") as ferries,
        following(url, publisher="valley-times") as valley,
    ):
        await desk.put("a1")
        await desk.put("a2", title="Nothing", text="Of that kind")
        await desk.put("a3", publisher="Valley-Times")
        await desk.put_retraction("a2", 1)
        await until(lambda: ferries.ids == ["a1.1", "a2.1.retracted"] and valley.ids == ["a3.1"])


async def test_refusals(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        for params, headers in (
            ({"sort": "newest"}, {}),
            ({"q": ["a", "b"]}, {}),
            ({}, {"Last-Event-ID": "yesterday"}),
            ({}, {"Last-Event-ID": "99999999999999999999999-0"}),
        ):
            answer = await http.get("/v1/stream", params=params, headers=headers)
            assert answer.status_code == 422, (params, headers)
            assert answer.headers["content-type"] == "application/problem+json"


async def test_an_idle_stream_says_that_it_is_alive(url: str) -> None:
    async with httpx.AsyncClient(timeout=10) as http, http.stream("GET", f"{url}/v1/stream") as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        seen = [await anext(lines) for _ in range(2)]
    assert seen == [": still here"] * 2


async def test_stopping_ends_open_streams(redis: Redis, settings: NotifySettings) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        async with served(redis, settings) as (address, _):
            request = http.build_request("GET", f"{address}/v1/stream")
            answer = await http.send(request, stream=True)
            assert answer.status_code == 200
        assert [line async for line in answer.aiter_lines()][:1] == ["retry: 2000"]


async def test_the_tail_goes_on_after_its_connection_broke(url: str, desk: Desk) -> None:
    async with following(url) as reader:
        await desk.put("a1")
        await until(lambda: reader.ids == ["a1.1"])
        for client in await desk.redis.client_list():
            if client["cmd"] == "xread":
                await desk.redis.client_kill_filter(_id=client["id"])
        await desk.put("a2")
        await until(lambda: reader.ids == ["a1.1", "a2.1"])


async def test_a_replaced_stream_is_followed_from_its_beginning(url: str, desk: Desk) -> None:
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


async def test_a_retraction_takes_queued_text_away_and_a_slow_reader_is_cut_off(
    redis: Redis, desk: Desk, keys: Keyspace
) -> None:
    tail = Tail(redis, keys)
    stopping = asyncio.Event()
    running = asyncio.create_task(tail.run(stopping))
    await until(lambda: tail.running)
    frames = tail.follow(Filter(), None, limit=3, heartbeat=30, stopped=lambda: False)
    assert await anext(frames) == b"retry: 2000\n"
    await desk.put("a1")
    first = await anext(frames)
    assert b"a1.1" in first
    await desk.put("a2")
    await desk.put_retraction("a2", 1)
    [listener] = tail._listeners
    await until(lambda: len(listener.waiting) == 2)
    assert b"a2.1.retracted" in await anext(frames)
    for number in range(3, 9):
        await desk.put(f"a{number}")
    await until(lambda: listener.cut_off)
    assert [frame async for frame in frames] == [b": too slow, resume from the last id\n"]
    assert not tail._listeners
    stopping.set()
    await asyncio.wait_for(running, 10)


def test_positions() -> None:
    assert position("12-3") == (12, 3)
    assert position("12") == (12, 0)
    for wrong in ("", "-", "1-", "a", "1-2-3", "$", "+", "²"):
        with pytest.raises(ValueError):
            position(wrong)


def test_what_is_no_article_event_has_no_frame() -> None:
    assert encode(b"1-0", {}) is None
    assert encode(b"1-0", {b"__data__": b"{"}) is None
