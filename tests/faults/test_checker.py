"""The checker detects every kind of damage: each is injected into real stores after a correct run."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from newswire.events import FIELD
from newswire.keys import Keyspace
from tests.faults.checker import Wrong, differences
from tests.faults.journal import Heard, Journal, Subscriber, Write
from tests.faults.readback import Indexed, Readback, read_back
from tests.faults.stand import stand, under_load

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]


@dataclass
class Sound:
    """The data of a correct run, ready to be damaged."""

    redis: Redis
    keys: Keyspace
    journal: Journal
    index: dict[str, Indexed]
    published: list[Write]
    """Articles that were neither changed nor retracted, with at least one recipient."""
    retracted: list[Write]

    async def found(self) -> Readback:
        return await read_back(self.redis, self.keys, self.index)

    def somebody(self, write: Write) -> Subscriber:
        return next(one for one in self.journal.subscribers if one.asked_for(write))

    async def entry(self, write: Write) -> tuple[bytes, dict[bytes, bytes]]:
        for entry_id, fields in await self.redis.xrange(self.keys.stream):
            if json.loads(fields[FIELD.encode()])["id"] == write.event:
                return entry_id, fields
        raise AssertionError(write.event)

    def receipt(self, write: Write) -> int:
        path = self.somebody(write).path
        return next(
            at
            for at, receipt in enumerate(self.journal.receipts)
            if (receipt.path, receipt.event) == (path, write.event)
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Redis, Sound, dict[bytes, bytes]]]:
    """A second of load on a whole installation, ended; with all that its store held."""
    folder: Path = tmp_path_factory.mktemp("checker")
    async with stand(folder, "checker", None, rate=80) as built:
        async with under_load(built):
            while len([write for write in built.journal.writes if write.kind == "retracted"]) < 3:
                await built.redis.ping()
        index = (await built.read_back()).index
        for process in (one for replicas in built.services.values() for one in replicas):
            await process.stop()
        life = built.journal.by_article().values()
        published = [writes[0] for writes in life if len(writes) == 1]
        retracted = [writes[-1] for writes in life if writes[-1].kind == "retracted"]
        sound = Sound(built.redis, built.keys, built.journal, index, published, retracted)
        dump = {name: await built.redis.dump(name) async for name in built.redis.scan_iter(count=1000)}
        yield built.redis, sound, dump


@pytest_asyncio.fixture(loop_scope="module")
async def sound(run: tuple[Redis, Sound, dict[bytes, bytes]]) -> Sound:
    """The same correct state for each test."""
    redis, before, dump = run
    await redis.flushall()
    async with redis.pipeline(transaction=False) as pipe:
        for name, value in dump.items():
            pipe.restore(name, 0, value)
        await pipe.execute()
    journal = Journal(
        list(before.journal.writes),
        set(),
        before.journal.subscribers,
        list(before.journal.receipts),
        [replace(reading, heard=list(reading.heard)) for reading in before.journal.readings],
    )
    return replace(before, journal=journal, index=dict(before.index))


async def test_a_correct_run_has_no_differences(sound: Sound) -> None:
    assert len(sound.published) > 20
    assert len(sound.journal.receipts) > 50
    assert len(sound.journal.heard) > 20
    assert differences(sound.journal, await sound.found()) == []


Damage = Callable[[Sound], Awaitable[object]]


async def record_gone(sound: Sound) -> None:
    await sound.redis.delete(sound.keys.article(sound.published[0].article))


async def record_behind(sound: Sound) -> None:
    await sound.redis.hset(sound.keys.article(sound.published[0].article), "version", 0)


async def record_not_retracted(sound: Sound) -> None:
    await sound.redis.hset(sound.keys.article(sound.retracted[0].article), "status", "published")


async def record_not_listed(sound: Sound) -> None:
    await sound.redis.zrem(sound.keys.articles, sound.published[0].article)


async def record_of_nobody(sound: Sound) -> None:
    await sound.redis.zadd(sound.keys.articles, {"stranger": 1})


async def document_gone(sound: Sound) -> None:
    await sound.redis.delete(sound.keys.version(sound.published[0].article, 1))


async def document_of_a_retracted_article(sound: Sound) -> None:
    copy = await sound.redis.dump(sound.keys.version(sound.published[0].article, 1))
    await sound.redis.restore(sound.keys.version(sound.retracted[0].article, 1), 0, copy)


async def document_mixed_up(sound: Sound) -> None:
    copy = await sound.redis.dump(sound.keys.version(sound.published[1].article, 1))
    await sound.redis.restore(sound.keys.version(sound.published[0].article, 1), 0, copy, replace=True)


async def entry_gone(sound: Sound) -> None:
    await sound.redis.xdel(sound.keys.stream, (await sound.entry(sound.published[0]))[0])


async def entry_twice(sound: Sound) -> None:
    await sound.redis.xadd(sound.keys.stream, (await sound.entry(sound.published[0]))[1])


async def entry_of_a_retracted_article(sound: Sound) -> None:
    said = json.loads((await sound.entry(sound.published[0]))[1][FIELD.encode()])
    gone = sound.retracted[0]
    said |= {"id": f"{gone.article}.1", "subject": gone.article}
    await sound.redis.xadd(sound.keys.stream, {FIELD: json.dumps(said)})


async def entry_of_nobody(sound: Sound) -> None:
    await sound.redis.xadd(sound.keys.stream, {FIELD: b"{}"})


async def group_gone(sound: Sound) -> None:
    await sound.redis.xgroup_destroy(sound.keys.stream, "search")


async def group_with_pending(sound: Sound) -> None:
    await sound.redis.xgroup_setid(sound.keys.stream, "notify", "0")
    await sound.redis.xreadgroup("notify", "dead", {sound.keys.stream: ">"}, count=5)


async def group_behind(sound: Sound) -> None:
    await sound.redis.xgroup_setid(sound.keys.stream, "search", "5-0")


async def checkpoint_behind(sound: Sound) -> None:
    await sound.redis.set(sound.keys.checkpoint("notify"), "5-0")


async def dead_letter(sound: Sound) -> None:
    await sound.redis.xadd(sound.keys.dead_letters("search"), {"error": "not JSON"})


async def not_indexed(sound: Sound) -> None:
    del sound.index[sound.published[0].article]


async def indexed_behind(sound: Sound) -> None:
    sound.index[sound.published[0].article] = Indexed(0, retracted=False)


async def retracted_yet_indexed(sound: Sound) -> None:
    sound.index[sound.retracted[0].article] = Indexed(1, retracted=False)


async def indexed_for_nobody(sound: Sound) -> None:
    sound.index["stranger"] = Indexed(1, retracted=False)


def _delivery(sound: Sound) -> tuple[str, str]:
    write = sound.published[0]
    owner = sound.somebody(write)
    return owner.id, owner.delivery(write.event)


async def delivery_gone(sound: Sound) -> None:
    await sound.redis.delete(sound.keys.deliveries.key("delivery", _delivery(sound)[1]))


async def delivery_waiting(sound: Sound) -> None:
    owner, delivery = _delivery(sound)
    await sound.redis.hset(sound.keys.deliveries.key("delivery", delivery), "state", "waiting")
    await sound.redis.zadd(sound.keys.deliveries.key("due", owner), {delivery: 1})


async def delivery_claimed(sound: Sound) -> None:
    owner, delivery = _delivery(sound)
    await sound.redis.hset(sound.keys.deliveries.key("delivery", delivery), "state", "delivering")
    await sound.redis.zadd(sound.keys.deliveries.key("in_flight", owner), {delivery: 1})


async def delivery_dead(sound: Sound) -> None:
    await sound.redis.hset(sound.keys.deliveries.key("delivery", _delivery(sound)[1]), "state", "dead")


async def delivery_for_nobody(sound: Sound) -> None:
    await sound.redis.hset(
        sound.keys.deliveries.key("delivery", "msg_stranger"), mapping={"event": "e", "state": "delivered"}
    )


async def lease_of_an_ended_delivery(sound: Sound) -> None:
    owner, delivery = _delivery(sound)
    await sound.redis.zadd(sound.keys.deliveries.key("in_flight", owner), {delivery: 1})


async def endpoint_with_nothing_to_do(sound: Sound) -> None:
    await sound.redis.zadd(sound.keys.deliveries.key("endpoints"), {_delivery(sound)[0]: 1})


async def webhook_never_came(sound: Sound) -> None:
    del sound.journal.receipts[sound.receipt(sound.published[0])]


async def webhook_came_twice(sound: Sound) -> None:
    sound.journal.receipts.append(sound.journal.receipts[sound.receipt(sound.published[0])])


async def webhook_under_another_id(sound: Sound) -> None:
    at = sound.receipt(sound.published[0])
    sound.journal.receipts.append(replace(sound.journal.receipts[at], webhook_id="msg_other"))


async def webhook_unsigned(sound: Sound) -> None:
    at = sound.receipt(sound.published[0])
    sound.journal.receipts[at] = replace(sound.journal.receipts[at], signed=False)


async def webhook_to_somebody_else(sound: Sound) -> None:
    write = sound.published[0]
    other = next(one for one in sound.journal.subscribers if not one.asked_for(write))
    received = sound.journal.receipts[sound.receipt(write)]
    sound.journal.receipts.append(replace(received, path=other.path))


async def webhook_of_an_earlier_version_last(sound: Sound) -> None:
    for write in sound.retracted:
        told = [receipt for receipt in sound.journal.receipts if receipt.article == write.article]
        for receipt in told:
            if receipt.rank < write.rank and any(
                later.path == receipt.path and later.rank == write.rank for later in told
            ):
                sound.journal.receipts.remove(receipt)
                sound.journal.receipts.append(replace(receipt, at=receipt.at + 3600))
                return
    raise AssertionError("no retraction was told")


async def history_removed(sound: Sound, until: float | None = None) -> None:
    """Remove the records of deliveries that ended up to a time (by default all), as a service does for a busy subscription."""
    newest: dict[str, int] = {}
    for identity, fields in (await sound.found()).deliveries.items():
        ended, owner = int(fields["ended"]), fields["subscription"]
        if until is None or ended <= until * 1000:
            newest[owner] = max(newest.get(owner, 0), ended)
            await sound.redis.delete(sound.keys.deliveries.key("delivery", identity))
    for owner, ended in newest.items():
        mapping = {"removed": 1, "removed_until": ended}
        await sound.redis.hset(sound.keys.deliveries.key("history", owner), mapping=mapping)


async def delivery_gone_that_ended_after_what_was_removed(sound: Sound) -> None:
    received = sound.journal.receipts[sound.receipt(sound.published[0])]
    await history_removed(sound, until=received.at - 0.1)
    await delivery_gone(sound)


async def webhook_never_came_and_history_removed(sound: Sound) -> None:
    await history_removed(sound)
    del sound.journal.receipts[sound.receipt(sound.published[0])]


async def retraction_never_came_and_history_removed(sound: Sound) -> None:
    await history_removed(sound)
    for write in sound.retracted:
        told = [at for at, receipt in enumerate(sound.journal.receipts) if receipt.event == write.event]
        if told:
            del sound.journal.receipts[told[0]]
            return
    raise AssertionError("no retraction was told")


def missed(place: int) -> Damage:
    async def event_missed(sound: Sound) -> None:
        heard = sound.journal.readings[place].heard
        stands = [entry.event for entry in (await sound.found()).entries]
        del heard[next(at for at in reversed(range(1, len(heard))) if heard[at].event in stands)]

    return event_missed


def repeated(place: int) -> Damage:
    async def event_repeated(sound: Sound) -> None:
        sound.journal.readings[place].heard.append(sound.journal.readings[place].heard[0])

    return event_repeated


def swapped(place: int) -> Damage:
    async def events_swapped(sound: Sound) -> None:
        heard = sound.journal.readings[place].heard
        stands = [entry.event for entry in (await sound.found()).entries]
        one, other = [at for at, what in enumerate(heard) if what.event in stands][1:3]
        heard[one], heard[other] = heard[other], heard[one]

    return events_swapped


def of_nobody(place: int) -> Damage:
    async def event_of_nobody(sound: Sound) -> None:
        sound.journal.readings[place].heard.append(Heard("99999999999999-0", "stranger.1"))

    return event_of_nobody


async def event_of_another_category(sound: Sound) -> None:
    write = next(write for write in sound.journal.writes if write.category == "Desk 0")
    sound.journal.readings[2].heard.append(Heard("99999999999999-0", write.event))


@pytest.mark.parametrize(
    ("damage", "wrong", "place"),
    [
        (record_gone, Wrong.LOST, "record"),
        (record_behind, Wrong.LOST, "record"),
        (record_not_retracted, Wrong.STALE, "record"),
        (record_not_listed, Wrong.LOST, "list of articles"),
        (record_of_nobody, Wrong.UNASKED, "record"),
        (document_gone, Wrong.LOST, "version documents"),
        (document_of_a_retracted_article, Wrong.NOT_ERASED, "version documents"),
        (document_mixed_up, Wrong.CORRUPT, "version document"),
        (entry_gone, Wrong.LOST, "stream"),
        (entry_twice, Wrong.DOUBLED, "stream"),
        (entry_of_a_retracted_article, Wrong.NOT_ERASED, "stream"),
        (entry_of_nobody, Wrong.UNASKED, "stream"),
        (group_gone, Wrong.LOST, "group search"),
        (group_with_pending, Wrong.PENDING, "group notify"),
        (group_behind, Wrong.PENDING, "group search"),
        (checkpoint_behind, Wrong.STALE, "group notify"),
        (dead_letter, Wrong.DEAD, "dead letters of search"),
        (not_indexed, Wrong.LOST, "index"),
        (indexed_behind, Wrong.STALE, "index"),
        (retracted_yet_indexed, Wrong.STALE, "index"),
        (indexed_for_nobody, Wrong.UNASKED, "index"),
        (delivery_gone, Wrong.LOST, "deliveries"),
        (delivery_gone_that_ended_after_what_was_removed, Wrong.LOST, "deliveries"),
        (webhook_never_came_and_history_removed, Wrong.LOST, "deliveries"),
        (retraction_never_came_and_history_removed, Wrong.LOST, "deliveries"),
        (delivery_waiting, Wrong.PENDING, "deliveries"),
        (delivery_claimed, Wrong.CLAIMED, "deliveries"),
        (delivery_dead, Wrong.DEAD, "deliveries"),
        (delivery_for_nobody, Wrong.UNASKED, "deliveries"),
        (lease_of_an_ended_delivery, Wrong.CLAIMED, "queue of"),
        (endpoint_with_nothing_to_do, Wrong.PENDING, "endpoints"),
        (webhook_never_came, Wrong.LOST, "receiver"),
        (webhook_came_twice, Wrong.DOUBLED, "receiver"),
        (webhook_under_another_id, Wrong.DOUBLED, "receiver"),
        (webhook_unsigned, Wrong.CORRUPT, "receiver"),
        (webhook_to_somebody_else, Wrong.UNASKED, "receiver"),
        (webhook_of_an_earlier_version_last, Wrong.DISORDERED, "receiver"),
        (missed(0), Wrong.LOST, "live stream"),
        (missed(1), Wrong.LOST, "pull"),
        (repeated(0), Wrong.DOUBLED, "live stream"),
        (repeated(1), Wrong.DOUBLED, "pull"),
        (swapped(0), Wrong.DISORDERED, "live stream"),
        (swapped(1), Wrong.DISORDERED, "pull"),
        (event_of_another_category, Wrong.UNASKED, "live stream of Desk 1"),
        (of_nobody(0), Wrong.UNASKED, "live stream"),
        (of_nobody(1), Wrong.UNASKED, "pull"),
    ],
)
async def test_injected_damage_is_detected(sound: Sound, damage: Damage, wrong: Wrong, place: str) -> None:
    await damage(sound)
    named = differences(sound.journal, await sound.found())
    assert (wrong, place) in {(difference.wrong, difference.place.split(" sub_")[0]) for difference in named}, named


async def test_repeats_are_allowed_up_to_the_limit_of_the_drill(sound: Sound) -> None:
    await webhook_came_twice(sound)
    assert differences(sound.journal, await sound.found(), repeats_allowed=1) == []


async def test_removed_history_does_not_count_as_lost(sound: Sound) -> None:
    ends = sorted(int(fields["ended"]) for fields in (await sound.found()).deliveries.values())
    await history_removed(sound, until=ends[len(ends) // 2] / 1000)
    half = await sound.found()
    assert len(ends) // 3 < len(half.deliveries) < len(ends)
    assert differences(sound.journal, half) == []
    await history_removed(sound)
    none = await sound.found()
    assert none.deliveries == {}
    assert differences(sound.journal, none) == []
