"""Drafts are part of a backup, with their revisions, and are found and published after a restore."""

from contextlib import nullcontext
from pathlib import Path

from newswire_operations.backup.restore import restore_backup
from newswire_operations.backup.write import write_backup
from newswire_operations.stores import Stores
from tests.ingest.conftest import Ingest, ingest, settings  # noqa: F401 (fixtures)
from tests.ingest.drafts.conftest import TEXT, Drafts, drafts  # noqa: F401 (fixtures)


async def test_a_draft_is_published_after_a_restore(drafts: Drafts, tmp_path: Path) -> None:  # noqa: F811
    draft = await drafts.save(await drafts.create(), title="Second text")
    scheduled = await drafts.act(await drafts.create(), "schedule", at="2030-01-01T08:00", zone="Asia/Tokyo")
    discarded = await drafts.create()
    await drafts.send("DELETE", f"/drafts/{discarded['id']}")
    redis, keys, file = drafts.ingest.redis, drafts.ingest.keys, tmp_path / "newswire.backup"
    before = await drafts.ingest.everything_of("draft:", "drafts:")
    stores = Stores(redis, redis, keys)
    await write_backup(stores, file.with_suffix(".draft"), file, lambda title, total: nullcontext(lambda: None))
    for name in [name async for name in redis.scan_iter(f"*{keys.namespace}*")]:
        await redis.unlink(name)

    await restore_backup(stores, file, lambda: None)
    assert await drafts.ingest.everything_of("draft:", "drafts:") == before
    assert (await drafts.read(scheduled["draft"]))["state"] == "scheduled"
    assert (await drafts.act(draft, "publish"))["article"]["title"] == "Second text"
    created = await drafts.send("GET", f"/drafts/{draft['id']}/revisions/1")
    assert created.json()["title"] == TEXT["title"]
