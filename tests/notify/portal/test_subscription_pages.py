"""Subscriptions on the pages: created once, previewed, changed without losing what was typed, tested, rotated, deleted."""

import asyncio
import html
import re
from typing import Any

import pytest

from newswire.users.roles import Role
from newswire.workspace.texts import LANGUAGES
from tests.ingest.users.conftest import Browser
from tests.notify.conftest import Receiver
from tests.notify.portal.conftest import ACCOUNT, Portal, texts

ACT = re.compile(r'name="act" value="([^"]+)"')
NEW = "/portal/new"


def act_of(browser: Browser) -> str:
    found = ACT.search(browser.page)
    assert found
    return found[1]


def secrets_on(page: str) -> set[str]:
    return set(re.findall(r"whsec_[A-Za-z0-9+/=]{44}", html.unescape(page)))


def test_every_language_has_all_texts_with_the_same_values() -> None:
    def shape(language: str) -> dict[str, list[str]]:
        return {name: sorted(re.findall(r"{(\w+)}", text)) for name, text in texts(language).items()}

    assert all(shape(language) == shape("en") for language in LANGUAGES)


async def test_a_subscription_is_previewed_and_created_once_whatever_is_clicked_twice(
    portal: Portal, receiver: Receiver
) -> None:
    await portal.desk.put("a1", topics=["Ferries"])
    await portal.desk.put("a2", topics=["Bridges"], title="The bridge is open")
    browser = await portal.subscriber()
    await browser.get(NEW)
    form: dict[str, Any] = {
        "url": f"{receiver.url}/a",
        "topics": "Ferries\nTrains",
        "content": "full",
        "events": "published",
    }
    seen = await browser.post(NEW, do="preview", **form)
    assert "The ferry leaves on time" in seen.text
    assert "The bridge is open" not in seen.text
    assert "Ferries\nTrains</textarea>" in seen.text
    act = act_of(browser)
    answers = await asyncio.gather(*(browser.post(NEW, follow=False, act=act, **form) for _ in range(3)))
    assert {(answer.status_code, answer.headers["location"]) for answer in answers} == {
        (303, answers[0].headers["location"])
    }
    [made] = [each async for each in portal.desk.subscriptions.of(ACCOUNT)]
    assert (made.filter, made.events) == ({"topics": ["Ferries", "Trains"]}, ["published", "retracted"])
    shown = await browser.get(answers[0].headers["location"])
    assert secrets_on(shown.text) == {made.secret}
    other = await portal.signed_in(await portal.user(Role.ADMIN))
    assert not secrets_on((await other.get(shown.url.path)).text)
    async for name in portal.redis.scan_iter(f"{portal.keys.namespace}:portal-secret:*"):
        assert await portal.redis.ttl(name) <= 300
        await portal.redis.delete(name)
    assert not secrets_on((await browser.get(shown.url.path)).text)
    [entry] = await portal.audit("subscription.")
    assert (entry.act, entry.target, entry.actor.account) == ("subscription.created", made.id, ACCOUNT)
    assert entry.actor.user_id


async def test_a_refused_form_says_why_at_its_fields_and_keeps_what_was_typed(
    portal: Portal, receiver: Receiver
) -> None:
    browser = await portal.subscriber("de")
    await browser.get(NEW)
    typed: dict[str, Any] = {"url": "ftp://x", "query": "fer*", "metadata": "desk night", "topics": "Ferries <b>"}
    answer = await browser.post(NEW, act=act_of(browser), **typed)
    assert answer.status_code == 422
    assert html.escape("Ferries <b>") in answer.text
    assert 'id="metadata-error">Geben Sie Name: Wert an, ein Paar pro Zeile. <span' in answer.text
    answer = await browser.post(
        NEW, act=act_of(browser), **typed | {"metadata": "desk: night", "url": f"{receiver.url}/a"}
    )
    assert (answer.status_code, 'id="query-error"' in answer.text) == (422, True)
    assert re.search(r'id="query"[^>]*aria-invalid="true"[^>]*aria-describedby="query-hint query-error"', answer.text)
    answer = await browser.post(NEW, act=act_of(browser), url="https://[::1", content="all", rate="fast")
    assert answer.status_code == 422
    assert 'id="rate-error">Geben Sie eine Zahl über 0 bis höchstens 1000 an.' in answer.text
    assert 'id="content-error">Wählen Sie aus der Liste.' in answer.text
    answer = await browser.post(NEW, act=act_of(browser), url="ftp://x")
    assert 'id="url-error">Geben Sie eine Adresse mit https:// an' in answer.text
    assert [each async for each in portal.desk.subscriptions.of(ACCOUNT)] == []


async def test_a_change_keeps_hidden_headers_and_yields_to_a_concurrent_one(portal: Portal, receiver: Receiver) -> None:
    mine = await portal.subscribe(
        f"{receiver.url}/a", {"topics": ["Ferries"]}, headers={"X-Token": "very-hidden"}, rate=3
    )
    path = f"/portal/subscriptions/{mine.id}/edit"
    browser = await portal.subscriber()
    page = await browser.get(path)
    assert "very-hidden" not in page.text
    assert "X-Token" in page.text
    form: dict[str, Any] = {
        "url": mine.channel.url,
        "events": ["published", "updated"],
        "content": "summary",
        "rate": "0.5",
    }
    found = await portal.desk.subscriptions.find(mine.id)
    assert found is not None
    changed = await browser.post(path, revision=found.revision, topics="Bridges", **form)
    assert changed.url.path == f"/portal/subscriptions/{mine.id}"
    now = await portal.desk.subscriptions.find(mine.id)
    assert now is not None
    assert (now.filter, now.content, now.channel.rate) == ({"topics": ["Bridges"]}, "summary", 0.5)
    assert now.channel.headers == {"X-Token": "very-hidden"}
    await browser.get(path)
    stale = await browser.post(path, revision=found.revision, topics="Trains", **form)
    assert (stale.status_code, "Trains</textarea>" in stale.text) == (409, True)
    again = f'name="revision" value="{now.revision}"'
    assert again in stale.text
    await browser.post(path, revision=now.revision, topics="Trains", drop_headers="1", **form)
    last = await portal.desk.subscriptions.find(mine.id)
    assert last is not None
    assert (last.filter, last.channel.headers) == ({"topics": ["Trains"]}, {})


async def test_pause_resume_enable_and_delete(portal: Portal, receiver: Receiver) -> None:
    mine = await portal.subscribe(f"{receiver.url}/a")
    path, browser = f"/portal/subscriptions/{mine.id}", await portal.by_link()
    await browser.get(path)
    for act, status in (("pause", "paused"), ("resume", "active")):
        assert (await browser.post(path, do=act)).status_code == 200
        found = await portal.desk.subscriptions.find(mine.id)
        assert found is not None
        assert found.status == status
    key = portal.desk.queue.key("subscription", mine.id)
    await portal.redis.hset(key, mapping={"status": "disabled", "status_reason": "gone", "disabled_at": "1"})
    page = await browser.get(path)
    assert texts("en")["reason_gone"].replace("'", "&#39;") in page.text
    refused = await browser.post(path, do="pause")
    assert (refused.status_code, "it is disabled" in refused.text) == (409, True)
    await browser.post(path, do="enable")
    sheet = await browser.get(f"{path}/delete")
    assert "cannot be undone" in sheet.text
    assert (await browser.post(f"{path}/delete")).url.path == "/portal"
    assert (await browser.get(path)).status_code == 404
    acts = [(entry.act, entry.actor.type) for entry in await portal.audit("subscription.")]
    names = ("deleted", "enabled", "resumed", "paused")
    assert acts == [(f"subscription.{name}", "portal_link") for name in names]


async def test_a_test_shows_its_result_and_a_rotation_its_secret_once(portal: Portal, receiver: Receiver) -> None:
    mine = await portal.subscribe(f"{receiver.url}/a")
    path, browser = f"/portal/subscriptions/{mine.id}", await portal.subscriber()
    receiver.answer("/a", 404, 204)
    await browser.get(path)
    failed = await browser.post(path, do="test")
    assert texts("en")["why_no_route"] in failed.text
    assert receiver.got[0].headers["webhook-id"] in failed.text
    assert "newswire.test.v1&#34;" in failed.text
    assert texts("en")["test_delivered"] in (await browser.post(path, do="test")).text
    act = act_of(browser)
    answers = await asyncio.gather(
        *(browser.post(path, follow=False, do="rotate", overlap="3600", act=act) for _ in range(2))
    )
    assert [answer.status_code for answer in answers] == [303, 303]
    now = await portal.desk.subscriptions.find(mine.id)
    assert now is not None
    assert ([secret for secret, _ in now.former_secrets], now.secret == mine.secret) == ([mine.secret], False)
    shown = await browser.get(path)
    assert secrets_on(shown.text) == {now.secret}
    acts = [entry.act for entry in await portal.audit("subscription.")]
    assert acts == ["subscription.secret_rotated", "subscription.tested", "subscription.tested"]


async def test_the_overview_names_what_fails_and_when_it_is_disabled(portal: Portal, receiver: Receiver) -> None:
    for number in range(27):
        await portal.subscribe(f"{receiver.url}/{number}")
    [first, *_] = [each async for each in portal.desk.subscriptions.of(ACCOUNT)]
    key = portal.desk.queue.key("subscription", first.id)
    since = int(portal.desk.clock.now * 1000)
    await portal.redis.hset(key, mapping={"failing": 7, "failing_since": since, "probe_at": since, "probes": 3})
    browser = await portal.subscriber("fr")
    page = await browser.get("/portal")
    assert page.text.count('class="card"') == 25
    assert texts("fr")["failures"].format(count=7) in page.text
    assert "sera désactivé le" in page.text
    following = re.search(r'href="/portal\?after=([^"]+)"', page.text)
    assert following
    assert (await browser.get(f"/portal?after={following[1]}")).text.count('class="card"') == 2
    assert (await browser.get("/portal?after=nonsense")).status_code == 400


@pytest.mark.parametrize("language", LANGUAGES)
async def test_pages_are_in_the_language_of_the_browser(portal: Portal, language: str) -> None:
    browser = await portal.subscriber(language)
    page = await browser.get(NEW)
    assert f'<html lang="{language}">' in page.text
    assert texts(language)["create"] in html.unescape(page.text)
