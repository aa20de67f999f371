"""Parses dates as other systems write them: RFC 3339, ISO 8601, RFC 5322 and the forms that people type.

A date that cannot be parsed does not reject the article: the next candidate is used, and a note is added.
"""

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil import parser as dateutil_parser

MAX_DATE_CHARACTERS = 100
"""Longer texts are not dates."""
_ZONES = {  # hours from UTC; where one abbreviation has several meanings, the one that most newsrooms use
    "UTC": 0,
    "GMT": 0,
    "Z": 0,
    "UT": 0,
    "WET": 0,
    "WEST": 1,
    "BST": 1,
    "CET": 1,
    "CEST": 2,
    "MEZ": 1,
    "MESZ": 2,
    "EET": 2,
    "EEST": 3,
    "MSK": 3,
    "SAST": 2,
    "EAT": 3,
    "IST": 5.5,
    "PKT": 5,
    "SGT": 8,
    "HKT": 8,
    "AWST": 8,
    "JST": 9,
    "KST": 9,
    "ACST": 9.5,
    "AEST": 10,
    "AEDT": 11,
    "NZST": 12,
    "NZDT": 13,
    "BRT": -3,
    "ART": -3,
    "NST": -3.5,
    "NDT": -2.5,
    "AST": -4,
    "ADT": -3,
    "EST": -5,
    "EDT": -4,
    "CST": -6,
    "CDT": -5,
    "MST": -7,
    "MDT": -6,
    "PST": -8,
    "PDT": -7,
    "AKST": -9,
    "AKDT": -8,
    "HST": -10,
}
_AMBIGUOUS_ZONES = frozenset(("BST", "IST", "CST", "AST", "ADT", "MST", "EAT", "ECT", "SST", "PST", "ART"))
_ISO = re.compile(
    r"\d{4}-\d{2}-\d{2}([Tt ]\d{2}(:\d{2}(:\d{2}([.,]\d+)?)?)?( ?([Zz]|[+-]\d{2}(:?\d{2})?))?)?", re.ASCII
)
_WEEK = re.compile(r"\d{4}-W\d{2}(-\d)?", re.ASCII)
_BASIC = re.compile(r"\d{8}(T\d{4}(\d{2})?([.,]\d+)?(Z|[+-]\d{2}(:?\d{2})?)?)?", re.ASCII)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})", re.ASCII)
_EPOCH = re.compile(r"[1-9]\d{9}|[1-9]\d{12}", re.ASCII)
_MONTH = re.compile(r"(\d{4})[-/](\d{1,2})", re.ASCII)
_YEAR = re.compile(r"\d{4}", re.ASCII)
_NUMERIC = re.compile(r"(?<!\d)(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})(?!\d)", re.ASCII)
_BRACKETS = re.compile(r"\[[^\]]*\]|\([^)]*\)")
_ZONE_NAME = re.compile(r"\b([A-Z][A-Za-z_]+/[A-Z][A-Za-z_/+-]+)$")
_ABBREVIATION = re.compile(r"(?<![A-Za-z])([A-Z]{2,5})$")
_GMT_OFFSET = re.compile(r"\b(?:GMT|UTC)(?=[+-]\d)")
_MIDNIGHT = re.compile(r"(?<!\d)24:00(:00)?(?!\d)")
_LEAP_SECOND = re.compile(r"(?<=\d\d:\d\d:)60(?!\d)")
_HAN = re.compile(r"(\d{4})\s?[年년]\s?(\d{1,2})\s?[月월]\s?(\d{1,2})\s?[日일]")
_YEARS = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_MAIL_DATE = re.compile(r"(?:[A-Za-z]{3,9},?\s+)?\d{1,2}\s+[A-Za-z]{3}\w*\s+\d{2,4}\s+\d{1,2}:\d{2}")
_WORD = re.compile(r"[^\W\d_]{3,}")
_CLOCK = re.compile(r"\d{1,2}:\d{2}|\d\s*[ap]\.?m\b", re.IGNORECASE)
_FIRST, _SECOND = datetime(1904, 1, 1), datetime(1908, 2, 2)  # noqa: DTZ001 (supplies the parts that a text lacks)
LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "pl", "cs", "ru")
"""Languages tried for the names of months, after the language of the article."""


@dataclass(frozen=True, slots=True)
class ReadDate:
    """A parsed date in UTC, and what had to be assumed to parse it."""

    at: datetime
    remark: str = ""


class UnreadableDateError(ValueError):
    """A value is not a date; the message says why."""


def first_date(values: Iterable[Any], language: str = "") -> tuple[ReadDate | None, list[str]]:
    """Return the first of several values that can be parsed, and notes on those that could not."""
    remarks: list[str] = []
    for value in values:
        if value in (None, ""):
            continue
        try:
            return read_date(value, language), remarks
        except UnreadableDateError as error:
            remarks.append(str(error))
    return None, remarks


def read_date(value: Any, language: str = "") -> ReadDate:
    """Parse a date or date-time: a Python, YAML or TOML value, or text.

    A time without a zone is UTC; a date without a time is midnight UTC.

    Raises:
        UnreadableDateError: the value is not a date, or only a part of one.
    """
    try:
        found = _read(value, language)
        at = found.at.replace(tzinfo=UTC) if found.at.tzinfo is None else found.at.astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError, ArithmeticError, AttributeError):
        raise UnreadableDateError(f"the date {str(value)[:60]!r} cannot be read") from None
    if at.year == 1 or at == datetime(1970, 1, 1, tzinfo=UTC):
        raise UnreadableDateError(f"the date {str(value)[:60]!r} is a placeholder")
    return ReadDate(at, found.remark)


def _read(value: Any, language: str) -> ReadDate:
    if isinstance(value, datetime):
        return ReadDate(value, "" if value.tzinfo else _ZONELESS)
    if isinstance(value, date):
        return ReadDate(datetime.combine(value, time()))
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError
    text = " ".join(str(value).split())
    if len(text) > MAX_DATE_CHARACTERS or not any(character.isdigit() for character in text):
        raise ValueError
    text = _LEAP_SECOND.sub("59", _HAN.sub(r"\1-\2-\3", text))
    if midnight := _MIDNIGHT.search(text):
        found = _exact(early := text.replace(midnight[0], "00:00" + (midnight[1] or ""))) or _typed(early, language)
        return ReadDate(found.at + timedelta(days=1), found.remark)
    return _exact(text) or _typed(text, language)


_ZONELESS = "a date without a time zone: read as UTC"


def _exact(text: str) -> ReadDate | None:
    """Parse the forms that have one meaning only."""
    if _ISO.fullmatch(text) or _WEEK.fullmatch(text) or _BASIC.fullmatch(text):
        found = datetime.fromisoformat(
            re.sub(r"(?<=:\d\d) (?=[Z+-])|(?<=\.\d) (?=[Z+-])", "", text.upper().replace(",", "."))
        )
        return ReadDate(found, _ZONELESS if found.tzinfo is None and _has_time(text) else "")
    if compact := _COMPACT.fullmatch(text):
        return ReadDate(datetime(*map(int, compact.groups())), _ZONELESS)  # type: ignore[arg-type]  # noqa: DTZ001
    if _EPOCH.fullmatch(text):
        seconds = int(text) / (1 if len(text) == 10 else 1000)
        return ReadDate(datetime.fromtimestamp(seconds, UTC), "a date is a number: read as Unix time")
    if month := _MONTH.fullmatch(text):
        return ReadDate(datetime(int(month[1]), int(month[2]), 1), f"the date {text!r} has no day: read as the first")  # noqa: DTZ001
    if _YEAR.fullmatch(text):
        return ReadDate(datetime(int(text), 1, 1), f"the date {text!r} has no day: read as the first")  # noqa: DTZ001
    return None


def _has_time(text: str) -> bool:
    return "T" in text.upper() or ":" in text


def _typed(text: str, language: str) -> ReadDate:
    """Parse the forms that people type, or that programs write for people."""
    text = _GMT_OFFSET.sub("", _without_brackets(text))
    text, zone, remark = _zone(text)
    found, more = _rfc_5322(text), ""
    if found is None:
        found, more = _by_dateutil(text, language)
    if found is None:
        found = _by_words(text, language)
    if found is None:
        raise ValueError
    if zone is not None and found.tzinfo is None:
        found = found.replace(tzinfo=zone)
    if found.tzinfo is None and not remark and _CLOCK.search(text):
        remark = _ZONELESS
    return ReadDate(found, "; ".join(filter(None, (remark, more))))


def _without_brackets(text: str) -> str:
    """Remove comments such as "(Central European Time)", and Java's "[Europe/Paris]" after an offset."""
    return " ".join(_BRACKETS.sub(" ", text).split()) if _BRACKETS.search(text) else text


def _zone(text: str) -> tuple[str, tzinfo | None, str]:
    """Split a named time zone off the end of a text; return the rest, the zone, and a note on any assumption."""
    if named := _ZONE_NAME.search(text):
        try:
            return text[: named.start()].strip(), ZoneInfo(named[1]), ""
        except (ZoneInfoNotFoundError, ValueError):
            return text[: named.start()].strip(), None, f"the time zone {named[1]!r} is unknown: read as UTC"
    abbreviation = _ABBREVIATION.search(text)
    if not abbreviation or abbreviation[1].lower() in ("am", "pm") or not _CLOCK.search(text):
        return text, None, ""
    rest, name = text[: abbreviation.start()].strip(), abbreviation[1]
    if name not in _ZONES:
        return rest, None, f"the time zone {name!r} is unknown: read as UTC"
    hours = timedelta(hours=_ZONES[name])
    remark = (
        f"the time zone {name!r} has several meanings: read as {_offset(hours)}" if name in _AMBIGUOUS_ZONES else ""
    )
    return rest, timezone(hours), remark


def _offset(hours: timedelta) -> str:
    minutes = int(hours.total_seconds() // 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def _rfc_5322(text: str) -> datetime | None:
    if text[-2:].lower() == "pm" or not _MAIL_DATE.match(text):
        return None
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _by_dateutil(text: str, language: str) -> tuple[datetime | None, str]:
    """Parse with dateutil, which fills in missing parts: parse twice with different defaults, to find out what was filled in."""
    numeric = _NUMERIC.search(text)
    years = len(_YEARS.findall(text))
    if years > 1 or not (years or numeric or _WORD.search(text)):
        return None, ""  # a range, or numbers that are not a date
    day_first = bool(numeric) and (numeric[2] == "." or not language.lower().startswith("en")) if numeric else False
    found = _whole_date(text, day_first)
    if found is None:
        return None, ""
    if numeric and int(numeric[1]) <= 12 and int(numeric[3]) <= 12 and numeric[1] != numeric[3] and numeric[2] != ".":
        order = "day/month" if day_first else "month/day"
        return found, f"the date {numeric[0]!r} has two meanings: read as {order}"
    return found, ""


def _whole_date(text: str, day_first: bool) -> datetime | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dateutil warns about time zones; `_zone` has parsed them
        try:
            one, other = (
                dateutil_parser.parse(text, dayfirst=day_first, default=default, tzinfos=_tzinfo)
                for default in (_FIRST, _SECOND)
            )
        except (ValueError, OverflowError, TypeError, AttributeError, IndexError, ArithmeticError):
            return None
    return one if one.date() == other.date() else None


def _tzinfo(name: str | None, offset: int | None) -> tzinfo | None:
    if offset is not None:
        return timezone(timedelta(seconds=offset))
    return timezone(timedelta(hours=_ZONES[name])) if name in _ZONES else None


@lru_cache(maxsize=4096)
def _by_words(text: str, language: str) -> datetime | None:
    """Parse the names of months in other languages. The library is slow to load and rarely needed."""
    if not _WORD.search(text) or len(_YEARS.findall(text)) != 1:
        return None
    import dateparser
    from dateparser.data.languages_info import language_order

    wanted = [language.partition("-")[0].lower(), *LANGUAGES]
    languages = [code for code in dict.fromkeys(wanted) if code in language_order]
    settings: Any = {"STRICT_PARSING": True, "PARSERS": ["absolute-time"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: datetime | None = dateparser.parse(text, languages=languages, settings=settings)
    return found
