"""Live stream fan-out, compared with bare asyncio that writes the same bytes: frames per second to many connections; the
effect of slow readers on others; and a restart, over which no event may be missed or repeated.
"""

import asyncio
import re
import statistics
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis

from bench.articles import repeated
from bench.figures import Figure, Goal, compared
from bench.load import Pool, address, request
from bench.publishing import append, events, frame, versions
from bench.servers import Server, program, service, valkey
from bench.setting import Setting
from newswire.storage.redis_client import open_redis

EVENTS = 40
"""Events of a round, sent at once: fewer than a reader's queue can contain."""
OVER_A_RESTART = 200
"""Events that every reader must receive, over a restart of the server."""
OPENING = 64
"""Connections that are opened at the same time."""
PATIENCE = 300
_ID = re.compile(rb"(?:^|\n)id: ([0-9]+-[0-9]+)\n")


@dataclass
class Readers:
    """What all readers of a server have received."""

    frames: int = 0
    expected: int = 0
    begun: int = 0

    def __post_init__(self) -> None:
        self.complete = asyncio.Event()


class Reader(asyncio.Protocol):
    """One reader: it counts events by the empty line that ends each, and ignores the rest."""

    transport: asyncio.Transport

    def __init__(self, all_: Readers) -> None:
        self._all = all_
        self._ending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        everything = self._ending + data
        if self._all.expected == 0:
            self._all.begun += everything.count(b"retry: ")
        self._all.frames += everything.count(b"}\n\n")
        self._ending = everything[-2:]
        if self._all.frames >= self._all.expected > 0:
            self._all.complete.set()


class Follower(asyncio.Protocol):
    """A reader that records the events it received, over all of its connections."""

    def __init__(self, wanted: int) -> None:
        self.got: list[bytes] = []
        self.all_got = asyncio.Event()
        self.begun = asyncio.Event()
        self._wanted = wanted
        self._rest = b""

    def request(self) -> bytes:
        """Request what follows the last event; a truncated event is sent again."""
        self._rest = b""
        self.begun.clear()
        more = {"Last-Event-ID": self.got[-1].decode()} if self.got else {}
        return request("GET", "/v1/stream", b"", **more)

    def data_received(self, data: bytes) -> None:
        self.begun.set()
        whole, end, self._rest = (self._rest + data).rpartition(b"}\n\n")
        if end:
            self.got += _ID.findall(whole)
            if len(self.got) >= self._wanted:
                self.all_got.set()


async def measure(setting: Setting) -> list[Figure]:
    """Return the figures of the live stream."""
    readers = setting.some(setting.readers)
    name = f"live stream, {readers:,} connections"
    with valkey(setting.folder / "live") as url:
        settings = {"NEWSWIRE_REDIS_URL": url, "NEWSWIRE_LIVE_PER_ADDRESS": str(2 * readers)}
        with (
            service("notify", settings, setting.folder / "live.log") as ours,
            program("floors.live", setting.folder / "live.floor.log") as floor,
        ):
            async with open_redis(url) as redis, AsyncExitStack() as stack:
                memory = ours.process.memory_info().rss
                at_ours, all_ours = await _connect(setting, stack, ours.site, readers)
                memory = (ours.process.memory_info().rss - memory) // readers
                at_floor, _ = await _connect(setting, stack, floor.site, readers)
                posting = Pool(floor.site)
                stack.callback(posting.close)
                rounds, spent = [], []
                for number in setting.steps("live stream", range(1 + 2 * setting.rounds)):
                    entries = events(versions(repeated(setting.articles, EVENTS, f"live{number}x"), "bench"))
                    began = floor.cpu_seconds(), ours.cpu_seconds()
                    bare = await _posted(posting, at_floor, entries, readers)
                    full = await _published(redis, at_ours, entries, readers)
                    rounds.append((full, bare))
                    spent.append((ours.cpu_seconds() - began[1], floor.cpu_seconds() - began[0]))
                beside_slow = await _beside_slow(setting, redis, at_ours, all_ours)
        over_a_restart = await _over_a_restart(setting, url, settings, readers)
    frames = EVENTS * readers / 1e6
    return [
        compared(
            name,
            "frames/s",
            rounds[1:],
            Goal("at least", 0.8),
            processor_us_a_frame=statistics.median(ours for ours, _ in spent[1:]) / frames,
            floor_processor_us_a_frame=statistics.median(floor for _, floor in spent[1:]) / frames,
        ),
        Figure(f"{name}: memory of each", "KiB", memory / 1024),
        beside_slow,
        over_a_restart,
    ]


async def _beside_slow(setting: Setting, redis: "Redis", at_ours: Readers, readers: list[Reader]) -> Figure:
    """Publish with and without readers that read nothing: one in a hundred."""
    slow = readers[:: max(len(readers) // max(len(readers) // 100, 1), 1)][: max(len(readers) // 100, 1)]
    rounds: list[tuple[float, float]] = []
    for number in setting.steps("live stream, slow readers", range(setting.rounds)):
        with_all, without = (
            events(versions(repeated(setting.articles, EVENTS, f"{mark}{number}x"), "bench"))
            for mark in ("all", "slow")
        )
        healthy = await _published(redis, at_ours, with_all, len(readers))
        for reader in slow:
            reader.transport.pause_reading()
        others = await _published(redis, at_ours, without, len(readers) - len(slow))
        left = EVENTS * len(slow) - (at_ours.frames - EVENTS * (len(readers) - len(slow)))
        at_ours.frames, at_ours.expected = 0, left
        at_ours.complete.clear()
        for reader in slow:
            reader.transport.resume_reading()
        async with asyncio.timeout(PATIENCE):
            await at_ours.complete.wait()
        rounds.append((others, healthy))
    return compared(
        f"live stream, {len(slow)} of {len(readers):,} slow, to the others", "frames/s", rounds, Goal("at least", 0.9)
    )


async def _over_a_restart(setting: Setting, url: str, settings: dict[str, str], readers: int) -> Figure:
    """Restart the server while it sends events; count the events that readers missed or received twice."""
    half = OVER_A_RESTART // 2
    entries = events(versions(repeated(setting.articles, OVER_A_RESTART, "restart"), "bench"))
    followers = [Follower(OVER_A_RESTART) for _ in range(readers)]
    # The client's own time limit would also count the time in which this process is busy with what the readers receive.
    async with Redis.from_url(url, socket_timeout=PATIENCE) as redis:
        with service("notify", settings, setting.folder / "live.first.log") as first:
            async with AsyncExitStack() as stack:
                await _reconnect(setting, stack, first, followers)
                await append(redis, entries[:half])
                async with asyncio.timeout(PATIENCE):
                    while sum(len(follower.got) for follower in followers) < readers * half / 2:
                        await asyncio.sleep(0.01)
                first.process.terminate()
                await asyncio.to_thread(first.process.wait)
        before = statistics.median(len(follower.got) for follower in followers)
        await append(redis, entries[half : half + half // 2])
        with service("notify", settings, setting.folder / "live.second.log") as second:
            async with AsyncExitStack() as stack:
                began = time.perf_counter()
                await _reconnect(setting, stack, second, followers)
                await append(redis, entries[half + half // 2 :])
                try:
                    async with asyncio.timeout(PATIENCE):
                        await asyncio.gather(*(follower.all_got.wait() for follower in followers))
                except TimeoutError:
                    setting.tell("some readers did not get everything")
                seconds = time.perf_counter() - began
    missing = sum(OVER_A_RESTART - len(set(follower.got)) for follower in followers)
    repeats = sum(len(follower.got) - len(set(follower.got)) for follower in followers)
    disorder = sum(follower.got != sorted(follower.got, key=_order) for follower in followers)
    return Figure(
        f"live stream, {readers:,} connections, {OVER_A_RESTART} events each over a restart",
        "missing or repeated",
        float(missing + repeats + disorder),
        goal="0",
        met=missing + repeats + disorder == 0,
        detail={
            "events_received": float(sum(len(follower.got) for follower in followers)),
            "missing": float(missing),
            "repeated": float(repeats),
            "out_of_order": float(disorder),
            "seconds_until_all_had_all": seconds,
            "before_the_restart": before,
        },
    )


def _order(entry: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = entry.partition(b"-")
    return int(milliseconds), int(sequence)


async def _reconnect(setting: Setting, stack: AsyncExitStack, server: Server, followers: list[Follower]) -> None:
    setting.tell(f"connecting {len(followers):,} readers")
    at_site, loop = address(server.site), asyncio.get_running_loop()
    for at in range(0, len(followers), OPENING):
        some = followers[at : at + OPENING]
        opened = await asyncio.gather(*(loop.create_connection(lambda each=each: each, *at_site) for each in some))  # type: ignore[misc]
        for follower, (transport, _) in zip(some, opened, strict=True):
            transport.write(follower.request())
            stack.callback(transport.abort)
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(follower.begun.wait() for follower in some))


async def _connect(setting: Setting, stack: AsyncExitStack, site: str, count: int) -> tuple[Readers, list[Reader]]:
    setting.tell(f"connecting {count:,} readers")
    all_, at_site, loop = Readers(), address(site), asyncio.get_running_loop()
    readers: list[Reader] = []
    for at in range(0, count, OPENING):
        wanted = min(OPENING, count - at)
        opened = await asyncio.gather(*(loop.create_connection(lambda: Reader(all_), *at_site) for _ in range(wanted)))
        for transport, reader in opened:
            transport.write(request("GET", "/v1/stream"))
            stack.callback(transport.abort)
            readers.append(reader)
        while all_.begun < at + wanted:
            await asyncio.sleep(0.01)
    return all_, readers


async def _posted(posting: Pool, readers: Readers, entries: list[bytes], count: int) -> float:
    body = b"".join(map(frame, entries))
    return await _timed(posting.ask(request("POST", "/send", body)), readers, len(entries) * count)


async def _published(redis: "Redis", readers: Readers, entries: list[bytes], count: int) -> float:
    return await _timed(append(redis, entries), readers, len(entries) * count)


async def _timed(sending: Awaitable[object], readers: Readers, frames: int) -> float:
    readers.frames, readers.expected = 0, frames
    readers.complete.clear()
    began = time.perf_counter()
    await sending
    async with asyncio.timeout(PATIENCE):
        await readers.complete.wait()
    return frames / (time.perf_counter() - began)
