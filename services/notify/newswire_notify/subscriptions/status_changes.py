"""Pausing, resuming and enabling a subscription: each change is decided here, from its record, and applied by Redis in one step.

Redis applies a decision (`change_status` in subscribing.lua) only while its assumptions hold: the record has the revision that was
read, and the account is suspended or not, as assumed. Otherwise it is decided again. `docs/deliveries.md` has the table.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from newswire.messaging.stream_position import parse_position
from newswire_notify.deliveries.queue import Queue
from newswire_notify.subscriptions.errors import SubscriptionConflictError
from newswire_notify.subscriptions.models import PAUSED_BY_OTHERS, PausedBy, Subscription

MAX_REORDERING_MS = 3_600_000
"""How far apart in time events may be planned out of order: by several processes, or with clocks that differ."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """The events that a backfill covers: those after a stream entry that were fanned out since a membership ended."""

    after: str
    since: int
    first_seq: int
    mode: Literal["missed", "recipients"]
    """``recipients``: only events about articles that the subscription was sent."""


@dataclass(frozen=True, slots=True)
class StatusChange:
    """Fields to set and to remove, and what happens to membership and waiting deliveries in the same step."""

    set: Mapping[str, str] = field(default_factory=dict)
    unset: Sequence[str] = ()
    membership: Literal["", "leave", "rejoin"] = ""
    """``leave``: waiting deliveries are held. ``rejoin``: held deliveries become due."""
    backfill: Backfill | None = None


@dataclass(frozen=True, slots=True)
class StatusRecord:
    """The fields of a subscription on which its status depends."""

    status: str
    reason: str = ""
    """Why it is not active: who paused it, or why it was disabled."""
    note: str = ""
    """What an operator said about a pause."""
    paused_before: str = ""
    """Its status before an operator paused it."""
    reason_before: str = ""
    left_seq: int | None = None
    """When its last membership ended."""
    left_entry: str = ""
    """The stream entry up to which everything had been fanned out then."""
    paused_at: int = 0
    disabled_at: int = 0
    after_entry: str = "0-0"
    """It receives the events after this stream entry."""

    @classmethod
    def read(cls, fields: Mapping[bytes, bytes]) -> "StatusRecord":
        """Read the record of a subscription."""

        def text(name: bytes) -> str:
            return fields.get(name, b"").decode()

        return cls(
            status=text(b"status"),
            reason=text(b"status_reason"),
            note=text(b"status_note"),
            paused_before=text(b"paused_before"),
            reason_before=text(b"reason_before"),
            left_seq=int(fields[b"left_seq"]) if fields.get(b"left_seq") else None,
            left_entry=text(b"left_entry"),
            paused_at=int(fields.get(b"paused_at", b"0")),
            disabled_at=int(fields.get(b"disabled_at", b"0")),
            after_entry=text(b"after_entry") or "0-0",
        )


Decide = Callable[[StatusRecord, bool], StatusChange | None]
"""Decides by a record, and by whether its account is suspended; None where nothing is to be changed."""


def pause(record: StatusRecord, by: PausedBy, note: str, handled: str) -> StatusChange | None:
    """Decide a pause. ``handled``: the stream entry up to which everything has been fanned out.

    An operator's pause replaces another one, which `resume` restores. A suspended account pauses only active subscriptions.

    Raises:
        SubscriptionConflictError: the subscription is disabled.
    """
    if record.status == "disabled":
        raise SubscriptionConflictError("it is disabled")
    was_paused = record.status == "paused"
    changed: dict[str, str] = {}
    if by is PausedBy.OPERATOR and record.reason != PausedBy.OPERATOR:
        changed |= {"paused_before": record.status, "reason_before": record.reason}
    if by is PausedBy.OPERATOR or (by is PausedBy.ACCOUNT and not was_paused):
        changed |= {"status_reason": by.value, "status_note": note}
    if record.reason == by and record.note == note:
        changed = {}
    if not was_paused:
        return StatusChange(changed | {"status": "paused", "left_entry": handled}, membership="leave")
    return StatusChange(changed) if changed else None


def resume(record: StatusRecord, by: PausedBy, *, suspended: bool) -> StatusChange | None:
    """Decide the end of a pause: held deliveries become due, and a backfill covers the pause.

    A subscription stays paused where its owner had paused it before an operator did, or where its account is suspended.

    Raises:
        SubscriptionConflictError: it is disabled, or someone else paused it.
    """
    if record.status == "active":
        return None
    if record.status != "paused":
        raise SubscriptionConflictError("it is disabled")
    if record.reason != by:
        raise SubscriptionConflictError(PAUSED_BY_OTHERS.get(record.reason, "it was not paused by an operator"))
    of_operator = ("paused_before", "reason_before", "status_note") if by is PausedBy.OPERATOR else ()
    if of_operator and record.paused_before == "paused" and record.reason_before != PausedBy.ACCOUNT:
        if record.reason_before:
            return StatusChange({"status_reason": record.reason_before}, of_operator)
        return StatusChange(unset=(*of_operator, "status_reason"))
    if by is not PausedBy.ACCOUNT and suspended:
        return StatusChange({"status_reason": PausedBy.ACCOUNT.value}, of_operator)
    after = max(record.left_entry or "0-0", record.after_entry, key=parse_position)
    return StatusChange(
        {"status": "active"},
        (*of_operator, "left_seq", "left_entry", "paused_at", "status_reason", "status_note"),
        membership="rejoin",
        backfill=Backfill(after, record.paused_at, record.left_seq or 0, "missed"),
    )


def enable(record: StatusRecord, *, suspended: bool) -> StatusChange | None:
    """Decide the end of being disabled: held deliveries become due; nothing changes while the account is suspended.

    The subscription does not receive new articles from the time in between, but corrections and retractions of articles that it
    was sent. The fan-out may have lagged when it was disabled: the backfill starts at the entry that was planned last.
    """
    if record.status != "disabled" or suspended:
        return None
    since = record.disabled_at
    decided = parse_position(record.left_entry)[0] if record.left_entry else since
    after = f"{max(0, min(decided, since) - MAX_REORDERING_MS)}-0"
    return StatusChange(
        {"status": "active"},
        ("status_reason", "disabled_at", "left_seq", "left_entry"),
        membership="rejoin",
        backfill=None if record.left_seq is None else Backfill(after, since, record.left_seq, "recipients"),
    )


async def change_status(queue: Queue, found: Subscription, decide: Decide, revision: str | None = None) -> bool | None:
    """Decide and apply a change of a subscription's status; decide again where its record has changed meanwhile.

    Return whether anything was changed; with a ``revision``, None where the record does not have it any more.
    """
    suspended = False
    while True:
        fields = await queue.redis.hgetall(queue.key("subscription", found.id))
        if fields.get(b"account") != found.account.encode():
            return False  # it was deleted
        current = Subscription.read(fields)
        if revision is not None and current.revision != revision:
            return None
        change = decide(StatusRecord.read(fields), suspended)
        if change is None:
            return False
        match await queue.call("change_status", **_arguments(current, change, suspended)):
            case b"SUSPENSION_CHANGED":
                suspended = not suspended
            case b"STALE":
                continue
            case answer:
                return bool(answer == b"OK")


def _arguments(current: Subscription, change: StatusChange, suspended: bool) -> dict[str, Any]:
    backfill = change.backfill
    return {
        "id": current.id,
        "account": current.account,
        "revision": current.revision,
        "suspended": suspended,
        "set": change.set,
        "unset": change.unset,
        "membership": change.membership,
        "digest": current.criteria().digest(),
        "backfill": {}
        if backfill is None
        else {
            "after": backfill.after,
            "since": backfill.since,
            "first_seq": backfill.first_seq,
            "mode": backfill.mode,
        },
    }
