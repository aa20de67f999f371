"""Composition root of notify: settings → clients → routes → consumer, workers and broadcaster."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib import import_module

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.asyncapi import OutcomeEvent
from newswire.auth.signed_tokens import SignedTokens
from newswire.http.application import Service
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.messaging.claiming_client import BRIEFLY
from newswire.messaging.group_member import GroupMember
from newswire.messaging.groups import NOTIFY
from newswire.messaging.requests import RequestBroker
from newswire.observability.audit import note_setting
from newswire.settings import Settings, SettingsError
from newswire.storage.disk_erasure import keep_rewriting
from newswire.storage.document_archive import open_archive
from newswire.storage.durability import durability_problem
from newswire.storage.memory_guard import MemoryGuard
from newswire.storage.redis_client import open_redis
from newswire.storage.redis_errors import reason
from newswire.storage.redis_url import parse_redis_url
from newswire.storage.replication import ReplicationBarrier
from newswire_notify.deliveries import api as deliveries_api
from newswire_notify.deliveries import dead_letters_api as dead_letters_api
from newswire_notify.deliveries.history import HistoryTrimmer
from newswire_notify.deliveries.owner_replays import OwnerReplays
from newswire_notify.deliveries.progress_publisher import DeliveryProgressPublisher
from newswire_notify.deliveries.queue import Queue
from newswire_notify.deliveries.service import Deliveries
from newswire_notify.deliveries.worker import Worker
from newswire_notify.fanout.audience import Audience, reply_to_requests
from newswire_notify.fanout.backfill import BackfillWorker
from newswire_notify.fanout.expansion import Expansion
from newswire_notify.fanout.handlers import FanOut, subscribe
from newswire_notify.fanout.matcher import Matcher
from newswire_notify.newsletters.assembly import assemble_newsletters, transport_of
from newswire_notify.newsletters.audience import ReaderCounts
from newswire_notify.newsletters.mail_progress import MailProgressPublisher
from newswire_notify.portal.assembly import portal_routers
from newswire_notify.portal.endpoint_warnings import EndpointWarnings
from newswire_notify.problem_handlers import problem_makers
from newswire_notify.settings import NotifySettings
from newswire_notify.stream_relay.folder import RelayFolderError
from newswire_notify.stream_relay.shared_stream import SharedStream, open_shared_stream
from newswire_notify.streaming.broadcaster import StreamBroadcaster
from newswire_notify.streaming.connection_limiter import ConnectionLimiter
from newswire_notify.streaming.events_api import events_router
from newswire_notify.streaming.http_channels import described_channels
from newswire_notify.streaming.live_api import live_router
from newswire_notify.streaming.pull import Pull
from newswire_notify.streaming.reach_publisher import ReachPublisher
from newswire_notify.streaming.stream_reading import RedisStream, StreamSource
from newswire_notify.streaming.tokens import StreamTokens
from newswire_notify.subscriptions import admin_api
from newswire_notify.subscriptions import api as subscriptions_api
from newswire_notify.subscriptions.account_limits import AccountLimits
from newswire_notify.subscriptions.entitlements import Entitlements
from newswire_notify.subscriptions.owner_actions import OwnerActions
from newswire_notify.subscriptions.owner_notifier import OwnerNotifier
from newswire_notify.subscriptions.preview import Previews
from newswire_notify.subscriptions.repository import Subscriptions
from newswire_notify.subscriptions.suspensions import Suspensions
from newswire_notify.subscriptions.write_limit import WriteLimit
from newswire_notify.user_mails.assembly import user_mail_frame
from newswire_notify.user_mails.sending import UserMails
from newswire_notify.webhooks import api as endpoints_api
from newswire_notify.webhooks.http_client import WebhookHttpClient
from newswire_notify.webhooks.sending import Sender
from newswire_notify.webhooks.service import Endpoints
from newswire_notify.webhooks.ssrf_guard import AddressPolicy
from newswire_notify.webhooks.verification import Verification
from newswire_notify.websub.composition import hub_parts

MAX_MEMORY_FRACTION = 0.95
"""Fraction of the delivery Redis that new deliveries may fill; the rest is reserved for ending them."""
FORMER_LAYOUT = (
    "subscriptions are stored under the keys of an earlier release: back up with that release and restore with this one"
)


@asynccontextmanager
async def service(
    settings: Settings | None = None, *, newsletter_clock: Callable[[], float] = time.time
) -> AsyncIterator[Service]:
    """Open the clients of notify and yield its routes, loops and checks; close the clients at the end.

    ``newsletter_clock``: the time, in seconds since the epoch, by which digests are due.
    """
    own = NotifySettings() if settings is None else as_notify_settings(settings)
    keys = Keyspace(own.namespace)
    policy = AddressPolicy(own.webhook_allow_private, own.webhook_ports, own.webhook_refused_networks)
    async with AsyncExitStack() as stack:
        records = await stack.enter_async_context(
            open_redis(own.redis_url.get_secret_value(), own.namespace, own.redis_connections)
        )
        redis = await stack.enter_async_context(
            open_redis(own.delivery_url.get_secret_value(), own.namespace, own.redis_connections)
        )
        http_client = await stack.enter_async_context(WebhookHttpClient(policy, connect=own.webhook_connect_timeout))
        queue = Queue.from_settings(redis, keys, own)
        archive = open_archive(own)
        sender = Sender(http_client, timeout=own.webhook_timeout)
        verification = Verification(
            http_client, own.site, timeout=own.webhook_timeout, required=own.webhook_verification_required
        )
        # Two workers: one sends while the other waits for the queue.
        workers = [
            Worker(
                queue,
                records,
                keys,
                sender,
                own.site,
                concurrency=share,
                lease=own.webhook_timeout + 15,
                archive=archive,
            )
            for share in (own.webhook_concurrency - own.webhook_concurrency // 2, own.webhook_concurrency // 2)
            if share
        ]

        def wake() -> None:
            for worker in workers:
                worker.wake()

        memory = MemoryGuard(redis, MAX_MEMORY_FRACTION, "deliveries")
        barrier = ReplicationBarrier(records, keys, own.redis_min_replicas)
        member = GroupMember(records, keys, NOTIFY, dead_letter_limit=own.dead_letter_limit, barrier=barrier)
        broker = EventBroker(member, gather=BRIEFLY)
        broker.publisher(stream=keys.outcomes, title="outcomes", schema=OutcomeEvent)
        expansion = Expansion(queue, broker, keys, clock=time.time, on_enqueued=wake, memory=memory)
        matcher = Matcher(redis, keys)
        signed = SignedTokens.of(records, keys, own)
        user_mails = UserMails(records, keys, user_mail_frame(own), transport_of(own))
        newsletters = assemble_newsletters(redis, records, keys, signed, own, newsletter_clock, archive)
        fan_out = FanOut(
            matcher,
            queue,
            records,
            broker,
            keys,
            clock=time.time,
            workers=workers,
            on_unfinished=expansion.wake,
            then=newsletters.planner,
        )
        subscribe(broker, fan_out, memory)
        requests = RequestBroker(records)
        readers = ReaderCounts(newsletters.newsletters, records, keys, newsletter_clock)
        reply_to_requests(requests, Audience(matcher, readers, redis, keys), keys)
        reach = ReachPublisher(broker, keys, own.site)
        stream_source, shared_stream = stream_sources(own, records, keys, barrier)
        broadcaster = StreamBroadcaster(
            records,
            keys,
            heartbeat=own.live_heartbeat,
            barrier=barrier,
            source=stream_source,
            on_broadcast=reach.note,
        )
        limiter = ConnectionLimiter(own.live_connections, own.live_per_key, own.live_per_address)
        owner_notifier = OwnerNotifier(queue, broker, keys, own.site)
        progress_publisher = DeliveryProgressPublisher(queue, broker, keys, own.site)
        backfills = BackfillWorker(queue, records, keys, own.site, memory=memory, on_enqueued=wake, archive=archive)
        subscriptions = Subscriptions(queue, records, keys)
        entitlements = Entitlements(subscriptions, redis, records, keys)
        suspensions = Suspensions(subscriptions, redis, records, keys)

        endpoints = Endpoints(queue, sender, own.site)
        actions = OwnerActions(
            subscriptions,
            entitlements,
            endpoints,
            records,
            keys,
            policy=policy,
            verification=verification,
            limits=AccountLimits.from_settings(own),
        )
        deliveries = Deliveries(queue, records, keys)
        replays = OwnerReplays(deliveries, queue, records, keys)
        previews = Previews(records, keys)
        hub = await stack.enter_async_context(hub_parts(records, redis, keys, http_client, policy, own))

        erasure = {}
        if own.delivery_url != own.redis_url:  # otherwise ingest does it
            erasure["erasure on disk"] = partial(
                keep_rewriting, redis, records, keys, own.aof_rewrite_after, store="deliveries"
            )

        async def load_then_consume(stopping: asyncio.Event) -> None:
            await matcher.load(stopping)
            await note_setting(records, keys, "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE", own.webhook_allow_private)
            await broker.consume(stopping)

        async def deliver(worker: Worker, stopping: asyncio.Event) -> None:
            await suspensions.wait_until_reconciled(stopping)
            await worker.run(stopping)

        makers = problem_makers(AccountLimits.from_settings(own))
        yield Service(
            name="notify",
            routers=[
                subscriptions_api.router(actions, previews),
                endpoints_api.router(actions),
                deliveries_api.router(subscriptions, deliveries, replays, queue),
                admin_api.router(subscriptions, records, keys),
                dead_letters_api.router(queue, records),
                live_router(broadcaster, limiter, StreamTokens(records, keys, signed), own),
                events_router(Pull(records, keys, own.site, barrier, archive), broadcaster, limiter, signed, own),
                *hub.routers,
                *newsletters.routers,
                *portal_routers(
                    queue, records, keys, actions, replays, deliveries, previews, limiter, makers, own, archive
                ),
            ],
            loops={
                "fan-out": load_then_consume,
                "expansion": expansion.run,
                "audience requests": requests.reply_until,
                **{f"deliveries {number}": partial(deliver, worker) for number, worker in enumerate(workers, start=1)},
                "live stream": broadcaster.run,
                **({"stream relay": shared_stream.run} if shared_stream else {}),
                "live stream accounts": broadcaster.follow_accounts,
                "live stream timers": broadcaster.timers.run,
                "live readers": reach.run,
                "delivery progress": progress_publisher.run,
                "mail progress": MailProgressPublisher(newsletters.queue, broker, keys, own.site).run,
                "owner notices": owner_notifier.run,
                "delivery history": HistoryTrimmer(queue).run,
                "backfills": backfills.run,
                "entitlements": entitlements.run,
                "disabled accounts": suspensions.run,
                **newsletters.loops,
                "mail to users": user_mails.run,
                "endpoint warnings": EndpointWarnings(queue, records, keys, own.webhook_disabled_after).run,
                **erasure,
                **hub.loops,
                "memory": memory.run,
            },
            start_checks={
                "redis": partial(check_durability, redis, own.allow_volatile),
                "layout": partial(check_layout, redis, keys),
                "filters": matcher.check,
                "live stream": broadcaster.check,
            },
            checks={
                "redis": partial(check_durability, redis, own.allow_volatile),
                "layout": partial(check_layout, redis, keys),
                "filters": matcher.check,
                "disabled accounts": suspensions.check,
                "consumer": broker.check,
                **{f"worker {number}": worker.check for number, worker in enumerate(workers, start=1)},
                "live stream": broadcaster.check,
                **({"stream relay": shared_stream.check} if shared_stream else {}),
                **hub.checks,
                **newsletters.checks,
            },
            problems=makers,
            warm_ups=[partial(import_module, "aiohttp")],  # for the first feed, and the first name of an endpoint
            state={"subscription_write_limit": WriteLimit(own.subscription_write_rate)},
            brokers=[broker, hub.broker],
            channels=described_channels(keys),
        )


def stream_sources(
    own: NotifySettings, redis: "Redis", keys: Keyspace, barrier: ReplicationBarrier
) -> tuple[StreamSource, SharedStream | None]:
    """Return where the live stream is read from, and what reads it together with other processes of the host, if anything.

    Raises:
        newswire.settings.SettingsError: the folder of the relay cannot be used.
    """
    from_redis = RedisStream(redis, keys, barrier)
    if own.stream_relay_folder is None:
        return from_redis, None
    database = int(parse_redis_url(own.redis_url.get_secret_value()).options.get("db", 0))
    try:
        shared = open_shared_stream(
            own.stream_relay_folder, from_redis, redis, keys, database=database, min_replicas=barrier.replicas
        )
    except RelayFolderError as error:
        raise SettingsError(f"NEWSWIRE_STREAM_RELAY_FOLDER: {error}") from error
    return shared, shared


def as_notify_settings(settings: Settings) -> NotifySettings:
    """Return notify's settings; members that `settings` lacks come from the environment."""
    return settings if isinstance(settings, NotifySettings) else NotifySettings(**settings.model_dump())


async def check_durability(redis: "Redis", allow_volatile: bool) -> str | None:
    """Return why the delivery Redis is not durable, or None: a check of `/status`."""
    if not allow_volatile:
        return await durability_problem(redis)
    try:
        await redis.ping()
    except (RedisError, OSError) as error:
        return reason(error)
    return None


async def check_layout(redis: "Redis", keys: Keyspace) -> str | None:
    """Return whether subscriptions are stored under the keys of an earlier release, or None: a check of `/status`."""
    for name in (keys.key("subscriptions", "seq"), keys.deliveries.key("subscriptions", "seq")):
        # A sorted set of this name lists the subscriptions of an account that is named so.
        if await redis.type(name) == b"string":
            return FORMER_LAYOUT
    return None
