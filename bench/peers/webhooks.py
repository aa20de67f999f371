"""Webhooks: one event to many endpoints; many events to one endpoint each, as fast as possible and at a steady rate."""

import asyncio
import time
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import closing
from typing import Any, Literal

import orjson

from bench.articles import Article, made_up, repeated
from bench.figures import percentiles
from bench.load import Connection, Pool, request
from bench.peers.contestants import TO_ALL, Story, WebhookService, asked, changes, stories
from bench.servers import Server

FANOUT, ONE_TO_ONE, STEADY = (
    "one event → 100 endpoints",
    "different events → one endpoint each",
    "200 events/s → one each",
)
STEADY_RATE = 200
STEADY_SECONDS = 10
_CLIENTS, _SUBSCRIBING = 64, 16
_DEADLINE_SECONDS = 300
Values = dict[str, float]
Counted = Literal["events", "webhooks"]


async def subscribe(contestant: WebhookService, receiver: Server, endpoints: int, singles: int) -> None:
    """Send one category to all endpoints, and each of many categories to an endpoint of its own."""
    wanted = [(TO_ALL, f"{receiver.site}/all/{number}") for number in range(endpoints)]
    wanted += [(_desk(number), f"{receiver.site}/{number}") for number in range(singles)]
    left = iter(wanted)

    async def work() -> None:
        async with await Connection.open(contestant.subscribing) as connection:
            for category, url in left:
                for data in contestant.subscriptions(category, url):
                    await asked(connection, data, 200, 201)

    await asyncio.gather(*(work() for _ in range(_SUBSCRIBING)))


async def fan_out(contestant: WebhookService, receiver: Server, events: int, endpoints: int, mark: str) -> Values:
    """Publish events that go to all endpoints; return deliveries per second, and processor time for each delivery."""
    made = stories(article | {"category": TO_ALL} for article in _articles(events, mark))
    return await _at_once(contestant, receiver, made, "webhooks", events * endpoints)


async def one_to_one(contestant: WebhookService, receiver: Server, events: int, mark: str) -> Values:
    """Publish events that each go to one endpoint; return events per second, and processor time for each event."""
    return await _at_once(contestant, receiver, _singles(events, mark), "events", events)


async def steady(contestant: WebhookService, receiver: Server, events: int, mark: str) -> Values:
    """Publish events at a steady rate; return the time from when each was due to its webhook, in ms."""
    made = _singles(events, mark)
    requests, due = [contestant.publication(story) for story in made], list[float]()
    await _ask(receiver, b"forget")
    before = contestant.spent()
    with closing(Pool(contestant.site)) as pool:
        began, sending = time.perf_counter(), list[Awaitable[Any]]()
        for number, data in enumerate(requests):
            due.append(began + number / STEADY_RATE)
            await asyncio.sleep(max(due[-1] - time.perf_counter(), 0))
            sending.append(asyncio.ensure_future(pool.ask(data)))
        answers = await asyncio.gather(*sending)
    if wrong := {answer.status for answer in answers} - {contestant.accepted}:
        raise RuntimeError(f"{contestant.name} answered {wrong}")
    await _received(receiver, "events", len(made))
    arrived = {int(number): at for number, at in orjson.loads(await _ask(receiver, b"arrivals"))}
    delays = percentiles([(arrived[number] - at) * 1000 for number, at in enumerate(due)])
    return {"p50": delays["p50"], "p99": delays["p99"]} | _microseconds(contestant, before, len(made))


async def _at_once(
    contestant: WebhookService, receiver: Server, made: Sequence[Story], what: Counted, deliveries: int
) -> Values:
    left = iter([contestant.publication(story) for story in made])
    await _ask(receiver, b"forget")
    before, began = contestant.spent(), time.perf_counter()

    async def work() -> None:
        async with await Connection.open(contestant.site) as connection:
            for data in left:
                await asked(connection, data, contestant.accepted)

    await asyncio.gather(*(work() for _ in range(min(_CLIENTS, len(made)))))
    published = time.perf_counter()
    last = await _received(receiver, what, deliveries)
    spent = _microseconds(contestant, before, deliveries)
    return {"rate": deliveries / (last - began), "published": len(made) / (published - began)} | spent


def _microseconds(contestant: WebhookService, before: Values, count: int) -> Values:
    return {f"{name}_microseconds": spent / count * 1e6 for name, spent in changes(before, contestant.spent())}


def _singles(count: int, mark: str) -> list[Story]:
    return stories(article | {"category": _desk(number)} for number, article in enumerate(_articles(count, mark)))


def _articles(count: int, mark: str) -> Iterator[Article]:
    """Yield articles; the receiver reads the number of each from its title."""
    for number, article in enumerate(repeated(made_up(min(count, 2000)), count, mark)):
        yield article | {"title": f"{article['title']} zq{number}x"}


def _desk(number: int) -> str:
    return f"Desk {number}"


async def _received(receiver: Server, what: Counted, count: int) -> float:
    """Wait until as many have come; return the time of the last one."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while (tally := orjson.loads(await _ask(receiver, b"tally")))[what] < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {tally[what]} of {count} {what} came")
        await asyncio.sleep(0.05)
    last: float = tally["last"]
    return last


async def _ask(receiver: Server, what: bytes) -> bytes:
    async with await Connection.open(receiver.site) as connection:
        return (await connection.ask(request("POST", "/", what))).body
