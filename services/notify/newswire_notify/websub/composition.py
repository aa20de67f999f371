"""Puts the hub together: settings and clients → routes, loops, checks and the consumer."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import APIRouter
from redis.asyncio import Redis

from newswire.events import INDEXED
from newswire.http.application import Loop
from newswire.http.health import Check
from newswire.keys import Keyspace
from newswire.messaging.broker import BLOCK_MS, EventBroker
from newswire.messaging.claiming_client import BRIEFLY
from newswire.messaging.group_member import GroupMember
from newswire.messaging.groups import WEBSUB
from newswire.storage.replication import ReplicationBarrier
from newswire_notify.settings import NotifySettings
from newswire_notify.webhooks.http_client import WebhookHttpClient
from newswire_notify.webhooks.ssrf_guard import AddressPolicy
from newswire_notify.websub import api
from newswire_notify.websub.changed_topics import ChangedTopics
from newswire_notify.websub.distribution import MIN_FETCH_INTERVAL_SECONDS, Distribution
from newswire_notify.websub.feed_fetching import FeedFetcher
from newswire_notify.websub.handlers import subscribe
from newswire_notify.websub.pushing import Pusher
from newswire_notify.websub.repository import HubSubscriptions
from newswire_notify.websub.rounds import RETRY_DELAYS_SECONDS
from newswire_notify.websub.service import CLOSED_REASON, OFF_REASON, Hub, HubLimits
from newswire_notify.websub.verification import CallbackVerification


@dataclass(frozen=True)
class HubParts:
    """What the hub contributes to the service."""

    routers: list[APIRouter]
    loops: dict[str, Loop]
    checks: dict[str, Check]
    broker: EventBroker


@asynccontextmanager
async def hub_parts(
    records: "Redis",
    redis: "Redis",
    keys: Keyspace,
    http_client: WebhookHttpClient,
    policy: AddressPolicy,
    settings: NotifySettings,
    *,
    clock: Callable[[], float] = time.time,
    retry_delays: tuple[float, ...] = RETRY_DELAYS_SECONDS,
    min_interval: float = MIN_FETCH_INTERVAL_SECONDS,
    block_ms: int = BLOCK_MS,
) -> AsyncIterator[HubParts]:
    """Open the hub's client and yield its parts. ``records``: the Redis of the streams; ``redis``: of the deliveries.

    Without a hub its group goes on consuming, since the stream is not trimmed beyond what a group has read.
    """
    subscriptions, changed = HubSubscriptions(redis, keys, clock), ChangedTopics(redis, keys, clock)
    barrier = ReplicationBarrier(records, keys, settings.redis_min_replicas)
    member = GroupMember(records, keys, WEBSUB, dead_letter_limit=settings.dead_letter_limit, barrier=barrier)
    broker = EventBroker(member, only=INDEXED, gather=BRIEFLY)
    timeout = settings.webhook_timeout
    hub_url = settings.hub_url
    feeds_url = None if settings.feeds_url is None else str(settings.feeds_url)
    async with FeedFetcher(settings.site, feeds_url) as fetcher:
        hub = Hub(
            subscriptions,
            fetcher,
            CallbackVerification(http_client, timeout=timeout),
            HubLimits(settings.hub_subscriptions_max, settings.hub_subscriptions_per_host, settings.hub_topics_max),
            on_subscribed=lambda: distribution.wake(),
            clock=clock,
        )
        distribution = Distribution(
            subscriptions,
            changed,
            fetcher,
            Pusher(http_client, hub_url or "", timeout=timeout),
            concurrency=settings.hub_concurrency,
            revoke=hub.revoke,
            min_interval=min_interval,
            retry_delays=retry_delays,
        )
        subscribe(broker, distribution.index_changed, block_ms=block_ms)

        async def close_hub(stopping: asyncio.Event) -> None:
            await hub.revoke_all(CLOSED_REASON if settings.hub else OFF_REASON)
            await stopping.wait()

        yield HubParts(
            routers=[api.router(hub, policy, settings)] if settings.hub else [],
            loops={
                "hub consumer": broker.consume,
                "hub": hub.run,
                "hub distribution": distribution.run if hub_url is not None else close_hub,
            },
            checks={"hub consumer": broker.check},
            broker=broker,
        )
