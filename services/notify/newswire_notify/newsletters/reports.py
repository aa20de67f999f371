"""Reads what comes back: delivery status notifications (RFC 3464) and complaints (ARF, RFC 5965). It decides nothing."""

import base64
import email
import email.policy
import email.utils
import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.message import Message
from enum import StrEnum

from newswire_notify.newsletters.outcome import Outcome, Reply, Stage, outcome_of

MAX_REPORT_BYTES = 1024 * 1024
MAX_PARTS = 50
_DELIVERY_STATUS = frozenset(("message/delivery-status", "message/global-delivery-status"))
"""The second is that of mail with addresses in UTF-8 (RFC 6533)."""
_FIELD = re.compile(r"^([A-Za-z][A-Za-z-]{0,60}):[ \t]*(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")
_ENHANCED = re.compile(r"\b([45])\.(\d{1,3})\.(\d{1,3})\b(?!\.)")
_REPLY = re.compile(r"\b[45]\d\d\b")
_STATUS = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})\b")
_RECIPIENT_HEADERS = ("To", "Delivered-To", "X-Original-To", "Envelope-To")


class ReportKind(StrEnum):
    """What a report says."""

    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    OTHER = "other"
    """Delays, automatic answers, and what is no report."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report. ``return_paths``: addresses that may name the subscriber. ``outcome``: of a bounce.

    ``message_id``: of the mail that the report is about, where it holds that.
    """

    kind: ReportKind
    return_paths: tuple[str, ...]
    outcome: Outcome | None = None
    reason: str = ""
    message_id: str = ""


def read_report(data: bytes) -> Report:
    """Read a mail that came to a return path. Whatever it holds, the result is a report."""
    message = email.message_from_bytes(data[:MAX_REPORT_BYTES], policy=email.policy.compat32)
    paths = tuple(_addresses(message))
    for part in _own_parts(message):  # in multipart/mixed, too: several servers send their notifications so
        if part.get_content_type() == "message/feedback-report":
            return replace(_complaint(part, paths), message_id=_reported_message_id(message))
        if part.get_content_type() in _DELIVERY_STATUS:
            return replace(_bounce(part, paths), message_id=_reported_message_id(message))
    return Report(ReportKind.OTHER, paths)


def _own_parts(message: Message) -> Iterator[Message]:
    """Yield the parts of a mail, without those of mails that it encloses: they may be reports of others."""
    waiting = [message]
    for _ in range(MAX_PARTS):
        if not waiting:
            return
        part = waiting.pop(0)
        yield part
        inside = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(inside, list):
            waiting[:0] = [each for each in inside if isinstance(each, Message)][:MAX_PARTS]


def _parts(message: Message) -> Iterator[Message]:
    for number, part in enumerate(message.walk()):
        if number >= MAX_PARTS:
            return
        yield part


def _reported_message_id(message: Message) -> str:
    """Return the Message-ID of the mail, or the headers, that a report encloses (RFC 3462)."""
    for part in _parts(message):
        payload = part.get_payload()
        enclosed: Message | None = None
        if part.get_content_type() in ("message/rfc822", "message/global") and isinstance(payload, list) and payload:
            enclosed = payload[0] if isinstance(payload[0], Message) else None
        elif part.get_content_type() in ("text/rfc822-headers", "message/global-headers") and isinstance(payload, str):
            enclosed = email.message_from_string(payload)
        if enclosed is not None and enclosed["Message-ID"]:
            return str(enclosed["Message-ID"]).strip()
    return ""


def _addresses(message: Message) -> Iterator[str]:
    values = [str(value) for name in _RECIPIENT_HEADERS for value in message.get_all(name, [])[:5]]
    for _, address in email.utils.getaddresses(values)[:20]:
        if address:
            yield address


def _complaint(part: Message, paths: tuple[str, ...]) -> Report:
    """Read a feedback report. The return path of the mail that is complained about is in it, as Original-Mail-From."""
    fields = [field for block in _blocks(part) for field in block]
    found = tuple(value for name, value in fields if name == "original-mail-from")
    kinds = [value.lower() for name, value in fields if name == "feedback-type"]
    if not kinds or kinds[0] in ("not-spam", "auth-failure"):
        return Report(ReportKind.OTHER, (*paths, *found))
    return Report(ReportKind.COMPLAINT, (*paths, *found), reason=kinds[0])


def _bounce(part: Message, paths: tuple[str, ...]) -> Report:
    """Read a notification: the recipient to whom the mail could not be delivered. The mails have one recipient each."""
    for fields in map(dict, _blocks(part)):
        status = _STATUS.match(fields.get("status", ""))
        action = fields.get("action", "").lower()
        if action == "failed" or (not action and status and status[1] == "5"):  # some servers leave the action out
            outcome, reason = _given_up(status, fields.get("diagnostic-code", ""))
            if outcome is not None:
                return Report(ReportKind.BOUNCE, paths, outcome, reason)
    return Report(ReportKind.OTHER, paths)


def _given_up(status: re.Match[str] | None, diagnostic: str) -> tuple[Outcome | None, str]:
    """Return what a failed delivery means, and the code that says so; None if there is no code.

    Servers that pass a reply on often have only the status 5.0.0 for it; the reply itself is in the diagnostic code.
    """
    said = _ENHANCED.search(diagnostic)
    code = said if said and (status is None or status[0].strip().endswith(".0.0")) else status
    if code is None:
        reply = _REPLY.search(diagnostic)
        return (Outcome.SOFT_BOUNCED, reply[0]) if reply else (None, "")
    reason = f"{code[1]}.{code[2]}.{code[3]}"
    if code[1] != "5":  # given up after a time
        return Outcome.SOFT_BOUNCED, reason
    return outcome_of(Reply(Stage.RECIPIENT, 550, reason)), reason


def _blocks(part: Message) -> list[list[tuple[str, str]]]:
    """Return the fields of each block of a part: those of the mail, then those of each recipient."""
    blocks = _BLANK_LINES.split(_text(part))[:MAX_PARTS]
    return [[(name.lower(), " ".join(value.split())) for name, value in _FIELD.findall(block)] for block in blocks]


def _text(part: Message) -> str:
    """Return the text of a part that the parser takes for headers; it may be encoded, although it must not be (RFC 2046)."""
    payload = part.get_payload()
    inside = [each for each in payload if isinstance(each, Message)][:MAX_PARTS] if isinstance(payload, list) else []
    text = "\n\n".join(map(_written, inside)) if inside else str(payload or "")
    encoding = str(part.get("Content-Transfer-Encoding", "")).strip().lower()
    try:
        if encoding == "quoted-printable":
            text = quopri.decodestring(text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")
        elif encoding == "base64":
            text = base64.b64decode(text.encode("ascii", "ignore")).decode("utf-8", "replace")
    except ValueError:
        return ""
    return text.replace("\r\n", "\n")


def _written(block: Message) -> str:
    headers = "".join(f"{name}: {value}\n" for name, value in block.items())
    rest = block.get_payload()
    return headers + (
        f"\n{rest}" if isinstance(rest, str) and rest and headers else rest if isinstance(rest, str) else ""
    )
