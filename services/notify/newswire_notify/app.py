"""Notify put together: settings → clients → routes → consumer, worker and tail."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.app import Service
from newswire.asyncapi import OutcomeEvent
from newswire.audit import note_setting
from newswire.disk_erasure import keep_rewriting
from newswire.durability import durable
from newswire.keyspace import Keyspace
from newswire.memory import MemoryGuard
from newswire.messaging.broker import EventBroker
from newswire.messaging.group_member import GroupMember
from newswire.messaging.groups import NOTIFY
from newswire.redis_client import open_redis
from newswire.settings import Settings
from newswire.signed_tokens import SignedTokens
from newswire_notify import admin_api, deadletters_api, deliveries_api, endpoints_api, subscriptions_api
from newswire_notify.backlog import Backlogs
from newswire_notify.connections import Connections
from newswire_notify.deliveries import Deliveries
from newswire_notify.endpoints import Endpoints
from newswire_notify.entitlements import Entitlements
from newswire_notify.events_api import events_router
from newswire_notify.expansion import Expansion
from newswire_notify.guard import Policy
from newswire_notify.handlers import FanOut, subscribe
from newswire_notify.history import HistoryTrimmer
from newswire_notify.http_channels import described_channels
from newswire_notify.live import Tail
from newswire_notify.live_api import live_router
from newswire_notify.matcher import Matcher
from newswire_notify.notices import Notices
from newswire_notify.outcomes import Totals
from newswire_notify.places import Places
from newswire_notify.pull import Pull
from newswire_notify.queue import Queue
from newswire_notify.sending import Sender
from newswire_notify.settings import NotifySettings
from newswire_notify.subscriptions import Subscriptions
from newswire_notify.suspensions import Suspensions
from newswire_notify.tokens import StreamTokens
from newswire_notify.verification import Verification
from newswire_notify.worker import Worker

FULLEST = 0.95
"""The part of the deliveries' Redis that new deliveries may fill; the rest is left to what ends them."""


@asynccontextmanager
async def service(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Open notify's clients and offer its routes, loops and checks; close the clients at the end."""
    own = NotifySettings() if settings is None else as_notify_settings(settings)
    keys = Keyspace(own.namespace)
    policy = Policy(own.webhook_allow_private, own.webhook_ports, own.webhook_refused_networks)
    async with AsyncExitStack() as stack:
        records = await stack.enter_async_context(open_redis(own.redis_url.get_secret_value()))
        redis = await stack.enter_async_context(open_redis(own.delivery_url.get_secret_value()))
        connections = await stack.enter_async_context(Connections(policy, connect=own.webhook_connect_timeout))
        queue = Queue.from_settings(redis, keys, own)
        sender = Sender(connections, timeout=own.webhook_timeout)
        verification = Verification(
            connections, own.site, timeout=own.webhook_timeout, required=own.webhook_verification_required
        )
        # Two, so that one sends while the other waits for the queue.
        workers = [
            Worker(queue, records, keys, sender.send, own.site, concurrency=share, lease=own.webhook_timeout + 15)
            for share in (own.webhook_concurrency - own.webhook_concurrency // 2, own.webhook_concurrency // 2)
            if share
        ]

        def wake() -> None:
            for worker in workers:
                worker.wake()

        room = MemoryGuard(redis, FULLEST)
        broker = EventBroker(GroupMember(records, keys, NOTIFY, dead_letter_limit=own.dead_letter_limit))
        broker.publisher(stream=keys.outcomes, title="outcomes", schema=OutcomeEvent)
        expansion = Expansion(queue, broker, keys, clock=time.time, enqueued=wake, room=room)
        matcher = Matcher(redis, keys)
        fan_out = FanOut(matcher, queue, records, broker, keys, clock=time.time, workers=workers, left=expansion.wake)
        subscribe(broker, fan_out, room)
        tail = Tail(records, keys)
        signed = SignedTokens.of(records, keys, own)
        places = Places(own.live_connections, own.live_per_key, own.live_per_address)
        notices = Notices(queue, broker, keys, own.site)
        totals = Totals(redis, broker, keys, own.site)
        backlogs = Backlogs(queue, records, keys, own.site, room=room, enqueued=wake)
        subscriptions = Subscriptions(queue, records, keys)
        entitlements = Entitlements(subscriptions, redis, records, keys)
        suspensions = Suspensions(subscriptions, redis, records, keys)

        erasure = {}
        if own.delivery_url != own.redis_url:  # else ingest has it done
            erasure["erasure on disk"] = partial(
                keep_rewriting, redis, records, keys, own.aof_rewrite_after, store="deliveries"
            )

        async def load_then_consume(stopping: asyncio.Event) -> None:
            await matcher.load(stopping)
            await note_setting(records, keys, "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE", own.webhook_allow_private)
            await broker.consume(stopping)

        async def deliver(worker: Worker, stopping: asyncio.Event) -> None:
            await suspensions.wait_until_compared(stopping)
            await worker.run(stopping)

        yield Service(
            name="notify",
            routers=[
                subscriptions_api.router(subscriptions, entitlements, records, keys, policy, verification, own),
                endpoints_api.router(subscriptions, Endpoints(queue, sender, own.site), records, keys),
                deliveries_api.router(subscriptions, Deliveries(queue, records, keys), queue),
                admin_api.router(subscriptions, records, keys),
                deadletters_api.router(queue),
                live_router(tail, places, StreamTokens(records, keys, signed), own),
                events_router(Pull(records, keys, own.site), tail, places, signed, own),
            ],
            loops={
                "fan-out": load_then_consume,
                "expansion": expansion.run,
                **{f"deliveries {number}": partial(deliver, worker) for number, worker in enumerate(workers, start=1)},
                "live stream": tail.run,
                "live stream's accounts": tail.follow_accounts,
                "totals": totals.run,
                "notices": notices.run,
                "history of deliveries": HistoryTrimmer(queue).run,
                "backlogs": backlogs.run,
                "entitlements": entitlements.run,
                "disabled accounts": suspensions.run,
                **erasure,
                "memory": room.run,
            },
            checks={
                "redis": partial(sound, redis, own.allow_volatile),
                "names": partial(named_anew, redis, keys),
                "filters": matcher.check,
                "disabled accounts": suspensions.check,
                "consumer": broker.check,
                **{f"worker {number}": worker.check for number, worker in enumerate(workers, start=1)},
                "live stream": tail.check,
            },
            brokers=[broker],
            channels=described_channels(keys),
        )


def as_notify_settings(settings: Settings) -> NotifySettings:
    """Return the settings with notify's own added from the environment, where they lack them."""
    return settings if isinstance(settings, NotifySettings) else NotifySettings(**settings.model_dump())


async def sound(redis: "Redis", allow_volatile: bool) -> str | None:
    """Tell why the Redis of the deliveries cannot be relied on, or None where it can: a readiness check."""
    if not allow_volatile:
        return await durable(redis)
    try:
        await redis.ping()
    except (RedisError, OSError) as error:
        return f"redis: {error}"
    return None


async def named_anew(redis: "Redis", keys: Keyspace) -> str | None:
    """Tell where subscriptions lie under names that are not looked at any more: a readiness check."""
    if not await redis.exists(keys.key("subscriptions", "seq")):
        return None
    return "subscriptions have the names of an earlier release: back up with that one, and restore with this one"
