"""The cost of articles: processor time of each process, and bytes in Redis and in the index, for a thousand of them.

They are published one by one, indexed, delivered to endpoints and to readers of the live stream; then there are some searches. With
``setting.before``, the `newswire` command of an earlier release, both releases take turns, and that release is the floor.
"""

import asyncio
import random
import statistics
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import orjson
import psutil
from elasticsearch import AsyncElasticsearch
from redis.asyncio import Redis

from bench.articles import Article, repeated
from bench.figures import Figure, compared
from bench.index_size import index_bytes
from bench.load import Connection, json_request, request
from bench.publishing import versions
from bench.servers import Server, program, service, valkey
from bench.setting import Setting
from bench.stream_readers import StreamReaders
from newswire.keys import Keyspace
from newswire.storage.redis_client import open_redis
from newswire_search.app import GROUP
from tests.cli.running import BARE, NEWSWIRE

ARTICLES = 1000
SEARCHES = 100
ENDPOINTS = READERS = 10
CONNECTIONS = 16
WARMING = 200
IDLE_SECONDS = 1.0
"""How long a stream of outcomes must be silent before the work is over."""
SERVICES = ("ingest", "search", "notify")
PROCESSES = (*SERVICES, "Valkey", "Elasticsearch")

Costs = Mapping[str, float]
ServiceStarter = Callable[[str, dict[str, str], Path], AbstractContextManager[Server]]
"""Runs a service, by its name, with these settings and this log."""


async def measure(setting: Setting) -> list[Figure]:
    """Return the costs, compared with those of the earlier release if there is one."""
    setting.elasticsearch()
    articles = setting.some(ARTICLES)
    commands = [NEWSWIRE, *([[str(setting.before)]] if setting.before else [])]
    rounds = [
        [await _spent(setting, command, f"cost-{number}-{which}", articles) for which, command in enumerate(commands)]
        for number in setting.steps("the cost of articles", range(setting.rounds))
    ]
    return [_figure(name, rounds) for name in rounds[0][0]]


def _figure(name: str, rounds: Sequence[Sequence[Costs]]) -> Figure:
    what, unit = name.rsplit(", ", 1)
    title = f"{ARTICLES:,} articles: {what}"
    if len(rounds[0]) > 1:
        pairs = [(ours[name], before[name]) for ours, before in rounds]
        return compared(f"{title} (floor: before)", unit, pairs)
    values = [ours[name] for (ours,) in rounds]
    return Figure(title, unit, statistics.median(values), detail={"lowest": min(values), "highest": max(values)})


@dataclass(frozen=True)
class Installation:
    """All services of a release, and what receives from them."""

    keys: Keyspace
    redis: "Redis"
    elasticsearch: AsyncElasticsearch
    servers: Mapping[str, Server]
    receiver: Server
    publisher_key: str
    subscriber_key: str

    async def processor_seconds(self) -> dict[str, float]:
        """Return the processor time of each process so far."""
        spent = {name: server.cpu_seconds() for name, server in self.servers.items()}
        nodes = (await self.elasticsearch.nodes.stats(metric="process"))["nodes"].values()
        milliseconds = sum(node["process"]["cpu"]["total_in_millis"] for node in nodes)
        return spent | {"Elasticsearch": milliseconds / 1000}

    async def bytes_stored(self) -> dict[str, float]:
        """Return the memory of Redis, and the size of the index when it is merged into one segment."""
        indexes = f"{self.keys.namespace}-*"
        await self.elasticsearch.indices.forcemerge(index=indexes, max_num_segments=1)
        return {
            "Redis": float((await self.redis.info("memory"))["used_memory"]),
            "index": float(await index_bytes(self.elasticsearch, indexes)),
        }

    async def publish(self, articles: Sequence[Article]) -> None:
        """Publish articles, and wait until they are indexed, delivered and received."""
        before = await self._delivered()
        bodies = iter(articles)

        async def work() -> None:
            async with await Connection.open(self.servers["ingest"].site) as connection:
                for article in bodies:
                    answer = await connection.ask(json_request("/v1/articles", article, self.publisher_key))
                    if answer.status != 201:
                        raise RuntimeError(f"publishing answered {answer.status}: {answer.body[:300]!r}")

        started = Event()
        with closing(await asyncio.to_thread(StreamReaders, self.servers["notify"].site, READERS)) as readers:
            reading = asyncio.create_task(asyncio.to_thread(readers.receive, len(articles), started.set))
            await asyncio.to_thread(started.wait)
            await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
            await reading
        async with asyncio.timeout(300):
            while await self._delivered() < before + ENDPOINTS * len(articles):
                await asyncio.sleep(0.1)
            await self._indexed()

    async def _delivered(self) -> int:
        async with await Connection.open(self.receiver.site) as connection:
            return int(orjson.loads((await connection.ask(request("GET", "/"))).body)["count"])

    async def _indexed(self) -> None:
        """Wait until everything is indexed and every outcome is published."""
        ((last, _),) = await self.redis.xrevrange(self.keys.stream, count=1)
        while await self.redis.get(self.keys.checkpoint(GROUP)) != last:
            await asyncio.sleep(0.1)
        seen, now = -1, await self.redis.xlen(self.keys.outcomes)
        while seen != now:
            await asyncio.sleep(IDLE_SECONDS)
            seen, now = now, await self.redis.xlen(self.keys.outcomes)

    async def search(self, words: Sequence[str]) -> None:
        """Search for each word, one at a time."""
        async with await Connection.open(self.servers["search"].site) as connection:
            for word in words:
                answer = await connection.ask(request("GET", f"/v1/search?q={word}"))
                if answer.status != 200 or not orjson.loads(answer.body)["total"]:
                    raise RuntimeError(f"searching for {word} answered {answer.status}: {answer.body[:300]!r}")


async def _spent(setting: Setting, command: Sequence[str], name: str, articles: int) -> Costs:
    """Run a new installation, and return what a number of articles costs, scaled to a thousand."""
    async with installation(setting, name, command) as on:
        return await _measured(setting, on, articles)


@asynccontextmanager
async def installation(
    setting: Setting, name: str, command: Sequence[str] = NEWSWIRE, start: ServiceStarter | None = None
) -> AsyncIterator[Installation]:
    """Run a new installation of the release that ``command`` belongs to; ``start``: how its services are run instead."""
    server = setting.elasticsearch()
    folder = setting.folder / name
    keys = Keyspace(f"bench-{name}")
    credentials = (server.username, server.password or "") if server.username else None
    start = start or partial(service, command=command)
    with ExitStack() as stack:
        url = stack.enter_context(valkey(folder))
        environment = server.environment() | {
            "NEWSWIRE_REDIS_URL": url,
            "NEWSWIRE_NAMESPACE": keys.namespace,
            "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true",
        }
        publisher, subscriber = (_key(command, environment, scope) for scope in ("publish", "subscribe"))
        receiver = stack.enter_context(program("receiver", folder / "receiver.log"))
        servers = {each: stack.enter_context(start(each, environment, folder / f"{each}.log")) for each in SERVICES}
        async with (
            open_redis(url) as redis,
            AsyncElasticsearch(server.url, basic_auth=credentials, request_timeout=60) as elasticsearch,
        ):
            store = Server(url, psutil.Process((await redis.info("server"))["process_id"]))
            on = Installation(keys, redis, elasticsearch, servers | {"Valkey": store}, receiver, publisher, subscriber)
            try:
                yield on
            finally:
                for index in await elasticsearch.indices.get_alias(index=f"{keys.namespace}-*"):
                    await elasticsearch.indices.delete(index=index)


async def _measured(setting: Setting, on: Installation, articles: int) -> Costs:
    await subscribe(on)
    made = list(repeated(setting.articles, WARMING + articles, "cost"))
    words = words_of(made)
    await on.publish(made[:WARMING])
    await on.search(words[SEARCHES:])
    stored, spent = await on.bytes_stored(), await on.processor_seconds()
    await on.publish(made[WARMING:])
    written = await on.processor_seconds()
    await on.search(words[:SEARCHES])
    found = await on.processor_seconds()
    scale = ARTICLES / articles
    costs: dict[str, float] = {}
    for name in PROCESSES:
        costs[f"{name}, s of processor time"] = (written[name] - spent[name]) * scale
    costs["all processes, s of processor time"] = sum(costs.values())
    for name in ("search", "Valkey", "Elasticsearch"):
        costs[f"{SEARCHES} searches in {name}, s of processor time"] = found[name] - written[name]
    for name, size in (await on.bytes_stored()).items():
        costs[f"{name}, KiB"] = (size - stored[name]) * scale / 1024
    return costs


async def subscribe(on: Installation) -> None:
    """Subscribe the endpoints to everything."""
    async with await Connection.open(on.servers["notify"].site) as connection:
        for number in range(ENDPOINTS):
            wanted: dict[str, Any] = {"channel": {"type": "webhook", "url": f"{on.receiver.site}/{number}"}}
            answer = await connection.ask(json_request("/v1/subscriptions", wanted, on.subscriber_key))
            if answer.status != 201:
                raise RuntimeError(f"subscribing answered {answer.status}: {answer.body[:300]!r}")


def words_of(articles: Sequence[Article]) -> list[str]:
    """Return distinct words of the first articles: those to search for, and as many to warm up with."""
    texts = (version.document["text"] for version in versions(articles[:WARMING], "bench"))
    found = sorted({word for text in texts for word in text.lower().split() if word.isalpha() and len(word) > 4})
    return random.Random(5).sample(found, 2 * SEARCHES)


def _key(command: Sequence[str], environment: dict[str, str], scope: str) -> str:
    """Create a key by the command of the release."""
    done = subprocess.run(
        [*command, "keys", "create", "--account", f"bench-{scope}", "--scope", scope],
        env=BARE | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()
