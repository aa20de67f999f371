"""Dates as other systems write them."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire_ingest.importing.dates import UnreadableDateError, first_date, read_date

DAY = datetime(2024, 1, 15, tzinfo=UTC)
TEN = DAY.replace(hour=10)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-01-15T10:00:00Z", TEN),
        ("2024-01-15t10:00:00z", TEN),
        ("2024-01-15T10:00:00.123456789Z", TEN.replace(microsecond=123456)),
        ("2024-01-15T10:00:00,5+00:00", TEN.replace(microsecond=500000)),
        ("2024-01-15T09:59:60Z", TEN.replace(hour=9, minute=59, second=59)),
        ("2024-01-14T24:00:00Z", DAY),
        ("2024-01-15T11:00:00+0100", TEN),
        ("2024-01-15 11:00:00 +0100", TEN),
        ("2024-02-01 06:00:00 +0000", datetime(2024, 2, 1, 6, tzinfo=UTC)),
        ("2024-02-01 06:00 Z", datetime(2024, 2, 1, 6, tzinfo=UTC)),
        ("2024-02-01 06:00:00.5 +00:00", datetime(2024, 2, 1, 6, microsecond=500000, tzinfo=UTC)),
        ("2024-02-01 at 06:00 UTC", datetime(2024, 2, 1, 6, tzinfo=UTC)),
        ("2024/02/01 06:00:00", datetime(2024, 2, 1, 6, tzinfo=UTC)),
        ("2024.02.01", datetime(2024, 2, 1, tzinfo=UTC)),
        ("2024-2-1", datetime(2024, 2, 1, tzinfo=UTC)),
        ("2024-01-15T11:00:00+01:00[Europe/Paris]", TEN),
        ("2024-01-15 11:00:00 Europe/Oslo", TEN),
        ("20240115T050000-0500", TEN),
        ("20240115", DAY),
        (20240115, DAY),
        (date(2024, 1, 15), DAY),
        ("2024-W03-1", DAY),
        ("2024-1-15", DAY),
        ("2024/01/15 10:00:00", TEN),
        ("Mon, 15 Jan 2024 10:00:00 GMT", TEN),
        ("Mon, 15 Jan 2024 12:00:00 CEST", TEN),
        ("Mon, 15 Jan 2024 05:00:00 EST", TEN),
        ("Mon, 15 January 2024 10:00:00 +0000", TEN),
        ("Mon, 15 Jan 2024 10:00 PM", TEN.replace(hour=22)),
        ("Mon Jan 15 2024 11:00:00 GMT+0100 (Central European Standard Time)", TEN),
        ("Mon Jan 15 11:00:00 CET 2024", TEN),
        ("Jan 15, 2024", DAY),
        ("January 15th, 2024 at 10:00 am", TEN),
        ("15 Jan 24", DAY),
        ("15. Januar 2024", DAY),
        ("15 janvier 2024", DAY),
        ("15 de enero de 2024", DAY),
        ("Lun, 15 Ene 2024 10:00:00 +0000", TEN),
        ("2024年1月15日", DAY),
        ("15.01.2024", DAY),
        ("15/01/2024", DAY),
        ("01/15/2024", DAY),
        ("1705312800", TEN),
        ("1705312800000", TEN),
    ],
)
def test_dates_are_parsed(value: object, expected: datetime) -> None:
    assert read_date(value).at == expected


@pytest.mark.parametrize(
    ("value", "expected", "remark"),
    [
        ("2024-01", datetime(2024, 1, 1, tzinfo=UTC), "has no day"),
        ("2024", datetime(2024, 1, 1, tzinfo=UTC), "has no day"),
        ("2024-01-15 10:00", TEN, "without a time zone"),
        (datetime(2024, 1, 15, 10), TEN, "without a time zone"),  # noqa: DTZ001
        ("Mon, 15 Jan 2024 11:00:00 BST", TEN, "several meanings: read as +01:00"),
        ("Mon, 15 Jan 2024 10:00:00 XYZ", TEN, "'XYZ' is unknown"),
        ("02/01/2024", datetime(2024, 1, 2, tzinfo=UTC), "two meanings: read as day/month"),
    ],
)
def test_assumptions_about_a_date_are_noted(value: object, expected: datetime, remark: str) -> None:
    found = read_date(value)
    assert found.at == expected
    assert remark in found.remark


def test_the_month_comes_first_in_american_articles() -> None:
    assert read_date("02/01/2024", "en-US").at == datetime(2024, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        *("Invalid Date", "12:55 AM", "PT5M", "5 min read", "YYYYMMDD000000-HHMM", "2024-13-45", "2024-02-30"),
        *("yesterday", "2 hours ago", "now", "Tuesday", "May", "May 15", "15 May 10:00", "1 2 3", "10000-01-01"),
        *("0000-00-00 00:00:00", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2024-01-15 - 2024-01-17"),
        *("9" * 5000, "2024-01-15" + " " * 50 + "x" * 60, True, None, 1.5, [], {}, b"2024-01-15"),
    ],
    ids=str,
)
def test_texts_that_are_not_dates_are_rejected(value: object) -> None:
    with pytest.raises(UnreadableDateError):
        read_date(value)


def test_the_first_parsable_date_is_used_and_the_others_are_noted() -> None:
    found, unread = first_date([None, "", "Invalid Date", "PT5M", "2024-01-15", "2025-01-01"])
    assert found is not None
    assert found.at == DAY
    assert unread == ["the date 'Invalid Date' cannot be read", "the date 'PT5M' cannot be read"]
    assert first_date(["Invalid Date"]) == (None, ["the date 'Invalid Date' cannot be read"])


@given(st.one_of(st.text(max_size=60), st.from_regex(r"[0-9TZ:+\-/. a-z年月日]{1,40}", fullmatch=True)))
def test_any_text_is_parsed_or_rejected(text: str) -> None:
    try:
        found = read_date(text)
    except UnreadableDateError:
        return
    assert found.at.tzinfo is UTC
