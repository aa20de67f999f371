"""When a digest is due: pure functions of an IANA time zone, a local hour and a cadence.

Rules: in a gap of the local clock, the first valid instant after it; in a repeated hour, the first of the two; at most once for
each local date; what is late by more than `MAX_LATENESS` is merged into the next one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

MAX_LATENESS = timedelta(hours=6)
"""How late a digest is still sent, for example after an outage."""
MIN_INTERVAL = timedelta(hours=12)
"""Between two digests of a reader who has changed the hour or the zone."""
_SEARCHED_DAYS = 16


class Cadence(StrEnum):
    """How often a reader gets mail."""

    INSTANT = "instant"
    DAILY = "daily"
    WEEKLY = "weekly"


class UnknownZoneError(ValueError):
    """The text is not the name of an IANA time zone."""


@dataclass(frozen=True, slots=True)
class DigestTime:
    """The local time of a digest: its zone, hour and minute, and the day of the week (Monday is 0) of a weekly one."""

    zone: str
    hour: int
    weekday: int | None = None
    minute: int = 0

    @property
    def group(self) -> str:
        """The name of the delivery group of all readers with this time."""
        kind = Cadence.DAILY if self.weekday is None else f"{Cadence.WEEKLY}{self.weekday}"
        return f"{kind}|{self.hour:02}:{self.minute:02}|{self.zone}"

    @classmethod
    def of_group(cls, group: str) -> "DigestTime":
        """Return the time of a delivery group."""
        kind, clock, zone = group.split("|")
        weekday = kind.removeprefix(Cadence.WEEKLY)
        return cls(zone, int(clock[:2]), int(weekday) if weekday.isdigit() else None, int(clock[3:]))


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One digest: the instant at which it is due (UTC), and the local date that it is for."""

    at: datetime
    local_date: date


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """Return a time zone of the pinned database: that of the machine may be older, or missing.

    Raises:
        UnknownZoneError: there is none with this name.
    """
    if name not in zone_names():
        raise UnknownZoneError(f"{name[:60]!r} is not an IANA time zone")
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Return the names of all zones that a place has: `Area/City`, and UTC."""
    names = files("tzdata").joinpath("zones").read_text().split()
    return frozenset(name for name in names if name == "UTC" or ("/" in name and not name.startswith("Etc/")))


def instant_of(day: date, clock: time, zone: ZoneInfo) -> datetime | None:
    """Return the first instant (UTC) of a local date at or after a local time.

    This is that time where it exists, the first of the two where it is repeated, and the first instant after the gap where it is
    left out. None where the zone left out the whole date, as Apia did 30 December 2011.
    """
    local = datetime.combine(day, clock)
    offset = local.replace(tzinfo=zone).utcoffset()
    if offset is not None and offset == local.replace(tzinfo=zone, fold=1).utcoffset():
        return (local - offset).replace(tzinfo=UTC)  # neither in a gap nor repeated (PEP 495)
    first = _exact(local, zone)
    if first is not None:
        return first
    after = _end_of_gap(local, zone)
    around = {(after - timedelta(seconds=1)).astimezone(zone).date(), after.astimezone(zone).date()}
    return after if day in around else None


def _exact(local: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the earliest instant that shows this local time; None in a gap."""
    found = [local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    shown = [instant for instant in found if instant.astimezone(zone).replace(tzinfo=None) == local]
    return min(shown, default=None)


def _end_of_gap(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant at which the gap around a local time ends: where the offset of the zone changes."""
    before = local.replace(tzinfo=zone, fold=1).astimezone(UTC) - timedelta(days=1, hours=2)
    after = local.replace(tzinfo=zone, fold=0).astimezone(UTC) + timedelta(days=1, hours=2)
    low, high = int(before.timestamp()), int(after.timestamp())

    def passed(second: int) -> bool:
        return datetime.fromtimestamp(second, zone).replace(tzinfo=None) > local

    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passed(middle) else (middle, high)
    return datetime.fromtimestamp(high, UTC)


def occurrences(when: DigestTime, after: datetime) -> Iterator[Occurrence]:
    """Yield the digests that are due strictly after an instant, in order."""
    zone = zone_of(when.zone)
    clock = time(when.hour, when.minute)
    day = after.astimezone(zone).date() - timedelta(days=2)
    last = after
    while True:
        if when.weekday is None or day.weekday() == when.weekday:
            at = instant_of(day, clock, zone)
            if at is not None and at > last:
                last = at
                yield Occurrence(at, day)
        day += timedelta(days=1)


def next_occurrence(when: DigestTime, after: datetime) -> Occurrence:
    """Return the first digest that is due strictly after an instant."""
    return next(occurrences(when, after))


def last_occurrence(when: DigestTime, now: datetime) -> Occurrence | None:
    """Return the digest that was due last, at or before an instant; None where none was in the last two weeks."""
    return surrounding(when, now)[0]


def surrounding(when: DigestTime, now: datetime) -> tuple[Occurrence | None, Occurrence]:
    """Return the digest that was due last, as `last_occurrence` does, and the next one."""
    # Most digests were due within the first days that are searched.
    for days in (3 if when.weekday is None else 9, _SEARCHED_DAYS):
        last = None
        for occurrence in occurrences(when, now - timedelta(days=days)):
            if occurrence.at > now:
                following = occurrence
                break
            last = occurrence
        if last is not None:
            break
    return last, following


def is_too_late(due: datetime, now: datetime) -> bool:
    """Return whether a digest is so late that its items are left to the next one."""
    return now - due > MAX_LATENESS
