"""Planning of digests while things go wrong: kills, deletions, delays, and two processes at once."""

import asyncio
import random
import sys
from asyncio.subprocess import PIPE
from typing import Any

from newswire.auth.accounts import entitle_account
from newswire.filters import Filter
from newswire.keys import Keyspace
from newswire_notify.newsletters.issues import MailState, digest_id
from newswire_notify.newsletters.models import Newsletter
from newswire_notify.newsletters.schedule import DigestTime, last_occurrence
from tests.notify.newsletters.conftest import House
from tests.notify.newsletters.test_digests import daily_reader, publish, titles

GROUP = DigestTime("Europe/Berlin", 7).group


async def readers(house: House, newsletter: Newsletter, count: int) -> set[str]:
    """Add readers, and return their addresses."""
    addresses = {f"r{number}@d{number % 3}.example" for number in range(count)}
    for address in sorted(addresses):
        await daily_reader(house, newsletter, address)
    return addresses


async def plan(house: House, steps: int | None = None, size: int = 2) -> None:
    """Open what is due, and plan so many steps, or all."""
    while await house.parts.digests.step():
        pass
    while steps != 0 and await house.parts.queue.expand_next(size):
        steps = steps and steps - 1


def todays(newsletter: Newsletter, house: House) -> str:
    """Return the id of the digest of the group that was due last."""
    last = last_occurrence(DigestTime.of_group(GROUP), house.parts.subscribers.now)
    assert last is not None
    return digest_id(newsletter.id, GROUP, last.local_date)


async def keys_left(house: House) -> set[str]:
    prefix = house.parts.newsletters.keys.prefix
    names = [name.decode().removeprefix(prefix) async for name in house.redis.scan_iter(f"{prefix}newsletter*")]
    return {name.partition(":")[0] for name in names}


async def test_planning_is_killed_again_and_again_and_every_reader_gets_one_digest(
    house: House, redis_url: str, keys: Keyspace
) -> None:
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    addresses = await readers(house, newsletter, 60)
    await publish(house, 1)
    house.set_time("2026-11-27T07:00:00+01:00")
    dice, kills = random.Random(1), 0
    while True:
        command = [sys.executable, "-m", "tests.faults.digest_planner", redis_url, keys.namespace, f"{house.clock.now}"]
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        assert process.stdout is not None
        async with asyncio.timeout(60):
            seen = await process.stdout.read(dice.randint(1, 5))
            if seen:
                process.kill()
                kills += 1
            code = await process.wait()
        if not seen:
            assert code == 0
            break
    assert kills >= 3
    mails = await house.send()
    assert sorted(mail.recipient for mail in mails) == sorted(addresses)
    issue = await house.parts.queue.issue(todays(newsletter, house))
    assert issue is not None
    assert issue.counts == {"planned": 60, "accepted": 60}
    house.set_time("2026-11-27T12:00:00+01:00")
    assert await house.send() == []


async def test_a_deleted_newsletter_stops_in_the_middle_and_leaves_nothing(house: House) -> None:
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter, other = await house.create(), await house.create(slug="bridges")
    await readers(house, newsletter, 9)
    await daily_reader(house, other, "other@example.org")
    await publish(house, 1)
    house.set_time("2026-11-27T07:00:00+01:00")
    await plan(house, steps=1, size=5)
    answer = await house.http.delete(f"/v1/newsletters/{newsletter.id}", headers=house.key)
    assert answer.status_code == 204
    assert [mail.recipient for mail in await house.send()] == ["other@example.org"]
    assert await house.parts.queue.waiting() == 0
    assert await house.parts.queue.issue(todays(newsletter, house)) is None
    assert await house.parts.newsletters.counts(newsletter.id) == {}
    house.set_time("2026-11-28T07:00:00+01:00")
    await publish(house, 2)
    assert [mail.recipient for mail in await house.send()] == ["other@example.org"]
    await house.http.delete(f"/v1/newsletters/{other.id}", headers=house.key)
    await house.send()
    house.set_time("2026-11-29T07:00:00+01:00")
    await house.send()
    kept = {"newsletter", "newsletter_slugs", "newsletters_changed", "newsletter_pepper"}
    assert await keys_left(house) <= kept


async def test_a_digest_that_was_planned_in_part_before_a_long_outage_is_left_to_the_next_one(house: House) -> None:
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    addresses = await readers(house, newsletter, 6)
    await publish(house, 1)
    house.set_time("2026-11-27T07:00:00+01:00")
    await plan(house, steps=1)
    early = {mail.recipient for mail in await _sent(house)}
    assert len(early) == 2
    house.set_time("2026-11-27T20:00:00+01:00")
    assert await house.send() == []
    await publish(house, 2)
    house.set_time("2026-11-28T07:00:00+01:00")
    mails = {mail.recipient: titles(mail) for mail in await house.send()}
    assert mails == {each: ["No 2"] if each in early else ["No 2", "No 1"] for each in addresses}


async def _sent(house: House) -> list[Any]:
    before = len(house.mail.got)
    await house.parts.workers.send_due()
    return house.mail.got[before:]


async def test_two_processes_plan_one_digest_at_the_same_time(house: House) -> None:
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    addresses = await readers(house, newsletter, 20)
    await publish(house, 1)
    house.set_time("2026-11-27T07:00:00+01:00")
    await asyncio.gather(plan(house, size=3), plan(house, size=4))
    assert sorted(mail.recipient for mail in await house.send()) == sorted(addresses)


async def test_a_reader_who_signs_up_while_the_digest_is_planned_gets_the_next_one(house: House) -> None:
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    await readers(house, newsletter, 4)
    await publish(house, 1)
    house.set_time("2026-11-27T07:00:00+01:00")
    await plan(house, steps=1)
    await publish(house, 2)
    await daily_reader(house, newsletter, "late@example.org")
    assert "late@example.org" not in [mail.recipient for mail in await house.send()]
    await publish(house, 3)
    house.set_time("2026-11-28T07:00:00+01:00")
    mails = {mail.recipient: titles(mail) for mail in await house.send()}
    assert mails.pop("late@example.org") == ["No 3"]
    assert set(map(tuple, mails.values())) == {("No 3", "No 2")}


async def test_a_group_whose_only_reader_comes_while_it_is_removed_stays_scheduled(house: House) -> None:
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    first = await daily_reader(house, newsletter, "first@example.org")
    await house.parts.subscribers.erase(first)
    house.set_time("2026-11-27T07:00:00+01:00")
    await plan(house)
    await daily_reader(house, newsletter, "second@example.org")
    await publish(house, 1)
    house.set_time("2026-11-28T07:00:00+01:00")
    assert [mail.recipient for mail in await house.send()] == ["second@example.org"]


async def test_no_mail_where_all_articles_drop_out_when_it_is_made(house: House) -> None:
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    reader = await daily_reader(house, newsletter)
    await publish(house, 1, 2, topics=["Ferries"])
    house.set_time("2026-11-27T07:00:00+01:00")
    await plan(house)
    await house.desk.retract("a1")
    await house.desk.retract("a2")
    assert await house.send() == []
    assert await house.parts.queue.state_of(todays(newsletter, house), reader.id) == MailState.EMPTY


async def test_items_that_the_account_is_not_entitled_to_any_more_drop_out_of_a_planned_digest(house: House) -> None:
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    await daily_reader(house, newsletter)
    await publish(house, 1, category="Transport")
    await publish(house, 2, category="Sport")
    house.set_time("2026-11-27T07:00:00+01:00")
    await plan(house)
    await entitle_account(house.redis, house.keys, newsletter.account, Filter(categories=["Transport"]))
    assert [titles(mail) for mail in await house.send()] == [["No 1"]]
