"""Metrics of several processes on one page."""

import pytest

from newswire_operations.exposition import merge, parse

FIRST = """\
# HELP newswire_article_events_published_total Events put on the stream
# TYPE newswire_article_events_published_total counter
newswire_article_events_published_total{kind="said \\"so\\""} 3.0
# HELP newswire_article_events_published_created Events put on the stream
# TYPE newswire_article_events_published_created gauge
newswire_article_events_published_created{kind="said \\"so\\""} 1.5e+09
# HELP newswire_http_request_duration_seconds Time to the first byte of the answer
# TYPE newswire_http_request_duration_seconds histogram
newswire_http_request_duration_seconds_bucket{le="0.1"} 2.0
newswire_http_request_duration_seconds_bucket{le="+Inf"} 2.0
newswire_http_request_duration_seconds_count 2.0
newswire_http_request_duration_seconds_sum 0.03
"""
SECOND = """\
# HELP newswire_consumer_lag_entries Stream entries that a group has not read
# TYPE newswire_consumer_lag_entries gauge
newswire_consumer_lag_entries{group="notify"} NaN
# HELP newswire_article_events_published_total Events put on the stream
# TYPE newswire_article_events_published_total counter
newswire_article_events_published_total{kind="updated"} 1.0
"""


def test_samples_have_their_instance_and_families_are_described_once() -> None:
    pages = [
        parse(FIRST, {"service": "ingest", "instance": "a:1"}),
        parse(SECOND, {"service": "notify", "instance": "b:2"}),
    ]

    assert (
        merge(pages).decode()
        == """\
# HELP newswire_article_events_published_total Events put on the stream
# TYPE newswire_article_events_published_total counter
newswire_article_events_published_total{instance="a:1",kind="said \\"so\\"",service="ingest"} 3.0
newswire_article_events_published_total{instance="b:2",kind="updated",service="notify"} 1.0
# HELP newswire_article_events_published_created Events put on the stream
# TYPE newswire_article_events_published_created gauge
newswire_article_events_published_created{instance="a:1",kind="said \\"so\\"",service="ingest"} 1.5e+09
# HELP newswire_http_request_duration_seconds Time to the first byte of the answer
# TYPE newswire_http_request_duration_seconds histogram
newswire_http_request_duration_seconds_bucket{instance="a:1",le="0.1",service="ingest"} 2.0
newswire_http_request_duration_seconds_bucket{instance="a:1",le="+Inf",service="ingest"} 2.0
newswire_http_request_duration_seconds_count{instance="a:1",service="ingest"} 2.0
newswire_http_request_duration_seconds_sum{instance="a:1",service="ingest"} 0.03
# HELP newswire_consumer_lag_entries Stream entries that a group has not read
# TYPE newswire_consumer_lag_entries gauge
newswire_consumer_lag_entries{group="notify",instance="b:2",service="notify"} NaN
"""
    )


def test_an_invalid_metrics_page_is_rejected() -> None:
    with pytest.raises(ValueError):
        parse("<html>Bad Gateway</html>", {})
