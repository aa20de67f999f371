"""Latency of webhooks to healthy endpoints, with and without five others that hang, drip, respond endlessly, fail or are busy."""

import asyncio
import re
import time
from contextlib import ExitStack

from bench.articles import repeated
from bench.figures import Figure, Goal, compared, percentiles
from bench.load import Connection, json_request
from bench.misbehaving import BEHAVIOURS
from bench.publishing import put_on_record, versions
from bench.receiver import ACCEPTED, listen
from bench.servers import new_key, program, service, valkey
from bench.setting import Setting
from newswire.auth.credentials import Scope
from newswire.storage.redis_client import open_redis
from tests.servers.valkey import free_port

HEALTHY = 95
RATE = 5
"""Articles per second, each to all endpoints."""
PATIENCE = 30.0
_MARK = re.compile(rb"zq(\d+)x")


async def measure(setting: Setting) -> list[Figure]:
    """Return the p99 of the healthy endpoints, with and without the others."""
    rounds, everything = [], []
    for number in setting.steps("isolation", range(2 if setting.quick else 3)):
        without = await _webhook_times(setting, f"{number}-without", ())
        beside = await _webhook_times(setting, f"{number}-beside", tuple(BEHAVIOURS))
        rounds.append((percentiles(beside)["p99"], percentiles(without)["p99"]))
        everything += beside
    name = f"event → webhook, {HEALTHY} endpoints beside {len(BEHAVIOURS)} that misbehave"
    return [compared(name, "ms p99", rounds, Goal("at most", 1.5), p50=percentiles(everything)["p50"])]


async def _webhook_times(setting: Setting, name: str, misbehaving: tuple[str, ...]) -> list[float]:
    """Publish at a steady rate; return the time of each webhook to a healthy endpoint, in ms."""
    articles = RATE * (8 if setting.quick else 45)
    published: dict[int, float] = {}
    taken: list[float] = []

    def take(body: bytes) -> bytes:
        now = time.perf_counter()
        if found := _MARK.search(body):
            taken.append((now - published[int(found[1])]) * 1000)
        return ACCEPTED

    with ExitStack() as stack:
        url = stack.enter_context(valkey(setting.folder / name))
        _, caller = await new_key(url, Scope.PUBLISH)
        key, _ = await new_key(url, Scope.SUBSCRIBE)
        environment = {"NEWSWIRE_REDIS_URL": url, "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true"}
        bad = stack.enter_context(program("misbehaving", setting.folder / f"{name}.bad.log"))
        notify = stack.enter_context(service("notify", environment, setting.folder / f"{name}.log"))
        port = free_port()
        async with await listen(port, take), await Connection.open(notify.site) as connection, open_redis(url) as redis:
            addresses = [f"http://127.0.0.1:{port}/{number}" for number in range(HEALTHY)]
            addresses += [f"{bad.site}/{behaviour}" for behaviour in misbehaving]
            for address in addresses:
                wanted = {"channel": {"type": "webhook", "url": address}}
                answer = await connection.ask(json_request("/v1/subscriptions", wanted, key))
                if answer.status != 201:
                    raise RuntimeError(f"subscribing answered {answer.status}: {answer.body[:300]!r}")
            began = time.perf_counter() + 1
            for number, article in enumerate(repeated(setting.articles, articles, "isolation")):
                article["title"] = f"{article['title']} zq{number}x"
                [version] = versions([article], "bench")
                await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
                published[number] = time.perf_counter()
                await put_on_record(redis, [version], caller)
            deadline = time.perf_counter() + PATIENCE
            while len(taken) < articles * HEALTHY:
                if time.perf_counter() > deadline:
                    raise RuntimeError(f"only {len(taken)} of {articles * HEALTHY} webhooks came")
                await asyncio.sleep(0.05)
    # The first second measures how connections are opened, which is the same in both cases.
    return taken[RATE * HEALTHY :]
