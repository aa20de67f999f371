"""When digests are due: gaps, repeated hours, skipped dates, and what is late."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise

import pytest

from newswire_notify.newsletters.schedule import (
    DigestTime,
    UnknownZoneError,
    instant_of,
    is_too_late,
    last_occurrence,
    next_occurrence,
    occurrences,
    zone_names,
    zone_of,
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "day", "clock", "expected"),
    [
        # An ordinary day, in winter and in summer.
        ("Europe/Berlin", "2026-01-15", "07:00", "2026-01-15T06:00"),
        ("Europe/Berlin", "2026-07-15", "07:00", "2026-07-15T05:00"),
        # The gap: 02:00–03:00 does not exist, so the first valid instant is 03:00 CEST, and not 03:30.
        ("Europe/Berlin", "2026-03-29", "02:00", "2026-03-29T01:00"),
        ("Europe/Berlin", "2026-03-29", "02:30", "2026-03-29T01:00"),
        ("Europe/Berlin", "2026-03-29", "03:00", "2026-03-29T01:00"),
        # The repeated hour: the first of the two.
        ("Europe/Berlin", "2026-10-25", "02:30", "2026-10-25T00:30"),
        ("America/New_York", "2026-03-08", "02:30", "2026-03-08T07:00"),
        ("America/New_York", "2026-11-01", "01:30", "2026-11-01T05:30"),
        # Lord Howe Island moves its clocks by half an hour.
        ("Australia/Lord_Howe", "2026-10-04", "02:15", "2026-10-03T15:30"),
        ("Australia/Lord_Howe", "2026-04-05", "01:45", "2026-04-04T14:45"),
        # Gaps at midnight.
        ("Africa/Cairo", "2026-04-24", "00:00", "2026-04-23T22:00"),
        ("Africa/Cairo", "2026-04-24", "00:30", "2026-04-23T22:00"),
        ("Asia/Beirut", "2026-03-29", "00:00", "2026-03-28T22:00"),
        ("America/Santiago", "2026-09-06", "00:00", "2026-09-06T04:00"),
        # Nuuk leaves out the last hour of a day: the first instant after it belongs to the next date.
        ("America/Nuuk", "2026-03-28", "23:00", "2026-03-29T01:00"),
        # Casablanca goes back by an hour for Ramadan, and forward again after it.
        ("Africa/Casablanca", "2026-02-15", "02:30", "2026-02-15T01:30"),
        ("Africa/Casablanca", "2026-03-22", "02:30", "2026-03-22T02:00"),
    ],
)
def test_the_instant_of_a_local_time(zone: str, day: str, clock: str, expected: str) -> None:
    assert instant_of(date.fromisoformat(day), time.fromisoformat(clock), zone_of(zone)) == utc(expected)


def test_a_date_that_a_zone_left_out_has_no_digest() -> None:
    assert instant_of(date(2011, 12, 30), time(7), zone_of("Pacific/Apia")) is None
    days = [each.local_date for each in islice(occurrences(DigestTime("Pacific/Apia", 7), utc("2011-12-28T18:00")), 3)]
    assert days == [date(2011, 12, 29), date(2011, 12, 31), date(2012, 1, 1)]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Africa/Cairo", "Asia/Beirut", "America/Nuuk"])
@pytest.mark.parametrize("hour", [0, 1, 2, 3, 23])
def test_a_year_has_one_digest_for_each_date(zone: str, hour: int) -> None:
    found = list(islice(occurrences(DigestTime(zone, hour), utc("2026-01-02T12:00")), 365))
    dates = [each.local_date for each in found]
    assert dates == [dates[0] + timedelta(days=number) for number in range(365)]
    gaps = {(after.at - before.at) / timedelta(hours=1) for before, after in pairwise(found)}
    assert gaps <= {23.0, 24.0, 25.0}


@pytest.mark.parametrize("zone", sorted(zone_names())[::25])
def test_every_zone_has_a_next_digest_within_two_days(zone: str) -> None:
    now = utc("2026-03-28T12:34")
    for hour in range(24):
        following = next_occurrence(DigestTime(zone, hour), now)
        assert now < following.at <= now + timedelta(days=2)
        before = last_occurrence(DigestTime(zone, hour), now)
        assert before is not None
        assert before.at <= now
        assert next_occurrence(DigestTime(zone, hour), before.at) == following


def test_a_weekly_digest_comes_on_its_day() -> None:
    found = list(islice(occurrences(DigestTime("Europe/Berlin", 7, weekday=4), utc("2026-11-26T00:00")), 3))
    assert [each.local_date for each in found] == [date(2026, 11, 27), date(2026, 12, 4), date(2026, 12, 11)]


def test_a_digest_is_due_strictly_after_the_last_one() -> None:
    when = DigestTime("Europe/Berlin", 7)
    first = next_occurrence(when, utc("2026-11-26T00:00"))
    assert next_occurrence(when, first.at).local_date == first.local_date + timedelta(days=1)
    assert last_occurrence(when, first.at) == first


def test_a_late_digest_is_sent_within_six_hours() -> None:
    due = utc("2026-11-26T06:00")
    assert not is_too_late(due, due + timedelta(hours=6))
    assert is_too_late(due, due + timedelta(hours=6, seconds=1))


@pytest.mark.parametrize(
    "name", ["", "Berlin", "Europe/Atlantis", "../etc/passwd", "Etc/GMT+5", "europe/berlin", "UTC\x00"]
)
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(UnknownZoneError):
        zone_of(name)


def test_a_group_names_its_time() -> None:
    for when in (
        DigestTime("Europe/Berlin", 7),
        DigestTime("America/Argentina/Ushuaia", 23, 6),
        DigestTime("UTC", 0, 0),
    ):
        assert DigestTime.of_group(when.group) == when
