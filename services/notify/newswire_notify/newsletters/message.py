"""The octets of a mail: headers of bulk mail, text first, HTML second, and the signature.

RFC 5322 (messages), 2045–2047 (MIME), 2369, 2919 and 8058 (mailing lists), 3834 (automatic mail).
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from newswire_notify.newsletters.dkim import DkimSigner

MAX_HTML_BYTES = 60_000
"""Gmail hides what is beyond 102 KB, the unsubscribe link included."""
MAX_LINE_OCTETS = 998
"""Of a line without its CRLF (RFC 5322, section 2.1.1)."""
_ASCII = bytes(range(127))
_DOT, _FROM = re.compile(rb"^\.(?=.{0,73}$)", re.MULTILINE), re.compile(rb"^From (?=.{0,69}$)", re.MULTILINE)
"""At the beginning of a line that has room for an encoded character."""
_WORD_BYTES = 42
"""Bytes of text in an encoded word, so that it has at most 75 characters (RFC 2047, section 2)."""


class UnsendableMailError(ValueError):
    """The mail breaks a limit of Internet mail; the message says which."""


@dataclass(frozen=True, slots=True)
class ListHeaders:
    """What mail programs show and do for mail that came by subscription."""

    list_id: str
    """The part in angle brackets; it never changes."""
    name: str
    unsubscribe_url: str
    help_url: str
    owner: str
    archive_url: str | None
    feedback_id: str


@dataclass(frozen=True, slots=True)
class MailContent:
    """What one reader gets."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """From whom to whom, and as which message."""

    from_name: str
    from_address: str
    to: str
    message_id: str
    date: datetime
    reply_to: str | None = None


def message_id(issue: str, subscriber: str, domain: str) -> str:
    """Return the Message-ID of an issue's mail to a subscriber: always the same, so that a repeat can be recognised."""
    return f"<{hashlib.sha256(f'{issue} {subscriber}'.encode()).hexdigest()[:40]}@{domain}>"


def compose(envelope: Envelope, content: MailContent, lists: ListHeaders | None, signer: DkimSigner | None) -> bytes:
    """Return a mail, with CRLF line ends.

    Raises:
        UnsendableMailError: the HTML part or a line is too long.
    """
    if len(content.html.encode()) > MAX_HTML_BYTES:
        raise UnsendableMailError(f"the HTML part has more than {MAX_HTML_BYTES} bytes")
    boundary = f"=_{hashlib.sha256(envelope.message_id.encode()).hexdigest()[:30]}"
    headers = [*_headers(envelope, content.subject, boundary), *(_list_headers(lists) if lists else ())]
    body = _body(content, boundary)
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    if any(len(line) > MAX_LINE_OCTETS for line in lines.split(b"\r\n")):  # those of the body are encoded, and short
        raise UnsendableMailError(f"a line has more than {MAX_LINE_OCTETS} octets")
    signature = signer.header(headers, body, int(envelope.date.timestamp())) if signer else b""
    return signature + lines + b"\r\n" + body


def _headers(envelope: Envelope, subject: str, boundary: str) -> list[tuple[bytes, bytes]]:
    found = [
        ("From", _mailbox(envelope.from_name, envelope.from_address)),
        ("To", envelope.to),
        ("Subject", encoded_words(subject)),
        ("Date", format_datetime(envelope.date)),
        ("Message-ID", envelope.message_id),
        *([("Reply-To", envelope.reply_to)] if envelope.reply_to else []),
        ("MIME-Version", "1.0"),
        ("Content-Type", f'multipart/alternative;\r\n boundary="{boundary}"'),
        ("Auto-Submitted", "auto-generated"),
    ]
    return [(name.encode(), value.encode("ascii")) for name, value in found]


def _list_headers(lists: ListHeaders) -> list[tuple[bytes, bytes]]:
    """Return the headers of a mailing list. The one of unsubscribing stays on one line: where it is folded, signatures break."""
    phrase = _phrase(lists.name)
    found = [
        ("List-Id", f"{phrase}\r\n <{lists.list_id}>"),
        ("List-Unsubscribe", f"<{lists.unsubscribe_url}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("List-Help", f"<{lists.help_url}>"),
        ("List-Owner", f"<mailto:{lists.owner}>"),
        *([("List-Archive", f"<{lists.archive_url}>")] if lists.archive_url else []),
        ("Feedback-ID", lists.feedback_id),
    ]
    return [(name.encode(), value.encode("ascii")) for name, value in found]


def _body(content: MailContent, boundary: str) -> bytes:
    parts = (("text/plain", content.text), ("text/html", content.html))
    written = b"".join(
        b"--" + boundary.encode() + b"\r\nContent-Type: " + kind.encode() + b"; charset=utf-8\r\n" + _encoded_text(text)
        for kind, text in parts
    )
    return written + b"--" + boundary.encode() + b"--\r\n"


def _encoded_text(text: str) -> bytes:
    """Return a part's encoding header and content: quoted-printable, or base64 where that is shorter."""
    raw = text.replace("\r\n", "\n").replace("\r", "\n").encode()
    if len(raw.translate(None, _ASCII)) * 6 > len(raw):
        content = base64.encodebytes(raw.replace(b"\n", b"\r\n")).replace(b"\n", b"\r\n")
        return b"Content-Transfer-Encoding: base64\r\n\r\n" + content
    quoted = binascii.b2a_qp(raw, istext=True)
    # A line that is one dot ends the mail in SMTP, and "From " begins a new one in mailboxes.
    quoted = _FROM.sub(b"=46rom ", _DOT.sub(b"=2E", quoted))
    return b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted.replace(b"\n", b"\r\n") + b"\r\n"


def encoded_words(text: str) -> str:
    """Return the value of an unstructured header: as it is where it is short ASCII, else as encoded words (RFC 2047)."""
    line = " ".join(text.split())
    if line.isascii() and line.isprintable() and len(line) <= 900 and "=?" not in line:
        return _folded(line)
    words = [f"=?utf-8?B?{base64.b64encode(chunk).decode()}?=" for chunk in _chunks(line)]
    return "\r\n ".join(words)


def _folded(line: str) -> str:
    """Fold a header at spaces before the 78th character."""
    lines, current = [], ""
    for word in line.split(" "):
        if current and len(current) + len(word) > 65:
            lines.append(current)
            current = word
        else:
            current = f"{current} {word}" if current else word
    return "\r\n ".join([*lines, current])


def _chunks(text: str) -> list[bytes]:
    """Cut a text into pieces of UTF-8, none of which ends within a character."""
    found, current = [], b""
    for char in text:
        encoded = char.encode()
        if len(current) + len(encoded) > _WORD_BYTES:
            found.append(current)
            current = b""
        current += encoded
    return [*found, current]


def _phrase(name: str) -> str:
    """Return a display name as a quoted string, or as encoded words where it is not ASCII (RFC 5322, section 3.2.5)."""
    line = " ".join(name.split())
    if line.isascii() and line.isprintable():
        return '"' + line.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return encoded_words(line)


def _mailbox(name: str, address: str) -> str:
    return f"{_phrase(name)}\r\n <{address}>"
