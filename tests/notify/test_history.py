"""The history of ended deliveries: its retention, its byte limit, and reports of early removals."""

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_notify.deliveries import dead_letters
from newswire_notify.deliveries.attempt_decisions import RETRY_DELAYS_SECONDS
from newswire_notify.deliveries.history import HistoryTrimmer, removed_early
from newswire_notify.deliveries.service import DeliveryFilter, State
from tests.notify.conftest import DAY, RETENTION, Clock, Desk, Receiver, opened_desk
from tests.notify.time_travel import pass_time

pytestmark = pytest.mark.slow


async def kept(desk: Desk) -> set[str]:
    """Return the ids of all deliveries with records."""
    names = [
        name.decode() async for name in desk.redis.scan_iter(desk.keys.deliveries.key("delivery", "*"), count=1000)
    ]
    return {name.rpartition(":")[2] for name in names if not name.endswith(":attempts")}


async def listed(desk: Desk, subscription: str, wanted: DeliveryFilter | None = None, page: int = 300) -> list[str]:
    """Return the ids of the whole list."""
    ids: list[str] = []
    wanted = wanted or DeliveryFilter()
    while True:
        found = await desk.deliveries.of(subscription, page, wanted)
        ids += [row["id"] for row in found.rows]
        if found.next is None:
            return ids
        wanted = replace(wanted, after=found.next)


async def test_more_than_a_thousand_ended_deliveries_are_kept_where_there_is_room(
    desk: Desk, receiver: Receiver
) -> None:
    desk.queue.retention = replace(RETENTION, history_bytes=10_000_000)
    subscription = await desk.subscribe(f"{receiver.url}/a")
    for at in range(0, 1500, 100):
        desk.clock.now += 1
        await desk.fan_out([await desk.put("second", version) for version in range(at + 1, at + 101)])
    await desk.deliver()
    await HistoryTrimmer(desk.queue).trim()
    assert len(await listed(desk, subscription.id)) == 1500
    assert await removed_early(desk.queue, subscription.id) is None


async def test_the_oldest_are_removed_beyond_the_byte_limit_and_the_api_reports_it(
    redis: Redis, keys: Keyspace, clock: Clock, receiver: Receiver
) -> None:
    async with opened_desk(redis, keys, clock, retention=replace(RETENTION, history_bytes=100_000)) as desk:
        busy = await desk.subscribe(f"{receiver.url}/busy")
        quiet = await desk.subscribe(f"{receiver.url}/quiet", {"categories": ["Weather"]})
        await desk.publish("rain", category="Weather")
        await desk.deliver()
        for number in range(200):
            clock.now += 1
            await desk.publish(f"a{number}")
            await desk.deliver()
        early = await HistoryTrimmer(desk.queue).trim()
        left = await listed(desk, busy.id)
        assert len(left) + early == 201
        assert 80 < len(left) < 110
        removed = await removed_early(desk.queue, busy.id)
        assert removed is not None
        assert removed.count == early
        oldest = (await desk.deliveries.of(busy.id, 1000)).rows[-1]
        assert oldest["ended_at"] > removed.public_view()["until"]
        assert await desk.states(quiet) == {"rain.1": "delivered"}
        assert await removed_early(desk.queue, quiet.id) is None
        assert await kept(desk) == {*left, *await listed(desk, quiet.id)}
        clock.now += RETENTION.ended + 1
        assert await removed_early(desk.queue, busy.id) is None


async def test_a_delivery_that_has_not_ended_is_never_removed(
    redis: Redis, keys: Keyspace, clock: Clock, receiver: Receiver
) -> None:
    async with opened_desk(redis, keys, clock, retention=replace(RETENTION, history_bytes=1)) as desk:
        subscription = await desk.subscribe(f"{receiver.url}/a")
        receiver.answer("/a", 500)
        await desk.fan_out([await desk.put(f"a{number}") for number in range(30)])
        await desk.deliver()
        clock.now += 40 * DAY
        await HistoryTrimmer(desk.queue).trim()
        assert len(await listed(desk, subscription.id)) == 30


async def test_ended_deliveries_expire_from_all_lists(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    await desk.publish("a1")
    await desk.deliver()
    await pass_time(desk, 6.9 * DAY)
    await HistoryTrimmer(desk.queue).trim()
    assert await desk.states(subscription) == {"a1.1": "delivered"}
    await pass_time(desk, 0.2 * DAY)
    await HistoryTrimmer(desk.queue).trim()
    assert await desk.states(subscription) == {}
    assert await removed_early(desk.queue, subscription.id) is None
    for kind in ("deliveries", "endings", "history"):
        assert not await desk.redis.exists(desk.keys.deliveries.key(kind, subscription.id)), kind
    assert not await desk.redis.exists(desk.keys.deliveries.key("histories"))


async def test_the_retention_of_a_replayed_delivery_starts_at_its_second_end(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    await desk.publish("a1")
    await desk.deliver()
    await pass_time(desk, 5 * DAY)
    [delivery] = await listed(desk, subscription.id)
    assert await desk.deliveries.replay(subscription.id, delivery)
    await desk.deliver()
    await pass_time(desk, 5 * DAY)
    await HistoryTrimmer(desk.queue).trim()
    assert await desk.states(subscription) == {"a1.1": "delivered"}
    assert receiver.events("/a") == ["a1.1", "a1.1"]


@pytest.mark.parametrize(("days", "left"), [(29, 3), (31, 0)])
async def test_dead_deliveries_have_their_own_retention(desk: Desk, receiver: Receiver, days: int, left: int) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    await dead(desk, receiver, 3)
    await pass_time(desk, days * DAY)
    await HistoryTrimmer(desk.queue).trim()
    assert len(await dead_letters.list_dead(desk.redis, desk.keys)) == left
    assert len(await listed(desk, subscription.id, DeliveryFilter(State.DEAD))) == left
    assert len(await kept(desk)) == left


async def test_beyond_the_limit_the_oldest_dead_deliveries_are_removed(
    redis: Redis, keys: Keyspace, clock: Clock, receiver: Receiver
) -> None:
    async with opened_desk(redis, keys, clock, retention=replace(RETENTION, dead_count=2)) as desk:
        subscription = await desk.subscribe(f"{receiver.url}/a")
        await dead(desk, receiver, 5)
        assert await HistoryTrimmer(desk.queue).trim() == 3
        assert len(await dead_letters.list_dead(redis, keys)) == 2
        assert len(await listed(desk, subscription.id)) == 2


async def dead(desk: Desk, receiver: Receiver, number: int) -> None:
    """Let deliveries fail until they are dead."""
    receiver.answer("/a", 500)
    await desk.fan_out([await desk.put(f"a{each}") for each in range(number)])
    for wait in (0, *RETRY_DELAYS_SECONDS):
        desk.clock.now += wait + 300  # an open circuit is probed every five minutes at the latest
        for _ in range(number):
            await desk.deliver()
            desk.clock.now += 300


async def test_a_page_reads_a_bounded_number_and_the_next_one_continues(
    desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("newswire_notify.deliveries.service.MAX_EXAMINED", 2000)
    desk.queue.retention = replace(RETENTION, history_bytes=10_000_000)
    subscription = await desk.subscribe(f"{receiver.url}/a")
    await desk.publish("first")
    await desk.subscriptions.pause(subscription)
    for at in range(2, 2502, 100):
        await desk.fan_out([await desk.put("first", version) for version in range(at, at + 100)])
    page = await desk.deliveries.of(subscription.id, 10, DeliveryFilter(State.DELIVERED))
    assert page.rows == []
    assert page.next is not None
    ids = await listed(desk, subscription.id, page=77)
    assert len(ids) == len(set(ids)) == 2501
