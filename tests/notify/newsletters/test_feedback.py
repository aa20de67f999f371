"""What readers do after a mail is counted for its issue: unsubscribing by its links, and complaints."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from newswire.auth.signed_tokens import Purpose, SignedTokens
from newswire.keys import Keyspace
from newswire_notify.newsletters.models import Newsletter
from tests.notify.conftest import Clock, Desk
from tests.notify.newsletters.conftest import SITE, House, link_in, opened_house
from tests.notify.newsletters.mail_server import MailServer, ReceivedMail

COMPLAINT = """From: fbl@provider.example
To: fbl@harbour.example
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
Version: 1
Original-Mail-From: <{path}>

--b
Content-Type: {kind}

From: news@harbour.example
Message-ID: {message_id}
Subject: x

--b--
"""

NOTIFICATION = """From: MAILER-DAEMON@mx.example
To: <{path}>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; reader@example.org
Action: {action}
Status: {status}

--b
Content-Type: {kind}

From: news@harbour.example
Message-ID: {message_id}
Subject: x

--b--
"""


@pytest.fixture
async def house(
    redis: Redis, keys: Keyspace, clock: Clock, desk: Desk, mail: MailServer, tmp_path: Path
) -> AsyncIterator[House]:
    for name in ("new", "cur", "tmp"):
        (tmp_path / name).mkdir()
    async with opened_house(
        redis, keys, clock, desk, mail, bounce_domain="bounces.example", bounce_maildir=tmp_path
    ) as opened:
        yield opened


async def counts(house: House, newsletter: Newsletter) -> dict[str, tuple[int, int]]:
    """Return (unsubscribed, complained) of each issue, by article."""
    answer = await house.http.get(f"/v1/newsletters/{newsletter.id}/issues", headers=house.key)
    return {each["article"]: (each["unsubscribed"], each["complained"]) for each in answer.json()["issues"]}


async def two_alerts(
    house: House, address: str = "reader@example.org"
) -> tuple[Newsletter, ReceivedMail, ReceivedMail]:
    newsletter = await house.create()
    await house.reader(newsletter, address)
    await house.desk.publish("a1")
    [first] = await house.send()
    house.clock.now += 3600
    await house.desk.publish("a2")
    [second] = await house.send()
    return newsletter, first, second


async def test_unsubscribing_counts_once_for_the_issue_whose_link_was_used(house: House) -> None:
    newsletter, first, _ = await two_alerts(house)
    link = link_in(first, "unsubscribe")
    for method in ("GET", "HEAD"):
        await house.http.request(method, link)
    assert await counts(house, newsletter) == {"a1": (0, 0), "a2": (0, 0)}
    for _ in range(3):
        assert (await house.http.post(link, data={"List-Unsubscribe": "One-Click"})).status_code == 200
    assert await counts(house, newsletter) == {"a1": (1, 0), "a2": (0, 0)}
    header = str(first.message["List-Unsubscribe"])
    assert header == f"<{SITE}{link}>"


async def test_unsubscribing_on_the_page_of_preferences_counts_for_the_issue_that_led_there(house: House) -> None:
    newsletter, _, second = await two_alerts(house)
    page = (await house.http.get(link_in(second, "preferences"))).text
    path = page.partition('action="/newsletters/ferries/unsubscribe/')[2].partition('"')[0]
    assert path
    await house.http.post(f"/newsletters/ferries/unsubscribe/{path}")
    assert await counts(house, newsletter) == {"a1": (0, 0), "a2": (1, 0)}


async def test_a_link_of_an_earlier_version_or_an_expired_issue_unsubscribes_as_well(house: House) -> None:
    newsletter = await house.create()
    for issue in ("", "alert.expired"):
        reader = await house.reader(newsletter, f"reader{issue}@example.org")
        content = f"{reader.id}|{issue}" if issue else reader.id
        tokens = SignedTokens(house.redis, house.keys, clock=house.clock)
        link = await tokens.write(Purpose.NEWSLETTER_UNSUBSCRIBING, content.encode(), bound_to="ferries")
        assert (await house.http.post(f"/newsletters/ferries/unsubscribe/{link}")).status_code == 200
        assert await house.state(reader) == "unsubscribed"
    assert await counts(house, newsletter) == {}


@pytest.mark.parametrize("kind", ["message/rfc822", "text/rfc822-headers"])
@pytest.mark.parametrize(("named", "expected"), [("first", "a1"), ("second", "a2"), ("none", "a2")])
async def test_a_complaint_counts_once_for_the_mail_that_it_is_about(
    house: House, tmp_path: Path, kind: str, named: str, expected: str
) -> None:
    newsletter, first, second = await two_alerts(house)
    identity = {"first": first.message["Message-ID"], "second": second.message["Message-ID"], "none": "<x@y>"}[named]
    report = COMPLAINT.format(path=first.sender, kind=kind, message_id=identity).replace("\n", "\r\n")
    for number in range(2):
        (tmp_path / "new" / f"report{number}").write_text(report)
        assert house.parts.bounce_folder is not None
        await house.parts.bounce_folder.read_new()
    assert {article: count for article, count in (await counts(house, newsletter)).items() if any(count)} == {
        expected: (0, 1)
    }


@pytest.mark.parametrize("kind", ["message/rfc822", "text/rfc822-headers"])
@pytest.mark.parametrize("status", ["5.1.1", "5.2.2", "4.4.7"], ids=["no mailbox", "full", "given up"])
@pytest.mark.parametrize(("named", "expected"), [("first", "a1"), ("second", "a2"), ("none", "a2")])
async def test_a_mail_that_comes_back_later_counts_once_for_its_issue(
    house: House, tmp_path: Path, kind: str, status: str, named: str, expected: str
) -> None:
    newsletter, first, second = await two_alerts(house)
    identity = {"first": first.message["Message-ID"], "second": second.message["Message-ID"], "none": "<x@y>"}[named]
    named_fields = {"path": first.sender, "kind": kind, "message_id": identity}
    for number, action in enumerate(("delayed", "failed", "failed")):
        report = NOTIFICATION.format(status=status, action=action, **named_fields).replace("\n", "\r\n")
        (tmp_path / "new" / f"report{number}").write_text(report)
        assert house.parts.bounce_folder is not None
        await house.parts.bounce_folder.read_new()
    answer = await house.http.get(f"/v1/newsletters/{newsletter.id}/issues", headers=house.key)
    found = {each["article"]: (each["accepted"], each["bounced"]) for each in answer.json()["issues"]}
    assert found == {"a1": (1, 0), "a2": (1, 0)} | {expected: (1, 1)}
