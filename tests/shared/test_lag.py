"""The lag of a group is known also while an entry that it has not read was erased."""

import pytest

from newswire.keys import Keyspace
from newswire.messaging.group_member import GroupMember
from newswire.messaging.groups import ConsumerGroup
from newswire.messaging.lag import MAX_SEEN, LagEstimator
from newswire.observability import metrics
from newswire.storage.redis_client import open_redis

GROUP = "of-lags"


async def observed(member: GroupMember) -> float:
    await member._observe()
    return float(metrics.consumer_lag.labels(GROUP)._value.get())


async def test_the_lag_of_a_backlog_with_an_erased_entry(redis_url: str, namespace: str) -> None:
    async with open_redis(redis_url) as redis:
        member = GroupMember(redis, Keyspace(namespace), ConsumerGroup(GROUP, "articles"))
        ids: list[str] = []

        async def add(count: int) -> None:
            """Append entries at an even rate: what is between the known ids is interpolated."""
            async with redis.pipeline(transaction=False) as pipe:
                for _ in range(count):
                    ids.append(f"{1_800_000_000_000 + 10 * len(ids)}-0")
                    pipe.xadd(member.stream, {"event": "x"}, id=ids[-1])
                await pipe.execute()

        async def read(count: int) -> None:
            await redis.xreadgroup(GROUP, "c", {member.stream: ">"}, count=count)

        await add(100)
        await member.open_group()
        await read(60)
        assert await observed(member) == 40
        await redis.xdel(member.stream, ids[70])
        [group] = await redis.xinfo_groups(member.stream)
        assert group["lag"] is None, "the server knows it: this test shows nothing"
        assert await observed(member) == pytest.approx(40, abs=2)
        await add(400)
        assert await observed(member) == pytest.approx(440, abs=2)
        await read(340)
        assert await observed(member) == pytest.approx(100, abs=2)
        await read(500)
        assert await observed(member) == 0
        anew = GroupMember(redis, Keyspace(namespace), ConsumerGroup(GROUP, "articles"))
        await add(200)
        await read(50)
        await redis.xdel(member.stream, ids[-3])
        assert await observed(anew) == pytest.approx(150, abs=2), "a process that has just started"
        await member.redis.xtrim(member.stream, maxlen=100, approximate=False)
        assert await observed(anew) == 100, "what is no longer on the stream cannot be read"


def test_old_notes_are_thinned_out_and_forgotten() -> None:
    estimator = LagEstimator()
    for number in range(10 * MAX_SEEN):
        estimator.note(b"%d-0" % number, number + 1)
    assert len(estimator._seen) <= MAX_SEEN
    stream = {
        "entries-added": 10 * MAX_SEEN,
        "length": 10 * MAX_SEEN,
        "last-generated-id": b"%d-0" % (10 * MAX_SEEN - 1),
        "first-entry": (b"0-0", {}),
    }
    assert estimator.lag(b"4999-0", stream) == pytest.approx(10 * MAX_SEEN - 5000, abs=10)
    estimator.forget_before(b"15000-0")
    assert estimator._seen[0][0] <= 15000
    assert estimator.lag(b"15000-0", stream) == pytest.approx(10 * MAX_SEEN - 15001, abs=10)
