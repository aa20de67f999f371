"""Subscribers of newsletters in a backup: what is derived from them is rebuilt, and who was erased meanwhile does not come back."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.backup_file import Record
from newswire_notify.newsletters.backup import attach_subscribers
from newswire_notify.newsletters.models import Subscriber, SubscriberState
from newswire_notify.newsletters.repository import Newsletters
from newswire_operations.backup.redis_records import read_all_except
from newswire_operations.backup.restore import restore_backup
from newswire_operations.backup.write import write_backup
from newswire_operations.stores import Stores
from tests.notify.conftest import Clock, Desk
from tests.notify.newsletters.conftest import House, opened_house
from tests.notify.newsletters.mail_server import MailServer
from tests.notify.newsletters.test_digest_planning import plan
from tests.notify.newsletters.test_digests import daily_reader, publish, titles

pytestmark = pytest.mark.slow


@pytest.fixture
def elsewhere(namespace: str) -> Keyspace:
    return Keyspace(f"{namespace}-restored")


@pytest.fixture
async def restored(
    redis: Redis, elsewhere: Keyspace, clock: Clock, desk: Desk, mail: MailServer
) -> AsyncIterator[House]:
    """Another house, in which backups are restored."""
    async with opened_house(redis, elsewhere, clock, desk, mail) as opened:
        yield opened


async def back_up(house: House, file: Path) -> None:
    await write_backup(
        Stores(house.redis, house.redis, house.keys),
        file.with_suffix(".draft"),
        file,
        lambda title, total: nullcontext(lambda: None),
    )


async def restore(redis: Redis, keys: Keyspace, file: Path, clock: Callable[[], float] = time.time) -> int:
    for name in [name async for name in redis.scan_iter(f"*{keys.namespace}*")]:
        await redis.unlink(name)
    await restore_backup(Stores(redis, redis, keys), file, lambda: None)
    return await attach_subscribers(redis, keys, clock)


async def memberships(redis: Redis, keys: Keyspace) -> dict[str, Any]:
    """What is derived from the records of subscribers, without empty counts."""
    names = Newsletters(redis, keys).keys
    found: dict[str, Any] = {}
    for family in ("newsletter_members", "newsletter_audience"):
        async for name in redis.scan_iter(names.key(family, "*")):
            found[name.decode().removeprefix(names.prefix)] = sorted(await redis.zrange(name, 0, -1, withscores=True))
    for family in ("newsletter_addresses", "newsletter_counts"):
        async for name in redis.scan_iter(names.key(family, "*")):
            fields = await redis.hgetall(name)
            kept = {field: value for field, value in fields.items() if value != b"0"}
            found[name.decode().removeprefix(names.prefix)] = kept
    return found


async def test_a_backup_keeps_readers_their_consent_and_what_hangs_on_them(
    house: House, restored: House, tmp_path: Path
) -> None:
    newsletter = await house.create()
    await house.sign_up("confirmed@example.org", cadence="daily", topics="Ferries")
    await house.sign_up("pending@example.org")
    [confirmation, _] = await house.send()
    path = confirmation.text.partition("https://news.example")[2].split()[0]
    assert (await house.http.post(path)).status_code == 200
    instant = await house.reader(newsletter, "instant@example.org")
    gone = await house.reader(newsletter, "gone@example.org")
    erased = await house.reader(newsletter, "erased@example.org")
    await house.parts.signup.unsubscribe(gone.id)
    await house.parts.subscribers.erase(erased)
    await back_up(house, tmp_path / "file")

    assert await restore(house.redis, restored.keys, tmp_path / "file") == 4
    assert await memberships(house.redis, restored.keys) == await memberships(house.redis, house.keys)
    store = restored.parts.subscribers
    for address in ("confirmed@example.org", "pending@example.org", "instant@example.org", "gone@example.org"):
        before = await house.parts.subscribers.by_address(newsletter, address)
        assert before is not None
        assert await store.by_address(newsletter, address) == before
    confirmed = await store.by_address(newsletter, "confirmed@example.org")
    assert confirmed is not None
    assert {"asked", "given"} <= confirmed.consent.keys()
    hashes = store.hashes
    assert await store.suppression(newsletter.id, await hashes.of("erased@example.org")) == "erased"
    assert await store.suppression(newsletter.id, await hashes.of("gone@example.org")) == "unsubscribed"
    assert await restored.state(instant) == "active"
    schedule = "newsletter_schedule"
    assert await house.redis.zrange(
        restored.parts.newsletters.keys.key(schedule), 0, -1, withscores=True
    ) == await house.redis.zrange(house.parts.newsletters.keys.key(schedule), 0, -1, withscores=True)


async def test_readers_who_leave_while_a_backup_is_made_are_not_restored(
    house: House, restored: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newsletter = await house.create()
    doomed = await house.reader(newsletter, "doomed@example.org", "daily")
    left = await house.reader(newsletter, "left@example.org")
    stays = await house.reader(newsletter, "stays@example.org")
    waiting: list[Subscriber] = [doomed, left]

    async def meanwhile(*parts: Any) -> AsyncIterator[Record]:
        """Let readers leave once all of it was read."""
        async for record in read_all_except(*parts):
            yield record
        while waiting:
            found = waiting.pop()
            if found is doomed:
                await house.parts.subscribers.erase(found)
            else:
                await house.parts.signup.unsubscribe(found.id)

    monkeypatch.setattr("newswire_operations.backup.write.read_all_except", meanwhile)
    await back_up(house, tmp_path / "file")
    assert waiting == []
    assert await restore(house.redis, restored.keys, tmp_path / "file") == 2
    assert await restored.state(doomed) == "erased"
    assert await restored.parts.subscribers.by_address(newsletter, "doomed@example.org") is None
    assert b"doomed@example.org" not in await everything(house.redis, restored.keys)
    await house.desk.publish("a1")
    assert await restored.state(stays) == "active"
    store = restored.parts.subscribers
    assert await store.suppression(newsletter.id, left.address_hash) == "unsubscribed"


async def everything(redis: Redis, keys: Keyspace) -> bytes:
    return b"".join([await redis.dump(name) or b"" async for name in redis.scan_iter(f"*{keys.namespace}*newsletter*")])


async def test_attaching_is_safe_for_records_that_contradict_each_other(house: House) -> None:
    newsletter = await house.create()
    first = await house.reader(newsletter, "twice@example.org")
    pending = await house.reader(newsletter, "pending@example.org", state=SubscriberState.PENDING)
    keys = house.parts.newsletters.keys
    for name, changes in (
        ("sr_copy", {}),  # another record of one address
        ("sr_orphan", {"newsletter": "nl_unknown"}),
        ("sr_broken", {"state": ""}),
    ):
        fields = await house.redis.hgetall(keys.key("newsletter_subscriber", first.id))
        await house.redis.hset(keys.key("newsletter_subscriber", name), mapping=fields | changes | {"id": name})
    await house.redis.hdel(keys.key("newsletter_subscriber", "sr_broken"), "state")
    await house.redis.delete(keys.key("newsletter_expiring"))
    assert await attach_subscribers(house.redis, house.keys) == 2
    assert await house.parts.newsletters.counts(newsletter.id) == {"active": 1, "pending": 1}
    assert await house.redis.zscore(keys.key("newsletter_expiring"), pending.id) is not None
    assert await attach_subscribers(house.redis, house.keys) == 2  # again, it changes nothing
    assert await house.parts.newsletters.counts(newsletter.id) == {"active": 1, "pending": 1}


async def test_who_came_back_after_an_erasure_is_restored(house: House) -> None:
    newsletter = await house.create()
    reader = await house.reader(newsletter, "reader@example.org")
    await house.parts.subscribers.erase(reader)
    house.clock.now += 60
    again = await house.reader(newsletter, "reader@example.org", state=SubscriberState.PENDING)
    assert await attach_subscribers(house.redis, house.keys) == 1
    assert await house.state(again) == "pending"


async def test_a_backup_of_an_earlier_release_holds_what_is_rebuilt(
    house: House, restored: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newsletter = await house.create()
    await house.reader(newsletter, "reader@example.org")
    monkeypatch.setattr("newswire_operations.backup.write.REBUILT", frozenset())
    await back_up(house, tmp_path / "file")
    assert await restore(house.redis, restored.keys, tmp_path / "file") == 1
    assert await restored.parts.newsletters.counts(newsletter.id) == {"active": 1}


async def take_articles(house: House, *articles: str) -> dict[str, tuple[bytes, bytes]]:
    """Remove the records of articles and the stream, and return the former: each article's state and its first version."""
    found = {}
    for each in articles:
        names = (house.keys.article(each), house.keys.version(each, 1))
        state, version = [await house.redis.dump(name) for name in names]
        assert state is not None
        assert version is not None
        found[each] = (state, version)
        await house.redis.delete(*names)
    await house.redis.delete(house.keys.stream)
    return found


async def put_articles(redis: Redis, keys: Keyspace, articles: dict[str, tuple[bytes, bytes]]) -> None:
    for each, dumped in articles.items():
        for name, content in zip((keys.article(each), keys.version(each, 1)), dumped, strict=True):
            await redis.restore(name, 0, content, replace=True)


@pytest.mark.parametrize("steps", [0, 1, 9])
async def test_no_reader_gets_a_date_twice_after_a_restore_and_none_is_left_out(
    house: House, elsewhere: Keyspace, clock: Clock, desk: Desk, mail: MailServer, tmp_path: Path, steps: int
) -> None:
    """The backup is made before, in the middle of, or after the planning of a digest, which is sent afterwards."""
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    addresses = sorted(f"r{number}@example.org" for number in range(5))
    for address in addresses:
        await daily_reader(house, newsletter, address)
    await publish(house, 1)
    await publish(house, 2, silent=True)
    house.set_time("2026-11-27T07:00:00+01:00")
    await plan(house, steps)
    articles = await take_articles(house, "a1", "a2")  # they are restored by another part
    await back_up(house, tmp_path / "file")
    await put_articles(house.redis, house.keys, articles)
    house.set_time("2026-11-27T07:10:00+01:00")
    assert sorted(each.recipient for each in await house.send()) == addresses
    house.set_time("2026-11-27T08:00:00+01:00")
    assert await restore(house.redis, elsewhere, tmp_path / "file", clock) == 5
    await put_articles(house.redis, elsewhere, articles)
    async with opened_house(house.redis, elsewhere, clock, desk, mail) as restored:
        for hour in range(8, 24, 3):
            restored.set_time(f"2026-11-27T{hour:02}:00:00+01:00")
            assert await restored.send() == []
        added = {"newsletter": newsletter.id, "article": "a2", "topics": "[]", "corrected": False}
        await restored.parts.newsletters.call("add_item", **added)
        restored.set_time("2026-11-28T07:00:00+01:00")
        mails = await restored.send()
        assert sorted(each.recipient for each in mails) == addresses
        # What was not sent when the backup was made comes with the next digest.
        assert {tuple(titles(each)) for each in mails} == {("No 2", "No 1")}
        assert await restored.send() == []


async def test_items_after_a_restore_get_numbers_that_no_reader_has_had(
    house: House, restored: House, clock: Clock, tmp_path: Path
) -> None:
    """The number of the newest item is read into the backup before items are added, and the reader after these were sent."""
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    reader = await daily_reader(house, newsletter)
    keys = house.parts.newsletters.keys
    await house.redis.hset(keys.key("newsletter_subscriber", reader.id), "seq", 40)
    await house.redis.hset(keys.key("newsletter_seq"), newsletter.id, 38)
    await back_up(house, tmp_path / "file")
    assert await restore(house.redis, restored.keys, tmp_path / "file", clock) == 1
    added = {"newsletter": newsletter.id, "article": "a1", "topics": "[]", "corrected": False}
    assert await restored.parts.newsletters.call("add_item", **added) == b"41"
