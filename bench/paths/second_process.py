"""What a second process of ingest, and of notify, changes on this machine. The floor of each figure is one process."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack

from bench.articles import repeated
from bench.figures import Figure, compared
from bench.load import drive
from bench.paths.publishing import CONNECTIONS, endless
from bench.paths.webhooks import ENDPOINTS, all_came, subscribe, tally
from bench.publishing import put_on_record, versions
from bench.servers import Server, new_key, program, service, valkey
from bench.setting import Setting
from newswire.auth.credentials import Scope
from newswire.storage.redis_client import open_redis


async def measure(setting: Setting) -> list[Figure]:
    """Return the rates with two processes, compared with one."""
    return [await _publishing(setting), await _webhooks(setting)]


async def _publishing(setting: Setting) -> Figure:
    with valkey(setting.folder / "two-ingest") as url, ExitStack() as stack:
        key, _ = await new_key(url, Scope.PUBLISH)
        servers = [
            stack.enter_context(service("ingest", {"NEWSWIRE_REDIS_URL": url}, setting.folder / f"two-ingest-{n}.log"))
            for n in range(2)
        ]
        sent = endless(setting.articles, key)
        await _drive(servers, sent, 1.0)
        rounds = []
        for _ in setting.steps("publishing, two processes", range(setting.rounds)):
            one = await _drive(servers[:1], sent, setting.seconds)
            rounds.append((await _drive(servers, sent, setting.seconds), one))
    return compared("POST article → 201, two processes of ingest (floor: one)", "articles/s", rounds)


async def _drive(servers: list[Server], sent: Iterator[bytes], seconds: float) -> float:
    """Publish to all of these servers at once, over as many connections as to one; return the rate."""
    connections = CONNECTIONS // len(servers)
    driven = await asyncio.gather(*(drive(each.site, sent, connections, seconds, 201) for each in servers))
    return sum(each.rate for each in driven)


async def _webhooks(setting: Setting) -> Figure:
    numbers, articles = itertools.count(), setting.some(100)
    with valkey(setting.folder / "two-notify") as url:
        _, caller = await new_key(url, Scope.PUBLISH)
        key, _ = await new_key(url, Scope.SUBSCRIBE)
        environment = {"NEWSWIRE_REDIS_URL": url, "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true"}
        with (
            program("receiver", setting.folder / "two-receiver.log") as receiver,
            service("notify", environment, setting.folder / "two-notify.log") as notify,
        ):
            await subscribe(notify.site, key, receiver.site)
            async with open_redis(url) as redis:

                async def deliver() -> float:
                    made = versions(repeated(setting.articles, articles, f"round{next(numbers)}x"), "bench")
                    came, began = (await tally(receiver))["count"], time.perf_counter()
                    await put_on_record(redis, made, caller)
                    last = await all_came(receiver, came + articles * ENDPOINTS)
                    return articles * ENDPOINTS / (last - began)

                await deliver()
                rounds = []
                for number in setting.steps("webhooks, two processes", range(setting.rounds)):
                    one = await deliver()
                    with service("notify", environment, setting.folder / f"two-notify-{number}.log"):
                        await deliver()
                        rounds.append((await deliver(), one))
    return compared("event → webhooks, two processes of notify (floor: one)", "deliveries/s", rounds)
