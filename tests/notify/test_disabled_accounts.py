"""Disabling an account stops its deliveries at once; they wait until it is enabled."""

import asyncio

import pytest
from redis.asyncio import Redis

from newswire.auth.accounts import disable_account, enable_account
from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from newswire_notify.fanout.backfill import BackfillWorker, replay_since
from newswire_notify.subscriptions.errors import AccountSuspendedError, SubscriptionConflictError
from newswire_notify.subscriptions.models import PausedBy, Subscription
from newswire_notify.subscriptions.suspensions import Suspensions
from tests.notify.conftest import SITE, Clock, Desk, Receiver, opened_desk


def following(desk: Desk) -> Suspensions:
    return Suspensions(desk.subscriptions, desk.queue.redis, desk.redis, desk.keys)


async def current(desk: Desk, subscription: Subscription) -> Subscription:
    found = await desk.subscriptions.find(subscription.id)
    assert found is not None
    return found


async def caught_up(desk: Desk) -> None:
    """Run all backfills, and deliver."""
    backfills = BackfillWorker(desk.queue, desk.redis, desk.keys, SITE)
    while await backfills.step():
        pass
    await desk.deliver()


@pytest.fixture
async def account(redis: Redis, keys: Keyspace) -> str:
    await create_key(redis, keys, "reader", {Scope.SUBSCRIBE})
    return "reader"


async def test_deliveries_are_held_until_the_account_is_enabled(
    desk: Desk, receiver: Receiver, account: str, clock: Clock
) -> None:
    suspensions = following(desk)
    await suspensions.follow()
    mine = await desk.subscribe(f"{receiver.url}/mine")
    await desk.subscribe(f"{receiver.url}/other", account="other")
    await desk.publish("delivered")
    await desk.deliver()
    receiver.answer("/mine", 503)
    await desk.publish("retried")
    await desk.deliver()
    receiver.answer("/mine", 204)
    await desk.publish("queued")
    await disable_account(desk.redis, desk.keys, account)
    await suspensions.follow()
    shown = (await current(desk, mine)).public_view()
    assert (shown["status"], shown["status_reason"]) == ("paused", "account_disabled")
    receiver.got.clear()
    await desk.publish("published-meanwhile")
    await desk.publish("delivered", 2)
    clock.now += 3600
    await caught_up(desk)
    assert receiver.events("/mine") == []
    assert {"queued.1", "published-meanwhile.1", "delivered.2"} <= set(receiver.events("/other"))
    await enable_account(desk.redis, desk.keys, account)
    await suspensions.follow()
    await caught_up(desk)
    assert sorted(receiver.events("/mine")) == ["delivered.2", "published-meanwhile.1", "queued.1", "retried.1"]
    assert (await current(desk, mine)).status == "active"


async def test_a_failed_attempt_is_not_retried_while_disabled(
    desk: Desk, receiver: Receiver, account: str, clock: Clock
) -> None:
    suspensions = following(desk)
    await suspensions.follow()
    await desk.subscribe(f"{receiver.url}/mine")
    answering, may_answer = asyncio.Event(), asyncio.Event()

    async def slow() -> object:
        answering.set()
        await may_answer.wait()
        raise ConnectionResetError

    receiver.answers["/mine"] = slow  # type: ignore[assignment]
    await desk.publish("a1")
    delivering = asyncio.create_task(desk.deliver())
    await asyncio.wait_for(answering.wait(), 60)
    await disable_account(desk.redis, desk.keys, account)
    await suspensions.follow()
    may_answer.set()
    await delivering
    receiver.answer("/mine", 204)
    receiver.got.clear()
    clock.now += 3600
    await desk.deliver()
    assert receiver.got == []
    await enable_account(desk.redis, desk.keys, account)
    await suspensions.follow()
    clock.now += 3600
    await caught_up(desk)
    assert receiver.events("/mine") == ["a1.1"]


async def test_a_replay_does_not_advance_while_disabled(desk: Desk, receiver: Receiver, account: str) -> None:
    suspensions = following(desk)
    await suspensions.follow()
    mine = await desk.subscribe(f"{receiver.url}/mine")
    await desk.publish("a1")
    await desk.deliver()
    receiver.got.clear()
    assert await replay_since(desk.queue, mine, 0)
    await disable_account(desk.redis, desk.keys, account)
    await suspensions.follow()
    await caught_up(desk)
    assert receiver.got == []
    with pytest.raises(SubscriptionConflictError):
        await replay_since(desk.queue, mine, 0)


async def test_enabling_resumes_only_what_disabling_paused(desk: Desk, receiver: Receiver, account: str) -> None:
    suspensions = following(desk)
    await suspensions.follow()
    by_owner = await desk.subscribe(f"{receiver.url}/owner")
    by_operator = await desk.subscribe(f"{receiver.url}/operator")
    active = await desk.subscribe(f"{receiver.url}/active")
    await desk.subscriptions.pause(by_owner)
    await disable_account(desk.redis, desk.keys, account)
    await suspensions.follow()
    await desk.subscriptions.pause(await current(desk, by_operator), PausedBy.OPERATOR, "too many requests")
    await enable_account(desk.redis, desk.keys, account)
    await suspensions.follow()
    states = [(await current(desk, each)) for each in (by_owner, by_operator, active)]
    assert [(each.status, each.status_reason) for each in states] == [
        ("paused", None),
        ("paused", "operator"),
        ("active", None),
    ]


async def test_no_subscription_of_a_disabled_account_becomes_active(
    desk: Desk, receiver: Receiver, account: str
) -> None:
    """Requests admitted just before are refused, or their subscriptions are paused too."""
    suspensions = following(desk)
    await suspensions.follow()
    paused = await desk.subscribe(f"{receiver.url}/a")
    held = await desk.subscribe(f"{receiver.url}/b")
    await desk.subscriptions.pause(paused)
    await desk.subscriptions.pause(held, PausedBy.OPERATOR)
    await disable_account(desk.redis, desk.keys, account)
    await suspensions.follow()
    with pytest.raises(AccountSuspendedError):
        await desk.subscribe(f"{receiver.url}/c")
    assert await desk.subscriptions.resume(await current(desk, paused))
    assert await desk.subscriptions.resume(await current(desk, held), PausedBy.OPERATOR)
    states = [await current(desk, each) for each in (paused, held)]
    assert {(each.status, each.status_reason) for each in states} == {("paused", "account_disabled")}
    await enable_account(desk.redis, desk.keys, account)
    await suspensions.follow()
    assert {(await current(desk, each)).status for each in states} == {"active"}


async def test_a_process_that_missed_changes_finds_disabled_accounts(
    desk: Desk, redis: Redis, keys: Keyspace, clock: Clock, receiver: Receiver, account: str
) -> None:
    mine = await desk.subscribe(f"{receiver.url}/mine")
    await desk.publish("a1")
    await disable_account(redis, keys, account)
    async with opened_desk(redis, keys, clock) as later:
        suspensions = following(later)
        assert await suspensions.check() is not None
        await suspensions.follow()
        assert await suspensions.check() is None
        await later.deliver()
        assert receiver.got == []
        await enable_account(redis, keys, account)
        await redis.delete(keys.key("accounts", "changes"))
        await suspensions.follow()
        await later.deliver()
    assert receiver.events("/mine") == ["a1.1"]
    assert (await current(desk, mine)).status == "active"


async def test_an_owner_cannot_resume_an_operators_pause(desk: Desk, receiver: Receiver) -> None:
    mine = await desk.subscribe(f"{receiver.url}/mine")
    await desk.subscriptions.pause(mine, PausedBy.OPERATOR, "too many requests")
    shown = (await current(desk, mine)).public_view()
    assert (shown["status"], shown["status_reason"], shown["status_note"]) == (
        "paused",
        "operator",
        "too many requests",
    )
    with pytest.raises(SubscriptionConflictError, match="only an operator"):
        await desk.subscriptions.resume(await current(desk, mine))
    assert await desk.subscriptions.resume(await current(desk, mine), PausedBy.OPERATOR)
    shown = (await current(desk, mine)).public_view()
    assert (shown["status"], shown["status_reason"], shown["status_note"]) == ("active", None, None)
