"""Reports about mails: delivery status notifications and complaints, genuine and forged."""

import base64
from pathlib import Path

import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_notify.newsletters.models import Subscriber
from newswire_notify.newsletters.outcome import Outcome
from newswire_notify.newsletters.reports import ReportKind, read_report
from tests.notify.conftest import Clock, Desk
from tests.notify.newsletters.conftest import House, opened_house
from tests.notify.newsletters.mail_server import MailServer


def notification(to: str, action: str = "failed", status: str = "5.1.1") -> bytes:
    return f"""From: MAILER-DAEMON@mx.example
To: <{to}>
Subject: Undelivered mail
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

Sorry.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; reader@example.org
Action: {action}
Status: {status}
Diagnostic-Code: smtp; 550 {status} it is so

--b--
""".replace("\n", "\r\n").encode()


def complaint(to: str, kind: str = "abuse", original: str = "") -> bytes:
    return f"""From: fbl@provider.example
To: {to}
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

A complaint.
--b
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: Provider/1.0
Version: 1
Original-Mail-From: <{original}>

--b
Content-Type: message/rfc822

From: news@harbour.example
Subject: x

y
--b--
""".encode()


@pytest.mark.parametrize(
    ("action", "status", "kind", "outcome"),
    [
        ("failed", "5.1.1", ReportKind.BOUNCE, Outcome.BOUNCED),
        ("FAILED", "5.4.4", ReportKind.BOUNCE, Outcome.BOUNCED),
        ("failed", "5.2.2", ReportKind.BOUNCE, Outcome.SOFT_BOUNCED),
        ("failed", "5.2.1", ReportKind.BOUNCE, Outcome.MAILBOX_DISABLED),
        ("failed", "4.4.7", ReportKind.BOUNCE, Outcome.SOFT_BOUNCED),
        ("failed", "5.7.1", ReportKind.BOUNCE, Outcome.SENDER_FAULT),
        ("delayed", "4.4.1", ReportKind.OTHER, None),
        ("delivered", "2.0.0", ReportKind.OTHER, None),
        ("relayed", "5.1.1", ReportKind.OTHER, None),
        ("failed", "nonsense", ReportKind.BOUNCE, Outcome.SOFT_BOUNCED),
    ],
)
def test_a_notification_is_read(action: str, status: str, kind: ReportKind, outcome: Outcome | None) -> None:
    found = read_report(notification("b+x@bounces.example", action, status))
    assert (found.kind, found.outcome) == (kind, outcome)
    assert found.return_paths == ("b+x@bounces.example",)


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        (("Action: failed", "Status: 5.0.0", "Diagnostic-Code: smtp; 550 5.7.1 refused as spam"), Outcome.SENDER_FAULT),
        (("Action: failed", "Status: 5.0.0", "Diagnostic-Code: smtp; 452 4.2.2 mailbox full"), Outcome.SOFT_BOUNCED),
        (("Action: failed", "Status: 5.0.0", "Diagnostic-Code: smtp; 550 no such user"), Outcome.BOUNCED),
        (("Action: failed", "Status: 5.2.2", "Diagnostic-Code: smtp; 550 5.1.1 no such user"), Outcome.SOFT_BOUNCED),
        (("Action: failed", "Diagnostic-Code: smtp; 550 5.1.1\n no such user"), Outcome.BOUNCED),
        (("Action: failed", "Diagnostic-Code: smtp; 550 Unknown user"), Outcome.SOFT_BOUNCED),
        (("Action: failed",), None),
        (("Status: 5.1.1 (no such user)",), Outcome.BOUNCED),
        (("Status: 4.4.1",), None),
    ],
)
def test_the_most_precise_code_of_a_notification_counts(lines: tuple[str, ...], outcome: Outcome | None) -> None:
    """Servers that pass a reply on write only 5.0.0, and some leave out members that are required."""
    written = "\n".join(lines).replace("\n", "\r\n").encode()
    whole = notification("b+x@bounces.example")
    begins, ends = whole.index(b"Action:"), whole.index(b"\r\n\r\n--b--")

    assert read_report(whole[:begins] + written + whole[ends:]).outcome == outcome


@pytest.mark.parametrize("coding", ["", "quoted-printable", "base64"])
@pytest.mark.parametrize(
    "top", ["multipart/report; report-type=delivery-status", "multipart/mixed", "multipart/alternative"]
)
@pytest.mark.parametrize(
    "kind", ["message/delivery-status", "message/global-delivery-status", "Message/Delivery-Status"]
)
def test_notifications_are_read_however_their_parts_are_labelled_and_encoded(kind: str, top: str, coding: str) -> None:
    whole = notification("b+x@bounces.example").replace(b"multipart/report; report-type=delivery-status", top.encode())
    head, middle, rest = whole.partition(b"Content-Type: message/delivery-status\r\n\r\n")
    fields, end, _ = rest.rpartition(b"\r\n\r\n--b--")
    if coding == "base64":
        fields = base64.encodebytes(fields).replace(b"\n", b"\r\n")
    elif coding:
        fields = fields.replace(b"5.1.1\r\nDiag", b"5.=\r\n1.1\r\nDiag").replace(
            b"mx.example\r\n", b"mx.=\r\nexample\r\n"
        )
    middle = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {coding or '7bit'}\r\n\r\n".encode()

    found = read_report(head + middle + fields + end)
    assert (found.kind, found.outcome, found.reason) == (ReportKind.BOUNCE, Outcome.BOUNCED, "5.1.1")


def test_a_report_within_an_enclosed_mail_is_about_another_mail() -> None:
    forwarded = (
        b"To: b+x@bounces.example\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
        b"--c\r\nContent-Type: message/rfc822\r\n\r\n" + notification("b+y@bounces.example") + b"\r\n--c--\r\n"
    )

    found = read_report(forwarded)
    assert (found.kind, found.return_paths) == (ReportKind.OTHER, ("b+x@bounces.example",))


@pytest.mark.parametrize("kind", ["abuse", "fraud", "virus", "other"])
def test_a_complaint_is_read(kind: str) -> None:
    found = read_report(complaint("fbl@harbour.example", kind, "b+x@bounces.example"))
    assert (found.kind, found.reason) == (ReportKind.COMPLAINT, kind)
    assert "b+x@bounces.example" in "".join(found.return_paths)
    assert read_report(complaint("x@y.example", "not-spam")).kind is ReportKind.OTHER


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\xff" * 1000,
        b"Subject: Out of office\r\n\r\nI am away.",
        b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n",
        b"Content-Type: multipart/report\r\n\r\nno boundary",
        b"To: " + b"<" * 10_000 + b"\r\nContent-Type: multipart/report; boundary=b\r\n\r\n" + b"--b\r\n" * 5000,
    ],
)
def test_whatever_comes_is_a_report(data: bytes) -> None:
    assert read_report(data).kind is ReportKind.OTHER


async def test_reports_end_the_mail_of_their_reader_alone(
    redis: Redis, keys: Keyspace, clock: Clock, desk: Desk, mail: MailServer, tmp_path: Path
) -> None:
    for name in ("new", "cur", "tmp"):
        (tmp_path / name).mkdir()
    async with opened_house(
        redis, keys, clock, desk, mail, bounce_domain="bounces.example", bounce_maildir=tmp_path
    ) as house:
        newsletter = await house.create()
        readers = {name: await house.reader(newsletter, f"{name}@example.org") for name in ("gone", "angry", "well")}
        await house.desk.publish("a1")
        paths = {each.recipient.partition("@")[0]: each.sender for each in await house.send()}
        assert all(path.endswith("@bounces.example") and len(path.partition("@")[0]) <= 64 for path in paths.values())
        assert len(set(paths.values())) == 3
        folder = house.parts.bounce_folder
        assert folder is not None

        async def states() -> dict[str, str]:
            return {name: await house.state(reader) for name, reader in readers.items()}

        forged = paths["well"].replace(".", ".0", 1)[:-1]
        for number, data in enumerate(
            (
                notification(forged),
                notification(paths["well"].replace("bounces", "elsewhere")),
                notification(f"b+{readers['well'].id}.{'0' * 24}@bounces.example"),
                complaint("fbl@harbour.example", original="news@harbour.example"),
                notification(paths["well"], "delayed", "4.4.1"),
            )
        ):
            (tmp_path / "new" / f"forged{number}").write_bytes(data)
        assert await folder.read_new() == 0
        assert await states() == dict.fromkeys(readers, "active")
        assert len(list((tmp_path / "cur").iterdir())) == 5
        (tmp_path / "new" / "1").write_bytes(notification(paths["gone"].upper()))
        (tmp_path / "new" / "2").write_bytes(complaint("fbl@harbour.example", original=paths["angry"]))
        assert await folder.read_new() == 2
        assert await states() == {"gone": "bounced", "angry": "complained", "well": "active"}
        assert list((tmp_path / "new").iterdir()) == []
        await house.desk.publish("a2")
        assert [each.recipient for each in await house.send()] == ["well@example.org"]
        await _opts_in_again(house, readers["angry"])


async def _opts_in_again(house: House, reader: Subscriber) -> None:
    await house.sign_up(reader.address)
    [confirmation] = await house.send()
    path = confirmation.text.partition("https://news.example")[2].split()[0]
    assert (await house.http.post(path)).status_code == 200
    assert await house.state(reader) == "active"
    assert await house.parts.subscribers.suppression(reader.newsletter, reader.address_hash) is None
