"""Entitlements narrow deliveries at once, including waiting ones."""

import json

from redis.asyncio import Redis

from newswire.auth.accounts import entitle_account
from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.filters import Filter
from newswire.keys import Keyspace
from newswire_notify.fanout.backfill import BackfillWorker, replay_since
from newswire_notify.subscriptions.entitlements import Entitlements
from newswire_notify.subscriptions.models import Subscription, SubscriptionDraft
from tests.notify.conftest import SITE, Clock, Desk, Receiver, opened_desk

SPORT = Filter(categories=["Sport"])
FERRY = {"query": "ferry"}


def following(desk: Desk) -> Entitlements:
    return Entitlements(desk.subscriptions, desk.redis, desk.redis, desk.keys)


async def test_an_entitlement_narrows_deliveries(desk: Desk, redis: Redis, receiver: Receiver) -> None:
    await create_key(redis, desk.keys, "reader", {Scope.SUBSCRIBE})
    entitlements = following(desk)
    await entitlements.follow()
    await desk.subscribe(f"{receiver.url}/narrowed", FERRY)
    await desk.subscribe(f"{receiver.url}/other", FERRY, account="other")
    await desk.publish("before")
    await desk.publish("withdrawn")
    await desk.deliver()
    await desk.publish("waiting")
    await desk.publish("sport-waiting", category="Sport")
    await entitle_account(redis, desk.keys, "reader", SPORT)
    await entitlements.follow()
    await desk.publish("after")
    await desk.publish("sport", category="Sport")
    await desk.publish("before", 2)
    await desk.retract("withdrawn")
    receiver.got.clear()
    await desk.deliver()
    assert sorted(receiver.events("/narrowed")) == ["sport-waiting.1", "sport.1", "withdrawn.1.retracted"]
    everything = ["after.1", "before.2", "sport-waiting.1", "sport.1", "waiting.1", "withdrawn.1.retracted"]
    assert sorted(receiver.events("/other")) == everything
    await entitle_account(redis, desk.keys, "reader", None)
    await entitlements.follow()
    await desk.publish("again")
    await desk.deliver()
    assert receiver.events("/narrowed")[3:] == ["again.1"]


async def test_a_retry_outside_the_entitlement_is_cancelled(
    desk: Desk, redis: Redis, receiver: Receiver, clock: Clock
) -> None:
    await create_key(redis, desk.keys, "reader", {Scope.SUBSCRIBE})
    subscription = await desk.subscribe(f"{receiver.url}/a")
    receiver.answer("/a", 503)
    await desk.publish("a1")
    await desk.deliver()
    await entitle_account(redis, desk.keys, "reader", SPORT)
    await following(desk).follow()
    clock.now += 100
    receiver.answer("/a", 204)
    await desk.deliver()
    assert len(receiver.got) == 1
    assert await desk.states(subscription) == {"a1.1": "cancelled"}


async def test_an_entitlement_narrows_backfills(desk: Desk, redis: Redis, receiver: Receiver) -> None:
    await desk.publish("a1")
    await desk.publish("a2", category="Sport")
    stored = SPORT.model_dump_json(exclude_defaults=True)
    draft = SubscriptionDraft.model_validate({"channel": {"type": "webhook", "url": f"{receiver.url}/a"}})
    subscription = await desk.subscriptions.add("reader", draft, entitlement=stored)
    assert await replay_since(desk.queue, subscription, 0)
    backfills = BackfillWorker(desk.queue, redis, desk.keys, SITE)
    while await backfills.step():
        pass
    await desk.deliver()
    assert receiver.events("/a") == ["a2.1"]


async def test_a_starting_process_applies_missed_changes(
    desk: Desk, redis: Redis, keys: Keyspace, clock: Clock, receiver: Receiver
) -> None:
    await create_key(redis, keys, "reader", {Scope.SUBSCRIBE})
    subscription = await desk.subscribe(f"{receiver.url}/a")
    await entitle_account(redis, keys, "reader", SPORT)
    async with opened_desk(redis, keys, clock) as later:
        await following(later).follow()
        assert narrowed(await found(later, subscription)) == {"categories": ["Sport"]}
        await entitle_account(redis, keys, "reader", None)
    async with opened_desk(redis, keys, clock) as latest:
        await following(latest).follow()
        assert narrowed(await found(latest, subscription)) is None
        await desk.publish("a1")
        await desk.deliver()
    assert receiver.events("/a") == ["a1.1"]


async def test_a_subscription_created_under_an_older_entitlement_is_narrowed(
    desk: Desk, redis: Redis, receiver: Receiver
) -> None:
    await create_key(redis, desk.keys, "reader", {Scope.SUBSCRIBE})
    await entitle_account(redis, desk.keys, "reader", SPORT)
    made = await desk.subscribe(f"{receiver.url}/a")
    assert narrowed(await following(desk).current(made)) == {"categories": ["Sport"]}
    assert narrowed(await found(desk, made)) == {"categories": ["Sport"]}


async def found(desk: Desk, subscription: Subscription) -> Subscription:
    again = await desk.subscriptions.get(subscription.account, subscription.id)
    assert again is not None
    return again


def narrowed(subscription: Subscription) -> object:
    return json.loads(subscription.entitlement) if subscription.entitlement else None
