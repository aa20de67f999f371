"""The octets of mails: headers, encodings, limits, and signatures that an independent library verifies."""

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime

import dkim
import pytest

from newswire_notify.newsletters.dkim import DkimKeyError, DkimSigner, new_key
from newswire_notify.newsletters.message import (
    Envelope,
    ListHeaders,
    MailContent,
    UnsendableMailError,
    compose,
    message_id,
)
from newswire_notify.newsletters.mime import encoded_words

PRIVATE, RECORD = new_key()
SIGNER = DkimSigner(PRIVATE, "harbour.example", "a1")
CONTENT = MailContent(
    "Ferry news", "Hello,\n.\nFrom here: äöü €\n" + "x" * 2000 + "\n", "<p>Hello, ÄÖÜ</p>" + "y" * 3000
)
ENVELOPE = Envelope(
    from_name='Harbour "Post", daily',
    from_address="news@harbour.example",
    to="reader@example.org",
    message_id=message_id("issue", "reader", "harbour.example"),
    date=datetime(2026, 11, 26, 7, tzinfo=UTC),
    reply_to="desk@harbour.example",
)
LISTS = ListHeaders(
    list_id="ferries.news.example",
    name="Fähren & Häfen",
    unsubscribe_url="https://news.example/newsletters/ferries/unsubscribe/" + "t" * 90,
    help_url="https://news.example/newsletters/ferries",
    owner="desk@harbour.example",
    archive_url="https://news.example/newsletters/ferries/archive",
    feedback_id="daily:nl_1:harbour.example:newswire",
)


def signed(content: MailContent = CONTENT) -> bytes:
    return compose(ENVELOPE, content, LISTS, SIGNER)


def verified(mail: bytes) -> bool:
    return bool(dkim.verify(mail, dnsfunc=lambda name, timeout=5: RECORD.encode()))


def test_a_signature_is_verified_by_another_implementation() -> None:
    assert verified(signed())
    assert b"c=relaxed/simple" in signed()
    assert b" l=" not in signed().partition(b"\r\nFrom:")[0]


@pytest.mark.parametrize(
    "change",
    [
        (b"List-Unsubscribe-Post: List-Unsubscribe=One-Click", b"List-Unsubscribe-Post: List-Unsubscribe=No"),
        (b"/unsubscribe/t", b"/unsubscribe/s"),
        (b"Subject: Ferry", b"Subject: Fairy"),
        (b"List-Id:", b"List-Id: a"),
        (b"Hello", b"Howdy"),
        (b"Feedback-ID: daily", b"Feedback-ID: other"),
    ],
)
def test_a_signature_covers_every_header_and_the_body(change: tuple[bytes, bytes]) -> None:
    mail = signed()
    assert change[0] in mail
    assert not verified(mail.replace(*change, 1))


def test_nobody_can_add_a_second_sender() -> None:
    mail = signed()
    assert not verified(mail.replace(b"\r\nFrom:", b"\r\nFrom: Mallory <m@evil.example>\r\nFrom:", 1))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "a\n\n\n",
        "trailing space \n",
        "no end",
        ".\n..\n",
        "=3D=\n",
        "tab\t\n",
        "日本語のニュース" * 200,
        "\r\nx\ry\n",
        "x" * 5000,
    ],
)
def test_texts_arrive_as_they_were_written_and_signed(text: str) -> None:
    mail = signed(MailContent("S", text, f"<p>{text}</p>"))
    assert verified(mail)
    parsed = email.message_from_bytes(mail, policy=email.policy.default)
    part = parsed.get_body(("plain",))
    assert part is not None
    expected = text.replace("\r\n", "\n").replace("\r", "\n")
    assert part.get_content().replace("\r\n", "\n").rstrip("\n") == expected.rstrip("\n")


def test_text_comes_first_and_lines_are_short() -> None:
    mail = signed()
    parsed = email.message_from_bytes(mail, policy=email.policy.default)
    assert parsed.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in parsed.iter_parts()] == ["text/plain", "text/html"]
    lines = mail.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert not any(b"\n" in line or b"\r" in line for line in lines)
    assert all(line.isascii() for line in lines)
    assert b"." not in lines


def test_list_headers_are_what_mail_programs_read() -> None:
    mail = signed()
    parsed = email.message_from_bytes(mail, policy=email.policy.default)
    assert parsed["List-Unsubscribe"] == f"<{LISTS.unsubscribe_url}>"
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert str(parsed["List-Id"]).endswith("<ferries.news.example>")
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert parsed["Precedence"] is None
    assert parsed["From"].addresses[0].display_name == 'Harbour "Post", daily'
    assert parsed["From"].addresses[0].addr_spec == "news@harbour.example"
    raw = [line for line in mail.split(b"\r\n") if line.startswith(b"List-Unsubscribe:")]
    assert raw == [b"List-Unsubscribe: <" + LISTS.unsubscribe_url.encode() + b">"]


@pytest.mark.parametrize(
    "subject", ["Ä" * 300, "🚢" * 75, "plain", "a" * 300, "word " * 60, "=?utf-8?B?eA==?=", "x\r\nBcc: y@z.example"]
)
def test_subjects_are_decoded_as_they_were(subject: str) -> None:
    mail = compose(ENVELOPE, replace(CONTENT, subject=subject), LISTS, SIGNER)
    parsed = email.message_from_bytes(mail, policy=email.policy.default)
    assert parsed["Subject"] == " ".join(subject.split())
    assert parsed["Bcc"] is None
    assert verified(mail)
    assert all(len(line) <= 78 or b" " not in line.strip() for line in encoded_words(subject).encode().split(b"\r\n"))


def test_what_receivers_would_cut_is_not_sent() -> None:
    with pytest.raises(UnsendableMailError, match="60000"):
        compose(ENVELOPE, replace(CONTENT, html="x" * 60_001), LISTS, SIGNER)
    with pytest.raises(UnsendableMailError, match="998"):
        compose(ENVELOPE, CONTENT, replace(LISTS, unsubscribe_url="https://a.example/" + "x" * 1000), SIGNER)


def test_the_message_id_is_the_same_for_the_same_mail_alone() -> None:
    assert message_id("i", "s", "d.example") == message_id("i", "s", "d.example")
    assert len({message_id(*parts, "d.example") for parts in [("i", "s"), ("i", "t"), ("j", "s")]}) == 3


def test_a_key_that_cannot_sign_is_refused() -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    curve = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for pem in ("", "nonsense", curve.decode()):
        with pytest.raises(DkimKeyError):
            DkimSigner(pem, "harbour.example", "a1")


@pytest.mark.parametrize(
    ("domain", "covered"),
    [("harbour.example", True), ("news.harbour.example", True), ("xharbour.example", False), ("example", False)],
)
def test_a_signature_is_aligned_with_its_domain_and_those_beneath(domain: str, covered: bool) -> None:
    assert SIGNER.covers(domain) is covered
