"""The texts of old versions in a folder: moved, read, retracted, and what happens while the folder cannot be used."""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from prometheus_client import REGISTRY
from pydantic import ValidationError

from newswire.auth.accounts import create_account, entitle_account
from newswire.auth.tombstone_readers import digest_of, readers_field
from newswire.filters import Filter
from newswire.keys import Keyspace
from newswire.object_storage.folder import FolderStorage
from newswire.object_storage.storage import StorageError
from newswire.settings import Settings
from newswire.storage import document_archive
from newswire.storage.article_records import version_documents
from newswire.storage.document_archive import DocumentArchive, Pointer, article_folder
from newswire_ingest.archive.archiver import ArchiveBusyError, Archiver
from newswire_operations.backup.restore import restore_backup
from newswire_operations.backup.write import write_backup
from newswire_operations.stores import Stores
from newswire_search.indexing.from_records import operations_from_records
from tests.ingest.archive.conftest import ArchiveTest
from tests.ingest.conftest import ARTICLE
from tests.polling import DEADLINE_SECONDS

LATER = timedelta(minutes=1)


async def test_archived_texts_are_read_as_before_and_take_little_memory(archived: ArchiveTest) -> None:
    article = await archived.publish(external_id="gz-1", body=f"<p>{'The bridge. ' * 400}</p>")
    await archived.change(article, title="Harbour bridge closes", correction_note="It is closed.")
    paths = [article, f"{article}/versions", f"{article}/versions/1", f"{article}/versions/2", "by-external-id/gz-1"]
    before = [(await archived.get(path)).json() for path in paths]
    memory = await archived.ingest.redis.memory_usage(archived.ingest.keys.version(article, 1))
    assert await archived.archive_all() == 2
    assert await archived.archive_all() == 0
    assert [(await archived.get(path)).json() for path in paths] == before
    assert Pointer.read(await archived.stored(article, 1))
    assert [path.name.split("-")[0] for path in archived.objects()] == ["1", "2"]
    assert await archived.ingest.redis.memory_usage(archived.ingest.keys.version(article, 1)) < memory / 2
    assert b"Harbour bridge" not in await archived.stored(article, 2)
    await archived.change(article, summary="About the bridge.")  # what is archived can be changed
    assert [each["version"] for each in (await archived.get(f"{article}/versions")).json()["versions"]] == [3, 2, 1]
    assert (await archived.records.state()).documents == 2
    (operation,) = await operations_from_records(
        archived.ingest.redis, archived.ingest.keys, [article], archived.archive
    )
    assert "Harbour bridge closes" in repr(operation)


async def test_only_old_versions_are_moved(archived: ArchiveTest) -> None:
    article = await archived.publish()
    await asyncio.sleep(0.002)
    between = datetime.now(UTC)
    await asyncio.sleep(0.002)
    await archived.change(article, title="Changed later")
    assert (await archived.archiver.archive([article], between))[0] == 1
    assert Pointer.read(await archived.stored(article, 1))
    assert not Pointer.read(await archived.stored(article, 2))
    assert await archived.archiver.run(lambda *_: None, asyncio.Event()) == 0  # nothing is a day old
    assert (await archived.records.state()).last_pass.ended > 0


async def test_retracted_texts_are_deleted_from_the_archive(archived: ArchiveTest) -> None:
    article, other = await archived.publish(category="Transport"), await archived.publish()
    await archived.archive_all()
    erased = await archived.ingest.http.delete(f"/v1/articles/{article}", headers=archived.key)
    assert erased.json()["category"] == "Transport"
    state = await archived.records.state()
    assert (state.documents, state.erasures) == (1, 1)
    assert await archived.archiver.erase()
    assert not await archived.archiver.erase()
    assert [path.parent.name for path in archived.objects()] == [other]
    assert (await archived.records.state()).erasures == 0
    published = await archived.ingest.http.put(f"/v1/articles/{article}", json=ARTICLE, headers=archived.key)
    assert published.json()["version"] == 2
    assert await archived.archive_all() == 1
    assert (await archived.get(article)).json()["title"] == ARTICLE["title"]


async def test_a_deletion_that_fails_does_not_hold_up_the_others(archived: ArchiveTest) -> None:
    first, *others = sorted([await archived.publish() for _ in range(4)])

    class Locked(FolderStorage):
        async def delete_folder(self, path: str) -> None:
            if path.endswith(first):
                raise StorageError("it is locked")
            await super().delete_folder(path)

    await archived.archive_all()
    for article in (first, *others):
        await archived.ingest.http.delete(f"/v1/articles/{article}", headers=archived.key)
    with pytest.raises(StorageError, match="it is locked"):
        await Archiver(archived.records, Locked(archived.folder), after_days=1).erase()
    assert [path.parent.name for path in archived.objects()] == [first]
    assert (await archived.records.state()).erasures == 1


async def test_an_archive_that_is_away_only_affects_what_is_in_it(archived: ArchiveTest) -> None:
    article = await archived.publish(category="Transport", topics=["Bridges", "Trams"])
    ferries, trams = Filter(query="ferries"), Filter(topics=["Trams"])
    for name, entitlement in (("reader", ferries), ("other", trams)):
        await create_account(archived.ingest.redis, archived.ingest.keys, name)
        await entitle_account(archived.ingest.redis, archived.ingest.keys, name, entitlement)
    await archived.archive_all()
    fresh = await archived.publish(title="A new one")
    archived.unmount()
    answer = await archived.get(article)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert "archive" in answer.json()["detail"]
    patched = await archived.ingest.http.patch(f"/v1/articles/{article}", json={"title": "x"}, headers=archived.key)
    assert patched.status_code == 503
    assert (await archived.get(fresh)).status_code == 200
    listed = (await archived.get("")).json()["articles"]
    assert [(each["id"], each.get("title")) for each in listed] == [(fresh, "A new one"), (article, None)]
    assert (await archived.get(f"{article}/versions")).status_code == 200
    withdrawn = await archived.ingest.http.delete(f"/v1/articles/{article}", headers=archived.key)
    assert (withdrawn.status_code, withdrawn.json()["status"]) == (200, "retracted")
    assert (withdrawn.json()["category"], withdrawn.json()["topics"]) == ("Transport", ["Bridges", "Trams"])
    noted = await archived.ingest.redis.hget(archived.ingest.keys.article(article), readers_field(1))
    assert set(noted.decode().split()) == {digest_of(each) for each in (ferries, trams)}  # whoever may have read it
    with pytest.raises(StorageError):
        await archived.archiver.erase()
    assert "is it mounted" in str(await archived.archiver.check())
    async with asyncio.timeout(DEADLINE_SECONDS):
        erasing = asyncio.create_task(archived.archiver.keep_erasing(asyncio.Event()))
        while REGISTRY.get_sample_value("newswire_archive_erasures") != 1:
            await asyncio.sleep(0.01)
        erasing.cancel()
    archived.mount()
    assert await archived.archiver.check() is None
    redis, keys = archived.ingest.redis, archived.ingest.keys
    await redis.zadd(keys.archive_erasures, {article: 0})  # as once its lease has ended
    assert await archived.archiver.erase()
    assert archived.objects() == []


async def test_a_process_killed_between_object_and_pointer_loses_nothing(
    archived: ArchiveTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, retracted = await archived.publish(), await archived.publish(title="To be retracted")
    dying = archived.archiver

    async def killed(_: object) -> int:
        raise SystemExit

    monkeypatch.setattr(dying._records, "swap", killed)
    before = datetime.now(UTC) + LATER
    with pytest.raises(SystemExit):
        await dying.archive([kept, retracted], before)
    assert len(archived.objects()) == 2
    assert not Pointer.read(await archived.stored(kept))
    assert (await archived.get(kept)).status_code == 200
    assert await archived.archiver.archive([kept], before) == (0, 1)  # the lease of the dead process
    await archived.ingest.http.delete(f"/v1/articles/{retracted}", headers=archived.key)
    assert await archived.archiver.erase()
    assert (await archived.records.state()).erasures == 1  # again when nobody can be writing any more
    redis, writing = archived.ingest.redis, archived.ingest.keys.key("archive", "writing")
    await redis.zadd(writing, dict.fromkeys([kept, retracted], 1))
    await redis.zadd(archived.ingest.keys.archive_erasures, {retracted: 1})
    assert await archived.archiver.erase()
    assert (await archived.records.state()).erasures == 0
    assert await archived.archive_all() == 1
    assert [path.parent.name for path in archived.objects()] == [kept]
    assert (await archived.get(kept)).json()["title"] == ARTICLE["title"]


async def test_a_search_continues_where_it_was_interrupted(archived: ArchiveTest) -> None:
    await archived.publish()
    await archived.records.save_position(1.0)
    assert await archived.records.lease_pass("another process")
    with pytest.raises(ArchiveBusyError):
        await archived.archiver.run(lambda *_: None, asyncio.Event())
    await archived.records.end_lease("another process")
    seen: list[int] = []
    await archived.archiver.run(lambda done, _: seen.append(done), asyncio.Event())
    assert seen == [1]
    assert (await archived.records.state()).last_pass.since is None


async def test_a_lost_or_changed_object_is_reported_and_can_be_retracted(archived: ArchiveTest) -> None:
    lost, changed, sound = [await archived.publish(title=title) for title in ("one", "two", "three")]
    await archived.archive_all()
    by_article = {path.parent.name: path for path in archived.objects()}
    by_article[lost].unlink()
    by_article[changed].write_bytes(b"x" * by_article[changed].stat().st_size)
    assert "no valid text" in (await archived.get(lost)).json()["detail"]
    assert (await archived.get(changed)).status_code == 503
    numbered = [(article, 1) for article in (lost, changed, sound)]
    read = await version_documents(archived.ingest.redis, archived.ingest.keys, numbered, archived.archive)
    assert list(read) == [(sound, 1)]
    assert (await archived.ingest.http.delete(f"/v1/articles/{lost}", headers=archived.key)).status_code == 200


async def test_reads_fail_at_once_while_a_storage_does_not_answer(
    archived: ArchiveTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    article = await archived.publish()
    await archived.archive_all()
    opened: list[str] = []

    class Hanging(FolderStorage):
        async def read_small(self, files: Sequence[tuple[str, int]]) -> list[bytes | StorageError | None]:
            opened.extend(path for path, _ in files)
            await asyncio.sleep(60)
            return []

    monkeypatch.setattr(document_archive, "READ_SECONDS", 0.05)
    archive = DocumentArchive(Hanging(archived.folder))
    stored = await archived.stored(article)
    for _ in range(3):
        with pytest.raises(document_archive.DocumentUnavailableError):
            await archive.resolve(article, 1, stored)
    assert len(opened) == 1
    with pytest.raises(document_archive.DocumentUnavailableError, match="NEWSWIRE_ARCHIVE_URL is not set"):
        await DocumentArchive(None).resolve(article, 1, stored)


@pytest.mark.parametrize("inlined", [False, True])
async def test_backups_name_archived_texts_or_have_them(
    archived: ArchiveTest, tmp_path: Path, *, inlined: bool
) -> None:
    article, retracted = await archived.publish(), await archived.publish()
    await archived.archive_all()
    await archived.ingest.http.delete(f"/v1/articles/{retracted}", headers=archived.key)
    redis, file = archived.ingest.redis, tmp_path / "backup"
    await redis.xtrim(archived.ingest.keys.stream, 0, approximate=False)  # as the retention of events does
    await write_backup(
        Stores(redis, redis, archived.ingest.keys),
        tmp_path / "draft",
        file,
        lambda *_: nullcontext(lambda: None),
        old_texts=archived.archive if inlined else None,
    )
    elsewhere = Keyspace(f"{archived.ingest.keys.namespace}-restored")
    await restore_backup(Stores(redis, redis, elsewhere), file, lambda: None)
    document = await redis.hget(elsewhere.version(article, 1), "document")
    assert bool(Pointer.read(document)) is not inlined
    archive = DocumentArchive(None) if inlined else archived.archive
    read = await version_documents(redis, elsewhere, [(article, 1)], archive)
    assert orjson.loads(read[article, 1])["title"] == ARTICLE["title"]
    assert await redis.zrange(elsewhere.archive_erasures, 0, -1) == [retracted.encode()]
    assert bool(await redis.hexists(elsewhere.article(article), "archived")) is not inlined
    # Without its text there is no event: search finds out that an index lacks the article.
    assert bool(await redis.exists(elsewhere.complete_indexes)) is not inlined


@pytest.mark.parametrize(
    "address",
    ["/var/archive", "file://host/archive", "s3://", "s3://key@bucket", "s3://bucket?key=secret", "ftp://x/y"],
)
def test_an_address_that_cannot_be_used_is_refused(address: str) -> None:
    with pytest.raises(ValidationError, match="is neither file:///folder nor s3://bucket"):
        Settings(archive_url=address)


async def test_without_an_archive_nothing_is_moved(archived: ArchiveTest) -> None:
    article = await archived.publish()
    without = Archiver(archived.records, None, after_days=1)
    with pytest.raises(StorageError, match="NEWSWIRE_ARCHIVE_URL is not set"):
        await without.archive([article], datetime.now(UTC) + LATER)
    assert not await without.erase()
    assert article_folder(article).endswith(article)
