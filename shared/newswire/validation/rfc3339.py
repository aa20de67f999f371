"""Parses RFC 3339 date-times, in one place for all that clients send.

``Z`` and ``T`` may be lower case, as the note in section 5.6 permits; a space in place of ``T``, which the RFC leaves to
applications, is rejected. ``-00:00`` is UTC. Fractions finer than a microsecond are truncated.
"""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

EXAMPLE: Final = "2026-03-01T09:30:00Z"
FIX: Final = f"send an RFC 3339 date-time such as {EXAMPLE}"
MAX_LENGTH: Final = 64

_DATE: Final = r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
_TIME: Final = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]+))?"
_OFFSET: Final = r"(?:[Zz]|(?P<sign>[+-])(?P<hours>[0-9]{2}):(?P<minutes>[0-9]{2}))"
_FULL_DATE: Final = re.compile(_DATE)
_DATE_TIME: Final = re.compile(f"{_DATE}[Tt]{_TIME}{_OFFSET}")
_WITHOUT_OFFSET: Final = re.compile(f"{_DATE}[Tt]{_TIME}")


def parse_date_time(text: str) -> datetime:
    """Parse an RFC 3339 date-time (section 5.6) into UTC.

    A leap second, which can only be the last of a month in UTC (section 5.7), becomes the second after it.

    Raises:
        ValueError: it is invalid; the message continues a sentence that begins with the field's name.
    """
    found = _DATE_TIME.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if found is None:
        if _WITHOUT_OFFSET.fullmatch(text[:MAX_LENGTH]):
            raise ValueError(f"must have an offset or Z, such as {EXAMPLE}")
        raise ValueError(f"must be an RFC 3339 date-time such as {EXAMPLE}")
    year, month, day, hour, minute, second = (
        int(found[name]) for name in ("year", "month", "day", "hour", "minute", "second")
    )
    fraction = int(((found["fraction"] or "") + "000000")[:6])
    hours, minutes = int(found["hours"] or 0), int(found["minutes"] or 0)
    if hour > 23 or minute > 59 or second > 60 or hours > 23 or minutes > 59:
        raise ValueError("has a time of day or an offset that does not exist")
    offset = timedelta(hours=hours, minutes=minutes) * (-1 if found["sign"] == "-" else 1)
    leap = second == 60
    try:
        local = datetime(year, month, day, hour, minute, 59 if leap else second, fraction, timezone(offset))
    except ValueError:
        raise ValueError(_no_such_day(year)) from None
    try:
        moment = local.astimezone(UTC)
        return _after_leap_second(moment) if leap else moment
    except OverflowError:
        raise ValueError("is outside the years 1 to 9999") from None


def parse_full_date(text: str) -> date | None:
    """Parse an RFC 3339 full-date such as 2026-03-01; return None for text of another form.

    Raises:
        ValueError: it has this form, but the day does not exist.
    """
    found = _FULL_DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day = int(found["year"]), int(found["month"]), int(found["day"])
    try:
        return date(year, month, day)
    except ValueError:
        raise ValueError(_no_such_day(year)) from None


def _no_such_day(year: int) -> str:
    return "is outside the years 1 to 9999" if year == 0 else "has a day that does not exist"


def _after_leap_second(last: datetime) -> datetime:
    following = last.replace(microsecond=0) + timedelta(seconds=1)
    if (following.day, following.hour, following.minute) != (1, 0, 0):
        raise ValueError("has 60 seconds, which only the last minute of a month in UTC can have")
    return following
