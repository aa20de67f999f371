"""The bytes of a mail: headers of bulk mail, text first, HTML second, and the signature.

RFC 5322 (messages), 2045–2047 (MIME), 2369, 2919 and 8058 (mailing lists), 3834 (automatic mail).

The mails of an issue differ in little: the reader's address, Message-ID, and links. `MailTemplate` encodes the rest once.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from urllib.parse import quote

from newswire_notify.newsletters.dkim import SIGNED_HEADERS, DkimSigner, Header
from newswire_notify.newsletters.mime import PartTemplate, encoded_words, insertion, phrase

MAX_HTML_BYTES = 60_000
"""Gmail hides what is beyond 102 KB, the unsubscribe link included."""
MAX_LINE_OCTETS = 998
"""Of a line without its CRLF (RFC 5322, section 2.1.1)."""

_MAILTO_CHARACTERS = "@!$'*+"
"""Of an address, those that stand for themselves in a mailto URL (RFC 6068, section 2)."""


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


class MailTemplate:
    """A mail to many readers. The markers in ``content`` and ``lists`` stand for what differs between them.

    A marker is ASCII without spaces, and occurs in the content for its purpose alone.
    """

    def __init__(
        self,
        sender: tuple[str, str],
        reply_to: str | None,
        content: MailContent,
        lists: ListHeaders | None,
        signer: DkimSigner | None,
        markers: tuple[str, ...] = (),
    ) -> None:
        """``sender``: name and address. ``lists.unsubscribe_url`` may be a marker.

        Raises:
            UnsendableMailError: the HTML part or a line is too long.
        """
        self._signer = signer
        self._parts = [
            PartTemplate("text/plain", content.text, markers),
            PartTemplate("text/html", content.html, markers),
        ]
        self._html_bytes = len(content.html.encode())
        self._marks = {marker: content.html.count(marker) for marker in markers}
        boundary = f"=_{hashlib.sha256(content.text.encode() + content.html.encode()).hexdigest()[:30]}"
        self._boundary = boundary.encode()
        found = {
            "From": _mailbox(*sender),
            "To": "",
            "Subject": encoded_words(content.subject),
            "Date": "",
            "Message-ID": "",
            **({"Reply-To": reply_to} if reply_to else {}),
            "MIME-Version": "1.0",
            "Content-Type": f'multipart/alternative;\r\n boundary="{boundary}"',
            "Auto-Submitted": "auto-generated",
            **(_list_headers(lists) if lists else {}),
        }
        own = {"To", "Date", "Message-ID"}
        self._unsubscribe = lists.unsubscribe_url if lists else ""
        if self._unsubscribe in markers:
            own.add("List-Unsubscribe")
        headers = {name: Header.of(name, value) for name, value in found.items()}
        for header in headers.values():
            _check_lines(header)
        self._lines = _joined([name if name in own else header.line for name, header in headers.items()])
        signed = [name for name in SIGNED_HEADERS if name in headers]
        self._signed = _joined([name if name in own else headers[name].relaxed for name in signed])
        self._signature = signer.describe(signed) if signer else None

    def filled(self, to: str, message_id: str, date: datetime, values: Mapping[str, str]) -> bytes:
        """Return the mail of one reader, with CRLF line ends; ``values``: what each marker stands for, in ASCII.

        Raises:
            UnsendableMailError: the HTML part or a line is too long.
        """
        own = {
            "To": Header.of("To", to),
            "Date": _date(date.replace(microsecond=0)),
            "Message-ID": Header.of("Message-ID", message_id),
        }
        if self._unsubscribe in values:
            own["List-Unsubscribe"] = Header.of("List-Unsubscribe", f"<{values[self._unsubscribe]}>")
        for header in own.values():
            _check_lines(header)
        added = sum(count * (len(values[marker]) - len(marker)) for marker, count in self._marks.items())
        if self._html_bytes + added > MAX_HTML_BYTES:
            raise UnsendableMailError(f"the HTML part has more than {MAX_HTML_BYTES} bytes")
        body = self._body(values)
        signature = b""
        if self._signer is not None and self._signature is not None:
            signed = b"".join([own[piece].relaxed if isinstance(piece, str) else piece for piece in self._signed])
            signature = self._signer.sign(signed, self._signature, body, int(date.timestamp()))
        lines = [own[piece].line if isinstance(piece, str) else piece for piece in self._lines]
        return b"".join([signature, *lines, b"\r\n", body])

    def _body(self, values: Mapping[str, str]) -> bytes:
        delimiter = b"--" + self._boundary
        inserted = {marker: insertion(value) for marker, value in values.items()}
        written: list[bytes] = []
        for part in self._parts:
            written += (delimiter, b"\r\n", *part.filled(values, inserted))
        return b"".join([*written, delimiter, b"--\r\n"])


def compose(envelope: Envelope, content: MailContent, lists: ListHeaders | None, signer: DkimSigner | None) -> bytes:
    """Return a mail to one reader, with CRLF line ends.

    Raises:
        UnsendableMailError: the HTML part or a line is too long.
    """
    sender = (envelope.from_name, envelope.from_address)
    template = MailTemplate(sender, envelope.reply_to, content, lists, signer)
    return template.filled(envelope.to, envelope.message_id, envelope.date, {})


def _list_headers(lists: ListHeaders) -> dict[str, str]:
    """Return the headers of a mailing list. The one of unsubscribing stays on one line: where it is folded, signatures break."""
    return {
        "List-Id": f"{phrase(lists.name)}\r\n <{lists.list_id}>",
        "List-Unsubscribe": f"<{lists.unsubscribe_url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "List-Help": f"<{lists.help_url}>",
        "List-Owner": f"<mailto:{quote(lists.owner, safe=_MAILTO_CHARACTERS)}>",
        **({"List-Archive": f"<{lists.archive_url}>"} if lists.archive_url else {}),
        "Feedback-ID": lists.feedback_id,
    }


def _joined(pieces: Sequence[bytes | str]) -> list[bytes | str]:
    """Join what is the same for all readers, between the names of the headers that are not."""
    found: list[bytes | str] = []
    for piece in pieces:
        if found and isinstance(piece, bytes) and isinstance(last := found[-1], bytes):
            found[-1] = last + piece
        else:
            found.append(piece)
    return found


def _check_lines(header: Header) -> None:
    """Check the lines of a header; those of the body are encoded, and short."""
    if len(header.line) > MAX_LINE_OCTETS and any(len(line) > MAX_LINE_OCTETS for line in header.line.split(b"\r\n")):
        raise UnsendableMailError(f"a line has more than {MAX_LINE_OCTETS} octets")


def _mailbox(name: str, address: str) -> str:
    return f"{phrase(name)}\r\n <{address}>"


@lru_cache(maxsize=16)
def _date(moment: datetime) -> Header:
    return Header.of("Date", format_datetime(moment))
