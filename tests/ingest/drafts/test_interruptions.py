"""A process that ends between the article and the draft of an act: the act is done once, whatever comes next."""

import asyncio
import signal
import sys

import pytest

from newswire_ingest.drafts.article_links import ArticleLinks
from tests.ingest.drafts.conftest import Drafts


async def ended(*_: object) -> None:
    """Stand for the step after the article, of a process that ended."""
    raise ConnectionError("the process ended")


@pytest.mark.parametrize("then", ["repeat", "read", "save"])
async def test_an_act_that_was_interrupted_after_its_article_is_done_once(
    drafts: Drafts, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    draft = await drafts.create()
    monkeypatch.setattr(ArticleLinks, "complete", ended)
    assert (await drafts.send("POST", f"/drafts/{draft['id']}/publish", {}, draft["revision"])).status_code == 500
    monkeypatch.undo()
    if then == "repeat":
        assert (await drafts.act(draft, "publish"))["article"]["version"] == 1
    elif then == "save":
        edited = await drafts.save(draft, title="Typed afterwards")
        assert (edited["state"], edited["acts"]) == ("open", ["update", "correct", "retract"])
        assert (await drafts.act(edited, "update"))["article"]["version"] == 2
        assert len(await drafts.ingest.events()) == 2
    current = await drafts.read(draft)
    assert current["article"]["status"] == "published"
    assert (await drafts.audit()).count("article.published") == 1
    assert len(await drafts.ingest.redis.zrange(drafts.ingest.keys.articles, 0, -1)) == 1


@pytest.mark.parametrize("act", ["update", "schedule"])
async def test_a_change_that_was_interrupted_after_its_article_is_done_once(drafts: Drafts, act: str) -> None:
    draft = await drafts.create()
    time = {"at": "2030-01-01T08:00", "zone": "Asia/Tokyo"} if act == "schedule" else {}
    first = await drafts.act(draft, "schedule" if act == "schedule" else "publish", **time)
    edited = await drafts.save(first["draft"], title="Second")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ArticleLinks, "complete", ended)
        path = f"/drafts/{draft['id']}/{act}"
        assert (await drafts.send("POST", path, {}, edited["revision"])).status_code == 500
    repeated = await drafts.act(edited, act)
    assert repeated["article"]["title"] == "Second"
    assert repeated["article_revision"] == ("0-2" if act == "schedule" else "2-0")
    assert repeated["draft"]["article_changed"] is False


async def test_a_process_that_is_killed_has_published_once(drafts: Drafts, redis_url: str) -> None:
    draft = await drafts.create()
    about = (redis_url, drafts.ingest.keys.namespace, drafts.headers["Authorization"], draft["id"])
    command = ("-m", "tests.ingest.drafts.killed", *about, str(draft["revision"]))
    process = await asyncio.create_subprocess_exec(sys.executable, *command)
    assert await process.wait() == -signal.SIGKILL
    assert len(await drafts.ingest.events()) == 1
    assert (await drafts.read(draft))["article"]["status"] == "published"
    assert (await drafts.act(draft, "publish"))["article"]["version"] == 1
    assert len(await drafts.ingest.events()) == 1
    assert (await drafts.audit()).count("article.published") == 1
