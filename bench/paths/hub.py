"""WebSub hub: from the announcement that an article is searchable to the first push, and to the last one of many subscribers.

All subscribers follow one feed, have a secret, and are reached over kept connections of one origin.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
from redis.asyncio import Redis

from bench.articles import repeated
from bench.figures import Figure, compared, times
from bench.load import Connection, Pool, json_request, request
from bench.receiver import ACCEPTED, listen
from bench.servers import KEYS, Newswire, Server, all_in_one, program
from bench.setting import Setting
from newswire.storage.redis_client import open_redis
from newswire_notify.settings import NotifySettings
from newswire_notify.websub.distribution import MIN_FETCH_INTERVAL_SECONDS
from newswire_notify.websub.models import HubSubscription
from newswire_notify.websub.repository import HubSubscriptions
from tests.servers.valkey import free_port

CONCURRENCY: int = NotifySettings.model_fields["hub_concurrency"].default
FIRST_PUSH_GOAL_MS, ALL_PUSHES_GOAL_SECONDS = 10, 2
GOAL_SUBSCRIBERS = 10_000
"""The goal for all pushes is for this many."""
LEASE_SECONDS = 3600
DEADLINE_SECONDS = 120.0


async def measure(setting: Setting) -> list[Figure]:
    """Return the times of first pushes, and of all pushes to many subscribers."""
    with all_in_one(setting.folder / "hub") as newswire:
        async with _publisher(setting, newswire) as publisher:
            for _ in range(60):  # a feed of its usual length
                await publisher.publish()
            await asyncio.sleep(MIN_FETCH_INTERVAL_SECONDS)
            first = await _first_pushes(setting, publisher)
            return [first, await _all_pushes(setting, newswire, publisher)]


class Publisher:
    """Publishes articles, and waits for the announcements that they are searchable."""

    def __init__(self, setting: Setting, newswire: Newswire, redis: "Redis", connections: Pool) -> None:
        self.redis = redis
        self.topic = f"{newswire.search}/feeds/latest.atom"
        self._key = newswire.publisher_key
        self._connections = connections
        self._articles = repeated(setting.articles, 1_000_000, "hub")
        self._after: bytes | str = "0"

    async def publish(self) -> float:
        """Publish an article, and return when it was announced, on the clock of `time.perf_counter`."""
        answer = await self._connections.ask(json_request("/v1/articles", next(self._articles), self._key))
        if answer.status != 201:
            raise RuntimeError(f"publishing answered {answer.status}: {answer.body[:300]!r}")
        article = orjson.loads(answer.body)["id"].encode()
        while True:
            found = await self.redis.xread({KEYS.outcomes: self._after}, block=1000)
            now = time.perf_counter()
            for _, entries in found:
                for self._after, fields in entries:
                    said = b"".join(fields.values())
                    if article in said and b".indexed" in said:
                        return now

    async def subscribe(self, callbacks: list[str]) -> None:
        """Store verified subscriptions of the topic."""
        store = HubSubscriptions(self.redis, KEYS)
        ends = time.time() + LEASE_SECONDS
        for at in range(0, len(callbacks), 100):
            page = callbacks[at : at + 100]
            await asyncio.gather(
                *(store.put(HubSubscription(self.topic, each, ends, f"secret {each}"), None) for each in page)
            )

    async def unsubscribe(self, callback: str) -> None:
        """Remove a subscription."""
        await HubSubscriptions(self.redis, KEYS).remove(self.topic, callback)


@asynccontextmanager
async def _publisher(setting: Setting, newswire: Newswire) -> AsyncIterator[Publisher]:
    connections = Pool(newswire.ingest)
    try:
        async with open_redis(newswire.redis_url) as redis:
            yield Publisher(setting, newswire, redis, connections)
    finally:
        connections.close()


async def _first_pushes(setting: Setting, publisher: Publisher) -> Figure:
    arrived: list[float] = []
    came = asyncio.Event()

    def take(_: bytes) -> bytes:
        arrived.append(time.perf_counter())
        came.set()
        return ACCEPTED

    port = free_port()
    receiver = f"http://127.0.0.1:{port}"
    ours, floors = [], []
    async with await listen(port, take):
        with program("floors.hub", setting.folder / "hub.first.log", publisher.topic, receiver, "1") as floor:
            await publisher.subscribe([f"{receiver}/one"])
            for number in setting.steps("first push of the hub", range(setting.some(60) + 3)):
                came.clear()
                announced = await publisher.publish()
                await asyncio.wait_for(came.wait(), DEADLINE_SECONDS)
                late = arrived[-1] - announced
                bare = await _ask(floor, "/first")
                await asyncio.sleep(MIN_FETCH_INTERVAL_SECONDS * 1.2)
                if number >= 3:  # connections are open, and functions are loaded
                    ours.append(late * 1000)
                    floors.append(bare * 1000)
            await publisher.unsubscribe(f"{receiver}/one")
    figure = times("announced → first push of the hub (newswire run, idle)", ours, floors)
    return replace(figure, goal=f"< {FIRST_PUSH_GOAL_MS} ms", met=figure.ours < FIRST_PUSH_GOAL_MS)


async def _all_pushes(setting: Setting, newswire: Newswire, publisher: Publisher) -> Figure:
    count = setting.some(setting.subscribers)
    rounds, spent, least, busy = [], [], [], []
    with (
        program("receiver", setting.folder / "hub.receiver.log") as receiver,
        program("floors.hub", setting.folder / "hub.floor.log", publisher.topic, receiver.site, str(count)) as floor,
    ):
        await publisher.subscribe([f"{receiver.site}/{number}" for number in range(count)])
        await asyncio.sleep(MIN_FETCH_INTERVAL_SECONDS * 1.2)
        for number in setting.steps(f"{count:,} subscribers of the hub", range(setting.rounds + 1)):
            before = floor.cpu_seconds()
            bare = await _ask(floor, f"/{CONCURRENCY}")
            floor_cpu = floor.cpu_seconds() - before
            tally = await _tally(receiver)
            before, receiver_cpu = newswire.cpu_seconds(), receiver.cpu_seconds()
            announced = await publisher.publish()
            late = await _last_arrival(receiver, tally["count"] + count) - announced
            if number:
                rounds.append((late, bare))
                spent.append((newswire.cpu_seconds() - before) / count * 1e6)
                least.append(floor_cpu / count * 1e6)
                busy.append((receiver.cpu_seconds() - receiver_cpu) / late)
            await asyncio.sleep(MIN_FETCH_INTERVAL_SECONDS * 1.2)
    async with await Connection.open(newswire.search) as connection:
        feed = await connection.ask(request("GET", "/feeds/latest.atom"))
    figure = compared(
        f"announced → all {count:,} subscribers pushed",
        "s",
        rounds,
        feed_bytes=len(feed.body),
        cpu_microseconds_each=min(spent),
        floor_cpu_microseconds_each=min(least),
        receiver_busy=max(busy),
    )
    if count != GOAL_SUBSCRIBERS:
        return figure
    return replace(figure, goal=f"< {ALL_PUSHES_GOAL_SECONDS} s", met=figure.ours < ALL_PUSHES_GOAL_SECONDS)


async def _ask(floor: Server, path: str) -> float:
    async with await Connection.open(floor.site) as connection:
        answer = await connection.ask(request("POST", path, b" "))
    seconds: float = orjson.loads(answer.body)
    return seconds


async def _tally(receiver: Server) -> Any:
    async with await Connection.open(receiver.site) as connection:
        return orjson.loads((await connection.ask(request("GET", "/"))).body)


async def _last_arrival(receiver: Server, count: int) -> float:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (tally := await _tally(receiver))["count"] < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {tally['count']} of {count} pushes came")
        await asyncio.sleep(0.02)
    last: float = tally["last"]
    return last
