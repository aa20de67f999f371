"""Pauses, retries and outages longer than any retention: the checker of the fault drills finds no loss."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from standardwebhooks.webhooks import Webhook

from newswire.keys import Keyspace
from newswire.messaging.retention import trim
from newswire.observability.audit import COMMAND_LINE
from newswire_notify.deliveries import dead_letters
from newswire_notify.deliveries.attempt_decisions import RETRY_DELAYS_SECONDS
from newswire_notify.deliveries.history import HistoryTrimmer
from newswire_notify.deliveries.queue import Queue
from newswire_notify.fanout.backfill import BackfillWorker, replay_since
from newswire_notify.settings import NotifySettings
from newswire_notify.subscriptions.models import PausedBy, Subscription
from newswire_notify.subscriptions.owner_notifier import OwnerNotifier
from tests.faults.checker import Difference, delivery_differences
from tests.faults.journal import Journal, Receipt, Subscriber, Write
from tests.faults.readback import Readback, read_deliveries
from tests.notify.conftest import DAY, RETENTION, SITE, Clock, Desk, Receiver, opened_desk
from tests.notify.time_travel import pass_time

GROUP = "notify"
SLOW_ATTEMPT_SECONDS = 40 * DAY
"""Longer than any retention: of the stream, ended deliveries, dead ones and plans."""


@dataclass
class Newsroom:
    """A fan-out whose stream is trimmed by the injected clock, and what receivers saw."""

    desk: Desk
    receiver: Receiver
    journal: Journal = field(default_factory=Journal)
    unhandled: list[str] = field(default_factory=list)
    """Events that the consumer has not handled, oldest first."""
    away: bool = False
    """Whether the consumer is down."""

    async def subscribe(self, path: str, category: str = "Transport") -> Subscription:
        made = await self.desk.subscribe(f"{self.receiver.url}{path}", {"categories": [category]})
        self.journal.subscribers.append(Subscriber(made.id, made.secret, path, category=category))
        return made

    async def publish(self, article: str, version: int = 1, category: str = "Transport") -> None:
        await self.desk.put(article, version, category=category)
        self.journal.writes.append(Write(article, version, "published", "The ferry leaves on time", category))
        await self._fan_out(f"{article}.{version}")

    async def retract(self, article: str, version: int = 1) -> None:
        await self.desk.put_retraction(article, version)
        self.journal.writes.append(Write(article, version, "retracted", "", ""))
        await self._fan_out(f"{article}.{version}.retracted")

    async def _fan_out(self, event: str) -> None:
        self.unhandled.append(event)
        if not self.away:
            await self.catch_up()

    async def catch_up(self) -> None:
        """Handle what is on the stream, as the consumer does."""
        for event in self.unhandled:
            received = self.desk.entries[event]
            await self.desk.fan_out([received])
            await self.desk.redis.xgroup_setid(self.desk.keys.stream, GROUP, received.entry_id)
            await self.desk.redis.set(self.desk.keys.checkpoint(GROUP), received.entry_id)
        self.unhandled.clear()

    async def pass_days(self, days: float) -> None:
        """Let time pass, including all trimming."""
        await pass_time(self.desk, days * DAY)
        now_ms = int(self.desk.clock.now * 1000)
        await trim(self.desk.redis, self.desk.keys, timedelta(seconds=RETENTION.stream), now_ms=now_ms)
        await HistoryTrimmer(self.desk.queue).trim()

    async def work(self) -> None:
        """Deliver everything that is due, and run backfills."""
        backfills = BackfillWorker(self.desk.queue, self.desk.redis, self.desk.keys, SITE)
        while await backfills.step():
            await self.desk.deliver()
            self.desk.clock.now += 0.5
        await self.desk.deliver()

    async def found(self, subscription: Subscription) -> Subscription:
        current = await self.desk.subscriptions.get(subscription.account, subscription.id)
        assert current is not None
        return current

    async def differences(self) -> list[Difference]:
        """Ask the checker."""
        found = Readback(expired_before=self.desk.clock.now - RETENTION.ended)
        await read_deliveries(self.desk.redis, self.desk.keys, found)
        secrets = {one.path: one.secret for one in self.journal.subscribers}
        self.journal.receipts = [_receipt(got, secrets[got.path]) for got in self.receiver.got]
        return delivery_differences(self.journal, found)


def _receipt(got: Any, secret: str) -> Receipt:
    event = got.event
    stamp = int(got.headers["webhook-timestamp"])
    signature = Webhook(secret).sign(got.headers["webhook-id"], datetime.fromtimestamp(stamp, UTC), got.body.decode())
    rank = event["data"]["version"] * 2 + event["type"].endswith(".retracted.v1")
    signed = signature == got.headers["webhook-signature"]
    return Receipt(got.path, got.headers["webhook-id"], event["id"], event["subject"], rank, signed, float(stamp))


@pytest.fixture
async def room(redis: Redis, keys: Keyspace, clock: Clock, receiver: Receiver) -> AsyncIterator[Newsroom]:
    async with opened_desk(redis, keys, clock, chunk=2) as desk:
        desk.by_clock = True
        await redis.xgroup_create(keys.stream, GROUP, "0", mkstream=True)
        yield Newsroom(desk, receiver)


@pytest.mark.parametrize("by", list(PausedBy))
async def test_after_a_long_pause_every_correction_and_retraction_arrives_once(
    room: Newsroom, receiver: Receiver, by: PausedBy
) -> None:
    paused = await room.subscribe("/paused")
    await room.subscribe("/always")
    for article in ("corrected", "twice", "withdrawn", "both", "moved", "republished", "same"):
        await room.publish(article)
    await room.work()
    await room.pass_days(0.5)
    await room.desk.subscriptions.pause(await room.found(paused), by)
    before = len(receiver.events("/paused"))

    await room.publish("corrected", 2)
    await room.retract("withdrawn")
    await room.retract("republished")
    await room.publish("new")
    await room.work()
    await room.pass_days(12)
    await room.publish("twice", 2)
    await room.publish("both", 2)
    await room.publish("moved", 2, category="Sports")
    await room.publish("new and wrong")
    await room.publish("republished", 2)
    await room.publish("new and corrected")
    await room.work()
    await room.pass_days(12)
    await room.publish("twice", 3)
    await room.retract("both", 2)
    await room.retract("new and wrong")
    await room.publish("new and corrected", 2)
    await room.work()
    await room.pass_days(SLOW_ATTEMPT_SECONDS / DAY)
    assert len(receiver.events("/paused")) == before

    assert await room.desk.subscriptions.resume(await room.found(paused), by)
    await room.work()
    assert sorted(receiver.events("/paused")[before:]) == [
        "both.2.retracted",
        "corrected.2",
        "moved.2",
        "new and corrected.2",
        "new.1",
        "republished.2",
        "twice.3",
        "withdrawn.1.retracted",
    ]
    texts = {got.event["id"]: got.event for got in receiver.got if got.path == "/paused"}
    assert texts["corrected.2"]["data"]["body"] == "<p>It crossed the sound before dawn.</p>"
    assert texts["corrected.2"]["source"] == f"{SITE}/publishers/harbour-post"
    assert texts["withdrawn.1.retracted"]["data"]["reason"] == "planted by a prankster"
    assert "body" not in texts["withdrawn.1.retracted"]["data"]
    assert await room.differences() == []

    await room.publish("afterwards")
    await room.work()
    assert receiver.events("/paused")[-1] == "afterwards.1"
    assert await room.differences() == []


async def test_deliveries_that_wait_longer_than_any_retention_are_sent(room: Newsroom, receiver: Receiver) -> None:
    await room.subscribe("/a")
    await room.publish("sent")
    await room.work()
    receiver.answer("/a", 500, 500, 204)
    await room.publish("first")
    await room.retract("sent")
    await room.work()
    await room.pass_days(SLOW_ATTEMPT_SECONDS / DAY)  # no worker runs for so long
    await room.work()
    assert sorted(receiver.events("/a")) == ["first.1", "first.1", "sent.1", "sent.1.retracted", "sent.1.retracted"]
    failed = [got for got in receiver.got if got.event["id"] != "sent.1"][:2]
    for got in failed:  # they were received, and refused: not what the checker counts as received
        receiver.got.remove(got)
    assert await room.differences() == []


async def test_after_a_long_outage_of_the_consumer_everything_is_delivered(room: Newsroom, receiver: Receiver) -> None:
    await room.subscribe("/a")
    await room.subscribe("/sports", "Sports")
    for article in ("a", "b", "c"):
        await room.publish(article)
    await room.work()
    room.away = True
    await room.publish("a", 2)
    await room.retract("b")
    await room.publish("d", category="Sports")
    await room.pass_days(20)
    await room.publish("c", 2, category="Sports")
    await room.publish("e")
    await room.pass_days(SLOW_ATTEMPT_SECONDS / DAY)
    room.away = False
    await room.catch_up()
    await room.work()
    assert sorted(receiver.events("/a")[3:]) == ["a.2", "b.1.retracted", "c.2", "e.1"]
    assert sorted(receiver.events("/sports")) == ["c.2", "d.1"]
    assert await room.differences() == []


async def test_an_expansion_continues_after_a_long_interruption(room: Newsroom, receiver: Receiver) -> None:
    for number in range(7):
        await room.subscribe(f"/{number}")
    await room.publish("a")
    await room.pass_days(SLOW_ATTEMPT_SECONDS / DAY)
    await room.work()
    assert len(receiver.got) == 7
    assert await room.differences() == []


async def test_a_backfill_continues_from_the_records_after_a_trim(room: Newsroom, receiver: Receiver) -> None:
    for number in range(60):
        await room.publish(f"a{number:02}", category="Sports" if number % 2 else "Transport")
        room.desk.clock.now += 60
    await room.retract("a04")
    late = await room.subscribe("/late")
    earliest = int((room.desk.clock.now - DAY) * 1000)
    assert await replay_since(room.desk.queue, late, earliest)
    backfills = BackfillWorker(room.desk.queue, room.desk.redis, room.desk.keys, SITE)
    assert await backfills.step()
    await room.desk.deliver()
    assert 0 < len(receiver.got) < 29
    await room.pass_days(SLOW_ATTEMPT_SECONDS / DAY)
    await room.work()
    assert sorted(receiver.events("/late")) == [f"a{number:02}.1" for number in range(0, 60, 2) if number != 4]


async def test_an_endpoint_enabled_after_long_receives_corrections(room: Newsroom, receiver: Receiver) -> None:
    mine = await room.subscribe("/a")
    for article in ("waiting", "withdrawn while it failed", "corrected", "withdrawn", "same"):
        await room.publish(article)
    await room.work()
    before = len(receiver.events("/a"))
    receiver.answer("/a", 500)
    await room.publish("waiting", 2)
    await room.retract("withdrawn while it failed")
    await room.desk.deliver()
    receiver.answer("/a", 410)
    room.desk.clock.now += RETRY_DELAYS_SECONDS[0] + 1
    await room.desk.deliver()
    assert (await room.found(mine)).status == "disabled"
    receiver.answers.clear()
    tried = len(receiver.events("/a"))
    await room.pass_days(10)
    await room.publish("corrected", 2)
    await room.retract("withdrawn")
    await room.pass_days(SLOW_ATTEMPT_SECONDS / DAY)
    await room.work()
    assert len(receiver.events("/a")) == tried
    await room.desk.subscriptions.enable(await room.found(mine))
    await room.work()
    assert set(receiver.events("/a")[before:tried]) == {"waiting.2", "withdrawn while it failed.1.retracted"}
    assert sorted(receiver.events("/a")[tried:]) == [
        "corrected.2",
        "waiting.2",
        "withdrawn while it failed.1.retracted",
        "withdrawn.1.retracted",
    ]
    refused = [got for got in receiver.got if got.event["id"] in receiver.events("/a")[before:tried]][: tried - before]
    for got in refused:
        receiver.got.remove(got)
    assert await room.differences() == []


async def test_an_endpoint_disabled_during_a_consumer_outage_receives_corrections(
    room: Newsroom, receiver: Receiver
) -> None:
    mine = await room.subscribe("/a")
    for article in ("corrected", "withdrawn", "same"):
        await room.publish(article)
    await room.work()
    before = len(receiver.events("/a"))
    receiver.answer("/a", 500, 410)
    await room.publish("refused")
    await room.desk.deliver()
    room.away = True
    room.desk.clock.now += 2
    await room.publish("corrected", 2)
    await room.retract("withdrawn")
    await pass_time(room.desk, 3 * DAY)
    await room.desk.deliver()
    assert (await room.found(mine)).status == "disabled"
    receiver.answers.clear()
    tried = len(receiver.events("/a"))
    assert receiver.events("/a")[before:] == ["refused.1"] * 2
    room.away = False
    await room.catch_up()
    await room.pass_days(SLOW_ATTEMPT_SECONDS / DAY)
    await room.desk.subscriptions.enable(await room.found(mine))
    await room.work()
    assert sorted(receiver.events("/a")[tried:]) == ["corrected.2", "withdrawn.1.retracted"]


async def test_a_very_late_event_delivers_its_successor_to_its_matches(room: Newsroom, receiver: Receiver) -> None:
    await room.subscribe("/a")
    await room.subscribe("/sports", "Sports")
    first = await room.desk.put("a")
    room.journal.writes.append(Write("a", 1, "published", "The ferry leaves on time", "Transport"))
    await room.publish("a", 2, category="Sports")
    await room.work()
    await room.pass_days(SLOW_ATTEMPT_SECONDS / DAY)
    await room.desk.fan_out([first])  # it lay among the dead letters
    await room.work()
    assert receiver.events("/a") == ["a.2"]
    assert receiver.events("/sports") == ["a.2"]


async def test_a_notice_to_the_owner_does_not_expire(room: Newsroom, receiver: Receiver) -> None:
    watching = await room.desk.subscribe(f"{receiver.url}/notices", {"categories": ["None"]}, notices=True)
    gone = await room.desk.subscribe(f"{receiver.url}/gone")
    receiver.answer("/gone", 410)
    receiver.answer("/notices", 500, 204)
    await room.publish("a")
    await room.desk.deliver()
    assert (await room.found(gone)).status == "disabled"
    assert await OwnerNotifier(room.desk.queue, room.desk.broker, room.desk.keys, SITE).notify() == 1
    await room.desk.deliver()
    await room.pass_days(SLOW_ATTEMPT_SECONDS / DAY)
    await room.desk.deliver()
    assert [got.event["type"] for got in receiver.got if got.path == "/notices"] == [
        "newswire.subscription.disabled.v1"
    ] * 2
    assert set((await room.desk.states(watching)).values()) == {"delivered"}


async def test_a_delivery_can_be_replayed_during_its_retention(
    redis: Redis, keys: Keyspace, clock: Clock, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEWSWIRE_DELIVERY_RETENTION", "30d")
    monkeypatch.setenv("NEWSWIRE_DEAD_LETTER_RETENTION", "P90D")
    settings = NotifySettings()
    made = Queue.from_settings(redis, keys, settings)
    assert made.retention == replace(RETENTION, ended=30 * DAY, dead=90 * DAY, history_bytes=2**24, dead_count=100_000)
    async with opened_desk(redis, keys, clock, retention=made.retention) as desk:
        subscription = await desk.subscribe(f"{receiver.url}/a")
        await desk.publish("a1")
        await desk.deliver()
        receiver.answer("/a", 500)
        await desk.publish("a2")
        for wait in (0, *RETRY_DELAYS_SECONDS):
            clock.now += wait + 300
            await desk.deliver()
        receiver.answers.clear()
        receiver.got.clear()
        await pass_time(desk, 20 * DAY)
        rows = {row["event"]: row for row in (await desk.deliveries.of(subscription.id, 10)).rows}
        assert await desk.deliveries.replay(subscription.id, rows["a1.1"]["id"])
        await desk.deliver()
        assert receiver.events("/a") == ["a1.1"]
        await pass_time(desk, 65 * DAY)
        [letter] = await dead_letters.list_dead(redis, keys)
        await dead_letters.retry(desk.queue, desk.redis, letter.id, by=COMMAND_LINE)
        await desk.deliver()
        assert receiver.events("/a") == ["a1.1", "a2.1"]
        await pass_time(desk, 29 * DAY)
        assert await desk.states(subscription) == {"a2.1": "delivered"}
