"""The stream is trimmed by age, and never past a group."""

from datetime import timedelta

import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.messaging.retention import OUTCOMES_RETENTION, trim
from newswire.observability import metrics

HOUR = 3_600_000
RETENTION = timedelta(hours=1)


@pytest.fixture
async def keys(redis: Redis, namespace: str) -> Keyspace:
    keys = Keyspace(namespace)
    for ms in (1 * HOUR, 2 * HOUR, 3 * HOUR):
        await redis.xadd(keys.stream, {"n": "x"}, id=f"{ms}-0")
    return keys


async def ages(redis: Redis, keys: Keyspace) -> list[int]:
    return [int(entry_id.split(b"-")[0]) // HOUR for entry_id, _ in await redis.xrange(keys.stream)]


async def test_entries_older_than_the_retention_are_removed(redis: Redis, keys: Keyspace) -> None:
    assert await trim(redis, keys, RETENTION, now_ms=3 * HOUR) == 1
    assert await ages(redis, keys) == [2, 3]
    assert await redis.get(keys.trimmed) == f"{HOUR}-0".encode()
    assert await trim(redis, keys, RETENTION, now_ms=3 * HOUR) == 0
    assert await trim(redis, keys, RETENTION, now_ms=9 * HOUR) == 2
    assert await redis.get(keys.trimmed) == f"{3 * HOUR}-0".encode()


async def test_entries_that_a_group_has_not_read_are_kept(redis: Redis, keys: Keyspace) -> None:
    await redis.xgroup_create(keys.stream, "slow", "0")
    assert await trim(redis, keys, RETENTION, now_ms=9 * HOUR) == 0
    assert await redis.get(keys.trimmed) is None


async def test_entries_pending_in_a_group_are_kept(redis: Redis, keys: Keyspace) -> None:
    await redis.xgroup_create(keys.stream, "search", "0")
    await redis.xreadgroup("search", "busy", {keys.stream: ">"})
    await redis.xack(keys.stream, "search", f"{HOUR}-0")
    await trim(redis, keys, RETENTION, now_ms=9 * HOUR)
    assert await ages(redis, keys) == [2, 3]


async def test_the_metric_shows_how_long_a_slow_group_delays_trimming(redis: Redis, keys: Keyspace) -> None:
    await redis.xgroup_create(keys.stream, "slow", "0")
    await trim(redis, keys, RETENTION, now_ms=9 * HOUR)
    assert metrics.retention_overdue.labels("articles")._value.get() == 7 * 3600
    await trim(redis, keys, RETENTION, now_ms=2 * HOUR)
    assert metrics.retention_overdue.labels("articles")._value.get() == 0
    await trim(redis, Keyspace(keys.namespace + "x"), RETENTION, now_ms=9 * HOUR)
    assert metrics.retention_overdue.labels("articles")._value.get() == 0


async def test_entries_after_the_checkpoint_of_a_lost_group_are_kept(redis: Redis, keys: Keyspace) -> None:
    await redis.set(keys.checkpoint("notify"), f"{2 * HOUR}-0")
    await trim(redis, keys, RETENTION, now_ms=9 * HOUR)
    assert await ages(redis, keys) == [2, 3]


async def test_outcomes_that_are_not_handled_are_kept(redis: Redis, keys: Keyspace) -> None:
    for ms in (1 * HOUR, 2 * HOUR, 3 * HOUR):
        await redis.xadd(keys.outcomes, {"n": "x"}, id=f"{ms}-0")
    await redis.xgroup_create(keys.outcomes, "outcomes", "0")
    assert await trim(redis, keys, OUTCOMES_RETENTION, stream="outcomes", now_ms=9 * HOUR) == 0
    assert metrics.retention_overdue.labels("outcomes")._value.get() > 7 * 3600
    await redis.xreadgroup("outcomes", "busy", {keys.outcomes: ">"}, count=2)
    await redis.xack(keys.outcomes, "outcomes", f"{HOUR}-0", f"{2 * HOUR}-0")
    assert await trim(redis, keys, OUTCOMES_RETENTION, stream="outcomes", now_ms=9 * HOUR) == 1
    assert [entry for entry, _ in await redis.xrange(keys.outcomes)] == [b"7200000-0", b"10800000-0"]
    assert await ages(redis, keys) == [1, 2, 3]
    assert await redis.get(keys.trimmed) is None
