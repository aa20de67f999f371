"""The loop that maintains the index of a search service."""

import asyncio
import logging

import orjson
import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_search.app import GROUP
from newswire_search.index.elasticsearch.admin import ElasticsearchIndexAdmin
from newswire_search.index.elasticsearch.index import ElasticsearchIndex
from newswire_search.index.mapping import index_settings
from newswire_search.maintenance import index_maintainer
from newswire_search.maintenance.index_maintainer import IndexMaintainer
from tests.search.test_elasticsearch_errors import response
from tests.search.test_elasticsearch_transport import cluster

DEADLINE_SECONDS = 120


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "the response has no index.uuid"),
        ({"t-articles-4-000001": {"settings": {}}}, "the response has no index.uuid"),
        ({"t-articles-4-000001": {"settings": "hidden"}}, "the response has no index.uuid"),
        (
            {"t-articles-4-000001": {}, "t-articles-4-000002": {}},
            "t-articles-4-000001, t-articles-4-000002; leave it to one",
        ),
    ],
)
async def test_settings_of_the_index_that_cannot_be_read_are_one_line_in_the_log(
    settings: dict[str, object],
    reason: str,
    redis: Redis,
    namespace: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for pause in ("CHECK_INTERVAL_SECONDS", "RETRY_INTERVAL_SECONDS"):
        monkeypatch.setattr(index_maintainer, pause, 0.01)
    keys = Keyspace(namespace)
    readable = {"t-articles-4-000001": {"settings": {"index": {"uuid": "one"}}}}
    answers = [response(200, orjson.dumps(each)) for each in (settings, readable)]
    async with cluster(list(answers), retries=0) as (client, _):
        admin = ElasticsearchIndexAdmin(ElasticsearchIndex(client, "t", index_settings(1, 0, 200)))
        maintainer = IndexMaintainer(redis, keys, GROUP, admin, owns_index=False)
        stopping = asyncio.Event()
        with caplog.at_level(logging.WARNING, "newswire_search"):
            running = asyncio.create_task(maintainer.run(stopping))
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not await redis.sismember(keys.complete_indexes, "one") and not running.done():
                    await asyncio.sleep(0.01)
            stopping.set()
            await running  # it went on: the second answer was read
    (record,) = caplog.records
    assert record.message == "index maintenance failed and is retried"
    assert record.exc_info is None
    assert reason in str(getattr(record, "reason", ""))
