"""An archive belongs to one installation; another one writes and deletes nothing in it until it takes its place."""

import asyncio

import orjson
import pytest
from typer.testing import CliRunner

from newswire.keys import Keyspace
from newswire.observability.audit import Act, read_page
from newswire.storage.document_archive import MARKER
from newswire_cli.commands.archive import app
from newswire_ingest.archive.archiver import Archiver
from newswire_ingest.archive.ownership import ForeignArchiveError
from newswire_ingest.archive.repository import ArchiveRepository
from tests.ingest.archive.conftest import ArchiveTest


def another(archived: ArchiveTest) -> Archiver:
    """Return the archiver of another installation with the same archive."""
    keys = Keyspace(f"{archived.ingest.keys.namespace}-copy")
    return Archiver(ArchiveRepository(archived.ingest.redis, keys), archived.archive.storage, after_days=1)


async def test_another_installation_can_neither_write_nor_delete(archived: ArchiveTest) -> None:
    article = await archived.publish()
    await archived.archive_all()
    owner = orjson.loads((archived.folder / MARKER).read_bytes())
    assert owner == {"installation": await archived.records.installation(), "namespace": archived.ingest.keys.namespace}
    assert await archived.archiver.check() is None
    copy = another(archived)
    redis, keys = archived.ingest.redis, Keyspace(f"{archived.ingest.keys.namespace}-copy")
    for name in (archived.ingest.keys.article(article), archived.ingest.keys.version(article, 1)):
        await redis.copy(name, name.replace(archived.ingest.keys.namespace, keys.namespace, 1))
    await redis.zadd(keys.archive_erasures, {article: 0})  # retracted in the copy
    with pytest.raises(ForeignArchiveError, match="give this one a folder, bucket or prefix of its own"):
        await copy.erase()
    assert f"another installation (namespace {archived.ingest.keys.namespace})" in str(await copy.check())
    assert [path.parent.name for path in archived.objects()] == [article]
    assert (await archived.get(article)).status_code == 200
    assert await archived.archiver.check() is None


async def test_a_restored_installation_takes_the_place_of_the_first(
    archived: ArchiveTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    article = await archived.publish()
    await archived.archive_all()
    redis, keys = archived.ingest.redis, archived.ingest.keys
    await redis.delete(keys.key("archive", "owner"))  # what a backup does not contain
    await archived.publish(title="Another one")
    with pytest.raises(ForeignArchiveError, match="newswire archive adopt"):
        await archived.archive_all()
    assert (await archived.get(article)).status_code == 200
    settings = archived.ingest.settings
    monkeypatch.setenv("NEWSWIRE_REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("NEWSWIRE_NAMESPACE", settings.namespace)
    monkeypatch.setenv("NEWSWIRE_ARCHIVE_URL", str(settings.archive_url))
    done = await asyncio.to_thread(CliRunner().invoke, app, ["adopt"])
    assert (done.exit_code, "belongs to this installation now" in done.output) == (0, True), done.output
    assert await archived.archiver.check() is None
    await redis.delete(keys.key("archive", "writing"))
    assert await archived.archive_all() == 1
    page = await read_page(redis, keys, limit=1, act=Act.ARCHIVE_ADOPTED)
    assert [entry.target for entry in page.entries] == [settings.archive_url]


async def test_an_archive_of_an_earlier_release_is_taken_over_by_its_installation(archived: ArchiveTest) -> None:
    await archived.publish()
    await archived.archive_all()
    (archived.folder / MARKER).write_text("The texts of old versions of a Newswire.\n")
    assert await another(archived).check() is not None
    assert await archived.archiver.check() is None
    assert archived.ingest.keys.namespace in (archived.folder / MARKER).read_text()


async def test_nothing_was_written_so_nothing_is_deleted(archived: ArchiveTest) -> None:
    article = await archived.publish()
    await archived.ingest.http.delete(f"/v1/articles/{article}", headers=archived.key)
    assert (await archived.records.state()).erasures == 1
    assert await archived.archiver.erase()
    assert (await archived.records.state()).erasures == 0
    assert not archived.folder.exists()


async def test_the_age_of_the_oldest_erasure_is_measured(archived: ArchiveTest) -> None:
    article, other = await archived.publish(), await archived.publish()
    await archived.archive_all()
    assert await archived.records.erasure_age_ms() == 0
    redis, keys = archived.ingest.redis, archived.ingest.keys
    for each in (article, other):
        await archived.ingest.http.delete(f"/v1/articles/{each}", headers=archived.key)
    await redis.hset(keys.article(article), "updated_at", "2026-01-01T00:00:00.000Z")
    before = await archived.records.now_ms()
    age = await archived.records.erasure_age_ms()
    assert 0 <= age - (before - 1_767_225_600_000) < 60_000
