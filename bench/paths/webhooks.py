"""Event → webhooks, in deliveries per second by one worker process, compared with a client that posts the same signed bytes.

First each event goes to all endpoints, then each of many different events to one.
"""

import asyncio
import itertools
import statistics
import time
from typing import Any

import orjson

from bench.articles import repeated
from bench.figures import Figure, Goal, compared
from bench.load import Connection, drive, json_request, request
from bench.one_to_one import FSYNC, Fsync, installed, medians
from bench.publishing import put_on_record, versions
from bench.servers import Server, new_key, program, service, valkey
from bench.setting import Setting
from newswire.auth.credentials import Scope
from newswire.events import CloudEvent
from newswire.storage.redis_client import open_redis
from newswire_notify.settings import NotifySettings
from newswire_notify.webhooks.rendering import envelope, render
from newswire_notify.webhooks.signing import signature

ENDPOINTS = 100
CONCURRENCY: int = NotifySettings.model_fields["webhook_concurrency"].default


SINGLE_EVENTS = 10_000
STEADY_RATE = 1000
"""Events per second for the delays of different events to one endpoint each."""


async def measure(setting: Setting) -> list[Figure]:
    """Return the rates of deliveries."""
    return [await _to_all(setting), *[figure for fsync in FSYNC for figure in await _one_to_one(setting, fsync)]]


async def _one_to_one(setting: Setting, fsync: Fsync) -> list[Figure]:
    """Measure different events, each with one recipient: as fast as possible, and at a steady rate."""
    count = setting.some(SINGLE_EVENTS)
    async with installed(setting.folder, count, fsync) as newswire:
        await newswire.round(await newswire.events(count // 10, "warm"))
        fast, steady = [], []
        for number in setting.steps(f"webhooks, one to one, {fsync}", range(setting.rounds)):
            fast.append(await newswire.round(await newswire.events(count, f"round{number}x")))
            steady.append(await newswire.round(await newswire.events(count, f"steady{number}x"), STEADY_RATE))
    name = f"different events → one webhook each, appendfsync {fsync}"
    rates, delays = [each.rate for each in fast], [each.p50 for each in steady]
    return [
        Figure(name, "events/s", statistics.median(rates), detail=medians(fast) | _range(rates)),
        Figure(
            f"{name}, {STEADY_RATE}/s", "ms p50", statistics.median(delays), detail=medians(steady) | _range(delays)
        ),
    ]


def _range(values: list[float]) -> dict[str, float]:
    return {"lowest": min(values), "highest": max(values)}


async def _to_all(setting: Setting) -> Figure:
    """Measure events with a hundred recipients, and the capacity of the receiver."""
    articles = setting.some(100)
    with valkey(setting.folder / "webhooks") as url:
        _, caller = await new_key(url, Scope.PUBLISH)
        key, _ = await new_key(url, Scope.SUBSCRIBE)
        environment = {"NEWSWIRE_REDIS_URL": url, "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true"}
        with (
            program("receiver", setting.folder / "receiver.log") as receiver,
            service("notify", environment, setting.folder / "webhooks.log") as notify,
        ):
            secrets = await subscribe(notify.site, key, receiver.site)
            file = setting.folder / "webhooks.json"
            file.write_bytes(orjson.dumps(_signed(setting, articles, receiver.site, secrets)))
            async with open_redis(url) as redis:
                with program("floors.webhooks", setting.folder / "webhooks.floor.log", str(file)) as floor:

                    async def ours(count: int, mark: str) -> float:
                        made = versions(repeated(setting.articles, count, mark), "bench")
                        before, began = await tally(receiver), time.perf_counter()
                        await put_on_record(redis, made, caller)
                        last = await all_came(receiver, before["count"] + count * ENDPOINTS)
                        return count * ENDPOINTS / (last - began)

                    await ours(10, "warm")
                    await _post(floor, "own", CONCURRENCY)
                    rounds, busy, spent, least, general = [], [], [], [], []
                    for number in setting.steps("webhooks", range(setting.rounds)):
                        cpu = floor.cpu_seconds()
                        bare = await _post(floor, "own", CONCURRENCY)
                        least.append((floor.cpu_seconds() - cpu) / (articles * ENDPOINTS) * 1e6)
                        general.append(await _post(floor, "aiohttp", CONCURRENCY))
                        before, began, cpu = receiver.cpu_seconds(), time.perf_counter(), notify.cpu_seconds()
                        rate = await ours(articles, f"round{number}x")
                        busy.append((receiver.cpu_seconds() - before) / (time.perf_counter() - began))
                        spent.append((notify.cpu_seconds() - cpu) / (articles * ENDPOINTS) * 1e6)
                        rounds.append((rate, bare))
            sent = itertools.repeat(
                request("POST", "/", _signed(setting, 1, receiver.site, secrets[:1])[0][2].encode())
            )
            capacity = (await drive(receiver.site, sent, CONCURRENCY, setting.seconds, 204)).rate
    detail = {
        "cpu_microseconds_each": statistics.median(spent),
        "floor_cpu_microseconds_each": statistics.median(least),
        "receiver_busy": statistics.median(busy),
        "receiver_capacity": capacity,
        "aiohttp": statistics.median(general),
    }
    return compared("event → webhooks, one worker process", "deliveries/s", rounds, Goal("at least", 0.25), **detail)


async def subscribe(site: str, key: str, receiver: str) -> list[str]:
    """Subscribe the endpoints of a receiver to everything; return their secrets."""
    async with await Connection.open(site) as connection:
        answers = [
            await connection.ask(
                json_request("/v1/subscriptions", {"channel": {"type": "webhook", "url": f"{receiver}/{n}"}}, key)
            )
            for n in range(ENDPOINTS)
        ]
    return [orjson.loads(answer.body)["secret"] for answer in answers]


def _signed(setting: Setting, articles: int, site: str, secrets: list[str]) -> list[tuple[str, dict[str, str], str]]:
    """Return prepared requests, like those that the worker sends."""
    now, requests = int(time.time()), []
    for version in versions(repeated(setting.articles, articles, "floor"), "bench"):
        said = CloudEvent.model_validate_json(version.event_prefix + version.document_json + b"}")
        body = render(envelope(said, with_data=False), version.document_json, "full", "matched")
        for number, secret in enumerate(secrets):
            identity = f"msg_{version.id}{number:014d}"
            headers = {
                "Content-Type": "application/cloudevents+json",
                "User-Agent": "Newswire-Webhooks/1",
                "webhook-id": identity,
                "webhook-timestamp": str(now),
                "webhook-signature": signature(secret, identity, now, body),
                "traceparent": said.traceparent or "",
            }
            requests.append((f"{site}/{number}", headers, body.decode()))
    return requests


async def tally(receiver: Server) -> Any:
    """Return what a receiver has counted."""
    async with await Connection.open(receiver.site) as connection:
        return orjson.loads((await connection.ask(request("GET", "/"))).body)


async def all_came(receiver: Server, count: int) -> float:
    """Wait until a number of webhooks has arrived; return the time of the last one."""
    deadline = time.monotonic() + 300
    while (tallied := await tally(receiver))["count"] < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {tallied['count']} of {count} webhooks came")
        await asyncio.sleep(0.05)
    last: float = tallied["last"]
    return last


async def _post(floor: Server, client: str, connections: int) -> float:
    async with await Connection.open(floor.site) as connection:
        answer = await connection.ask(request("POST", f"/{client}/{connections}", b" "))
    rate: float = orjson.loads(answer.body)
    return rate
