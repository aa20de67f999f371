"""Rebuilding an index from the records during writes and searches, and comparing it with the records."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from newswire.concurrency.backoff import pause
from newswire.messaging.messages import DependencyUnavailableError
from newswire.messaging.retention import trim
from newswire.storage.article_records import read_version, version_document
from newswire_search.index.elasticsearch.index import ElasticsearchIndex
from newswire_search.index.embedded.folder import name_in_use
from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.index.mapping import MAPPING, MAPPING_NUMBER
from newswire_search.index.models import Publish, Retract, Retracted
from newswire_search.index.port import ArticleIndex
from newswire_search.maintenance import reindexing, verification
from newswire_search.maintenance.reindex_state import (
    FOLLOWER,
    Phase,
    ReindexInProgressError,
    missing_articles_reason,
    read_progress,
    request_reindex,
)
from newswire_search.maintenance.reindexing import IndexVerificationError, ReindexStoppedError, abandon
from newswire_search.maintenance.verification import DifferenceKind
from tests.search.newsroom import Killed, Newsroom, killing, newsroom
from tests.search.samples import found, publish, put, retract


@pytest.fixture
async def room(redis: Redis, redis_url: str, namespace: str, index: ArticleIndex) -> AsyncIterator[Newsroom]:
    async with newsroom(redis, redis_url, namespace, index) as opened:
        yield opened


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reindexing, "PAGE", 10)
    monkeypatch.setattr(verification, "PAGE", 7)
    monkeypatch.setattr(verification, "SUSPECTS_BATCH_SIZE", 5)
    monkeypatch.setattr(verification, "CHECK_INTERVAL_SECONDS", 0.05)


def tomorrow() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).isoformat()


async def fill(room: Newsroom, number: int = 25) -> list[str]:
    """Publish, change, retract and schedule articles; return the ids that searches must find."""
    ids = [await room.publish(f"Ferry number {n}", language="en") for n in range(number)]
    for article in ids[:4]:
        await room.change(article, "Ferry, changed")
    for article in ids[2:7]:
        await room.retract(article)
    await room.change(ids[6], "Ferry, out again")
    await room.publish("Ferry of tomorrow", embargo_until=tomorrow())
    return [*ids[:2], *ids[6:]]


async def shown(room: Newsroom) -> set[str]:
    await room.admin.refresh()
    return set(await found(room.index, "ferry", limit=100))


async def test_new_index_has_the_content_of_the_old_one(room: Newsroom) -> None:
    async with room.indexing():
        published = await fill(room)
    before = {article: await room.index.get(article) for article in room.written}
    old = await room.admin.in_use()
    phases: list[Phase] = []
    outcome = await room.reindexed(lambda phase, *_: phases.append(phase))
    assert await room.admin.in_use() == outcome.name != old
    assert outcome.others == [old]
    assert list(dict.fromkeys(phases)) == ["replaying", "following", "comparing", "swapping"]
    assert {article: await room.index.get(article) for article in room.written} == before
    assert await shown(room) == set(published)
    assert (await room.verified()).found == {}
    assert await read_progress(room.redis, room.keys) is None
    assert FOLLOWER.encode() not in [group["name"] for group in await room.redis.xinfo_groups(room.keys.stream)]

    for name in outcome.others:
        await room.admin.drop(name)
    assert await room.admin.unused() == []
    await put(room.index, publish("new", "Ferry"))
    assert "new" in await shown(room)


async def test_progress_is_readable_until_the_reindex_ends(room: Newsroom) -> None:
    async with room.indexing():
        await fill(room, 8)
    old = await room.admin.in_use()
    await request_reindex(room.redis, room.keys)
    working = asyncio.create_task(room.reindexed())
    while await read_progress(room.redis, room.keys) is not None:
        await asyncio.sleep(0)
    assert await room.admin.in_use() != old
    await working


async def test_writes_during_a_reindex_are_not_lost(room: Newsroom) -> None:
    ended = asyncio.Event()

    async def write_on() -> None:
        number = 0
        kept: list[str] = []
        while not await pause(ended, 0.05):  # leave the processor to those who follow
            number += 1
            kept.append(await room.publish(f"Ferry of the hour {number}", language="en"))
            if number % 3 == 0:
                await room.change(kept[-2], "Ferry, changed")
            if number % 4 == 0:
                await room.retract(kept.pop(0))
            if number % 5 == 0:
                await room.publish("Ferry of tomorrow", embargo_until=tomorrow())

    async def read_on() -> None:
        while True:
            assert sorted(await found(room.index, "lighthouse")) == lasting
            assert not await found(room.index, "tomorrow")
            if await pause(ended, 0.05):
                return

    await fill(room)
    async with room.indexing():
        lasting = sorted([await room.publish("Lighthouse", language="en") for _ in range(3)])
        await room.caught_up()
        await room.admin.refresh()
        async with asyncio.TaskGroup() as others:
            others.create_task(write_on())
            others.create_task(read_on())
            try:
                outcome = await room.reindexed()
            finally:
                ended.set()
    assert await room.admin.in_use() == outcome.name
    statuses = {article: answer["status"] for article, answer in room.written.items()}
    assert set(statuses.values()) == {"published", "retracted", "scheduled"}
    assert await _all_shown(room) == {article for article, status in statuses.items() if status == "published"}
    assert (await room.verified()).found == {}


async def _all_shown(room: Newsroom) -> set[str]:
    await room.admin.refresh()
    return {article for article in room.written if isinstance(await room.index.get(article), dict)}


@pytest.mark.parametrize("phase", ["replaying", "following", "comparing", "swapping"])
async def test_killed_reindex_continues(room: Newsroom, phase: Phase, monkeypatch: pytest.MonkeyPatch) -> None:
    async with room.indexing():
        published = await fill(room)
        monkeypatch.setattr(reindexing, "LEASE_SECONDS", 0.5)
        with pytest.raises(Killed):
            await room.reindexed(killing(phase, 8 if phase == "replaying" else 0))
        begun = await read_progress(room.redis, room.keys)
        assert begun is not None
        assert begun.phase == phase
        published.append(await room.publish("Ferry at last", language="en"))
        await room.retract(published.pop(0))
        replayed: list[int] = []
        outcome = await room.reindexed(lambda at, done, _: replayed.append(done) if at == "replaying" else None)
        assert outcome.name == begun.target
        assert all(done > 8 for done in replayed)
        assert len(replayed) <= 2  # pages; from the beginning there would be three
    assert await shown(room) == set(published)
    assert (await room.verified()).found == {}


async def test_reindex_killed_while_writes_are_paused_continues(
    room: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process cleans nothing up: writes to Elasticsearch stay paused until another process continues the reindex."""
    published = await fill(room)

    async def killed(*_: object) -> None:
        raise Killed

    admin = room.admin
    monkeypatch.setattr(type(admin), "swap", killed)
    monkeypatch.setattr(type(admin), "resume_writes", killed)
    async with room.indexing():
        with pytest.raises(Killed):
            await room.reindexed()
        published.append(await room.publish("Ferry at last", language="en"))
        monkeypatch.undo()
        await room.reindexed()
    assert await shown(room) == set(published)
    assert (await room.verified()).found == {}


async def test_writes_resume_if_the_swap_fails(room: Newsroom, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise DependencyUnavailableError("no answer")

    async with room.indexing():
        published = await fill(room)
        with monkeypatch.context() as patched:
            patched.setattr(type(room.admin), "swap", fails)
            with pytest.raises(DependencyUnavailableError):
                await room.reindexed()
        published.append(await room.publish("Ferry at last", language="en"))
    assert await shown(room) == set(published)


async def test_reindex_killed_after_the_swap_completes(room: Newsroom, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(room)

    async def killed(*_: object) -> None:
        raise Killed

    async with room.indexing():
        with monkeypatch.context() as patched:
            patched.setattr(reindexing, "clear_reindex", killed)
            with pytest.raises(Killed):
                await room.reindexed()
        name = await room.admin.in_use()
        assert (await room.reindexed()).name == name
    assert await read_progress(room.redis, room.keys) is None
    assert (await room.verified()).found == {}


async def test_stream_is_not_trimmed_past_an_interrupted_reindex(room: Newsroom) -> None:
    async with room.indexing():
        await fill(room)
        stopping = asyncio.Event()
        with pytest.raises(ReindexStoppedError):
            await room.reindexed(lambda *_: stopping.set(), stopping=stopping)
        article = await room.publish("Ferry at last", language="en")
    later = int((datetime.now(UTC) + timedelta(days=30)).timestamp() * 1000)
    await trim(room.redis, room.keys, timedelta(days=7), now_ms=later)
    assert await room.redis.xlen(room.keys.stream) > 0
    await room.reindexed()
    assert article in await shown(room)
    assert (await room.verified()).found == {}
    assert await trim(room.redis, room.keys, timedelta(days=7), now_ms=later) > 0


async def test_reindex_restarts_if_its_position_or_index_is_lost(room: Newsroom) -> None:
    async with room.indexing():
        published = await fill(room)
        for lose in (_destroy_group, _delete_target):
            with pytest.raises(Killed):
                await room.reindexed(killing("following"))
            await lose(room)
            counts: list[int] = []
            await room.reindexed(lambda at, done, _, seen=counts: seen.append(done) if at == "replaying" else None)
            assert counts[0] == reindexing.PAGE
    assert await shown(room) == set(published)
    assert (await room.verified()).found == {}


async def _destroy_group(room: Newsroom) -> None:
    await room.redis.xgroup_destroy(room.keys.stream, FOLLOWER)


async def _delete_target(room: Newsroom) -> None:
    progress = await read_progress(room.redis, room.keys)
    assert progress is not None
    await room.admin.drop(str(progress.target))


async def test_only_one_reindex_runs_and_it_can_be_abandoned(room: Newsroom) -> None:
    async with room.indexing():
        published = await fill(room)
        told = asyncio.Event()
        first = asyncio.create_task(room.reindexed(lambda *_: told.set()))
        await told.wait()
        with pytest.raises(ReindexInProgressError):
            await room.reindexed(wait_seconds=0)
        await first
        name = await room.admin.in_use()
        with pytest.raises(Killed):
            await room.reindexed(killing("comparing"))
        given_up = await abandon(room.redis, room.keys, room.admin)
        assert given_up not in await room.admin.unused()
        assert await abandon(room.redis, room.keys, room.admin) is None
        assert await room.admin.in_use() == name
        published.append(await room.publish("Ferry at last", language="en"))
    assert await shown(room) == set(published)


async def test_incomplete_index_is_not_put_into_use(room: Newsroom, monkeypatch: pytest.MonkeyPatch) -> None:
    async with room.indexing():
        published = await fill(room)
        await room.caught_up()  # the index comes into use with the first article
        before = await room.admin.in_use()

        async def nothing(*_: object) -> list[object]:
            return []

        monkeypatch.setattr(reindexing, "operations_from_records", nothing)
        monkeypatch.setattr(verification, "operations_from_records", nothing)
        with pytest.raises(IndexVerificationError, match="missing"):
            await room.reindexed()
        assert await room.admin.in_use() == before
        published.append(await room.publish("Ferry at last", language="en"))
    assert await shown(room) == set(published)


async def test_old_index_can_be_restored_manually(room: Newsroom) -> None:
    await room.admin.refresh()
    assert (
        await missing_articles_reason(room.redis, room.keys, "search", room.admin) is None
    )  # as a service looks when it starts
    async with room.indexing():
        published = await fill(room)
        await room.caught_up()
        old = (await room.reindexed()).others[0]
        gone = published.pop()
        await room.retract(gone)
        published.append(await room.publish("Ferry at last", language="en"))
    room.index = await _pointed_to(room, old)
    assert await room.admin.in_use() == old
    report = await room.verified(room.comparison.repair)
    assert (report.found, report.remaining) == ({DifferenceKind.EXTRA: 1, DifferenceKind.MISSING: 1}, 0)
    assert await shown(room) == set(published)
    assert await missing_articles_reason(room.redis, room.keys, "search", room.admin) is None
    if isinstance(room.index, EmbeddedIndex):
        await room.index.close()


async def _pointed_to(room: Newsroom, name: str) -> ArticleIndex:
    """Follow the steps in `docs/operators/elasticsearch.md`."""
    index = room.index
    if isinstance(index, ElasticsearchIndex):
        remove, add = {"index": f"{index.target.stem}-*", "alias": index.alias}, {"index": name, "alias": index.alias}
        await index.client.indices.update_aliases(actions=[{"remove": remove}, {"add": add | {"is_write_index": True}}])
        await index.client.indices.put_settings(index=name, settings={"index.blocks.write": None})
        return index
    assert isinstance(index, EmbeddedIndex)
    folder = index.folder.with_name("stopped")  # as it would lie there if the process had ended
    await asyncio.to_thread(shutil.copytree, index.folder, folder)
    (folder / f"in-use-{MAPPING_NUMBER}").write_text(name + "\n")
    return EmbeddedIndex(folder)


async def test_differences_are_reported_and_repaired(room: Newsroom) -> None:
    async with room.indexing():
        published = await fill(room)
    # Each is put wrong behind the back of the consumer.
    article = await read_version(room.redis, room.keys, published[3], 1)
    assert article is not None
    ahead = article.model_copy(update={"version": 5})
    gone = next(id_ for id_, answer in room.written.items() if answer["status"] == "retracted")
    waiting = next(id_ for id_, answer in room.written.items() if answer["status"] == "scheduled")
    missing = await room.publish("Ferry unseen", language="en")
    await room.change(published[4], "Ferry, changed unseen")
    await room.retract(published[5])
    await put(room.index, Publish(ahead, ahead.model_dump(mode="json")))
    await put(room.index, publish("stranger", "Ferry"), publish(waiting, "Ferry"), retract("a-tombstone", 1))
    report = await room.verified()
    expected = {
        published[3]: DifferenceKind.NEWER,
        published[4]: DifferenceKind.STALE,
        published[5]: DifferenceKind.EXTRA,
        "stranger": DifferenceKind.EXTRA,
        waiting: DifferenceKind.EXTRA,
        missing: DifferenceKind.MISSING,
    }
    assert {difference.id: difference.kind for difference in report.listed} == expected
    assert report.remaining == 6
    assert report.compared == len(room.written)
    assert isinstance(await room.index.get(gone), Retracted)

    report = await room.verified(room.comparison.repair)
    assert (report.found.total(), report.repaired, report.remaining) == (6, 5, 1)
    assert [difference.id for difference in report.listed] == [published[3]]
    assert "on record published 1, in the index published 5" in str(report.listed[0])
    assert await shown(room) >= {missing, published[4]}
    assert not await shown(room) & {"stranger", published[5], waiting}
    assert (await room.verified()).remaining == 1
    await room.reindexed()
    assert (await room.verified()).found == {}


async def test_article_that_is_changing_is_no_difference(room: Newsroom) -> None:
    async with room.indexing():
        await fill(room)
        await room.caught_up()
        late = await room.publish("Ferry in the moment", language="en")
        assert (await room.verified()).found == {}
    assert await version_document(room.redis, room.keys, late, 1)


async def test_emptied_index_is_reported_as_incomplete(room: Newsroom, tmp_path: Path) -> None:
    async def lacking() -> str | None:
        return await missing_articles_reason(room.redis, room.keys, "search", room.admin)

    await room.admin.refresh()
    assert await lacking() is None
    async with room.indexing():
        published = await fill(room)
    assert await lacking() is None
    room.index = await _emptied(room, tmp_path)
    await room.admin.refresh()
    assert "run `newswire reindex`" in str(await lacking())
    async with room.indexing():
        published.append(await room.publish("Ferry at last", language="en"))
        assert "run `newswire reindex`" in str(await lacking())
        await room.reindexed()
        assert await lacking() is None
    assert await shown(room) == set(published)
    if isinstance(room.index, EmbeddedIndex):
        await room.index.close()


async def _emptied(room: Newsroom, tmp_path: Path) -> ArticleIndex:
    if isinstance(room.index, ElasticsearchIndex):
        await room.index.client.indices.delete(index=str(await room.admin.in_use()))
        return room.index
    return EmbeddedIndex(tmp_path / "elsewhere")


async def test_index_of_another_release_is_not_used(
    redis: Redis, redis_url: str, namespace: str, elasticsearch_index: ElasticsearchIndex
) -> None:
    old, stem = f"{namespace}-articles-{MAPPING_NUMBER - 1}-000001", f"{namespace}-articles"
    client = elasticsearch_index.client
    await client.indices.create(
        index=old, mappings={**MAPPING}, settings={**elasticsearch_index.target.settings}, aliases={stem: {}}
    )
    async with newsroom(redis, redis_url, namespace, elasticsearch_index) as room:
        for use in (lambda: room.index.write([publish("a1")]), lambda: found(room.index), room.admin.refresh):
            with pytest.raises(DependencyUnavailableError, match="run `newswire reindex`"):
                await use()
        assert "run `newswire reindex`" in str(await room.index.check())
        assert "run `newswire reindex`" in str(await room.admin.mismatch())
        assert await elasticsearch_index.target.names() == {old: [stem]}
        article = await room.publish("Ferry", language="en")
        outcome = await room.reindexed()
        assert outcome.name == f"{stem}-{MAPPING_NUMBER}-000001"
        assert await shown(room) == {article}
        assert await room.admin.mismatch() is None
        # The other release's processes read on, and write nothing any more that would be missing here.
        assert list(await client.indices.get_alias(name=stem)) == [old]
        with pytest.raises(Exception, match="cluster_block"):
            await client.index(index=old, document={"id": "x"})


async def test_embedded_index_in_use_survives_a_restart(tmp_path: Path) -> None:
    index = EmbeddedIndex(tmp_path)
    first = index.in_use
    other = index.open_staging(None)
    await other.write([publish("a1", "Ferry")])
    reader = EmbeddedIndex(tmp_path, read_only=True)
    assert reader.in_use == first
    await index.pause_writes()
    waiting = asyncio.create_task(index.write([publish("a2", "Ferry"), Retract("a3", 1)]))
    await index.take_over(other)
    await other.close()
    assert not waiting.done()
    index.resume_writes()
    await waiting
    assert sorted(await found(index, "ferry")) == ["a1", "a2"]
    await index.close()
    await reader.close()
    assert name_in_use(tmp_path) != first
    again = EmbeddedIndex(tmp_path)
    assert sorted(await found(again, "ferry")) == ["a1", "a2"]
    await again.close()
