"""The cost of a page stays within its budget, whatever is on the stream, and no event is lost."""

import asyncio
from functools import partial

import orjson
import pytest
from redis.asyncio import Redis

from newswire.concurrency.fair_threads import current_client
from newswire.concurrency.offload import Offload, QueueFullError
from newswire.cost_limits import FIRST_READ_ENTRIES
from newswire.events import FIELD, recorded_event
from newswire.filters import Filter
from newswire.keys import Keyspace
from newswire.messaging.stream_position import BEGINNING, parse_position
from newswire.storage.article_records import pack
from newswire_notify.streaming import event_scan
from newswire_notify.streaming.event_scan import RawEntry, ScanBudget, scan
from newswire_notify.streaming.pull import MAX_CONCURRENT_PAGES, Page, Pull, PullPosition
from newswire_notify.streaming.stream_events import StreamFilter, event_from_version, read_stream_entry, with_readers

SITE = "https://news.example"
FROM_THE_FIRST_EVENT = (0, 1)


def version(number: int, text: str) -> dict[str, object]:
    return {
        "id": f"01jd00000000000000000000{number:02}",
        "version": 1,
        "publisher": "gazette",
        "url": f"{SITE}/articles/{number}",
        "title": f"Title {number}",
        "body": f"<p>{text}</p>",
        "text": text,
        "published_at": "2026-03-01T09:00:00Z",
        "updated_at": "2026-03-01T09:00:00Z",
        "language": "en",
    }


async def publish(redis: Redis, keys: Keyspace, texts: list[str]) -> None:
    for number, text in enumerate(texts):
        await redis.xadd(keys.stream, {FIELD: recorded_event(version(number, text), SITE).to_json()})


async def test_a_page_ends_at_its_byte_limit_and_the_next_ones_continue(redis: Redis, keys: Keyspace) -> None:
    await publish(redis, keys, ["word " * 20_000] * 5)
    pull, sizes = Pull(redis, keys, SITE), []
    after: PullPosition = FROM_THE_FIRST_EVENT
    while True:
        page = await pull.page(StreamFilter(), after, 100, ScanBudget(read_bytes=250_000))
        sizes.append(len(page.events))
        after = page.next
        if not page.more:
            break
    assert sizes == [2, 2, 1]


async def record(redis: Redis, keys: Keyspace, texts: list[str]) -> None:
    for number, text in enumerate(texts):
        document = version(number, text)
        article = str(document["id"])
        await redis.zadd(keys.articles, {article: number})
        await redis.hset(keys.article(article), mapping={"status": "published", "version": 1})
        await redis.hset(keys.version(article, 1), "document", pack(orjson.dumps(document)))


async def test_a_page_of_records_counts_uncompressed_bytes(redis: Redis, keys: Keyspace) -> None:
    await record(redis, keys, ["word " * 20_000] * 5)
    pull = Pull(redis, keys, SITE)
    page, sizes = Page(BEGINNING), list[int]()
    while page.more:
        page = await pull.page(StreamFilter(), page.next, 100, ScanBudget(read_bytes=250_000))
        sizes.append(len(page.events))
    assert sizes == [2, 2, 1]


def test_the_event_of_a_record_equals_the_one_on_the_stream() -> None:
    document = version(1, 'Ferry – "naïve"') | {"updated_at": "2026-03-01T09:00:00.123Z"}
    sent = recorded_event(document, SITE)
    rebuilt = event_from_version(orjson.dumps(document), SITE)
    assert orjson.loads(rebuilt.json) == orjson.loads(sent.to_json())
    assert (rebuilt.event, rebuilt.type, rebuilt.article, rebuilt.version) == (sent.id, sent.type, document["id"], 1)
    assert rebuilt.json == sent.to_json()


async def test_concurrent_pages_are_limited_and_clients_take_turns(
    redis: Redis, keys: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull, go_on, making = Pull(redis, keys, SITE), asyncio.Event(), list[str]()

    async def made(
        _self: Pull, _stream_filter: StreamFilter, after: PullPosition, _limit: int, _budget: ScanBudget
    ) -> Page:
        making.append(current_client.get())
        await go_on.wait()
        return Page(after)

    async def read_by(client: str) -> None:
        current_client.set(client)
        await pull.page(StreamFilter(), FROM_THE_FIRST_EVENT, 1)

    monkeypatch.setattr(Pull, "_page", made)
    async with asyncio.TaskGroup() as group:
        for client in (*["greedy"] * 20, "other"):
            group.create_task(read_by(client))
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert making == ["greedy"] * MAX_CONCURRENT_PAGES
        go_on.set()
    assert "other" in making[: MAX_CONCURRENT_PAGES + 2]
    assert len(making) == 21


async def test_a_page_without_matches_ends_at_its_entry_limit(redis: Redis, keys: Keyspace) -> None:
    await publish(redis, keys, ["harbour", "harbour", "harbour", "harbour", "bridge"])
    stream_filter = StreamFilter.combine([Filter(query="bridge")])
    pull = Pull(redis, keys, SITE)
    page = await pull.page(stream_filter, FROM_THE_FIRST_EVENT, 100, ScanBudget(entries=3))
    assert (page.events, page.more) == ([], True)
    page = await pull.page(stream_filter, page.next, 100, ScanBudget(entries=3))
    assert len(page.events) == 1
    assert not page.more


async def test_processor_time_ends_a_page_after_the_current_entry(redis: Redis, keys: Keyspace) -> None:
    await publish(redis, keys, ["harbour"] * 4)
    stream_filter = StreamFilter.combine([Filter(query="harbour")])
    page = await Pull(redis, keys, SITE).page(
        stream_filter, FROM_THE_FIRST_EVENT, 100, ScanBudget(processor_seconds=0.0000001)
    )
    assert (len(page.events), page.more) == (1, True)


def test_the_read_size_depends_on_the_largest_entry() -> None:
    budget = ScanBudget(entries=100, read_bytes=10_000)
    assert budget.next_count(50) == FIRST_READ_ENTRIES
    budget.spend(100, 0)
    assert budget.next_count(50) == 50
    budget.spend(2000, 0)
    assert budget.next_count(50) == 3
    budget.spend(20_000, 0)
    assert budget.spent
    assert budget.next_count(50) == 1


async def test_large_entries_are_decoded_in_a_thread_with_the_same_result(redis: Redis, keys: Keyspace) -> None:
    await publish(redis, keys, ["harbour " * 20_000, "bridge " * 20_000])
    read = await redis.xrange(keys.stream)
    raw = [
        RawEntry(parse_position(at.decode()), len(fields[b"__data__"]), partial(read_stream_entry, at, fields))
        for at, fields in read
    ]
    found = await scan(
        raw, StreamFilter.combine([Filter(query="bridge")]), ScanBudget(), partial(with_readers, redis, keys)
    )
    assert [entry is not None for entry, _ in found] == [False, True]


async def test_an_overloaded_pool_is_a_503(redis: Redis, keys: Keyspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_scan, "offload", Offload("none", workers=1, max_waiting=-1))
    await publish(redis, keys, ["harbour " * 20_000])
    with pytest.raises(QueueFullError):
        await Pull(redis, keys, SITE).page(StreamFilter(), FROM_THE_FIRST_EVENT, 100)
