"""Live streams: bursts of events to all readers, and single events at a steady rate."""

import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from multiprocessing.connection import Connection as Pipe
from typing import Any

import psutil

from bench.articles import made_up, repeated
from bench.figures import percentiles
from bench.load import Pool
from bench.peers.contestants import Story, Streaming, StreamService, changes, stories
from bench.peers.programs import cpu_seconds
from bench.setting import allow_many_files
from bench.stream_readers import StreamReaders

BURST = 40
EVENTS_PER_SECOND = 20
_CLIENTS = 8
"""Connections over which a burst is published."""
Values = dict[str, float]


class BrokenStreamError(Exception):
    """A contestant closed connections, or events did not arrive."""


class Reading:
    """Readers of a stream in a process of their own, with one thread."""

    def __init__(self, streaming: Streaming, count: int) -> None:
        spawned = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawned.Pipe()
        self._process = spawned.Process(target=_read, args=(theirs, streaming, count), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()
        self._measured = psutil.Process(self._process.pid or 0)
        self.count = count

    def close(self) -> None:
        """Disconnect."""
        self._pipe.close()
        self._process.join(30)

    def cpu_seconds(self) -> float:
        """Return the processor time of the readers so far."""
        return cpu_seconds([self._measured])

    async def arrivals(self, events: int, publish: Callable[[], Awaitable[None]]) -> list[list[float]]:
        """Publish events while the readers read; return the times at which each came to each reader.

        Raises:
            BrokenStreamError: not every reader received them; the next call connects all readers again.
        """
        self._pipe.send(events)
        await asyncio.to_thread(self._pipe.recv)
        reading = asyncio.create_task(asyncio.to_thread(self._pipe.recv))
        try:
            await publish()
        except OSError as error:
            await reading
            raise BrokenStreamError(f"a publication failed: {error}") from None
        arrived: list[list[float]] | str = await reading
        if isinstance(arrived, str):
            raise BrokenStreamError(arrived)
        return arrived


@asynccontextmanager
async def reading(contestant: StreamService, count: int) -> AsyncIterator[Reading]:
    """Connect readers to a contestant."""
    with closing(await asyncio.to_thread(Reading, contestant.streaming, count)) as readers:
        yield readers


async def burst(contestant: StreamService, readers: Reading, mark: str) -> Values:
    """Publish events at once; return frames per second, and processor time for each frame."""
    requests = iter([contestant.publication(story) for story in _events(BURST, mark)])
    began = 0.0

    async def publish() -> None:
        nonlocal began
        began = time.perf_counter()
        with closing(Pool(contestant.site)) as pool:

            async def work() -> None:
                for data in requests:
                    await _published(contestant, pool, data)

            await asyncio.gather(*(work() for _ in range(_CLIENTS)))

    before = _spent(contestant, readers)
    arrived = await readers.arrivals(BURST, publish)
    frames = BURST * readers.count
    taken = max(map(max, arrived)) - began
    return {"rate": frames / taken} | _costs(contestant, readers, before, frames, taken)


async def single_events(contestant: StreamService, readers: Reading, seconds: float, mark: str) -> Values:
    """Publish one event at a time; return the time until each reader has it, and processor time for each frame."""
    made = _events(round(seconds * EVENTS_PER_SECOND), mark)
    requests, due, acknowledged = [contestant.publication(story) for story in made], list[float](), list[float]()

    async def publish() -> None:
        began, sending = time.perf_counter(), list[Awaitable[Any]]()
        with closing(Pool(contestant.site)) as pool:

            async def one(data: bytes, at: float) -> None:
                await _published(contestant, pool, data)
                acknowledged.append((time.perf_counter() - at) * 1000)

            for number, data in enumerate(requests):
                due.append(began + number / EVENTS_PER_SECOND)
                await asyncio.sleep(max(due[-1] - time.perf_counter(), 0))
                sending.append(asyncio.ensure_future(one(data, due[-1])))
            await asyncio.gather(*sending)

    before = _spent(contestant, readers)
    arrived = await readers.arrivals(len(made), publish)
    delays = percentiles([(came - at) * 1000 for at, each in zip(due, arrived, strict=True) for came in each])
    taken = max(map(max, arrived)) - due[0]
    costs = _costs(contestant, readers, before, len(made) * readers.count, taken)
    return {"p50": delays["p50"], "p99": delays["p99"], "acknowledged_p50": percentiles(acknowledged)["p50"]} | costs


async def _published(contestant: StreamService, pool: Pool, data: bytes) -> None:
    answer = await pool.ask(data)
    if answer.status != contestant.accepted:
        raise RuntimeError(f"{contestant.name} answered {answer.status}: {answer.body[:300]!r}")


def _events(count: int, mark: str) -> list[Story]:
    return stories(repeated(made_up(count), count, mark))


def _spent(contestant: StreamService, readers: Reading) -> Values:
    return contestant.spent() | {"readers": readers.cpu_seconds()}


def _costs(contestant: StreamService, readers: Reading, before: Values, frames: int, taken: float) -> Values:
    spent = dict(changes(before, _spent(contestant, readers)))
    return {
        "service_microseconds": spent["service"] / frames * 1e6,
        "stores_microseconds": spent["stores"] / frames * 1e6,
        "readers_busy": spent["readers"] / taken,
    }


def _read(pipe: Pipe, streaming: Streaming, count: int) -> None:
    """Connect; then read as many events as the pipe names, again and again."""
    allow_many_files()
    readers: StreamReaders | None = _connected(streaming, count)
    pipe.send("connected")
    with suppress(EOFError):
        while True:
            events = pipe.recv()
            readers = readers or _connected(streaming, count)
            try:
                pipe.send(readers.receive(events, lambda: pipe.send("reading")))
            except OSError as error:
                readers.close()
                readers = None
                pipe.send(str(error))


def _connected(streaming: Streaming, count: int) -> StreamReaders:
    return StreamReaders(streaming.site, count, streaming.subscription, streaming.begun, streaming.end)
