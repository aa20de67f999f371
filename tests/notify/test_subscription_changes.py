"""Recipients when subscriptions change their filter, pause, start in the past, or replay."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis

from newswire.filters import Filter
from newswire.keys import Keyspace
from newswire_notify.app import check_layout
from newswire_notify.fanout.backfill import BackfillWorker, backfill_status, replay_since
from newswire_notify.subscriptions.errors import SubscriptionConflictError
from newswire_notify.subscriptions.models import Subscription, SubscriptionCriteria, SubscriptionDraft
from tests.notify.conftest import SITE, Clock, Desk, Receiver, opened_desk

FERRY, HARBOUR, BRIDGE = {"query": "ferry"}, {"query": "harbour"}, {"query": "bridge"}


async def found(desk: Desk, subscription: Subscription) -> Subscription:
    again = await desk.subscriptions.get(subscription.account, subscription.id)
    assert again is not None
    return again


async def ask(desk: Desk, subscription: Subscription, filter_: dict[str, Any], **members: Any) -> None:
    before = await found(desk, subscription)
    draft = SubscriptionDraft.model_validate(before.members() | {"filter": filter_} | members)
    assert await desk.subscriptions.update(before, draft) is not None  # False: the filter is the stored one


async def catch_up(desk: Desk) -> None:
    """Run all backfills, and deliver."""
    backfills = BackfillWorker(desk.queue, desk.redis, desk.keys, SITE)
    while await backfills.step():
        await desk.deliver()
    await desk.deliver()


async def test_after_a_filter_change_later_versions_of_sent_articles_are_delivered(
    desk: Desk, receiver: Receiver
) -> None:
    changing = await desk.subscribe(f"{receiver.url}/changing", FERRY)
    await desk.subscribe(f"{receiver.url}/faithful", FERRY)
    await desk.publish("a1")
    await desk.publish("a2")
    await ask(desk, changing, HARBOUR)
    await desk.publish("a3")
    await desk.publish("a4", title="The harbour is closed", text="")
    await desk.publish("a1", 2)
    await desk.publish("a1", 3, title="Nothing of either", text="")
    await desk.retract("a2")
    await desk.retract("a3")
    await desk.deliver()
    got = [got.event for got in receiver.got if got.path == "/changing"]
    assert {event["id"] for event in got} == {"a1.3", "a2.1.retracted", "a4.1"}
    assert {event["id"]: event.get("reason") for event in got}["a1.3"] == "previously_matched"
    assert set(receiver.events("/faithful")) == {"a1.3", "a2.1.retracted", "a3.1.retracted"}


async def test_every_former_filter_counts(desk: Desk, receiver: Receiver) -> None:
    changing = await desk.subscribe(f"{receiver.url}/a", FERRY)
    await desk.subscribe(f"{receiver.url}/b", FERRY)
    for filter_, article in ((FERRY, "a1"), (HARBOUR, "a2"), (FERRY, "a3"), (BRIDGE, "a4")):
        await ask(desk, changing, filter_)
        await desk.publish(article)
        await desk.deliver()
    assert receiver.events("/a") == ["a1.1", "a3.1"]
    for article in ("a1", "a2", "a3", "a4"):
        await desk.publish(article, 2)
        await desk.deliver()
        await desk.publish(article, 3, title="Other", text="")
        await desk.deliver()
    assert receiver.events("/a")[2:] == ["a1.2", "a1.3", "a3.2", "a3.3"]


async def test_other_subscriptions_do_not_inherit_a_membership(desk: Desk, receiver: Receiver) -> None:
    changing = await desk.subscribe(f"{receiver.url}/changing", FERRY)
    await desk.publish("a1")
    await ask(desk, changing, HARBOUR)
    await desk.subscribe(f"{receiver.url}/late", FERRY)
    await desk.retract("a1")
    await desk.deliver()
    assert receiver.events("/changing") == ["a1.1.retracted"]
    assert receiver.events("/late") == []


async def test_a_removed_subscription_leaves_nothing_behind(desk: Desk, redis: Redis, receiver: Receiver) -> None:
    changing = await desk.subscribe(f"{receiver.url}/a", FERRY)
    await ask(desk, changing, HARBOUR)
    await desk.subscriptions.pause(await found(desk, changing))
    assert await desk.subscriptions.resume(await found(desk, changing))
    await desk.subscriptions.remove("reader", changing.id)
    await catch_up(desk)
    left = [name async for name in redis.scan_iter(desk.keys.deliveries.key("*"))]
    assert {name.decode().split(":")[1] for name in left} <= {"filters", "clock", "membership_seq"}, left


async def test_a_filter_changed_while_an_event_is_matched_applies(desk: Desk, receiver: Receiver) -> None:
    changing = await desk.subscribe(f"{receiver.url}/a", FERRY)
    item = await desk.put("a1", title="The harbour is closed", text="")
    await desk.matcher.catch_up()
    begin, asked = desk.queue.plan_and_claim, False

    async def meanwhile(*arguments: Any, **named: Any) -> Any:
        nonlocal asked
        if not asked:
            asked = True
            await ask(desk, changing, HARBOUR)
        return await begin(*arguments, **named)

    desk.queue.plan_and_claim = meanwhile  # type: ignore[method-assign]
    await desk.fan_out([item])
    await desk.deliver()
    assert receiver.events("/a") == ["a1.1"]


async def test_changes_of_a_filter_are_limited(desk: Desk, receiver: Receiver) -> None:
    changing = await desk.subscribe(f"{receiver.url}/a", FERRY)
    for number in range(200):
        await ask(desk, changing, {"query": f"word{number}"})
    with pytest.raises(SubscriptionConflictError):
        await ask(desk, changing, FERRY)
    await ask(desk, changing, {"query": "word199"}, content="summary")
    assert (await found(desk, changing)).content == "summary"


async def test_a_pause_holds_deliveries_and_current_versions_follow_it(desk: Desk, receiver: Receiver) -> None:
    paused = await desk.subscribe(f"{receiver.url}/paused", FERRY)
    await desk.publish("before")
    await desk.publish("wrong")
    await desk.deliver()
    await desk.publish("waiting")
    await desk.subscriptions.pause(await found(desk, paused))
    await desk.publish("meanwhile")
    await desk.publish("replaced")
    await desk.publish("replaced", 2)
    await desk.publish("taken-back")
    await desk.retract("taken-back")
    await desk.publish("other", title="The harbour is closed", text="")
    await desk.publish("before", 2, title="Nothing of it", text="")
    await desk.retract("wrong")
    await catch_up(desk)
    assert sorted(receiver.events("/paused")) == ["before.1", "wrong.1"]
    assert await desk.subscriptions.resume(await found(desk, paused))
    await desk.publish("after")
    await catch_up(desk)
    came = receiver.events("/paused")[2:]
    assert sorted(came) == sorted(
        ["waiting.1", "before.2", "wrong.1.retracted", "meanwhile.1", "replaced.2", "after.1"]
    )
    # What it was sent in this way counts as sent.
    await desk.publish("meanwhile", 2, title="Nothing of it", text="")
    await desk.retract("replaced", 2)
    await desk.retract("taken-back")
    await desk.deliver()
    assert sorted(receiver.events("/paused")[-2:]) == ["meanwhile.2", "replaced.2.retracted"]


async def test_a_delivery_in_flight_at_a_pause_is_held(desk: Desk, clock: Clock, receiver: Receiver) -> None:
    paused = await desk.subscribe(f"{receiver.url}/a")
    receiver.answer("/a", 503, 204)
    await desk.publish("a1")
    claimed = await desk.queue.claim(60, 10)
    await desk.subscriptions.pause(await found(desk, paused))
    clock.now += 100  # the lease is lost while it is paused
    await desk.deliver()
    assert len(claimed) == 1
    assert receiver.got == []
    assert await desk.subscriptions.resume(await found(desk, paused))
    await desk.deliver()
    assert receiver.events("/a") == ["a1.1"]


async def test_a_start_in_the_past_delivers_what_is_on_the_stream(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/always", FERRY)
    await desk.publish("too-early")
    [(oldest, _)] = await desk.redis.xrange(desk.keys.stream)
    while (start := datetime.now(UTC)).timestamp() * 1000 < int(oldest.split(b"-")[0]) + 1:
        await asyncio.sleep(0.001)
    for number in range(60):
        await desk.publish(f"a{number}")
    await desk.publish("b1", title="The harbour is closed", text="")
    await desk.publish("a1", 2)
    await desk.publish("a2", 2, title="Nothing of it", text="")
    await desk.retract("a3")
    await desk.publish("a4", silent=True)
    late, lagging = await desk.put("a60"), await desk.put("a62")
    draft = SubscriptionDraft.model_validate(
        {"channel": {"type": "webhook", "url": f"{receiver.url}/new"}, "filter": FERRY}
    )
    new = await desk.subscriptions.add("reader", draft, since=start)
    await desk.fan_out([lagging])
    await desk.publish("a61")
    await catch_up(desk)
    await desk.fan_out([late])
    await catch_up(desk)
    expected = {f"a{number}.1" for number in range(63)} - {"a1.1", "a2.1", "a3.1"} | {"a1.2"}
    assert sorted(receiver.events("/new")) == sorted(expected)
    progress = await backfill_status(desk.queue, new.id)
    assert progress is not None
    assert (progress.state, progress.enqueued) == ("done", len(expected) - 2)
    receiver.got.clear()
    for retracted in ("a1", "a3", "a5"):
        await desk.retract(retracted, 2 if retracted == "a1" else 1)
    await desk.deliver()
    assert sorted(receiver.events("/new")) == ["a1.2.retracted", "a5.1.retracted"]


async def test_a_replay_uses_the_same_ids(desk: Desk, clock: Clock, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a", FERRY)
    receiver.answer("/a", 204, 500)
    await desk.publish("a1")
    await desk.deliver()
    for article in ("a2", "a3"):
        await desk.publish(article)
    while "waiting" in (await desk.states(subscription)).values():
        await desk.deliver()
        clock.now += 20_000
    assert await desk.states(subscription) == {"a1.1": "delivered", "a2.1": "dead", "a3.1": "dead"}
    await desk.retract("a3")
    first = {got.event["id"]: got.headers["webhook-id"] for got in receiver.got}
    receiver.got.clear()
    receiver.answer("/a", 204)
    assert await replay_since(desk.queue, subscription, 0)
    assert not await replay_since(desk.queue, subscription, 0)
    await catch_up(desk)
    clock.now += 40_000
    await catch_up(desk)
    assert sorted(receiver.events("/a")) == ["a1.1", "a2.1", "a3.1.retracted"]
    again = {got.event["id"]: got.headers["webhook-id"] for got in receiver.got}
    assert {event: again[event] for event in ("a1.1", "a2.1")} == {event: first[event] for event in ("a1.1", "a2.1")}
    assert await desk.states(subscription) == {
        "a1.1": "delivered",
        "a2.1": "delivered",
        "a3.1": "dead",
        "a3.1.retracted": "delivered",
    }
    assert await replay_since(desk.queue, subscription, 0)


async def test_a_backfill_continues_after_its_process_was_killed(
    desk: Desk, redis: Redis, keys: Keyspace, clock: Clock, receiver: Receiver
) -> None:
    for number in range(120):
        await desk.publish(f"a{number}")
    draft = SubscriptionDraft.model_validate({"channel": {"type": "webhook", "url": f"{receiver.url}/a"}})
    subscription = await desk.subscriptions.add("reader", draft, since=datetime(2026, 1, 1, tzinfo=UTC))
    dying = BackfillWorker(desk.queue, redis, keys, SITE)
    await dying.step()
    await desk.queue.call("claim_backfill", lease=30_000)
    assert not await dying.step()
    clock.now += 40
    async with opened_desk(redis, keys, clock) as other:
        await catch_up(other)
    assert sorted(receiver.events("/a")) == sorted(f"a{number}.1" for number in range(120))
    progress = await backfill_status(desk.queue, subscription.id)
    assert progress is not None
    assert (progress.examined, progress.enqueued) == (120, 120)


async def test_a_backfill_does_not_fill_the_queue_of_an_endpoint(desk: Desk, redis: Redis, receiver: Receiver) -> None:
    for number in range(160):
        await desk.publish(f"a{number}")
    draft = SubscriptionDraft.model_validate({"channel": {"type": "webhook", "url": f"{receiver.url}/a"}})
    subscription = await desk.subscriptions.add("reader", draft, since=datetime(2026, 1, 1, tzinfo=UTC))
    backfills = BackfillWorker(desk.queue, redis, desk.keys, SITE)
    while await backfills.step():
        pass
    assert 100 <= await redis.zcard(desk.keys.deliveries.key("due", subscription.id)) <= 124


async def test_entitlements_are_part_of_the_digest() -> None:
    criteria = SubscriptionCriteria(Filter(query="ferry"), ["published"])
    narrowed = SubscriptionCriteria(Filter(query="ferry"), ["published"], Filter(topics=["Ferries"]))
    assert criteria.digest() != narrowed.digest()


@pytest.mark.parametrize("account", ["changes", "changed", "seq", "a:b"])
async def test_an_account_may_be_called_as_other_keys_are(desk: Desk, receiver: Receiver, account: str) -> None:
    mine = await desk.subscribe(f"{receiver.url}/a", FERRY, account=account)
    await desk.publish("a1", topics=["Ferries"])
    await desk.deliver()
    assert receiver.events("/a") == ["a1.1"]
    assert [each.id async for each in desk.subscriptions.of(account)] == [mine.id]
    assert await check_layout(desk.redis, desk.keys) is None


async def test_subscriptions_of_an_earlier_release_are_reported(desk: Desk) -> None:
    await desk.redis.set(desk.keys.key("subscriptions", "seq"), 7)
    assert "earlier release" in (await check_layout(desk.redis, desk.keys) or "")
