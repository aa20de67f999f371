"""Subscriptions and waiting deliveries survive a backup; ended deliveries are not sent again."""

import json
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from newswire.events import FIELD
from newswire.keys import Keyspace
from newswire_notify.fanout.backfill import BackfillWorker, backfill_status, replay_since
from newswire_notify.subscriptions.backup import (
    TRANSIENT,
    attach_subscriptions,
    current_record,
    deliveries,
    restore_deliveries,
)
from newswire_notify.subscriptions.models import Subscription, SubscriptionDraft
from newswire_operations.backup.redis_records import restore_keys
from newswire_operations.stores import Stores
from tests.notify.conftest import SITE, Clock, Desk, Receiver, opened_desk

pytestmark = pytest.mark.slow


@pytest.fixture
def elsewhere(namespace: str) -> Keyspace:
    return Keyspace(f"{namespace}-restored")


async def copy(redis: Redis, here: Keyspace, there: Keyspace, pattern: str) -> None:
    """Copy plain records as the command does."""
    names = [name for keys in (here, here.deliveries) async for name in redis.scan_iter(keys.key(pattern))]
    for name in names:
        await redis.copy(name, name.decode().replace(here.namespace, there.namespace, 1))


async def test_only_waiting_deliveries_are_sent_after_a_restore(
    redis: Redis, keys: Keyspace, elsewhere: Keyspace, desk: Desk, clock: Clock, receiver: Receiver
) -> None:
    well = await desk.subscribe(f"{receiver.url}/well")
    late = await desk.subscribe(f"{receiver.url}/late", {"categories": ["Transport"]})
    await desk.subscribe(f"{receiver.url}/off", {"categories": ["Sport"]})
    left = await desk.subscribe(f"{receiver.url}/left")
    receiver.answer("/late", 503)
    receiver.answer("/left", 503)
    await desk.publish("a1")
    await desk.deliver()
    assert receiver.events("/well") == ["a1.1"]

    records = [record async for record in deliveries(redis, keys)]
    assert sorted(record["fields"]["subscription"] for record in records) == sorted([late.id, left.id])
    await desk.subscriptions.remove(left.account, left.id)
    for pattern in ("subscription:*", "article_recipients:*", "article:*"):
        await copy(redis, keys, elsewhere, pattern)
    await restore_deliveries(redis, elsewhere, records)
    assert await attach_subscriptions(redis, elsewhere) == 3

    receiver.got.clear()
    receiver.answer("/late", 204)
    async with opened_desk(redis, elsewhere, clock) as restored:
        await restored.deliver()
        assert receiver.got == []
        clock.now += 10
        await restored.deliver()
        assert [got.path for got in receiver.got] == ["/late"]
        assert receiver.events("/late") == ["a1.1"]
        assert await restored.states(late) == {"a1.1": "delivered"}
        assert [await shown(restored, account) for account in ("reader",)] == [await shown(desk, "reader")]

        await restored.publish("a1", 2, title="The ferry is late")
        await restored.deliver()
        assert receiver.events("/well") == ["a1.2"]
        assert receiver.events("/late") == ["a1.1", "a1.2"]
        newer = await restored.subscribe(f"{receiver.url}/newer")
        assert newer.id not in {well.id, late.id}
        await restored.retract("a1", 2)
        await restored.deliver()
        assert receiver.events("/well") == ["a1.2", "a1.2.retracted"]
        assert receiver.events("/off") == receiver.events("/newer") == []


async def test_dead_deliveries_can_be_retried_after_a_restore(
    redis: Redis, keys: Keyspace, elsewhere: Keyspace, desk: Desk, clock: Clock, receiver: Receiver
) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    receiver.answer("/a", 500)
    await desk.publish("a1")
    for _ in range(8):
        await desk.deliver()
        clock.now += 40_000
    assert await desk.states(subscription) == {"a1.1": "dead"}
    records = [record async for record in deliveries(redis, keys)]
    await copy(redis, keys, elsewhere, "subscription:*")
    await restore_deliveries(redis, elsewhere, records)
    async with opened_desk(redis, elsewhere, clock) as restored:
        assert await restored.states(subscription) == {"a1.1": "dead"}
        await restored.deliver()
    assert len(await redis.zrange(elsewhere.deliveries.key("deliveries", "dead"), 0, -1)) == 1


async def test_memberships_pauses_and_backfills_survive(
    redis: Redis, keys: Keyspace, elsewhere: Keyspace, desk: Desk, clock: Clock, receiver: Receiver
) -> None:
    changing = await desk.subscribe(f"{receiver.url}/changing", {"query": "ferry"})
    paused = await desk.subscribe(f"{receiver.url}/paused", {"query": "ferry"})
    replaying = await desk.subscribe(f"{receiver.url}/replaying", {"query": "ferry"})
    await desk.publish("a1")
    await desk.deliver()
    draft = SubscriptionDraft.model_validate(changing.members() | {"filter": {"query": "harbour"}})
    assert await desk.subscriptions.update(changing, draft)
    await desk.subscriptions.pause(paused)
    await desk.publish("a1", 2)
    assert await replay_since(desk.queue, replaying, 0)

    records = [record async for record in deliveries(redis, keys)]
    own = ("subscription:*", "article_recipients:*", "backfill:*", "article:*", "stream:*")
    for pattern in own:
        await copy(redis, keys, elsewhere, pattern)
    assert not {pattern.partition(":")[0] for pattern in own[:3]} & TRANSIENT
    await restore_deliveries(redis, elsewhere, records)
    assert await attach_subscriptions(redis, elsewhere) == 3

    receiver.got.clear()
    async with opened_desk(redis, elsewhere, clock) as restored:
        await restored.deliver()
        assert sorted((got.path, got.event["id"]) for got in receiver.got) == [
            ("/changing", "a1.2"),
            ("/replaying", "a1.2"),
        ]
        assert await restored.subscriptions.resume(await found(restored, paused))
        await restored.deliver()
        assert receiver.events("/paused") == ["a1.2"]
        await restored.publish("b1", title="The harbour is closed", text="")
        await restored.retract("a1", 2)
        await restored.deliver()
        assert sorted(receiver.events("/changing")[1:]) == ["a1.2.retracted", "b1.1"]
        assert receiver.events("/paused")[1:] == receiver.events("/replaying")[1:] == ["a1.2.retracted"]
        backfills = BackfillWorker(restored.queue, redis, elsewhere, SITE)
        while await backfills.step():
            pass
        progress = await backfill_status(restored.queue, replaying.id)
        assert progress is not None
        assert progress.state == "done"


FIRST_LAYOUT = Path(__file__).parent / "backups/first-layout.ndjson"
"""What a backup held before keys and fields were renamed: four subscriptions, of which one is paused, one disabled and one
replaying; deliveries that wait, are in flight or dead; an event that is expanded in part."""


async def test_a_backup_with_the_former_names_restores(
    redis: Redis, elsewhere: Keyspace, clock: Clock, receiver: Receiver
) -> None:
    held = FIRST_LAYOUT.read_text().replace("http://receiver.example", receiver.url)
    records = [json.loads(line) for line in held.splitlines()]
    stores = Stores(redis, redis, elsewhere)
    await restore_keys(stores, [current_record(record) for record in records if record["record"] == "key"])
    for entry in (record for record in records if record["record"] == "entry"):
        await redis.xadd(elsewhere.stream, {FIELD: entry["data"]}, entry["id"])
    await restore_deliveries(redis, elsewhere, [record for record in records if record["record"] == "delivery"])
    assert await attach_subscriptions(redis, elsewhere) == 4

    async with opened_desk(redis, elsewhere, clock) as restored:
        by_path = {
            each.channel.url.removeprefix(receiver.url): each async for each in restored.subscriptions.of("reader")
        }
        assert len(by_path["/changing"].former_secrets) == 1
        assert await restored.states(by_path["/disabled"]) == {"a1.1": "dead"}
        await restored.deliver()
        assert sorted((got.path, got.event["id"]) for got in receiver.got) == [
            ("/changing", "a1.2"),
            ("/replaying", "a1.2"),
            ("/replaying", "a2.1"),
        ]
        worker = BackfillWorker(restored.queue, redis, elsewhere, SITE)
        while await worker.step():
            pass
        progress = await backfill_status(restored.queue, by_path["/replaying"].id)
        assert progress is not None
        assert (progress.state, progress.examined) == ("done", 3)

        await restored.retract("a1", 2)
        assert await restored.subscriptions.resume(by_path["/paused"])
        await restored.subscriptions.enable(by_path["/disabled"])
        while await worker.step():
            pass
        await restored.deliver()
        assert receiver.events("/changing")[1:] == ["a1.2.retracted"]
        assert sorted(receiver.events("/paused")) == ["a1.2.retracted", "a2.1"]
        assert receiver.events("/disabled") == ["a1.2.retracted"]


async def found(desk: Desk, subscription: Subscription) -> Subscription:
    again = await desk.subscriptions.get(subscription.account, subscription.id)
    assert again is not None
    return again


async def shown(desk: Desk, account: str) -> list[dict[str, Any]]:
    found = [each.public_view() async for each in desk.subscriptions.of(account)]
    return [{name: value for name, value in each.items() if name != "endpoint"} for each in found]
