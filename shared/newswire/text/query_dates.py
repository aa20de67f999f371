"""Date ranges in a query: ``published:2026-01..2026-03``, ``published:2026-03-01T09:00:00Z..``."""

import re
from calendar import monthrange
from datetime import UTC, datetime

from newswire.text.query_tree import Published
from newswire.validation.rfc3339 import parse_date_time

_SPAN = re.compile(r"(?i:published):(?P<since>[^.]*(?:\.\d+[^.]*)?)(?P<dots>\.\.)?(?P<until>\S*)")
_DATE = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?", re.ASCII)
MAX_DATE_CHARS = len("2026-03-01")
DAY_MS = 86_400_000


def is_span(text: str) -> bool:
    """Return whether a word is meant as a date range."""
    return text.lower().startswith("published:") and len(text) > len("published:")


def span(text: str) -> Published | None:
    """Parse ``published:`` and what follows; None if it is not a date range."""
    found = _SPAN.fullmatch(text)
    if found is None or not (found["since"] or found["until"]) or (found["until"] and not found["dots"]):
        return None
    try:
        since = _boundary_ms(found["since"], end=False) if found["since"] else None
        last = found["until"] if found["dots"] else found["since"]
        return Published(since, _boundary_ms(last, end=True) if last else None)
    except (ValueError, OverflowError):
        return None


def _boundary_ms(date: str, *, end: bool) -> int:
    """Return the first or the last millisecond of a year, month, day or second, since 1970.

    Raises:
        ValueError: the date does not exist.
    """
    if len(date) > MAX_DATE_CHARS:
        moment = parse_date_time(date)
        whole_second = int(moment.timestamp() // 1 * 1000)
        if end and "." not in date:
            return whole_second + 999
        return whole_second + moment.microsecond // 1000
    parts = _DATE.fullmatch(date)
    if parts is None:
        raise ValueError(date)
    year, month, day = (int(part) if part else None for part in parts.groups())
    first = datetime(year or 0, month or (12 if end else 1), day or 1, tzinfo=UTC)
    if not end:
        return int(first.timestamp()) * 1000
    last = first if day else first.replace(day=monthrange(first.year, first.month)[1])
    return int(last.timestamp()) * 1000 + DAY_MS - 1


def shown(moment: int | None, *, end: bool) -> str:
    """Return one end of a range as it can be typed."""
    if moment is None:
        return ""
    at = datetime.fromtimestamp(moment // 1000, UTC)
    if moment % DAY_MS == (DAY_MS - 1 if end else 0):
        return at.date().isoformat()
    return f"{at:%Y-%m-%dT%H:%M:%S}.{moment % 1000:03d}Z" if at.year >= 1000 else at.date().isoformat()
