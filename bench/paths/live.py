"""Live stream fan-out, frames a second to many connections, against a bare ASGI app that writes the same bytes."""

import asyncio
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from redis.asyncio import Redis

from bench.articles import repeated
from bench.figures import Figure, Goal, compared
from bench.load import Pool, address, request
from bench.publishing import append, events, versions
from bench.servers import program, service, valkey
from bench.setting import Setting
from newswire.app import open_redis
from newswire.events import FIELD
from newswire_notify.entries import entry_of

EVENTS = 40
"""Events of a round, sent at once: fewer than a reader's queue holds."""
OPENING = 64
"""Connections opened at a time."""


@dataclass
class Readers:
    """What all readers of a server have got."""

    connected: int = 0
    frames: int = 0
    expected: int = 0
    begun: int = 0

    def __post_init__(self) -> None:
        self.complete = asyncio.Event()


class Reader(asyncio.Protocol):
    """One reader: it counts events by the empty line that ends each, and otherwise ignores what it gets."""

    def __init__(self, all_: Readers) -> None:
        self._all = all_
        self._ending = b""

    def data_received(self, data: bytes) -> None:
        everything = self._ending + data
        if self._all.expected == 0:
            self._all.begun += everything.count(b"retry: ")
        self._all.frames += everything.count(b"}\n\n")
        self._ending = everything[-2:]
        if self._all.frames >= self._all.expected > 0:
            self._all.complete.set()


async def measure(setting: Setting) -> list[Figure]:
    """Return one figure."""
    readers = setting.some(setting.readers)
    with (
        valkey(setting.folder / "live") as url,
        service(
            "notify",
            {"NEWSWIRE_REDIS_URL": url, "NEWSWIRE_LIVE_PER_ADDRESS": str(readers)},
            setting.folder / "live.log",
        ) as ours,
        program("floors.live", setting.folder / "live.floor.log") as floor,
    ):
        async with open_redis(url) as redis, AsyncExitStack() as stack:
            at_ours = await _connect(setting, stack, ours.site, readers)
            at_floor = await _connect(setting, stack, floor.site, readers)
            posting = Pool(floor.site)
            stack.callback(posting.close)
            rounds = []
            for number in setting.steps("live stream", range(1 + 2 * setting.rounds)):
                entries = events(versions(repeated(setting.articles, EVENTS, f"live{number}x"), "bench"))
                bare = await _posted(posting, at_floor, entries, readers)
                full = await _published(redis, at_ours, entries, readers)
                rounds.append((full, bare))
    return [compared(f"live stream, {readers:,} connections", "frames/s", rounds[1:], Goal("at least", 0.8))]


async def _connect(setting: Setting, stack: AsyncExitStack, site: str, count: int) -> Readers:
    setting.tell(f"connecting {count:,} readers")
    all_, at_site, loop = Readers(), address(site), asyncio.get_running_loop()
    for at in range(0, count, OPENING):
        wanted = min(OPENING, count - at)
        opened = await asyncio.gather(*(loop.create_connection(lambda: Reader(all_), *at_site) for _ in range(wanted)))
        for transport, _ in opened:
            transport.write(request("GET", "/v1/stream"))
            stack.callback(transport.abort)
        while all_.begun < at + wanted:
            await asyncio.sleep(0.01)
    return all_


async def _posted(posting: Pool, readers: Readers, entries: list[bytes], count: int) -> float:
    frames = [live.frame.data for entry in entries if (live := entry_of(b"1790000000000-0", {FIELD.encode(): entry}))]

    return await _timed(posting.ask(request("POST", "/send", b"".join(frames))), readers, len(frames) * count)


async def _published(redis: "Redis", readers: Readers, entries: list[bytes], count: int) -> float:
    return await _timed(append(redis, entries), readers, len(entries) * count)


async def _timed(sending: Awaitable[object], readers: Readers, frames: int) -> float:
    readers.frames, readers.expected = 0, frames
    readers.complete.clear()
    began = time.perf_counter()
    await sending
    async with asyncio.timeout(120):
        await readers.complete.wait()
    return frames / (time.perf_counter() - began)
