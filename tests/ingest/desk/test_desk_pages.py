"""The pages of the desk without scripts: who may do what, forms that lose nothing, and acts that are done once."""

import asyncio
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from newswire.article import Status
from newswire.audience import AudienceReply, AudienceRequest, MailCounts, channel
from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.messaging.requests import RequestBroker
from newswire.users.roles import Role
from tests.ingest.users.conftest import Browser, Desk, MakeUser
from tests.markup import markup_errors
from tests.polling import DEADLINE_SECONDS

ACCOUNT = "?account=Harbour+Post"
ARTICLE: dict[str, Any] = {
    "title": "Ferries sail again",
    "body": "<p>The first ferry left at six.</p>",
    "authors": "Ann Lee",
}
_REVISION = re.compile(r'name="revision" value="([^"]*)"')


async def new_draft(browser: Browser, **fields: Any) -> str:
    """Create a draft by the buttons of the desk, and return the path of its page."""
    await browser.get("/desk")
    page = await browser.post("/desk/drafts" + ACCOUNT)
    path = page.url.path
    if fields:
        saved = await browser.post(path + ACCOUNT, revision=revision(browser), **(ARTICLE | fields))
        assert (saved.status_code, saved.url.path) == (200, path)
    return path


def revision(browser: Browser) -> str:
    found = _REVISION.search(browser.page)
    assert found
    return found[1]


async def act(browser: Browser, path: str, name: str, **fields: Any) -> httpx.Response:
    """Open the sheet of an act, and press its button."""
    await browser.get(f"{path}/{name}{ACCOUNT}")
    return await browser.post(f"{path}/{name}{ACCOUNT}", revision=revision(browser), **fields)


async def articles(desk: Desk, status: Status) -> int:
    return int(await desk.ingest.redis.zcard(desk.ingest.keys.articles_of("Harbour Post", status)))


@pytest.fixture
async def editor(desk: Desk, user: MakeUser) -> Browser:
    return await desk.signed_in(await user("ida@harbour.example", Role.EDITOR))


async def test_an_article_is_written_published_corrected_and_retracted(desk: Desk, editor: Browser) -> None:
    path = await new_draft(editor, summary="Two lines.")
    assert "Ferries sail again" in (await editor.get("/desk")).text
    published = await act(editor, path, "publish")
    assert "The article is published." in published.text
    article = published.url.path
    assert await articles(desk, Status.PUBLISHED) == 1
    await editor.get(path + ACCOUNT)
    await editor.post(path + ACCOUNT, revision=revision(editor), **ARTICLE | {"body": "<p>It left at seven.</p>"})
    sheet = await editor.get(f"{path}/correct{ACCOUNT}")
    assert "<del>The first ferry</del>" in sheet.text.replace("\n", "")
    refused = await act(editor, path, "correct", note=" ")
    assert refused.status_code == 409
    assert "Correction note: is missing" in refused.text
    corrected = await act(editor, path, "correct", note="It left at seven, not at six.")
    assert "It left at seven, not at six." in corrected.text
    await editor.get(f"{article}/retract{ACCOUNT}")
    retracted = await editor.post(f"{article}/retract{ACCOUNT}", revision=revision(editor), reason="A test.")
    assert "The article is retracted." in retracted.text
    assert (await articles(desk, Status.PUBLISHED), await articles(desk, Status.RETRACTED)) == (0, 1)
    assert "A test." in (await editor.get(f"{article}{ACCOUNT}")).text


async def test_an_act_is_done_once_however_often_its_form_is_sent(desk: Desk, editor: Browser) -> None:
    path = await new_draft(editor, title="Once")
    await editor.get(f"{path}/publish{ACCOUNT}")
    form: dict[str, Any] = {"revision": revision(editor)}
    answers = [await editor.post(f"{path}/publish{ACCOUNT}", follow=False, **form) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert await articles(desk, Status.PUBLISHED) == 1
    back = await editor.get(f"{path}/publish{ACCOUNT}&revision={form['revision']}")
    assert "The article is published." in back.text
    assert "Publish now" not in back.text


async def test_a_stale_sheet_publishes_nothing(desk: Desk, user: MakeUser, editor: Browser) -> None:
    path = await new_draft(editor, title="Seen")
    await editor.get(f"{path}/publish{ACCOUNT}")
    seen = revision(editor)
    other = await desk.signed_in(await user("jon@harbour.example", Role.WRITER))
    await other.get(path + ACCOUNT)
    await other.post(path + ACCOUNT, revision=revision(other), **ARTICLE | {"title": "Not seen"})
    answer = await editor.post(f"{path}/publish{ACCOUNT}", revision=seen)
    assert answer.status_code == 409
    assert "Jon saved another text" in answer.text
    assert await articles(desk, Status.PUBLISHED) == 0


async def test_a_conflict_shows_both_texts_and_loses_neither(desk: Desk, user: MakeUser, editor: Browser) -> None:
    path = await new_draft(editor, title="Mine")
    seen = revision(editor)
    other = await desk.signed_in(await user("jon@harbour.example", Role.WRITER))
    await other.get(path + ACCOUNT)
    await other.post(path + ACCOUNT, revision=revision(other), **ARTICLE | {"body": "<p>Of Jon.</p>"})
    conflict = await editor.post(path + ACCOUNT, revision=seen, **ARTICLE | {"body": "<p>Of Ida.</p>"})
    assert conflict.status_code == 409
    assert "Of Jon." in conflict.text
    assert "Of Ida." in conflict.text
    saved = await editor.post(path + ACCOUNT, revision=revision(editor), **ARTICLE | {"body": "<p>Of Ida.</p>"})
    assert saved.status_code == 200
    history = await editor.get(f"{path}/history{ACCOUNT}")
    numbers = sorted({int(each) for each in re.findall(r"/revisions/(\d+)", history.text)})
    texts = [(await editor.get(f"{path}/revisions/{number}{ACCOUNT}")).text for number in numbers]
    assert any("Of Jon." in text.partition("The present text")[0] for text in texts)


async def test_an_ended_session_keeps_what_was_typed(desk: Desk, user: MakeUser) -> None:
    ida = await user("ida@harbour.example", Role.EDITOR)
    editor = await desk.signed_in(ida)
    path = await new_draft(editor)
    seen = revision(editor)
    await desk.service.sessions.end_all(ida.id)
    kept = await editor.post(path + ACCOUNT, revision=seen, **ARTICLE)
    assert kept.status_code == 401
    assert "The first ferry left at six." in kept.text
    await editor.sign_in(ida.email)
    editor.page = ""  # the form of the kept page has no token, as it was made for nobody
    again = await editor.post(path + ACCOUNT, revision=seen, **ARTICLE)
    assert again.status_code == 403
    assert "The first ferry left at six." in again.text
    assert (await editor.post(path + ACCOUNT, revision=revision(editor), **ARTICLE)).status_code == 200


async def test_a_time_in_the_past_asks(desk: Desk, editor: Browser) -> None:
    path = await new_draft(editor, title="Late")
    zone: dict[str, Any] = {"local": "2026-01-01T06:30", "zone": "Europe/Berlin"}
    asked = await act(editor, path, "schedule", **zone)
    assert asked.status_code == 409
    assert "This time has passed." in asked.text
    assert 'value="2026-01-01T06:30"' in asked.text
    assert await articles(desk, Status.PUBLISHED) == 0
    meant = await act(editor, path, "schedule", past_is_meant="on", **zone)
    assert meant.status_code == 200
    assert await articles(desk, Status.PUBLISHED) == 1


async def test_a_scheduled_article_is_shown_in_the_chosen_zone_and_cancelled(desk: Desk, editor: Browser) -> None:
    path = await new_draft(editor, title="Planned")
    scheduled = await act(editor, path, "schedule", local="2999-03-01T06:30", zone="America/New_York")
    assert "1 Mar 2999, 06:30 America/New_York (11:30 UTC)" in scheduled.text
    article = scheduled.url.path
    await editor.get(f"{article}/retract{ACCOUNT}")
    await editor.post(f"{article}/retract{ACCOUNT}", revision=revision(editor), scheduled="yes")
    assert await articles(desk, Status.SCHEDULED) == 0


async def test_the_page_says_what_is_meant_by_a_time_that_clocks_skip_or_repeat(desk: Desk, editor: Browser) -> None:
    path = await new_draft(editor, title="When clocks change")
    berlin = {"zone": "Europe/Berlin"}
    skipped = await act(editor, path, "schedule", local="2999-03-31T02:30", **berlin)
    assert "The clocks skip the time that you chose; the first time after it is meant." in skipped.text
    assert "31 Mar 2999, 03:00 Europe/Berlin (01:00 UTC)" in skipped.text
    twice = await act(editor, path, "schedule", local="2999-10-27T02:30", **berlin)
    assert "The clocks show the time that you chose twice; the first one is meant." in twice.text
    assert "27 Oct 2999, 02:30 Europe/Berlin (00:30 UTC)" in twice.text
    usual = await act(editor, path, "schedule", local="2999-10-27T04:30", **berlin)
    for page in (usual, await editor.get(f"{usual.url.path}{ACCOUNT}&done=schedule&clocks=other")):
        assert page.status_code == 200
        assert "The article is scheduled." in page.text
        assert "The clocks" not in page.text


async def test_a_time_that_is_left_as_it_was_stays_to_the_second(desk: Desk, editor: Browser) -> None:
    path = await new_draft(editor, title="In the repeated hour")
    await act(editor, path, "schedule", local="2027-10-31T01:30:30", zone="UTC")
    berlin = {"zone": "Europe/Berlin"}
    left = await act(editor, path, "schedule", local="2027-10-31T02:30", **berlin)
    assert "31 Oct 2027, 02:30 Europe/Berlin (01:30 UTC)" in left.text
    (due,) = await desk.ingest.redis.zrange(desk.ingest.keys.due, 0, -1, withscores=True)
    assert due[1] % 60_000 == 30_000
    moved = await act(editor, path, "schedule", local="2027-10-31T02:31", **berlin)
    assert "31 Oct 2027, 02:31 Europe/Berlin (00:31 UTC)" in moved.text


async def test_roles_and_accounts_decide(desk: Desk, user: MakeUser, editor: Browser) -> None:
    path = await new_draft(editor, title="Of the house")
    writer = await desk.signed_in(await user("jon@harbour.example", Role.WRITER))
    assert (await writer.get(path + ACCOUNT)).status_code == 200
    assert "/publish" not in writer.page
    for name in ("publish", "schedule", "update", "correct", "retract"):
        assert (await writer.get(f"{path}/{name}{ACCOUNT}")).status_code == 403
        await writer.get(path + ACCOUNT)
        assert (await writer.post(f"{path}/{name}{ACCOUNT}", revision="2")).status_code == 403
        await writer.get(path + ACCOUNT)
    subscriber = await desk.signed_in(await user("sue@harbour.example", Role.SUBSCRIBER))
    for where in ("/desk", path + ACCOUNT):
        assert (await subscriber.get(where)).status_code == 403
    assert (await desk.browser().get(path + ACCOUNT)).url.path == "/sign-in"
    assert (await editor.get(path + "?account=Tide+Post")).status_code == 403


async def test_forms_of_other_sites_do_nothing(desk: Desk, editor: Browser) -> None:
    path = await new_draft(editor, title="Safe")
    await editor.get(f"{path}/publish{ACCOUNT}")
    seen = revision(editor)
    foreign: dict[str, Any] = {"revision": seen}
    assert (await editor.post(f"{path}/publish{ACCOUNT}", origin="https://evil.example", **foreign)).status_code == 403
    editor.page = ""
    assert (await editor.post(f"{path}/publish{ACCOUNT}", **foreign)).status_code == 403
    assert await articles(desk, Status.PUBLISHED) == 0


async def test_scripts_save_with_the_revision_and_are_told_of_conflicts(desk: Desk, editor: Browser) -> None:
    path = await new_draft(editor)
    token = (await editor.http.get("/desk/session", headers={"Accept": "application/json"})).json()["csrf"]
    headers = {"Accept": "application/json", "Origin": "https://news.example", "If-Match": '"1"'}
    first = await editor.http.put(path + ACCOUNT, headers=headers, json={"csrf": token, "title": "One"})
    assert (first.status_code, first.json()) == (200, {"revision": 2})
    repeated = await editor.http.put(path + ACCOUNT, headers=headers, json={"csrf": token, "title": "One"})
    assert (repeated.status_code, repeated.json()) == (200, {"revision": 2})
    conflict = await editor.http.put(path + ACCOUNT, headers=headers, json={"csrf": token, "title": "Two"})
    assert conflict.status_code == 409
    assert conflict.json()["current"]["fields"]["title"] == "One"
    assert (await editor.http.put(path + ACCOUNT, headers=headers, json={"title": "Two"})).status_code == 403


async def test_lists_are_filtered_and_paged(desk: Desk, editor: Browser) -> None:
    for number in range(32):
        path = await new_draft(editor, title=f"Tide {number}")
    page = await editor.get("/desk" + ACCOUNT)
    assert page.text.count('class="entry"') == 30
    following = re.search(r'href="([^"]*)" data-more', page.text)
    assert following
    assert (await editor.get(following[1].replace("&amp;", "&"))).text.count('class="entry"') == 2
    assert (await editor.get(f"/desk{ACCOUNT}&text=tide+31")).text.count('class="entry"') == 1
    assert "Nothing found." in (await editor.get(f"/desk{ACCOUNT}&author=nobody")).text
    await act(editor, path, "publish")
    assert "Tide 31" in (await editor.get(f"/desk{ACCOUNT}&show=published&author=ann")).text
    assert (await editor.get(f"/desk{ACCOUNT}&cursor=nonsense")).status_code == 422


async def test_a_preview_has_a_link_that_expires_and_no_trace_in_redis(desk: Desk, editor: Browser) -> None:
    path = await new_draft(editor, title="Preview")
    await editor.get(path + ACCOUNT)
    answer = await editor.post(f"{path}/preview{ACCOUNT}", follow=False)
    token = answer.headers["location"].removeprefix("/preview/")
    names = [name.decode() async for name in desk.ingest.redis.scan_iter(match=desk.ingest.keys.key("preview", "*"))]
    assert len(names) == 1
    assert token not in names[0]
    assert 0 < await desk.ingest.redis.pttl(names[0]) <= 3_600_000


async def test_what_is_wrong_is_said_in_the_language_of_the_page(desk: Desk, editor: Browser) -> None:
    wrong = {
        "title": " ",
        "canonical_url": "nowhere",
        "authors": "Ann <https://>",
        "image_url": "x",
        "category": "a" * 101,
    }
    path = await new_draft(editor, **wrong)
    expected = {
        "de": ("Überschrift: fehlt", "ist keine vollständige Webadresse", "Ressort: ist zu lang"),
        "fr": ("manque", "n’est pas une adresse web complète", "est trop long"),
        "es": ("falta", "no es una dirección web completa", "es demasiado largo"),
        "en": ("Headline: is missing", "is no complete web address", "Section: is too long"),
    }
    for language, texts in expected.items():
        editor.headers["Accept-Language"] = language
        page = (await editor.get(f"{path}/publish{ACCOUNT}")).text
        refused = await editor.post(f"{path}/publish{ACCOUNT}", revision=revision(editor))
        assert refused.status_code == 409
        for text in texts:
            assert text in page, language
            assert text in refused.text, language
        assert "String should" not in refused.text
        assert "must not" not in refused.text


async def test_pages_are_valid_html(desk: Desk, user: MakeUser, tmp_path: Path) -> None:
    editor = await desk.signed_in(await user("ada@harbour.example", Role.ADMIN))
    await create_key(desk.ingest.redis, desk.ingest.keys, "Harbour Post", {Scope.PUBLISH}, label="CMS")
    path = await new_draft(editor, title="Valid <b>&</b>", topics="Ferries, Harbour", summary="Two lines.")
    pages = {name: await editor.get(name) for name in ("/desk", path, f"{path}/history", f"{path}/schedule")}
    article = (await act(editor, path, "publish")).url.path
    await editor.get(path + ACCOUNT)
    await editor.post(path + ACCOUNT, revision=revision(editor), **ARTICLE)
    pages |= {name: await editor.get(name) for name in ("/desk/keys", "/desk/labels?old=Ferries")}
    more = ("", "/retract", "/versions/1")
    pages |= {name: await editor.get(name) for name in (f"{path}/correct", *(article + end for end in more))}
    assert {page.status_code for page in pages.values()} == {200}
    assert markup_errors({name: page.text for name, page in pages.items()}, tmp_path) == []


async def test_an_image_is_uploaded_with_the_session_of_the_page(desk: Desk, editor: Browser) -> None:
    picture = BytesIO()
    Image.new("RGB", (40, 30), "navy").save(picture, "PNG")
    token = (await editor.http.get("/desk/session", headers={"Accept": "application/json"})).json()["csrf"]
    headers = {"Accept": "application/json", "Origin": "https://news.example", "X-Form-Token": token}

    async def upload(content: bytes, **changed: str) -> httpx.Response:
        return await editor.http.post("/desk/media" + ACCOUNT, headers=headers | changed, content=content)

    stored = await upload(picture.getvalue())
    assert stored.status_code == 201
    assert stored.json()["url"].startswith("https://news.example/media/")
    assert (stored.json()["width"], stored.json()["height"]) == (40, 30)
    assert (await upload(b"<svg/>")).status_code in (415, 422)
    assert (await upload(picture.getvalue(), **{"X-Form-Token": "0" * 64})).status_code == 403
    assert (await upload(picture.getvalue(), Origin="https://evil.example")).status_code == 403


async def test_a_sheet_shows_what_was_remarked(desk: Desk, user: MakeUser) -> None:
    browser = await desk.signed_in(await user("ida@harbour.example", Role.EDITOR))
    path = await new_draft(browser, body="<h4>Deep</h4><p>x</p>")
    sheet = (await browser.get(f"{path}/publish{ACCOUNT}")).text
    assert "a heading skips a level" in sheet
    assert "there is no category" in sheet
    assert 'name="revision"' in sheet, "remarks prevent nothing"
    too_deep = await new_draft(browser, body="<div>" * 1000)
    assert "must be fixed" in (await browser.get(f"{too_deep}/publish{ACCOUNT}")).text


async def test_a_sheet_says_how_many_are_notified_or_that_it_is_not_known(desk: Desk, editor: Browser) -> None:
    path = await new_draft(editor, summary="Two lines.")
    unknown = await editor.get(f"{path}/publish{ACCOUNT}")
    assert "is not known at this moment" in unknown.text
    asked: list[AudienceRequest] = []
    notify = RequestBroker(desk.ingest.redis)
    name, stopping = channel(desk.ingest.keys), asyncio.Event()

    @notify.subscriber(name)
    async def reply(request: AudienceRequest) -> AudienceReply:
        asked.append(request)
        return AudienceReply(webhooks=7, mails=MailCounts(instant=412, daily=90))

    replying = asyncio.create_task(notify.reply_until(stopping))
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not (await desk.ingest.redis.pubsub_numsub(name))[0][1]:
            await asyncio.sleep(0.02)
    sheet = await editor.get(f"{path}/publish{ACCOUNT}")
    assert "<strong>7</strong> subscribers by webhook" in sheet.text
    assert "<strong>412</strong> mails at once" in sheet.text
    assert "<strong>90</strong> mails with the next daily digest" in sheet.text
    assert "weekly" not in sheet.text
    published = await act(editor, path, "publish")
    retraction = await editor.get(f"{published.url.path}/retract{ACCOUNT}")
    assert "<strong>7</strong> subscribers by webhook" in retraction.text
    assert [each.version.title if each.version else None for each in asked][0::2] == ["Ferries sail again", None]
    key = await desk.ingest.key("Harbour Post", Scope.PUBLISH)
    api = await desk.ingest.http.get(f"/v1/drafts/{path.rpartition('/')[2]}/audience?act=correct", headers=key)
    mails = {"instant": 412, "daily": 90, "weekly": 0, "is_upper_limit": False}
    assert api.json() == {"webhooks": 7, "mails": mails, "unknown_reason": None}
    stopping.set()
    await replying


async def test_a_retraction_sent_to_a_draft_publishes_nothing(desk: Desk, user: MakeUser) -> None:
    browser = await desk.signed_in(await user("ida@harbour.example", Role.EDITOR))
    path = await new_draft(browser, body="<p>First.</p>")
    await act(browser, path, "publish")
    await browser.get(path + ACCOUNT)
    await browser.post(path + ACCOUNT, revision=revision(browser), **(ARTICLE | {"body": "<p>Second.</p>"}))
    await browser.get(path + ACCOUNT)
    sent = await browser.post(f"{path}/retract{ACCOUNT}", revision=revision(browser), note="Not meant.")
    assert sent.status_code == 404
    (article,) = await desk.ingest.redis.zrange(desk.ingest.keys.articles_of("Harbour Post", Status.PUBLISHED), 0, -1)
    stored = await desk.ingest.redis.hgetall(desk.ingest.keys.key("article", article.decode()))
    assert stored[b"version"] == b"1"
