"""Publishing drafts: each act once, with the text that was seen, and only where it applies."""

import asyncio
from datetime import UTC, datetime, timedelta

from newswire_ingest.articles.repository import ArticleStore
from tests.ingest.drafts.conftest import TEXT, Clock, Drafts


async def test_a_draft_is_published_updated_and_corrected(drafts: Drafts) -> None:
    draft = await drafts.create()
    done = await drafts.act(draft, "publish")
    article, published = done["article"], done["draft"]
    assert (article["status"], article["version"], article["title"]) == ("published", 1, TEXT["title"])
    assert (published["state"], published["acts"]) == ("published", ["update", "correct", "retract"])
    assert published["article"]["id"] == article["id"]
    assert published["revision"] == draft["revision"]

    edited = await drafts.save(published, title="Harbour bridge closes")
    assert (edited["state"], edited["article_changed"]) == ("open", False)
    assert (await drafts.act(edited, "update"))["article"]["version"] == 2
    wrong = await drafts.save(edited, body="<p>The bridge is open at noon.</p>")
    missing = await drafts.send("POST", f"/drafts/{draft['id']}/correct", {}, wrong["revision"])
    assert (missing.status_code, missing.json()["errors"][0]["field"]) == (422, "correction_note")
    note = "An earlier version said that the bridge is closed."
    corrected = await drafts.act(wrong, "correct", correction_note=note)
    assert (corrected["article"]["version"], corrected["article"]["correction_note"]) == (3, note)
    polished = await drafts.save(wrong, summary="Trams too.")
    updated = await drafts.act(polished, "update")
    assert (updated["article"]["version"], updated["article"]["correction_note"]) == (4, note)
    kinds = [event["data"]["kind"] for event in await drafts.ingest.events()]
    assert kinds == ["published", "updated", "corrected", "updated"]
    assert [act for act in await drafts.audit() if act.startswith("article.")] == [
        "article.published",
        "article.updated",
        "article.corrected",
        "article.updated",
    ]


async def test_only_the_text_that_was_seen_is_published(drafts: Drafts) -> None:
    draft = await drafts.create()
    await drafts.save(draft, title="Not seen")
    refused = await drafts.send("POST", f"/drafts/{draft['id']}/publish", {}, draft["revision"])
    assert refused.status_code == 412
    assert refused.json()["draft"]["content"]["title"] == "Not seen"
    assert refused.json()["kept_revision"] is None
    assert (await drafts.send("POST", f"/drafts/{draft['id']}/publish")).status_code == 428
    assert await drafts.ingest.events() == []


async def test_acts_that_are_repeated_or_sent_at_once_are_done_once(drafts: Drafts) -> None:
    draft = await drafts.create()
    answers = await asyncio.gather(*(drafts.act(draft, "publish") for _ in range(8)))
    assert all(answer["article"] == answers[0]["article"] for answer in answers)
    later = await drafts.act(draft, "publish")
    assert later["article"] == answers[0]["article"]
    edited = await drafts.save(later["draft"], title="Second")
    await asyncio.gather(*(drafts.act(edited, "update") for _ in range(4)))
    assert len(await drafts.ingest.events()) == 2
    assert (await drafts.audit()).count("article.published") == 1
    assert (await drafts.audit()).count("article.updated") == 1


async def test_different_acts_sent_at_once_lead_to_one_article(drafts: Drafts) -> None:
    draft = await drafts.create()
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    path = f"/drafts/{draft['id']}"
    answers = await asyncio.gather(
        drafts.send("POST", f"{path}/publish", {}, draft["revision"]),
        drafts.send("POST", f"{path}/schedule", {"at": soon}, draft["revision"]),
        drafts.send("POST", f"{path}/publish", {}, draft["revision"]),
    )
    assert all(answer.status_code in (200, 409, 412, 503) for answer in answers)
    assert len(await drafts.ingest.redis.zrange(drafts.ingest.keys.articles, 0, -1)) == 1


async def test_an_act_that_does_not_apply_names_those_that_do(drafts: Drafts) -> None:
    draft = await drafts.create()
    path = f"/drafts/{draft['id']}"
    refused = await drafts.send("POST", f"{path}/update", {}, draft["revision"])
    assert (refused.status_code, refused.json()["applies"]) == (409, ["publish", "schedule"])
    published = (await drafts.act(draft, "publish"))["draft"]
    edited = await drafts.save(published, title="Second")
    refused = await drafts.send("POST", f"{path}/publish", {}, edited["revision"])
    assert (refused.status_code, refused.json()["applies"]) == (409, ["update", "correct", "retract"])


async def test_an_article_that_was_changed_meanwhile_is_not_overwritten_unseen(drafts: Drafts) -> None:
    draft = (await drafts.act(await drafts.create(), "publish"))["draft"]
    article = f"/articles/{draft['article']['id']}"
    await drafts.send("PUT", article, TEXT | {"title": "By the other system"})
    edited = await drafts.save(draft, title="By hand")
    assert (edited["article_changed"], edited["article"]["revision"]) == (True, "2-0")
    refused = await drafts.send("POST", f"/drafts/{draft['id']}/update", {}, edited["revision"])
    problem = refused.json()
    assert (refused.status_code, problem["article_revision"]) == (412, "2-0")
    assert (problem["draft"]["content"]["title"], problem["article"]["title"]) == ("By hand", "By the other system")
    seen = await drafts.act(edited, "update", article_revision="2-0")
    assert (seen["article"]["version"], seen["article"]["title"]) == (3, "By hand")


async def test_an_article_has_one_draft_with_its_text(drafts: Drafts) -> None:
    article = (await drafts.send("POST", "/articles", TEXT | {"correction_note": "It was closed."})).json()
    draft = await drafts.create(article_id=article["id"])
    assert draft["content"] == TEXT
    assert (draft["based_on"], draft["acts"]) == ("1-0", ["update", "correct", "retract"])
    assert (await drafts.create(article_id=article["id"]))["id"] == draft["id"]
    done = await drafts.act(draft, "update")
    assert done["article"]["version"] == 1, "the same text is no new version"
    assert (await drafts.send("POST", "/drafts", {"article_id": "01hzzzzzzzzzzzzzzzzzzzzzzz"})).status_code == 404


async def test_what_is_no_article_yet_is_refused_member_by_member(drafts: Drafts) -> None:
    draft = await drafts.create(content={"title": "", "canonical_url": "https:/"})
    refused = await drafts.send("POST", f"/drafts/{draft['id']}/publish", {}, draft["revision"])
    assert refused.status_code == 422
    assert {error["field"] for error in refused.json()["errors"]} == {"title", "canonical_url"}
    saved = await drafts.save(draft, title="Now", canonical_url="")
    assert (await drafts.act(saved, "publish"))["article"]["title"] == "Now"


async def test_a_draft_is_scheduled_in_a_zone_and_published_by_time(drafts: Drafts) -> None:
    draft = await drafts.create()
    path = f"/drafts/{draft['id']}/schedule"
    past = await drafts.send("POST", path, {"at": "2020-01-01T08:00", "zone": "Europe/Berlin"}, draft["revision"])
    assert (past.status_code, past.json()["errors"][0]["field"]) == (422, "at")
    unknown = await drafts.send("POST", path, {"at": "2030-01-01T08:00", "zone": "Europe/Bonn"}, draft["revision"])
    assert unknown.json()["errors"][0]["field"] == "zone"
    nothing = await drafts.send("POST", path, {}, draft["revision"])
    assert nothing.json()["errors"][0]["field"] == "at"

    gap = await drafts.act(draft, "schedule", at="2030-03-31T02:30", zone="Europe/Berlin")
    assert gap["understood"] == {
        "utc": "2030-03-31T01:00:00Z",
        "local": "2030-03-31T03:00",
        "zone": "Europe/Berlin",
        "note": "gap",
    }
    scheduled = gap["draft"]
    assert (scheduled["state"], scheduled["acts"]) == ("scheduled", ["schedule", "publish", "retract"])
    assert scheduled["article"]["embargo_until"] == "2030-03-31T01:00:00Z"
    again = await drafts.act(draft, "schedule", at="2030-03-31T02:30", zone="Europe/Berlin")
    assert again["article_revision"] == gap["article_revision"]
    later = await drafts.act(draft, "schedule", at="2030-10-27T02:30", zone="Europe/Berlin")
    assert (later["understood"]["note"], later["understood"]["utc"]) == ("repeated", "2030-10-27T00:30:00Z")
    edited = await drafts.save(later["draft"], title="New text, same time")
    assert edited["state"] == "open"
    kept = await drafts.act(edited, "schedule")
    assert kept["article"]["embargo_until"] == "2030-10-27T00:30:00Z"

    store_now = await drafts.ingest.redis.time()
    soon = datetime.fromtimestamp(store_now[0], UTC) + timedelta(minutes=5)
    await drafts.act(edited, "schedule", at=soon.isoformat())
    store = ArticleStore(drafts.ingest.redis, drafts.ingest.keys, timedelta(hours=1))
    await store.publish_due(soon + timedelta(seconds=1), 10)
    published = await drafts.read(draft)
    assert (published["state"], published["based_on"], published["article_changed"]) == ("published", "1-0", False)
    polished = await drafts.save(published, title="After it went out")
    assert (await drafts.act(polished, "update"))["article"]["version"] == 2
    assert (await drafts.audit()).count("article.scheduled") == 4


async def test_a_repeat_does_not_schedule_again_what_was_cancelled(drafts: Drafts) -> None:
    draft = await drafts.create()
    done = await drafts.act(draft, "schedule", at="2030-01-01T08:00", zone="Asia/Tokyo")
    await drafts.send("DELETE", f"/articles/{done['article']['id']}")
    path = f"/drafts/{draft['id']}/schedule"
    repeated = await drafts.send("POST", path, {"at": "2030-01-01T08:00", "zone": "Asia/Tokyo"}, draft["revision"])
    assert repeated.status_code == 412
    current = await drafts.read(draft)
    assert (current["state"], current["article"], current["content"]) == ("open", None, TEXT)
    assert (await drafts.act(current, "publish"))["article"]["version"] == 1


async def test_a_retracted_article_is_published_again_only_by_who_saw_that(drafts: Drafts) -> None:
    draft = await drafts.create()
    done = await drafts.act(draft, "publish")
    await drafts.send("DELETE", f"/articles/{done['article']['id']}", {"reason": "wrong"})
    current = await drafts.read(draft)
    assert (current["state"], current["acts"], current["article"]["status"]) == ("open", ["publish"], "retracted")
    repeated = await drafts.act(draft, "publish")  # the back button
    assert repeated["article"]["status"] == "retracted"
    again = await drafts.act(draft, "publish", article_revision=current["article"]["revision"])
    assert (again["article"]["status"], again["article"]["version"]) == ("published", 2)


async def test_a_past_time_that_is_meant_publishes_at_once(drafts: Drafts) -> None:
    draft = await drafts.create()
    done = await drafts.act(draft, "schedule", at="2020-01-01T08:00:00Z", past_is_meant=True)
    assert (done["draft"]["state"], done["article"]["version"]) == ("published", 1)
    assert "article.published" in await drafts.audit()


async def test_after_a_refusal_another_act_is_possible_at_once(drafts: Drafts) -> None:
    await drafts.send("POST", "/articles", TEXT | {"external_id": "story-1"})
    draft = await drafts.create(content=TEXT | {"title": "Other", "external_id": "story-1"})
    refused = await drafts.send("POST", f"/drafts/{draft['id']}/publish", {}, draft["revision"])
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:newswire:problem:external-id-taken")
    saved = await drafts.save(draft, external_id="story-2")
    assert (await drafts.act(saved, "publish"))["article"]["external_id"] == "story-2"


async def test_an_act_is_recognised_however_late_it_is_repeated(timed: Drafts, clock: Clock) -> None:
    draft = await timed.create()
    first = await timed.act(draft, "publish")
    clock.shift(days=40)
    assert (await timed.act(draft, "publish"))["article"] == first["article"]
    assert len(await timed.ingest.events()) == 1
