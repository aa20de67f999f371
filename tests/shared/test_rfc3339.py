"""Date-times of clients are parsed strictly by RFC 3339."""

from datetime import UTC, date, datetime

import pytest

from newswire.validation.rfc3339 import parse_date_time, parse_full_date


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T09:30:00Z", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        ("2026-03-01t09:30:00z", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        ("2026-03-01T09:30:00+05:45", datetime(2026, 3, 1, 3, 45, tzinfo=UTC)),
        ("2026-03-01T00:30:00-00:00", datetime(2026, 3, 1, 0, 30, tzinfo=UTC)),
        ("2026-03-01T00:30:00+23:59", datetime(2026, 2, 28, 0, 31, tzinfo=UTC)),
        ("2026-03-01T09:30:00.5Z", datetime(2026, 3, 1, 9, 30, 0, 500_000, tzinfo=UTC)),
        ("2026-03-01T09:30:00.123456789123Z", datetime(2026, 3, 1, 9, 30, 0, 123_456, tzinfo=UTC)),
        ("2024-02-29T23:59:59Z", datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2016-12-31T15:59:60.75-08:00", datetime(2017, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_date_time_is_parsed_into_utc(text: str, moment: datetime) -> None:
    assert parse_date_time(text) == moment
    assert parse_date_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20310115",
        "1767225600",
        "1767225600.5",
        "-1",
        "2026",
        "2026-03",
        "2026-03-01",
        "2026-060",
        "2026-W09-7",
        "2026-W09-7T09:30:00Z",
        "20260301T093000Z",
        "2026-03-01T09:30:00",
        "2026-03-01T09:30Z",
        "2026-03-01T09Z",
        "2026-03-01 09:30:00Z",
        "2026-03-01T09:30:00 Z",
        "2026-03-01T09:30:00 UTC",
        "2026-03-01T09:30:00CET",
        "2026-03-01T09:30:00+0100",
        "2026-03-01T09:30:00+01",
        "2026-03-01T09:30:00+24:00",
        "2026-03-01T09:30:00+01:60",
        "2026-03-01T09:30:00\u221201:00",
        "2026-03-01T09:30:00,5Z",
        "2026-03-01T09:30:00.Z",
        "2026-03-01T09:30:60Z",
        "2026-12-31T23:59:60+01:00",
        "2026-12-30T23:59:60Z",
        "9999-12-31T23:59:60Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T09:60:00Z",
        "2026-03-01T09:30:61Z",
        "2026-02-29T09:30:00Z",
        "2026-13-01T09:30:00Z",
        "2026-00-01T09:30:00Z",
        "2026-3-1T9:30:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "10000-01-01T00:00:00Z",
        "+2026-03-01T09:30:00Z",
        " 2026-03-01T09:30:00Z",
        "2026-03-01T09:30:00Z\n",
        "٢٠٢٦-٠٣-٠١T٠٩:٣٠:٠٠Z",
        "2026-03-01T09:30:00.0000000000000000000000000000000000000000000000000001Z",  # longer than any date-time
        "Sun, 01 Mar 2026 09:30:00 GMT",
        "now",
        "P1D",
    ],
)
def test_other_texts_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|is|has) "):
        parse_date_time(text)


def test_a_full_date_is_parsed_or_none() -> None:
    assert parse_full_date("2026-03-01") == date(2026, 3, 1)
    assert parse_full_date("2026-03-01T00:00:00Z") is None
    assert parse_full_date("20260301") is None
    assert parse_full_date("٢٠٢٦-٠٣-٠١") is None
    for text in ("2026-02-30", "0000-01-01"):
        with pytest.raises(ValueError, match=r"day that|the years"):
            parse_full_date(text)
