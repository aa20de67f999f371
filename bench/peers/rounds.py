"""The rounds: all contestants in turns, in another order each time, with a floor before each round."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from bench.articles import made_up
from bench.load import drive, request
from bench.one_to_one import FSYNC
from bench.peers import centrifugo, mercure, newswire, outpost, streams, webhooks
from bench.peers.contestants import Conditions, Contestant, StreamService, WebhookService, memory_bytes, stories
from bench.peers.programs import UnavailableError
from bench.servers import Server, program

WEBHOOKS: Mapping[str, Callable[[Conditions], AbstractAsyncContextManager[WebhookService]]] = {
    newswire.NAME: newswire.webhooks,
    "Outpost": outpost.webhooks,
}
STREAMS: Mapping[str, Callable[[Conditions], AbstractAsyncContextManager[StreamService]]] = {
    newswire.NAME: newswire.stream,
    "Mercure": mercure.stream,
    "Centrifugo": centrifugo.stream,
}
T = TypeVar("T", bound=Contestant)
_FLOOR_CLIENTS, _FLOOR_SECONDS = 64, 1.0


@dataclass(frozen=True)
class Row:
    """All rounds of a contestant in one work."""

    work: str
    contestant: str
    rounds: list[dict[str, float]] = field(default_factory=list)


@dataclass
class Results:
    """The result of all rounds so far. ``floor``: posts per second of the client to the receiver, before each round."""

    contestants: dict[str, dict[str, str]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    broken: dict[str, list[str]] = field(default_factory=dict)
    """Why rounds of a work have no figures."""
    floor: list[float] = field(default_factory=list)
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)

    def add(self, work: str, contestant: Contestant, values: dict[str, float]) -> None:
        """Add one round."""
        self.rows.setdefault((work, contestant.name), Row(work, contestant.name)).rounds.append(values)

    def as_json(self) -> dict[str, Any]:
        """Return everything that is stored."""
        rows = [asdict(row) for row in self.rows.values()]
        return {
            "contestants": self.contestants,
            "skipped": self.skipped,
            "broken": self.broken,
            "floor_posts_per_second": self.floor,
            "rows": rows,
        }


async def started(
    stack: AsyncExitStack,
    services: Mapping[str, Callable[[Conditions], AbstractAsyncContextManager[T]]],
    conditions: Conditions,
    results: Results,
) -> list[T]:
    """Start all contestants that are available, and note why others are not."""
    running: list[T] = []
    for name, start in services.items():
        conditions.tell(f"starting {name}")
        try:
            contestant = await stack.enter_async_context(start(conditions))
        except UnavailableError as error:
            results.skipped[name] = str(error)
            continue
        results.contestants[name] = {"version": contestant.version, "settings": contestant.settings}
        running.append(contestant)
    return running


@asynccontextmanager
async def _receiving(conditions: Conditions, name: str) -> AsyncIterator[Server]:
    with program("arrivals", conditions.folder / f"arrivals-{name}.log") as receiver:
        yield receiver


async def webhook_rounds(conditions: Conditions, rounds: int, results: Results, store: Callable[[], None]) -> None:
    """Measure webhooks; store after each round."""
    async with AsyncExitStack() as stack, _receiving(conditions, "webhooks") as receiver:
        running = await started(stack, WEBHOOKS, conditions, results)
        for contestant in running:
            conditions.tell(f"{contestant.name}: subscribing")
            await webhooks.subscribe(contestant, receiver, conditions.endpoints, conditions.singles)
            await webhooks.one_to_one(contestant, receiver, max(conditions.singles // 10, 1), "warm")
        for number, turn in _turns(running, rounds):
            results.floor.append(await _floor(receiver))
            for contestant in turn:
                conditions.tell(f"webhooks, round {number + 1} of {rounds}: {contestant.name}")
                await _webhook_round(contestant, receiver, conditions, f"round{number}", results)
            store()


async def _webhook_round(
    contestant: WebhookService, receiver: Server, conditions: Conditions, mark: str, results: Results
) -> None:
    for fsync in FSYNC:
        await contestant.set_fsync(fsync)
        events = max(conditions.singles // 100, 1)
        values = await webhooks.fan_out(contestant, receiver, events, conditions.endpoints, f"all{mark}{fsync}")
        results.add(f"{webhooks.FANOUT}, fsync {fsync}", contestant, values)
        values = await webhooks.one_to_one(contestant, receiver, conditions.singles, f"each{mark}{fsync}")
        results.add(f"{webhooks.ONE_TO_ONE}, fsync {fsync}", contestant, values)
    await contestant.set_fsync("always")
    events = min(webhooks.STEADY_RATE * webhooks.STEADY_SECONDS, conditions.singles)
    results.add(
        f"{webhooks.STEADY}, fsync always",
        contestant,
        await webhooks.steady(contestant, receiver, events, f"steady{mark}"),
    )


async def stream_rounds(conditions: Conditions, rounds: int, results: Results, store: Callable[[], None]) -> None:
    """Measure live streams, with a fifth of the readers and with all; store after each round."""
    async with _receiving(conditions, "streams") as receiver, AsyncExitStack() as stack:
        running = await started(stack, STREAMS, conditions, results)
        for count in (max(conditions.readers // 5, 1), conditions.readers):
            await _with_readers(conditions, running, count, rounds, receiver, results, store)


async def _with_readers(
    conditions: Conditions,
    running: Sequence[StreamService],
    count: int,
    rounds: int,
    receiver: Server,
    results: Results,
    store: Callable[[], None],
) -> None:
    async with AsyncExitStack() as stack:
        connected: list[tuple[StreamService, streams.Reading]] = []
        for contestant in running:
            conditions.tell(f"{contestant.name}: connecting {count:,} readers")
            before = memory_bytes(contestant.service)
            readers = await stack.enter_async_context(streams.reading(contestant, count))
            if count < conditions.readers:  # later ones use memory that was released
                kibibytes = (memory_bytes(contestant.service) - before) / count / 1024
                results.add(f"{count:,} readers, memory of each", contestant, {"kibibytes": kibibytes})
            await _added(Results(), "", contestant, streams.burst(contestant, readers, f"warm{count}x"))
            connected.append((contestant, readers))
        for number, turn in _turns(connected, rounds):
            results.floor.append(await _floor(receiver))
            for contestant, readers in turn:
                conditions.tell(f"{count:,} readers, round {number + 1} of {rounds}: {contestant.name}")
                if count == conditions.readers:
                    work = f"{count:,} readers, bursts of {streams.BURST}"
                    await _added(results, work, contestant, streams.burst(contestant, readers, f"burst{number}x"))
                work = f"{count:,} readers, {streams.EVENTS_PER_SECOND} events/s"
                single = streams.single_events(contestant, readers, conditions.seconds, f"single{number}x{count}x")
                await _added(results, work, contestant, single)
            store()


async def _added(results: Results, work: str, contestant: StreamService, round_: Awaitable[dict[str, float]]) -> None:
    """Add a round, or the reason why it has no figures."""
    try:
        results.add(work, contestant, await round_)
    except streams.BrokenStreamError as error:
        results.broken.setdefault(f"{contestant.name}, {work}", []).append(str(error))


C = TypeVar("C")


def _turns(contestants: Sequence[C], rounds: int) -> Iterator[tuple[int, list[C]]]:
    """Yield the contestants of each round, begun by another one each time."""
    for number in range(rounds):
        first = number % max(len(contestants), 1)
        yield number, [*contestants[first:], *contestants[:first]]


async def _floor(receiver: Server) -> float:
    (story,) = stories(article | {"title": "floor zq0x"} for article in made_up(1))
    sent = itertools.repeat(request("POST", "/", story.event))
    return (await drive(receiver.site, sent, _FLOOR_CLIENTS, _FLOOR_SECONDS, 204)).rate
