"""Different events, each matched by one subscription of its own: nothing is shared between deliveries.

``python -m bench.one_to_one --help`` tells how one round is measured.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import orjson
import psutil
import typer
from redis.asyncio import Redis

from bench.articles import made_up, repeated
from bench.figures import percentiles
from bench.load import Connection, json_request, request
from bench.publishing import put_on_record, versions
from bench.servers import Server, new_key, program, service, valkey
from newswire.auth.credentials import Caller, Scope
from newswire.storage.redis_client import open_redis
from newswire_ingest.articles.publishing import Version

Fsync = Literal["always", "everysec"]
FSYNC: tuple[Fsync, ...] = ("always", "everysec")
SETTINGS = {
    "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true",
    "NEWSWIRE_SUBSCRIPTIONS_PER_ACCOUNT": "1000000",
    "NEWSWIRE_SUBSCRIPTION_BYTES_PER_ACCOUNT": "1000000000",
    "NEWSWIRE_WEBHOOK_URLS_PER_HOST": "1000000",
    "NEWSWIRE_SUBSCRIPTION_WRITE_RATE": "0",
}
SUBSCRIBING, PUBLISHING = 16, 64
"""How many requests are under way."""
DEADLINE_SECONDS = 300
STEP_SECONDS = 0.01


@dataclass(frozen=True)
class Round:
    """The result of a round. The delays are from the publication of an event to its webhook, in ms."""

    rate: float
    p50: float
    p99: float
    microseconds: dict[str, float]
    """Processor time for each event, of notify, Valkey and the receiver."""

    def values(self) -> dict[str, float]:
        """Return all values by name."""
        spent = {f"{name}_microseconds": value for name, value in self.microseconds.items()}
        return {"rate": self.rate, "p50": self.p50, "p99": self.p99} | spent


@dataclass(frozen=True)
class Installation:
    """Notify with its store and a receiver, and one subscription for each category."""

    redis: "Redis"
    caller: Caller
    notify: Server
    receiver: Server
    store: Server
    subscriptions: int

    async def round(self, made: Sequence[Version], rate: float | None = None) -> Round:
        """Publish events, at a steady rate or as fast as possible, and wait for their webhooks."""
        measured = {"notify": self.notify, "valkey": self.store, "receiver": self.receiver}
        before = {name: server.cpu_seconds() for name, server in measured.items()}
        await _ask(self.receiver, b"forget")
        began = time.perf_counter()
        sent = await self._publish(made, rate)
        arrived = await self._arrivals(len(made))
        spent = {name: (each.cpu_seconds() - before[name]) / len(made) * 1e6 for name, each in measured.items()}
        delays = percentiles([(arrived[number] - at) * 1000 for number, at in enumerate(sent)])
        return Round(len(made) / (max(arrived.values()) - began), delays["p50"], delays["p99"], spent)

    async def _publish(self, made: Sequence[Version], rate: float | None) -> list[float]:
        """Return when each publication was due: when it was sent, or by the steady rate."""
        due: list[float] = []
        began = time.perf_counter()
        while len(due) < len(made):
            size = PUBLISHING
            if rate is not None:
                size = int((time.perf_counter() - began) * rate) + 1 - len(due)
            part = made[len(due) : len(due) + size]
            now = time.perf_counter()
            due += [now if rate is None else began + number / rate for number in range(len(due), len(due) + len(part))]
            await put_on_record(self.redis, part, self.caller, together=PUBLISHING)
            if rate is not None:
                await asyncio.sleep(STEP_SECONDS)
        return due

    async def _arrivals(self, count: int) -> dict[int, float]:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (found := orjson.loads(await _ask(self.receiver, b"count"))) < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"only {found} of {count} webhooks came")
            await asyncio.sleep(0.1)
        return {int(number): at for number, at in orjson.loads(await _ask(self.receiver, b"arrivals"))}

    async def events(self, count: int, mark: str) -> list[Version]:
        """Return events, prepared so that publishing them costs little; each has a category of its own."""
        articles = repeated(made_up(min(count, 2000)), count, mark)
        return versions(
            (
                article
                | {"title": f"{article['title']} zq{number}x", "category": _category(number % self.subscriptions)}
                for number, article in enumerate(articles)
            ),
            "bench",
        )


@asynccontextmanager
async def installed(folder: Path, subscriptions: int, fsync: Fsync) -> AsyncIterator[Installation]:
    """Run notify, its store and a receiver, and subscribe."""
    with ExitStack() as stack:
        url = stack.enter_context(valkey(folder / f"one-to-one-{fsync}"))
        _, caller = await new_key(url, Scope.PUBLISH)
        key, _ = await new_key(url, Scope.SUBSCRIBE)
        async with open_redis(url) as redis:
            await redis.config_set("appendfsync", fsync)
            store = Server(url, psutil.Process((await redis.info("server"))["process_id"]))
            receiver = stack.enter_context(program("arrivals", folder / f"arrivals-{fsync}.log"))
            environment = SETTINGS | {"NEWSWIRE_REDIS_URL": url}
            notify = stack.enter_context(service("notify", environment, folder / f"one-to-one-{fsync}.log"))
            await _subscribe(notify, key, receiver, subscriptions)
            yield Installation(redis, caller, notify, receiver, store, subscriptions)


async def _subscribe(notify: Server, key: str, receiver: Server, count: int) -> None:
    numbers = iter(range(count))

    async def work() -> None:
        async with await Connection.open(notify.site) as connection:
            for number in numbers:
                wanted = {
                    "filter": {"categories": [_category(number)]},
                    "channel": {"type": "webhook", "url": f"{receiver.site}/{number}"},
                }
                answer = await connection.ask(json_request("/v1/subscriptions", wanted, key))
                if answer.status != 201:
                    raise RuntimeError(f"subscribing answered {answer.status}: {answer.body[:300]!r}")

    await asyncio.gather(*(work() for _ in range(SUBSCRIBING)))


def _category(number: int) -> str:
    return f"Desk {number}"


async def _ask(receiver: Server, what: bytes) -> bytes:
    async with await Connection.open(receiver.site) as connection:
        return (await connection.ask(request("POST", "/", what))).body


async def measured(folder: Path, count: int, fsync: Fsync, rate: float | None, rounds: int = 1) -> list[Round]:
    """Return the rounds of an installation with as many subscriptions as there are events."""
    async with installed(folder, count, fsync) as newswire:
        await newswire.round(await newswire.events(count // 10, "warm"))
        return [await newswire.round(await newswire.events(count, f"round{n}x"), rate) for n in range(rounds)]


def medians(rounds: Sequence[Round]) -> dict[str, float]:
    """Return the median of each value."""
    return {name: statistics.median(each.values()[name] for each in rounds) for name in rounds[0].values()}


def main(
    events: Annotated[int, typer.Argument(min=1, help="Events, each to an endpoint of its own.")],
    fsync: Annotated[Fsync, typer.Argument(help="When Valkey writes to the disk (`appendfsync`).")],
    rate: Annotated[
        float | None, typer.Argument(min=1, help="Events a second; as fast as possible without it.")
    ] = None,
) -> None:
    """Measure one round, and print it as JSON."""
    with tempfile.TemporaryDirectory(prefix="newswire-bench-", ignore_cleanup_errors=True) as folder:
        (found,) = asyncio.run(measured(Path(folder), events, fsync, rate))
    print(orjson.dumps(found.values()).decode())


if __name__ == "__main__":
    typer.run(main)
