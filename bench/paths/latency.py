"""From a publisher's request to all recipients: accepted, searchable, webhook, live stream.

Times begin when the request is sent (under load: when it was due). The floor for recipients is one XADD, an XREAD in another
process, and one POST from there, on the same Valkey.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import orjson
from redis.asyncio import Redis

from bench.articles import repeated
from bench.figures import Figure, Goal, times
from bench.load import Connection, Pool, json_request, request
from bench.receiver import ACCEPTED, listen
from bench.servers import Newswire, all_in_one, program, three_services, valkey, without_search
from bench.setting import Setting
from newswire.storage.redis_client import open_redis
from tests.servers.valkey import free_port

RATE = 50
"""Articles per second under load."""
BRISK = 200
"""Articles per second for the measurement of webhooks alone."""
EVERY = 5
"""Under load, one of this many articles is searched for."""
POLL = 0.003
PATIENCE = 30.0
FLOOR_STREAM = "bench:floor"
NEAR = Goal("at most", 3)
_MARK = re.compile(rb"zq(\d+)x")


@dataclass
class Probe:
    """The observations of one article, in seconds since it was due."""

    due: float
    seen: dict[str, float] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the publisher and all recipients have it."""

    def saw(self, what: str) -> None:
        self.seen.setdefault(what, time.perf_counter() - self.due)
        if self.seen.keys() >= {"201", "webhook", "live stream"}:
            self.arrived.set()


async def measure(setting: Setting) -> list[Figure]:
    """Return times on the embedded default and on the full stack, idle and under load."""
    with all_in_one(setting.folder / "latency") as newswire:
        figures = await _measure(setting, newswire, "newswire run")
    with valkey(setting.folder / "stack") as url:
        environment = setting.elasticsearch().environment()
        async with three_services(setting.folder / "services", url, environment) as newswire:
            figures += await _measure(setting, newswire, "full stack")
    return [*figures, await _delivering(setting)]


async def _delivering(setting: Setting) -> Figure:
    """Measure as webhook services are measured: ingest and notify alone, many events per second, one webhook each."""
    with valkey(setting.folder / "brisk") as url:
        async with (
            without_search(setting.folder / "ingest and notify", url) as newswire,
            _observed(setting, newswire) as observer,
        ):
            await observer.load(BRISK, BRISK, search_every=0)
            observer.forget()
            setting.tell(f"ingest and notify, {BRISK} articles a second")
            await observer.load(setting.some(20) * BRISK, BRISK, search_every=0)
            return observer.figure("webhook", f"ingest and notify, {BRISK}/s")


async def _measure(setting: Setting, newswire: Newswire, name: str) -> list[Figure]:
    async with _observed(setting, newswire) as observer:
        for _ in range(10):
            await observer.publish(time.perf_counter())
            await observer.floor()
        observer.forget()
        for _ in setting.steps(f"{name}, idle", range(setting.some(150))):
            await observer.publish(time.perf_counter())
            await observer.floor()
        figures = observer.figures(f"{name}, idle", with_goals=True)
        observer.forget()
        setting.tell(f"{name}, {RATE} articles a second")
        await observer.load(setting.some(20) * RATE)
        return figures + observer.figures(f"{name}, {RATE}/s", with_goals=False)


class Observer:
    """Publishes articles, and observes when they arrive."""

    def __init__(self, setting: Setting, newswire: Newswire, redis: "Redis", publishing: Pool, searching: Pool) -> None:
        self._newswire = newswire
        self._redis = redis
        self._publishing = publishing
        self._searching = searching
        self._articles = repeated(setting.articles, 1_000_000, "zq")
        self._probes: dict[int, Probe] = {}
        self._number = 0
        self._relayed: dict[int, asyncio.Future[None]] = {}
        self._floor: dict[str, list[float]] = {}

    def forget(self) -> None:
        """Start a new measurement."""
        self._probes.clear()
        self._floor = {"201": [], "received": []}

    def saw(self, body: bytes, what: str) -> None:
        """Record the arrival of an article, or of the floor's entry."""
        for number in {int(mark) for mark in _MARK.findall(body)}:
            if number in self._relayed:
                if not self._relayed[number].done():
                    self._relayed[number].set_result(None)
            elif number in self._probes:
                self._probes[number].saw(what)

    async def publish(self, due: float, *, search: bool = True) -> None:
        """Publish one article and wait until it has arrived everywhere."""
        number = self._number = self._number + 1
        probe = self._probes[number] = Probe(due)
        article = next(self._articles)
        article["title"] = f"{article['title'].rpartition(' ')[0]} zq{number}x"
        answer = await self._publishing.ask(json_request("/v1/articles", article, self._newswire.publisher_key))
        probe.saw("201")
        if answer.status != 201:
            raise RuntimeError(f"publishing answered {answer.status}: {answer.body[:300]!r}")
        await asyncio.wait_for(probe.arrived.wait(), PATIENCE)
        if search:  # not before: each search would delay what is measured
            await self._find(number, probe)

    async def _find(self, number: int, probe: Probe) -> None:
        asked = request("GET", f"/v1/search?q=zq{number}x&limit=1")
        while b'"total":1' not in (await self._searching.ask(asked)).body:
            if time.perf_counter() - probe.due > PATIENCE:
                raise RuntimeError("an article was never found")
            await asyncio.sleep(POLL)
        probe.saw("searchable")

    async def load(self, count: int, rate: int = RATE, *, search_every: int = EVERY) -> None:
        """Publish at a steady rate, independent of response times; search for one article at a time, or for none."""
        began = time.perf_counter()
        searching: asyncio.Task[None] | None = None
        tasks = []
        for number in range(count):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            search = bool(search_every) and number % search_every == 0 and (searching is None or searching.done())
            tasks.append(asyncio.create_task(self.publish(due, search=search)))
            searching = tasks[-1] if search else searching
        await asyncio.gather(*tasks)

    async def floor(self) -> None:
        """Send one entry through the floor."""
        number = self._number = self._number + 1
        self._relayed[number] = asyncio.get_running_loop().create_future()
        article = next(self._articles)
        body = orjson.dumps(article | {"title": f"zq{number}x"})
        began = time.perf_counter()
        await self._redis.xadd(FLOOR_STREAM, {"__data__": body})
        self._floor["201"].append(time.perf_counter() - began)
        await asyncio.wait_for(self._relayed[number], PATIENCE)
        self._floor["received"].append(time.perf_counter() - began)

    def figures(self, name: str, *, with_goals: bool) -> list[Figure]:
        """Return the times of each stage, in ms."""
        near = {"webhook": NEAR, "live stream": NEAR} if with_goals else {}
        return [self.figure(what, name, near.get(what)) for what in ("201", "searchable", "webhook", "live stream")]

    def figure(self, what: str, name: str, goal: Goal | None = None) -> Figure:
        """Return the times of one stage, in ms."""
        ours = [probe.seen[what] * 1000 for probe in self._probes.values() if what in probe.seen]
        floor = self._floor["201" if what == "201" else "received"] if what != "searchable" else []
        return times(f"publish → {what} ({name})", ours, [value * 1000 for value in floor], goal)


@asynccontextmanager
async def _observed(setting: Setting, newswire: Newswire) -> AsyncIterator[Observer]:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(open_redis(newswire.redis_url))
        publishing, searching = Pool(newswire.ingest), Pool(newswire.search)
        stack.callback(publishing.close)
        stack.callback(searching.close)
        observer = Observer(setting, newswire, redis, publishing, searching)
        observer.forget()
        port = free_port()
        url = f"http://127.0.0.1:{port}/hook"

        def take(body: bytes) -> bytes:
            observer.saw(body, "webhook")
            return ACCEPTED

        await stack.enter_async_context(await listen(port, take))
        stack.enter_context(
            program("floors.relay", setting.folder / "relay.log", newswire.redis_url, FLOOR_STREAM, url)
        )
        async with await Connection.open(newswire.notify) as connection:
            wanted = {"channel": {"type": "webhook", "url": url}}
            answer = await connection.ask(json_request("/v1/subscriptions", wanted, newswire.subscriber_key))
        if answer.status != 201:
            raise RuntimeError(f"subscribing answered {answer.status}: {answer.body[:300]!r}")
        session = await stack.enter_async_context(aiohttp.ClientSession(read_bufsize=2**20))
        stream = await stack.enter_async_context(
            session.get(f"{newswire.notify}/v1/stream", timeout=aiohttp.ClientTimeout(total=None))
        )
        listening = asyncio.create_task(_listen(stream, observer))
        try:
            yield observer
        finally:
            listening.cancel()


async def _listen(stream: aiohttp.ClientResponse, observer: Observer) -> None:
    async for line in stream.content:
        if line.startswith(b"data: "):
            observer.saw(line, "live stream")
