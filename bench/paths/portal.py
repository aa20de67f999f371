"""The pages of the portal with a million attempts in Redis, and ten thousand deliveries of one endpoint."""

import statistics
import time
from collections.abc import Sequence
from datetime import timedelta

import orjson
from redis.asyncio import Redis

from bench.figures import Figure, percentiles
from bench.load import Connection
from bench.servers import service, valkey
from bench.setting import Setting
from newswire.auth.accounts import create_account
from newswire.keys import Keyspace
from newswire.observability.audit import COMMAND_LINE
from newswire.storage.redis_client import open_redis
from newswire_notify.deliveries.queue import Queue
from newswire_notify.portal.links import PortalLinks
from newswire_notify.settings import NotifySettings
from newswire_notify.subscriptions.models import Subscription, SubscriptionDraft
from newswire_notify.subscriptions.repository import Subscriptions
from newswire_notify.webhooks.webhook_endpoint import Webhook

NAMESPACE, ACCOUNT = "bench-portal", "Harbour Post"
ENDPOINTS, ATTEMPTS = 100, 20
BUSY_DELIVERIES, ALL_DELIVERIES = 10_000, 50_000
GOAL_MS = 100.0
CHUNK = 500
EVERY_DEAD = 1000
"""One delivery in so many failed for good: a list of these has to look at all others."""


async def measure(setting: Setting) -> list[Figure]:
    """Return the time of each page."""
    folder = setting.folder / "portal"
    busy, others = setting.some(BUSY_DELIVERIES), setting.some(ALL_DELIVERIES - BUSY_DELIVERIES)
    with valkey(folder / "valkey") as url:
        keys = Keyspace(NAMESPACE)
        environment = {
            "NEWSWIRE_NAMESPACE": NAMESPACE,
            "NEWSWIRE_REDIS_URL": url,
            "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true",
            "NEWSWIRE_READ_RATE": "0",
            "NEWSWIRE_DATA_DIR": str(folder / "data"),
        }
        async with open_redis(url) as redis:
            found = await _subscriptions(redis, keys)
            for number, each in enumerate(found):
                await _deliveries(redis, keys, each, busy if number == 0 else others // (ENDPOINTS - 1))
            cookie = await _session(redis, keys)
            with service("notify", environment, folder / "notify.log") as ours:
                async with await Connection.open(ours.site) as connection:
                    return [
                        await _measured(setting, connection, cookie, name, path)
                        for name, path in _paths(found[0].id, busy).items()
                    ]


def _paths(busy: str, count: int) -> dict[str, str]:
    of_it = f"/portal/subscriptions/{busy}"
    return {
        "overview": "/portal",
        "subscription": of_it,
        "edit": f"{of_it}/edit",
        "deliveries": f"{of_it}/deliveries",
        "deliveries, failed": f"{of_it}/deliveries?state=dead",
        "deliveries, none": f"{of_it}/deliveries?state=cancelled",
        "deliveries, last page": f"{of_it}/deliveries?after={_created(count - 10)}-{_delivery(busy, count - 10)}",
        "delivery": f"{of_it}/deliveries/{_delivery(busy, 5)}",
        "replay": f"{of_it}/replay?since=2020-01-01T00:00",
        "live": "/portal/live",
        "signatures": "/portal/signatures",
    }


async def _measured(setting: Setting, connection: Connection, cookie: str, name: str, path: str) -> Figure:
    head = f"GET {path} HTTP/1.1\r\nHost: bench\r\nCookie: newswire-portal={cookie}\r\nAccept: text/html\r\n\r\n"
    taken: list[float] = []
    for _ in range(setting.some(100)):
        began = time.perf_counter()
        answer = await connection.ask(head.encode())
        taken.append((time.perf_counter() - began) * 1000)
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {answer.body[:300]!r}")
    return _figure(f"portal: {name}", taken, len(answer.body))


def _figure(name: str, taken: Sequence[float], size: int) -> Figure:
    p50 = statistics.median(taken)
    detail = percentiles(taken) | {"bytes": size}
    return Figure(name, "ms p50", p50, goal=f"< {GOAL_MS:g} ms", met=p50 < GOAL_MS, detail=detail)


async def _session(redis: "Redis", keys: Keyspace) -> str:
    links = PortalLinks(redis, keys)
    opened = await links.open(await links.create(ACCOUNT, timedelta(hours=1), by=COMMAND_LINE), None)
    if opened is None:
        raise RuntimeError("the link was not opened")
    return opened[0]


async def _subscriptions(redis: "Redis", keys: Keyspace) -> list[Subscription]:
    await create_account(redis, keys, ACCOUNT)
    queue = Queue.from_settings(redis, keys, NotifySettings(namespace=NAMESPACE))
    subscriptions = Subscriptions(queue, redis, keys)
    urls = [f"https://receiver.example/{number}" for number in range(ENDPOINTS)]
    return [
        await subscriptions.add(ACCOUNT, SubscriptionDraft(channel=Webhook(type="webhook", url=url))) for url in urls
    ]


async def _deliveries(redis: "Redis", keys: Keyspace, subscription: Subscription, count: int) -> None:
    """Write ended deliveries with all their attempts, as the functions of the queue store them."""
    queue = Queue.from_settings(redis, keys, NotifySettings(namespace=NAMESPACE))
    name = queue.key("deliveries", subscription.id)
    attempts = [orjson.dumps((1_790_000_000.0, at, 500, 12.5, "http: status 500")) for at in range(1, ATTEMPTS + 1)]
    for first in range(0, count, CHUNK):
        async with redis.pipeline(transaction=False) as pipe:
            for number in range(first, min(first + CHUNK, count)):
                delivery, created = _delivery(subscription.id, number), _created(number)
                dead = number % EVERY_DEAD == EVERY_DEAD - 1
                fields = {
                    "event": f"a{number}.1",
                    "type": "newswire.article.published.v1",
                    "article": f"a{number}",
                    "version": 1,
                    "subscription": subscription.id,
                    "reason": "matched",
                    "state": "dead" if dead else "delivered",
                    "attempt": ATTEMPTS,
                    "failures": 0,
                    "created": created,
                    "ended": created + 1000,
                    "first": attempts[0],
                }
                pipe.hset(queue.key("delivery", delivery), mapping=fields)
                pipe.rpush(queue.key("delivery", delivery, "attempts"), *attempts[1:])
                pipe.zadd(name, {delivery: created})
                if dead:
                    pipe.zadd(queue.key("deliveries", "dead"), {delivery: created + 1000})
            await pipe.execute()


def _delivery(subscription: str, number: int) -> str:
    return f"msg_{subscription.removeprefix('sub_')}{number:06}"


def _created(number: int) -> int:
    """Return the time at which a delivery was created; the first one is the newest."""
    return 1_790_000_000_000 - number * 1000
