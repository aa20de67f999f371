"""Subscribers of newsletters in a backup: what is derived from them is rebuilt, and who was erased meanwhile does not come back."""

from collections.abc import AsyncIterator
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


async def restore(redis: Redis, keys: Keyspace, file: Path) -> int:
    for name in [name async for name in redis.scan_iter(f"*{keys.namespace}*")]:
        await redis.unlink(name)
    await restore_backup(Stores(redis, redis, keys), file, lambda: None)
    return await attach_subscribers(redis, keys)


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
