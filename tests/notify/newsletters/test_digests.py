"""Digests: due at the reader's hour, once a date, with what matched since the last one."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.object_storage.folder import FolderStorage
from newswire.storage import document_archive
from newswire.storage.article_records import compressed, unpacked_size
from newswire_notify.newsletters.items import Items, NumberedItems
from newswire_notify.newsletters.models import Newsletter, Subscriber
from tests.notify.conftest import Clock, Desk
from tests.notify.newsletters.conftest import House, link_in, opened_house
from tests.notify.newsletters.mail_server import MailServer, ReceivedMail


def titles(mail: ReceivedMail) -> list[str]:
    """Return the titles of the articles in a mail, in its order."""
    return re.findall(r"No \d+", mail.text.partition("-- ")[0])


async def publish(house: House, *numbers: int, **changes: Any) -> None:
    for number in numbers:
        await house.desk.publish(f"a{number}", title=f"No {number}", text="Text.", **changes)


async def daily_reader(
    house: House,
    newsletter: Newsletter,
    address: str = "reader@example.org",
    hour: int = 7,
    zone: str = "Europe/Berlin",
    **choices: Any,
) -> Subscriber:
    return await house.reader(newsletter, address, "daily", hour=hour, zone=zone, **choices)


async def test_a_digest_comes_at_the_readers_hour_with_what_is_new(house: House) -> None:
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    await publish(house, 1)  # before the reader was there
    await daily_reader(house, newsletter)
    await daily_reader(house, newsletter, "tokyo@example.org", zone="Asia/Tokyo")
    await publish(house, 2, 3)
    assert await house.send() == []
    house.set_time("2026-11-26T22:59:00+00:00")  # 07:59 in Tokyo
    [tokyo] = await house.send()
    assert (tokyo.recipient, titles(tokyo)) == ("tokyo@example.org", ["No 3", "No 2"])
    assert tokyo.message["Subject"] == "Ferry News: No 3"
    await publish(house, 4)
    house.set_time("2026-11-27T06:59:00+01:00")
    assert await house.send() == []
    house.set_time("2026-11-27T07:00:00+01:00")
    [berlin] = await house.send()
    assert titles(berlin) == ["No 4", "No 3", "No 2"]
    assert await house.send() == []
    house.set_time("2026-11-28T07:00:00+09:00")
    assert [titles(mail) for mail in await house.send()] == [["No 4"]]  # in Tokyo


async def test_a_digest_waits_for_texts_that_are_in_an_archive(
    redis: Redis,
    keys: Keyspace,
    clock: Clock,
    desk: Desk,
    mail: MailServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(document_archive, "FAILING_SECONDS", 0.0)
    storage = FolderStorage(tmp_path / "archive")
    async with opened_house(redis, keys, clock, desk, mail, archive_url=(tmp_path / "archive").as_uri()) as house:
        house.set_time("2026-11-26T12:00:00+01:00")
        await daily_reader(house, await house.create())
        await publish(house, 1, 2)
        await storage.write(document_archive.MARKER, b"x")
        for article in ("a1", "a2"):
            text = compressed(await redis.hget(keys.version(article, 1), "document"))
            pointer = document_archive.Pointer.to(text, unpacked_size(text))
            await storage.write(pointer.path(article, 1), text)
            await redis.hset(keys.version(article, 1), "document", pointer.written())
        (tmp_path / "archive").rename(tmp_path / "away")
        house.set_time("2026-11-27T07:00:00+01:00")
        assert await house.send() == []
        (tmp_path / "away").rename(tmp_path / "archive")
        house.clock.now += 600
        assert [titles(each) for each in await house.send()] == [["No 2", "No 1"]]


async def test_nothing_new_means_no_mail(house: House) -> None:
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    await daily_reader(house, newsletter)
    for day in range(27, 31):
        house.set_time(f"2026-11-{day}T07:00:00+01:00")
        assert await house.send() == []
    await publish(house, 1)
    house.set_time("2026-12-01T07:00:00+01:00")
    assert len(await house.send()) == 1


async def test_a_late_digest_is_sent_within_six_hours_and_merged_after_that(house: House) -> None:
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    await daily_reader(house, newsletter)
    await publish(house, 1)
    house.set_time("2026-11-27T12:59:00+01:00")
    assert [titles(mail) for mail in await house.send()] == [["No 1"]]
    await publish(house, 2)
    house.set_time("2026-11-28T13:01:00+01:00")  # six hours and a minute late
    assert await house.send() == []
    await publish(house, 3)
    house.set_time("2026-11-29T07:00:00+01:00")
    assert [titles(mail) for mail in await house.send()] == [["No 3", "No 2"]]
    # Days without a worker: one digest, with all of it.
    await publish(house, 4)
    house.set_time("2026-12-05T07:30:00+01:00")
    assert [titles(mail) for mail in await house.send()] == [["No 4"]]


async def test_never_two_digests_for_one_date_whatever_the_reader_changes(house: House) -> None:
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    reader = await daily_reader(house, newsletter)
    await publish(house, 1)
    house.set_time("2026-11-27T07:00:00+01:00")
    [first] = await house.send()
    path = link_in(first, "preferences")
    await publish(house, 2)
    for hour, zone in ((9, "Europe/Berlin"), (20, "Europe/Berlin"), (10, "America/New_York"), (23, "Pacific/Honolulu")):
        saved = await house.http.post(path, data={"hour": str(hour), "zone": zone, "cadence": "daily"})
        assert saved.status_code == 200
        for step in range(12):
            house.clock.now = datetime.fromisoformat("2026-11-27T07:00:00+01:00").timestamp() + step * 3600
            assert await house.send() == []
    await house.http.post(path, data={"hour": "20", "zone": "Europe/Berlin", "cadence": "daily"})
    house.set_time("2026-11-28T20:00:00+01:00")
    assert [titles(mail) for mail in await house.send()] == [["No 2"]]
    found = await house.parts.subscribers.get(reader.id)
    assert found is not None
    assert str(found.last_date) == "2026-11-28"


async def test_two_processes_open_one_digest(house: House) -> None:
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    await daily_reader(house, newsletter)
    await publish(house, 1)
    house.set_time("2026-11-27T07:00:00+01:00")
    name = house.parts.newsletters.keys.key("newsletter_schedule")
    [(member, due)] = await house.redis.zrange(name, 0, -1, withscores=True)
    assert len(await house.send()) == 1
    await house.redis.zadd(name, {member: due})  # as another process saw it a moment ago
    assert await house.send() == []


async def test_the_clocks_change_and_every_date_has_one_digest(house: House) -> None:
    house.set_time("2026-03-27T12:00:00+00:00")
    newsletter = await house.create()
    await daily_reader(house, newsletter, hour=2)
    number = 0
    for hour in range(24 * 4):
        if hour % 6 == 0:
            number += 1
            await publish(house, number)
        await house.send()
        house.clock.now += 3600
    dates = [mail.message["Date"].datetime.date() for mail in house.mail.got]
    assert len(dates) == len(set(dates)) == 4
    seen = [title for mail in house.mail.got for title in reversed(titles(mail))]
    assert seen == [f"No {each}" for each in range(1, len(seen) + 1)]


async def test_topics_choose_what_is_in_a_digest(house: House) -> None:
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    await daily_reader(house, newsletter, "ferries@example.org", topics=("Ferries",))
    await daily_reader(house, newsletter, "bridges@example.org", topics=("Bridges",))
    await publish(house, 1, topics=["Ferries"])
    await publish(house, 2, topics=["Weather"])
    house.set_time("2026-11-27T07:00:00+01:00")
    mails = await house.send()
    assert [(mail.recipient, titles(mail)) for mail in mails] == [("ferries@example.org", ["No 1"])]


async def test_retracted_articles_drop_out_and_corrections_are_told(house: House) -> None:
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    await daily_reader(house, newsletter)
    await publish(house, 1, 2, 3)
    await house.desk.retract("a2")
    house.set_time("2026-11-27T07:00:00+01:00")
    assert [titles(mail) for mail in await house.send()] == [["No 3", "No 1"]]
    await house.desk.publish("a1", 2, title="No 1", text="Text.", kind="corrected", correction_note="It left at nine.")
    await publish(house, 4)
    house.set_time("2026-11-28T07:00:00+01:00")
    [mail] = await house.send()
    assert titles(mail) == ["No 4", "No 1"]
    assert "Corrections" in mail.text
    assert "It left at nine." in mail.text
    archive = (await house.http.get("/newsletters/ferries/archive")).text
    assert "No 2" not in archive
    feed = await house.http.get("/newsletters/ferries/archive.atom")
    assert feed.headers["Content-Type"].startswith("application/atom+xml")
    assert "No 2" not in feed.text
    assert feed.text.count("<entry>") == 3


async def test_a_paused_reader_gets_it_all_afterwards(house: House) -> None:
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    reader = await daily_reader(house, newsletter)
    await house.parts.subscribers.change(reader, paused_until=str(int((house.clock.now + 2 * 86_400) * 1000)))
    await publish(house, 1)
    house.set_time("2026-11-27T07:00:00+01:00")
    assert await house.send() == []
    await publish(house, 2)
    house.set_time("2026-11-29T07:00:00+01:00")
    assert [titles(mail) for mail in await house.send()] == [["No 2", "No 1"]]


async def test_a_long_digest_stays_small_and_says_how_much_is_missing(house: House) -> None:
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    await daily_reader(house, newsletter)
    for number in range(40):
        await house.desk.publish(f"a{number}", title=f"No {number} {'ü' * 250}", summary="word " * 300, text="Text.")
    house.set_time("2026-11-27T07:00:00+01:00")
    [mail] = await house.send()
    assert len(mail.part("html").encode()) < 60_000
    shown = len(titles(mail))
    assert 5 < shown <= 25
    assert f"And {40 - shown} more" in mail.text


async def test_readers_of_one_batch_get_what_is_new_to_each_of_them(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They differ in their topics and in their last digest; what they have in common is read once."""
    house.set_time("2026-11-26T12:00:00+01:00")
    newsletter = await house.create()
    await daily_reader(house, newsletter, "all@example.org")
    await daily_reader(house, newsletter, "ferries@example.org", topics=("Ferries",))
    await publish(house, 1, topics=["Ferries"])
    await publish(house, 2, topics=["Weather"])
    await daily_reader(house, newsletter, "later@example.org")
    await daily_reader(house, newsletter, "later-ferries@example.org", topics=("Ferries", "Bridges"))
    await publish(house, 3, topics=["Ferries"])
    await publish(house, 4, topics=["Weather"])
    await house.desk.publish(
        "a1", 2, title="No 1", text="T.", topics=["Ferries"], kind="corrected", correction_note="!"
    )
    await house.desk.retract("a4")
    reads: list[object] = []
    numbered = Items.numbered

    async def counted(self: Items, *about: Any) -> NumberedItems:
        reads.append(about)
        return await numbered(self, *about)

    monkeypatch.setattr(Items, "numbered", counted)
    house.set_time("2026-11-27T07:00:00+01:00")
    found = {mail.recipient: titles(mail) for mail in await house.send()}
    assert found == {
        "all@example.org": ["No 3", "No 2", "No 1"],
        "ferries@example.org": ["No 3", "No 1"],
        "later@example.org": ["No 3", "No 1"],
        "later-ferries@example.org": ["No 3", "No 1"],
    }
    assert len(reads) <= 2  # the second one where the first mail is that of a later reader
