"""Reads what comes back: delivery status notifications (RFC 3464) and complaints (ARF, RFC 5965). It decides nothing."""

import email
import email.policy
import email.utils
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.message import Message
from enum import StrEnum

from newswire_notify.newsletters.outcome import Outcome, Reply, Stage, outcome_of

MAX_REPORT_BYTES = 1024 * 1024
MAX_PARTS = 50
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
    if message.get_content_type() != "multipart/report":
        return Report(ReportKind.OTHER, paths)
    for part in _parts(message):
        if part.get_content_type() == "message/feedback-report":
            return replace(_complaint(part, paths), message_id=_reported_message_id(message))
        if part.get_content_type() == "message/delivery-status":
            return replace(_bounce(part, paths), message_id=_reported_message_id(message))
    return Report(ReportKind.OTHER, paths)


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
        if part.get_content_type() == "message/rfc822" and isinstance(payload, list) and payload:
            enclosed = payload[0] if isinstance(payload[0], Message) else None
        elif part.get_content_type() == "text/rfc822-headers" and isinstance(payload, str):
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
    fields = _fields(part)
    found = tuple(value for name, value in fields if name == "original-mail-from")
    kinds = [value.strip().lower() for name, value in fields if name == "feedback-type"]
    if not kinds or kinds[0] in ("not-spam", "auth-failure"):
        return Report(ReportKind.OTHER, (*paths, *found))
    return Report(ReportKind.COMPLAINT, (*paths, *found), reason=kinds[0])


def _bounce(part: Message, paths: tuple[str, ...]) -> Report:
    fields = _fields(part)
    actions = [value.strip().lower() for name, value in fields if name == "action"]
    statuses = [value for name, value in fields if name == "status"]
    if "failed" not in actions or not statuses:
        return Report(ReportKind.OTHER, paths)
    status = _STATUS.match(statuses[actions.index("failed")] if len(statuses) == len(actions) else statuses[0])
    if status is None:
        return Report(ReportKind.OTHER, paths)
    reason = f"{status[1]}.{status[2]}.{status[3]}"
    if status[1] != "5":  # given up after a time
        return Report(ReportKind.BOUNCE, paths, Outcome.SOFT_BOUNCED, reason)
    return Report(ReportKind.BOUNCE, paths, outcome_of(Reply(Stage.RECIPIENT, 550, reason)), reason)


def _fields(part: Message) -> list[tuple[str, str]]:
    """Return the fields of a part that consists of blocks of headers."""
    payload = part.get_payload()
    blocks = [block for block in payload if isinstance(block, Message)] if isinstance(payload, list) else []
    if not blocks:
        text = payload if isinstance(payload, str) else ""
        blocks = [email.message_from_string(text)]
    found = []
    for block in blocks[:MAX_PARTS]:
        found += [(name.lower(), str(value)) for name, value in block.items()]
        inner = block.get_payload()
        if isinstance(inner, str) and inner.strip():
            found += [(name.lower(), str(value)) for name, value in email.message_from_string(inner).items()]
    return found
