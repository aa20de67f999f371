"""Alerts from the event to the mail server: who gets what, and what happens when the server refuses, defers or breaks off."""

import asyncio
import json
from collections import Counter
from typing import Any

import dkim
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from newswire.auth.accounts import disable_account, enable_account, entitle_account
from newswire.filters import Filter
from newswire.key_families import families_of
from newswire.keys import Keyspace
from newswire_notify.newsletters.dkim import new_key
from newswire_notify.newsletters.issues import alert_id
from newswire_notify.newsletters.keys import FAMILIES
from newswire_notify.newsletters.mail_composer import OutgoingMail
from newswire_notify.newsletters.mail_progress import MailProgressPublisher
from newswire_notify.newsletters.outcome import Outcome, Stage, outcome_of
from newswire_notify.newsletters.smtp_server import SmtpUrlError
from newswire_notify.newsletters.transport import SmtpTransport
from tests.notify.conftest import Clock, Desk
from tests.notify.newsletters.conftest import SITE, House, opened_house
from tests.notify.newsletters.mail_server import BREAK_OFF, MailServer, mail_server
from tests.servers.valkey import free_port

LEASE_SECONDS = 120.0


async def test_an_alert_goes_to_those_who_chose_it(house: House) -> None:
    newsletter = await house.create(filter={"categories": ["transport"]})
    await house.reader(newsletter, "all@example.org")
    await house.reader(newsletter, "ferries@example.org", topics=("Ferries",))
    await house.reader(newsletter, "bridges@example.org", topics=("Bridges",))
    await house.reader(newsletter, "daily@example.org", "daily")
    await house.desk.publish("a1", topics=["ferries"])
    mails = await house.send()
    assert {mail.recipient for mail in mails} == {"all@example.org", "ferries@example.org"}
    await house.desk.publish("a2", category="Sport", topics=["Ferries"])
    assert await house.send() == []
    [mail] = [mail for mail in mails if mail.recipient == "all@example.org"]
    assert mail.message["Subject"] == "The ferry leaves on time"
    assert str(mail.message["List-Id"]).endswith("<ferries.news.example>")
    assert mail.message["Reply-To"] == "desk@harbour.example"
    assert mail.message["Feedback-ID"] == f"instant:{newsletter.id}:harbour.example:newswire"
    assert "https://example.org" in mail.text or "/articles/a1" in mail.text
    html = mail.part("html")
    assert "<script" not in html
    assert len(html) < 60_000


async def test_an_event_that_is_handled_again_sends_nothing_again(house: House) -> None:
    newsletter = await house.create()
    await house.reader(newsletter, "reader@example.org")
    message = await house.desk.put("a1")
    for _ in range(3):
        await house.desk.fan_out([message])
        await house.send()
    assert len(house.mail.got) == 1
    await house.desk.publish("a1", 2, kind="updated")
    await house.desk.publish("a1", 3, kind="corrected")
    assert await house.send() == []
    await house.desk.publish("quiet", silent=True)
    assert await house.send() == []


async def test_a_retracted_article_is_in_no_mail(house: House) -> None:
    newsletter = await house.create()
    await house.reader(newsletter, "reader@example.org")
    await house.desk.publish("a1")
    await house.desk.retract("a1")
    assert await house.send() == []
    issue = alert_id(newsletter.id, "a1", 1)
    assert (await house.parts.queue.issues_of(newsletter.id))[0].counts["cancelled"] == 1
    reader = await house.parts.subscribers.by_address(newsletter, "reader@example.org")
    assert reader is not None
    assert await house.parts.queue.state_of(issue, reader.id) == "cancelled"
    archive = await house.http.get("/newsletters/ferries/archive")
    assert "The ferry leaves" not in archive.text


async def test_an_entitlement_is_checked_again_when_the_mail_is_made(house: House) -> None:
    newsletter = await house.create()
    await house.reader(newsletter, "reader@example.org")
    await house.desk.publish("a1")
    await entitle_account(house.redis, house.keys, "Harbour Post", Filter(categories=["Sport"]))
    assert await house.send() == []
    await house.desk.publish("a2")
    await house.desk.publish("a3", category="Sport", title="A goal")
    assert [mail.message["Subject"] for mail in await house.send()] == ["A goal"]


async def test_mails_of_a_disabled_account_wait(house: House) -> None:
    newsletter = await house.create()
    await house.reader(newsletter, "reader@example.org")
    await house.desk.publish("a1")
    await disable_account(house.redis, house.keys, "Harbour Post")
    assert await house.send() == []
    await enable_account(house.redis, house.keys, "Harbour Post")
    house.clock.now += 301
    assert len(await house.send()) == 1


async def test_a_deleted_newsletter_sends_nothing_in_mid_issue(house: House) -> None:
    newsletter = await house.create()
    readers = [await house.reader(newsletter, f"r{number}@example.org") for number in range(5)]
    await house.desk.publish("a1")
    while await house.parts.queue.expand_next():
        pass
    path = f"/v1/newsletters/{newsletter.id}"
    assert (await house.http.delete(path, headers=house.key)).status_code == 204
    assert await house.send() == []
    assert [await house.state(reader) for reader in readers] == ["erased"] * 5
    assert (await house.http.get(path, headers=house.key)).status_code == 404
    assert (await house.http.get("/newsletters/ferries")).status_code == 410
    assert (await house.http.post("/v1/newsletters", json={}, headers=house.key)).status_code == 422


async def test_mail_that_is_put_off_is_sent_later_as_the_same_message(house: House) -> None:
    newsletter = await house.create()
    for name in ("grey", "lost"):
        await house.reader(newsletter, f"{name}@example.org")
    await house.reader(newsletter, "busy@example.net")
    house.mail.recipient_replies["busy@example.net"] = ["421 4.7.0 slow down"]
    house.mail.recipient_replies["grey@example.org"] = ["451 4.3.0 greylisted", "450 4.2.0 again"]
    house.mail.data_replies["lost@example.org"] = [BREAK_OFF]
    await house.desk.publish("a1")
    await house.send()
    house.clock.now += 61
    await house.send()
    assert Counter(mail.recipient for mail in house.mail.got) == {"lost@example.org": 2, "busy@example.net": 1}
    house.clock.now += 121
    await house.send()
    assert len(house.mail.to("grey@example.org")) == 1
    first, second = house.mail.to("lost@example.org")
    assert first.message["Message-ID"] == second.message["Message-ID"]
    [issue] = await house.parts.queue.issues_of(newsletter.id)
    assert (issue.counts["planned"], issue.counts["accepted"], issue.counts["deferred"]) == (3, 3, 4)
    assert await house.parts.queue.waiting() == 0


async def test_mail_is_given_up_after_three_days(house: House) -> None:
    newsletter = await house.create()
    reader = await house.reader(newsletter, "reader@example.org")
    house.mail.recipient_replies["reader@example.org"] = ["451 4.3.0 later"] * 100
    await house.desk.publish("a1")
    for _ in range(80):
        await house.send()
        house.clock.now += 3600
    assert await house.parts.queue.state_of(alert_id(newsletter.id, "a1", 1), reader.id) == "failed"
    assert await house.state(reader) == "active"
    assert await house.parts.queue.waiting() == 0


async def test_a_mailbox_that_does_not_exist_gets_no_more_mail(house: House) -> None:
    newsletter = await house.create()
    gone = await house.reader(newsletter, "gone@example.org")
    full = await house.reader(newsletter, "full@example.org")
    disabled = await house.reader(newsletter, "disabled@example.org")
    refused = await house.reader(newsletter, "refused@strict.example")
    house.mail.recipient_replies["disabled@example.org"] = ["550 5.2.1 disabled"] * 2
    house.mail.recipient_replies["gone@example.org"] = ["550 5.1.1 no such user"]
    house.mail.recipient_replies["full@example.org"] = ["552 5.2.2 mailbox full"] * 5
    house.mail.recipient_replies["refused@strict.example"] = ["550 5.7.1 your address is on a list"] * 3
    for day in range(5):
        await house.desk.publish(f"a{day}")
        await house.send()
        states = [await house.state(reader) for reader in (gone, disabled, full, refused)]
        expected = ["bounced", "bounced" if day >= 1 else "active", "bounced" if day == 4 else "active", "active"]
        assert states == expected
        house.clock.now += 86_400
    assert await house.parts.subscribers.suppression(newsletter.id, gone.address_hash) is not None
    assert not house.mail.to("gone@example.org")


async def test_the_mails_of_an_alert_are_reported_to_the_publisher(house: House) -> None:
    newsletter = await house.create()
    for name in ("reads", "gone", "busy"):
        await house.reader(newsletter, f"{name}@example.org")
    await house.reader(newsletter, "daily@example.org", "daily")
    house.mail.recipient_replies["gone@example.org"] = ["550 5.1.1 no such user"]
    house.mail.recipient_replies["busy@example.org"] = ["451 4.3.0 later"]
    publisher = MailProgressPublisher(house.parts.queue, house.desk.broker, house.keys, SITE)

    async def reported() -> dict[str, Any] | None:
        await publisher.publish()
        entries = await house.redis.xrevrange(house.keys.outcomes, count=1)
        said = json.loads(entries[0][1][b"__data__"])
        found: dict[str, Any] | None = said["data"] if said["type"] == "newswire.mails.progressed.v1" else None
        return found

    await house.desk.publish("a1")
    await house.send()
    counts = {"planned": 3, "accepted": 1, "deferred": 1, "bounced": 1, "returned": 0, "failed": 0, "cancelled": 0}
    about = {"id": "a1", "version": 1, "event": "a1.1", "newsletter": newsletter.id}
    assert await reported() == about | counts
    house.clock.now += 3600
    await house.send()
    assert await reported() == about | counts | {"accepted": 2}
    assert await publisher.publish() == 0


async def test_readers_are_asked_once_more_before_a_suppressed_address_gets_mail(house: House) -> None:
    newsletter = await house.create()
    reader = await house.reader(newsletter, "reader@example.org")
    await house.parts.bounces.complain(reader.id)
    await house.desk.publish("a1")
    assert await house.send() == []
    await house.sign_up("reader@example.org")
    [confirmation] = await house.send()
    assert "confirm" in confirmation.text
    found = await house.parts.subscribers.by_address(newsletter, "reader@example.org")
    assert found is not None
    assert found.state == "pending"


async def test_a_killed_worker_leaves_one_mail_in_doubt(house: House) -> None:
    newsletter = await house.create()
    for number in range(10):
        await house.reader(newsletter, f"r{number}@example.org")
    await house.desk.publish("a1")
    while await house.parts.queue.expand_next():
        pass
    [in_doubt] = (await house.parts.queue.claim("killed", LEASE_SECONDS, 1)).mails  # and the process is killed here
    await house.send()
    assert len(house.mail.got) == 9
    house.clock.now += LEASE_SECONDS + 1
    await house.send()
    assert Counter(mail.recipient for mail in house.mail.got) == {f"r{number}@example.org": 1 for number in range(10)}
    assert await house.parts.queue.state_of(in_doubt.issue, in_doubt.subscriber) == "accepted"


async def test_who_lost_the_lease_changes_nothing(house: House) -> None:
    from newswire_notify.newsletters.issues import MailResult, MailState

    newsletter = await house.create()
    await house.reader(newsletter, "reader@example.org")
    await house.desk.publish("a1")
    while await house.parts.queue.expand_next():
        pass
    [slow] = (await house.parts.queue.claim("slow", 10, 1)).mails
    house.clock.now += 11
    [fast] = (await house.parts.queue.claim("fast", 10, 1)).mails
    assert fast.in_doubt
    await house.parts.queue.settle([MailResult(slow, MailState.FAILED)])
    assert await house.parts.queue.state_of(fast.issue, fast.subscriber) == "sending"
    await house.parts.queue.settle([MailResult(fast, MailState.ACCEPTED)])
    assert await house.parts.queue.state_of(fast.issue, fast.subscriber) == "accepted"


async def test_mails_wait_while_there_is_no_mail_server(redis: Redis, keys: Keyspace, clock: Clock, desk: Desk) -> None:
    port = free_port()
    async with opened_house(redis, keys, clock, desk, MailServer(url=f"smtp://127.0.0.1:{port}")) as house:
        newsletter = await house.create()
        await house.reader(newsletter, "reader@example.org")
        await house.desk.publish("a1")
        await house.send()
        assert "the mail server cannot be used" in str(await house.parts.workers.check())
        assert await house.parts.queue.waiting() == 1
        async with mail_server(port) as server:
            house.clock.now += 16
            await house.send()
            assert len(server.got) == 1
        assert await house.parts.workers.check() is None


async def test_a_refused_login_says_so_and_loses_nothing(
    redis: Redis, keys: Keyspace, clock: Clock, desk: Desk
) -> None:
    async with mail_server(login=True) as server:
        host = server.url.removeprefix("smtp://")
        wrong = MailServer(url=f"smtp://house:wrong@{host}?starttls=never")
        async with opened_house(redis, keys, clock, desk, wrong) as house:
            newsletter = await house.create()
            await house.reader(newsletter, "reader@example.org")
            await house.desk.publish("a1")
            await house.send()
            problem = str(await house.parts.workers.check())
            assert "login" in problem
            assert "wrong" not in problem
        right = MailServer(url=f"smtp://house:p%40ss%2Fword@{host}?starttls=never")
        async with opened_house(redis, keys, clock, desk, right) as house:
            house.clock.now += 16
            await house.send()
        assert len(server.got) == 1


async def test_a_connection_carries_twenty_mails(house: House) -> None:
    newsletter = await house.create()
    for number in range(45):
        await house.reader(newsletter, f"r{number}@example.org")
    await house.desk.publish("a1")
    assert len(await house.send()) == 45
    assert house.mail.connections == 3


async def test_mails_are_signed_for_the_domain_of_the_sender(
    redis: Redis, keys: Keyspace, clock: Clock, desk: Desk, mail: MailServer
) -> None:
    private, record = new_key()
    signing: dict[str, Any] = {
        "dkim_private_key": SecretStr(private),
        "dkim_domain": "harbour.example",
        "dkim_selector": "s1",
    }
    async with opened_house(redis, keys, clock, desk, mail, **signing) as house:
        house.set_time("2026-11-26T12:00:00+01:00")  # who verifies refuses signatures of the future
        newsletter = await house.create()
        await house.reader(newsletter, "reader@example.org")
        await house.desk.publish("a1")
        [alert] = await house.send()
        assert dkim.verify(alert.data, dnsfunc=lambda name, timeout=5: record.encode())
        signature = str(alert.message["DKIM-Signature"])
        for header in ("List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "Message-ID"):
            assert header in "".join(signature.split())
        foreign = {"slug": "x", "name": "X", "description": "x", "sender": {"name": "X", "address": "x@other.example"}}
        refused = await house.http.post("/v1/newsletters", json=foreign, headers=house.key)
        assert refused.json()["errors"][0]["field"] == "sender.address"


async def test_a_server_that_hangs_is_left(mail: MailServer) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = SmtpTransport(f"smtp://127.0.0.1:{port}", local_hostname="news.example", timeout=0.3)
    reply = await transport.send(OutgoingMail("a@example.org", "b@example.org", "<x@y>", b"Subject: x\r\n\r\nx\r\n"))
    assert reply.stage is Stage.CONNECT
    assert outcome_of(reply) is Outcome.UNAVAILABLE
    await transport.close()
    server.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mx.example",
        "http://mx.example",
        "smtp://",
        "smtp://mx:99999",
        "smtp://mx/path",
        "smtp://mx?tls=1",
        "smtp://mx?starttls=x",
        "smtp://ida:25#b@mx",
        "smtp://ida:25/b@mx",
        "smtp://ida:25?b@mx",
    ],
)
def test_an_address_that_is_no_mail_server_is_refused(url: str) -> None:
    with pytest.raises(SmtpUrlError):
        SmtpTransport(url, local_hostname="x")


async def test_loops_send_without_being_asked(house: House) -> None:
    newsletter = await house.create()
    await house.reader(newsletter, "reader@example.org")
    stopping = asyncio.Event()
    loops = [asyncio.ensure_future(run(stopping)) for run in house.parts.loops.values()]
    await house.desk.publish("a1")
    async with asyncio.timeout(60):
        while not house.mail.got:
            await asyncio.sleep(0.01)
    stopping.set()
    await asyncio.gather(*loops)
    assert await house.parts.queue.waiting() == 0
    assert house.mail.got[0].message["List-Help"] == f"<{SITE}/newsletters/ferries>"


async def test_every_key_is_of_a_declared_family_and_in_one_slot(house: House) -> None:
    newsletter = await house.create()
    await house.sign_up("pending@example.org")
    await house.reader(newsletter, "reader@example.org")
    full = await house.reader(newsletter, "full@example.org")
    await house.reader(newsletter, "daily@example.org", "daily")
    house.mail.recipient_replies["full@example.org"] = ["552 5.2.2 full"]
    await house.desk.publish("a1")
    await house.desk.publish("a1", 2, kind="corrected")
    await house.send()
    await house.desk.publish("a2")
    await house.parts.signup.unsubscribe(full.id)
    doomed = await house.create(slug="doomed")
    await house.parts.newsletters.remove(doomed)
    prefix = house.parts.newsletters.keys.prefix
    names = [name.decode() async for name in house.redis.scan_iter(f"{prefix}newsletter*")]
    seen = set()
    for name in names:
        of = families_of(name.removeprefix(prefix), "deliveries", FAMILIES)
        assert len(of) == 1, name
        family = of[0]
        assert (await house.redis.type(name)).decode() == family.type, name
        seen.add(family)
    assert len(seen) > 20
