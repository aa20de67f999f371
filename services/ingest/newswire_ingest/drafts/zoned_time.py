"""Local times in a named time zone (IANA): what they are in UTC, also where clocks are changed."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from newswire_ingest.articles.errors import InvalidMemberError

Note = Literal["", "gap", "repeated"]
_LOCAL = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?")
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}")
_MAX_ZONE_CHARS = 64
_NO_PLACES = frozenset(("localtime", "posixrules", "Factory"))
_COPIES = ("right/", "posix/")
"""Files beside the zones: what they mean depends on the machine, or counts leap seconds, which UTC here does not."""


@dataclass(frozen=True, slots=True)
class ZonedTime:
    """A local time in a zone, as it was understood.

    ``gap``: clocks skip the time, and the first one after it is meant. ``repeated``: clocks show it twice, and the first is meant.
    """

    utc: datetime
    local: str
    zone: str
    note: Note = ""


def resolve(local: str, zone: str) -> ZonedTime:
    """Return what a local time in a zone is in UTC.

    Raises:
        newswire_ingest.articles.errors.InvalidMemberError: there is no such time, or no such zone.
    """
    known = _zone(zone)
    try:
        if not _LOCAL.fullmatch(local):
            raise ValueError(local)
        wanted = datetime.fromisoformat(local)
        first = wanted.replace(tzinfo=known)
        utc = first.astimezone(UTC)
        second = first.replace(fold=1).astimezone(UTC)
        back = utc.astimezone(known).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise InvalidMemberError(
            "at", "is not a local time such as 2026-03-01T09:30", "send date and time without an offset"
        ) from None
    note: Note = ""
    if back != wanted:
        utc, note = _end_of_gap(second, utc, known), "gap"
    elif second != utc:
        note = "repeated"
    return ZonedTime(utc, utc.astimezone(known).replace(tzinfo=None).isoformat(timespec="minutes"), zone, note)


def _end_of_gap(early: datetime, late: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant after a gap that lies between two instants, to the second."""
    before = early.astimezone(zone).utcoffset()
    low, high = early, late
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def _zone(name: str) -> ZoneInfo:
    try:
        if len(name) > _MAX_ZONE_CHARS or not _ZONE.fullmatch(name) or name in _NO_PLACES or name.startswith(_COPIES):
            raise ValueError(name)
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        fix = "send a name such as 'Europe/Berlin', or 'UTC'"
        raise InvalidMemberError("zone", "is not a time zone of the IANA database", fix) from None
