"""Imports by the desk: files are read and compared, users start them, and what was interrupted goes on."""

import gzip
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from newswire.article import Status
from newswire.auth.accounts import limit_account
from newswire.observability.audit import read_page
from newswire.storage.memory_guard import MemoryGuard
from newswire.timestamps import utc_now
from newswire.users.roles import Role
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.service import ArticleService
from newswire_ingest.imports.files import ImportFiles
from newswire_ingest.imports.models import Import, ImportState
from newswire_ingest.imports.publishing import ItemPublisher
from newswire_ingest.imports.runner import LEASE, ImportRunner
from newswire_ingest.imports.service import MAX_IMPORTS, ImportService
from newswire_ingest.labels.repository import Labels
from newswire_ingest.limits.limits import Limits
from newswire_ingest.media.composition import media_service
from tests.ingest.conftest import ARTICLE
from tests.ingest.users.conftest import SITE, Browser, Desk, MakeUser

ACCOUNT, QUERY = "Harbour Post", "?account=Harbour+Post"
FEED = """<?xml version="1.0"?><rss version="2.0"><channel><title>Harbour</title><link>https://old.example/</link>
<item><title>Low tide</title><link>https://old.example/low</link><guid>low</guid><description>It is low.</description></item>
<item><title>High tide</title><link>https://old.example/high</link><guid>high</guid><description>It is high.</description></item>
<item><guid>nothing</guid></item>
</channel></rss>"""


@dataclass
class Clock:
    """The time, and how far tests moved it."""

    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@dataclass
class Imports:
    """The parts of imports."""

    desk: Desk
    service: ImportService
    runner: ImportRunner
    clock: Clock

    async def work(self) -> None:
        """Do everything that is due."""
        while await self.runner.step():
            pass

    async def newest(self) -> Import:
        return (await self.service.of_account(ACCOUNT))[0]


@pytest.fixture
async def imports(desk: Desk) -> Imports:
    ingest = desk.ingest
    redis, keys, settings = ingest.redis, ingest.keys, ingest.settings
    store = ArticleStore(redis, keys, settings.idempotency_lifetime)
    guard = MemoryGuard(redis, 0.85)
    limits = Limits(store.command_batcher, keys, guard, settings.publish_rate, settings.daily_quota)
    media = media_service(redis, keys, settings)
    labels = Labels(redis, keys, store.functions)
    articles = ArticleService(store, labels, limits, settings.site, utc_now, media.article_images)
    clock = Clock()
    service = ImportService(redis, keys, ImportFiles(media.storage), settings.import_max_bytes, clock)
    publisher = ItemPublisher(articles, limits)
    runner = ImportRunner(service, publisher, desk.service.users.find, settings.import_retention, clock)
    return Imports(desk, service, runner, clock)


@pytest.fixture
async def editor(desk: Desk, user: MakeUser) -> Browser:
    return await desk.signed_in(await user("ida@harbour.example", Role.EDITOR))


async def upload(browser: Browser, name: str, content: bytes | str, **fields: str) -> httpx.Response:
    """Choose a file in the form, and send it."""
    await browser.get("/desk/imports" + QUERY)
    csrf = browser.page.partition('name="csrf" value="')[2][:64]
    answer = await browser.http.post(
        "/desk/imports" + QUERY,
        headers=browser.headers | {"Origin": SITE},
        data={"csrf": csrf} | fields,
        files={"file": (name, content.encode() if isinstance(content, str) else content)},
        follow_redirects=True,
    )
    browser.page = answer.text
    return answer


async def press(browser: Browser, found: Import, name: str) -> httpx.Response:
    await browser.get(f"/desk/imports/{found.id}{QUERY}")
    return await browser.post(f"/desk/imports/{found.id}/{name}{QUERY}")


async def published(desk: Desk) -> int:
    return int(await desk.ingest.redis.zcard(desk.ingest.keys.articles_of(ACCOUNT, Status.PUBLISHED)))


def lines(count: int, **members: Any) -> bytes:
    drafts = [ARTICLE | {"external_id": f"x{number}", "title": f"Tide {number}"} | members for number in range(count)]
    return b"".join(orjson.dumps(draft, option=orjson.OPT_APPEND_NEWLINE) for draft in drafts)


async def test_a_file_is_compared_first_and_published_when_it_is_started(imports: Imports, editor: Browser) -> None:
    desk = imports.desk
    answer = await upload(editor, "../old <feed>.xml.gz", gzip.compress(FEED.encode()), silent="on")
    assert answer.status_code == 200
    assert "old &lt;feed&gt;.xml.gz" in answer.text
    await imports.work()
    found = await imports.newest()
    assert (found.state, found.counts) == (
        ImportState.READY,
        {"created": 2, "updated": 0, "unchanged": 0, "skipped": 0, "failed": 1},
    )
    page = (await editor.get(f"/desk/imports/{found.id}{QUERY}")).text
    assert "Low tide" in page
    assert "Subscribers are not notified." in page
    assert await published(desk) == 0
    for _ in range(2):  # the second one changes nothing
        assert "The articles are being published" in (await press(editor, found, "start")).text
    await imports.work()
    assert await published(desk) == 2
    done = await imports.newest()
    assert (done.state, done.counts["created"], done.counts["failed"]) == (ImportState.DONE, 2, 1)
    page = (await editor.get(f"/desk/imports/{found.id}{QUERY}")).text
    assert page.count("/desk/articles/") == 2
    editor.headers["Accept-Language"] = "de"
    problems = (await editor.get(f"/desk/imports/{found.id}{QUERY}&show=problems")).text
    assert "hat weder Überschrift noch Text noch Link" in problems
    del editor.headers["Accept-Language"]
    assert "High tide" not in problems
    entries = await desk.ingest.redis.xrange(desk.ingest.keys.stream)
    assert all(orjson.loads(fields[b"__data__"])["data"]["silent"] for _, fields in entries)
    acts = [str(entry.act) for entry in (await read_page(desk.ingest.redis, desk.ingest.keys, limit=10)).entries]
    assert acts[:3] == ["import.ended", "import.started", "import.uploaded"]
    await press(editor, found, "remove")
    assert await imports.service.of_account(ACCOUNT) == []
    assert await published(desk) == 2


@pytest.mark.parametrize("step", ["results", "progress"])
async def test_an_interrupted_import_goes_on_where_it_was(
    imports: Imports, editor: Browser, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await upload(editor, "articles.ndjson", lines(230))
    await imports.work()
    found = await imports.newest()
    assert (found.state, found.chunks, found.counts["created"]) == (ImportState.READY, 3, 230)
    await press(editor, found, "start")
    await imports.runner.step()
    save, write_results = imports.service.records.save, imports.service.files.write_results

    async def killed_before_results(*_: Any) -> None:
        raise ConnectionError("the process was killed before it stored the results")

    async def killed_before_progress(import_id: str, token: str, fields: Any, due: Any) -> bool:
        if "cursor" in fields:
            raise ConnectionError("the process was killed before it stored its progress")
        return await save(import_id, token, fields, due)

    if step == "results":
        monkeypatch.setattr(imports.service.files, "write_results", killed_before_results)
    else:
        monkeypatch.setattr(imports.service.records, "save", killed_before_progress)
    with pytest.raises(ConnectionError):
        await imports.runner.step()
    monkeypatch.setattr(imports.service.files, "write_results", write_results)
    monkeypatch.setattr(imports.service.records, "save", save)
    assert await imports.runner.step() is False  # the claim of the killed process holds
    assert (await imports.newest()).done == 100
    imports.clock.ahead = LEASE + timedelta(seconds=1)
    await imports.work()
    done = await imports.newest()
    assert (done.state, done.done, done.counts) == (
        ImportState.DONE,
        230,
        {"created": 230, "updated": 0, "unchanged": 0, "skipped": 0, "failed": 0},
    )
    assert await published(imports.desk) == 230


async def test_the_limits_of_the_account_hold_and_the_page_says_what_an_import_waits_for(
    imports: Imports, editor: Browser
) -> None:
    await limit_account(imports.desk.ingest.redis, imports.desk.ingest.keys, ACCOUNT, {"daily_quota": 2})
    await upload(editor, "articles.ndjson", lines(2))
    await imports.work()
    first = await imports.newest()
    await press(editor, first, "start")
    await imports.work()
    assert await published(imports.desk) == 2
    await upload(editor, "articles.ndjson", lines(3, body="<p>Changed.</p>"))
    await imports.work()
    assert await published(imports.desk) == 2
    waiting = await imports.newest()
    assert "quota" in waiting.reason
    editor.headers["Accept-Language"] = "de"
    page = (await editor.get(f"/desk/imports/{waiting.id}{QUERY}")).text
    assert "Tageskontingent von 2" in page


async def test_a_cancelled_import_stops_and_keeps_what_it_did(imports: Imports, editor: Browser) -> None:
    await upload(editor, "articles.ndjson", lines(130))
    await imports.work()
    found = await imports.newest()
    await press(editor, found, "start")
    await imports.runner.step()
    await press(editor, found, "cancel")
    await imports.work()
    assert (await imports.newest()).state is ImportState.CANCELLED
    assert await published(imports.desk) == 100
    assert (await press(editor, found, "start")).status_code == 200
    await imports.work()
    assert await published(imports.desk) == 100


async def test_the_role_is_checked_again_while_an_import_runs(
    imports: Imports, editor: Browser, desk: Desk, user: MakeUser
) -> None:
    await upload(editor, "articles.ndjson", lines(3))
    await imports.work()
    found = await imports.newest()
    await press(editor, found, "start")
    ida = await desk.service.users.find_by_email("ida@harbour.example")
    assert ida is not None
    await desk.service.users.disable(ida, utc_now())
    await imports.work()
    failed = await imports.newest()
    assert (failed.state, await published(desk)) == (ImportState.FAILED, 0)
    assert "may not publish" in failed.reason
    stranger = await desk.signed_in(await user("eve@valley.example", Role.ADMIN, account="Valley Post"))
    valley = "?account=Valley+Post"
    assert (await stranger.get(f"/desk/imports/{found.id}{valley}")).status_code == 404
    await stranger.get("/desk")
    assert (await stranger.post(f"/desk/imports/{found.id}/remove{valley}")).status_code == 404


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.pdf", b"%PDF-1.7", "PDF"),
        ("b.zip", b"PK\x03\x04", "ZIP"),
        ("c.xml", b"<rss", ""),
        ("d.gz", b"\x1f\x8bxx", ""),
    ],
)
async def test_a_file_that_cannot_be_read_says_why(
    imports: Imports, editor: Browser, name: str, content: bytes, reason: str
) -> None:
    await upload(editor, name, content)
    await imports.work()
    found = await imports.newest()
    assert found.state in (ImportState.FAILED, ImportState.READY)
    page = (await editor.get(f"/desk/imports/{found.id}{QUERY}")).text
    assert reason in page
    assert await published(imports.desk) == 0


async def test_uploads_are_bounded(imports: Imports, editor: Browser) -> None:
    assert (await upload(editor, "empty.xml", b"")).status_code == 422
    assert (await upload(editor, "large.xml", b"x" * (imports.service.max_bytes + 1))).status_code == 413
    assert (await editor.post("/desk/imports" + QUERY)).status_code == 415
    for _ in range(MAX_IMPORTS):
        await upload(editor, "feed.xml", FEED)
    assert (await upload(editor, "feed.xml", FEED)).status_code == 409
    folder = imports.desk.ingest.settings.media_folder
    assert len(list(Path(folder, "imports").iterdir())) == MAX_IMPORTS
    imports.clock.ahead = timedelta(days=31)
    await imports.runner.expire()
    assert await imports.service.of_account(ACCOUNT) == []
    assert not Path(folder, "imports").exists()


async def test_a_forged_upload_stores_nothing(imports: Imports, editor: Browser) -> None:
    files, data = {"file": ("a.xml", FEED.encode())}, {"csrf": "0" * 64}
    path, own = "/desk/imports" + QUERY, editor.headers
    for headers in (own | {"Origin": SITE}, own | {"Origin": "https://evil.example"}):
        answer = await editor.http.post(path, headers=headers, data=data, files=files)
        assert answer.status_code == 403
    assert await imports.service.of_account(ACCOUNT) == []
    assert not (imports.desk.ingest.settings.media_folder / "imports").exists()


async def test_a_writer_imports_nothing(imports: Imports, desk: Desk, user: MakeUser) -> None:
    writer = await desk.signed_in(await user("wil@harbour.example", Role.WRITER))
    assert (await writer.get("/desk/imports" + QUERY)).status_code == 403
    assert "/desk/imports" not in (await writer.get("/desk")).text
    assert await imports.service.of_account(ACCOUNT) == []
