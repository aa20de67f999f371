"""Sign-up, confirmation, preferences, unsubscribing: what readers, bots and scanners do."""

import re

import httpx
import pytest

from newswire_notify.newsletters.models import SubscriberState
from tests.notify.newsletters.conftest import SITE, House, link_in


async def test_a_reader_signs_up_confirms_and_is_subscribed(house: House) -> None:
    newsletter = await house.create()
    answer = await house.sign_up("reader@example.org", topics=["Ferries", "Bridges"], cadence="daily")
    assert answer.status_code == 200
    assert "reader@example.org" in answer.text
    [mail] = await house.send()
    assert (mail.recipient, mail.sender) == ("reader@example.org", "news@harbour.example")
    assert mail.message["Subject"] == "Please confirm: Ferry News"
    assert mail.message["List-Unsubscribe"] is None
    path = link_in(mail, "confirm")
    found = await house.parts.subscribers.by_address(newsletter, "reader@example.org")
    assert found is not None
    assert (found.state, found.choices.topics) == (SubscriberState.PENDING, ("Ferries", "Bridges"))
    page = await house.http.get(path)
    assert page.status_code == 200
    assert await house.state(found) == "pending"
    confirmed = await house.http.post(path)
    assert confirmed.status_code == 200
    assert "You are subscribed" in confirmed.text
    assert await house.state(found) == "active"
    again = await house.http.post(path)
    assert (again.status_code, await house.state(found)) == (200, "active")
    read = await house.parts.subscribers.get(found.id)
    assert read is not None
    for step in ("asked", "given"):
        assert read.consent[step]["address"] == "192.0.2.7"
        assert set(read.consent[step]) == {"at", "address", "user_agent", "wording"}


async def test_the_answer_does_not_tell_who_is_subscribed(house: House) -> None:
    newsletter = await house.create()
    await house.reader(newsletter, "known@example.org")
    known = await house.sign_up("known@example.org")
    unknown = await house.sign_up("unknown@example.org")
    assert known.status_code == unknown.status_code == 200
    assert known.text.replace("known@", "@") == unknown.text.replace("unknown@", "@")
    subjects = {mail.recipient: mail.message["Subject"] for mail in await house.send()}
    assert subjects == {
        "known@example.org": "You are subscribed already: Ferry News",
        "unknown@example.org": "Please confirm: Ferry News",
    }


async def test_nobody_fills_a_mailbox(house: House) -> None:
    await house.create()
    answers = [await house.sign_up("victim@example.org", fill=60) for _ in range(15)]
    assert {answer.status_code for answer in answers} == {200}
    assert len(await house.send()) == 1
    house.clock.now += 86_400
    await house.sign_up("victim@example.org")
    mails = await house.send()
    assert len(mails) == 2  # the reminder, and the confirmation that was asked for again
    assert len({mail.message["Message-ID"] for mail in house.mail.got}) == 3
    for slug in "abcdefghij":
        await house.create(slug=slug)
        await house.sign_up("victim@example.org", slug=slug)
    assert len(await house.send()) <= 4


async def test_one_network_signs_up_few_addresses(house: House) -> None:
    await house.create()
    token = await house.form_token()
    house.clock.now += 10
    statuses = []
    for number in range(200):
        answer = await house.http.post(
            "/newsletters/ferries/subscribe", data={"email": f"r{number}@example.org", "form_token": token}
        )
        statuses.append(answer.status_code)
    assert statuses == [200] * 20 + [429] * 180
    assert answer.headers["Retry-After"] == "3600"
    assert "set-cookie" not in answer.headers
    assert len(await house.send()) == 20


async def test_bots_get_the_answer_of_people_and_cause_no_mail(house: House) -> None:
    await house.create()
    person = await house.sign_up("a@example.org")
    trapped = await house.sign_up("b@example.org", website="https://spam.example")
    hasty = await house.sign_up("c@example.org", fill=0.5)
    assert trapped.text.replace("b@", "") == hasty.text.replace("c@", "") == person.text.replace("a@", "")
    assert [mail.recipient for mail in await house.send()] == ["a@example.org"]


async def test_a_form_of_another_site_leads_to_one_more_step(house: House) -> None:
    await house.create()
    answer = await house.http.post(
        "/newsletters/ferries/subscribe", data={"email": "reader@example.org", "topics": "Ferries"}
    )
    assert answer.status_code == 200
    assert "One more step" in answer.text
    assert 'value="reader@example.org"' in answer.text
    assert re.search(r'value="Ferries" checked', answer.text)
    assert await house.send() == []
    token = await house.form_token()
    house.clock.now += 86_401
    assert "One more step" in (await house.sign_up("reader@example.org", token=token)).text
    assert "One more step" in (await house.sign_up("reader@example.org", token="forged")).text
    await house.create(slug="other")
    assert "One more step" in (await house.sign_up("reader@example.org", token=await house.form_token("other"))).text


@pytest.mark.parametrize(
    "email", ["", "nobody", "a@b", '"x y"@example.org', "r" * 300 + "@example.org", "<script>@example.org"]
)
async def test_what_is_no_address_is_explained_in_the_form(house: House, email: str) -> None:
    await house.create()
    answer = await house.sign_up(email)
    assert answer.status_code == 422
    assert "not an address that mail can be sent to" in answer.text
    assert "<script>" not in answer.text
    assert await house.send() == []


async def test_sites_sign_readers_up_by_json(house: House) -> None:
    await house.create()
    accept = {"Accept": "application/json"}
    described = (await house.http.get("/newsletters/ferries", headers=accept)).json()
    assert described["topics"] == ["Ferries", "Bridges"]
    house.clock.now += 5
    sent = {
        "email": "leser@bücher.example",
        "topics": ["Bridges"],
        "cadence": "instant",
        "form_token": described["form_token"],
    }
    answer = await house.http.post("/newsletters/ferries/subscribe", json=sent)
    assert (answer.status_code, answer.json()["status"]) == (202, "confirmation_sent")
    [mail] = await house.send()
    assert mail.recipient == "leser@xn--bcher-kva.example"
    for change in (
        {"email": "x"},
        {"topics": ["Weather"]},
        {"cadence": "hourly"},
        {"form_token": ""},
        {"zone": "Mars/Base"},
    ):
        refused = await house.http.post("/newsletters/ferries/subscribe", json=sent | change)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == next(iter(change))
    for body in (b"[]", b"{", b'{"email": {"a": 1}}', b"\xff"):
        refused = await house.http.post(
            "/newsletters/ferries/subscribe", content=body, headers={"Content-Type": "application/json"}
        )
        assert refused.status_code == 400
    refused = await house.http.post(
        "/newsletters/ferries/subscribe", content=b"x", headers={"Content-Type": "text/plain"} | accept
    )
    assert refused.status_code == 415


async def test_reading_a_link_changes_nothing(house: House) -> None:
    newsletter = await house.create()
    await house.sign_up("reader@example.org", cadence="instant")
    [mail] = await house.send()
    found = await house.parts.subscribers.by_address(newsletter, "reader@example.org")
    assert found is not None
    links = [link_in(mail, "confirm")]
    for method in ("GET", "HEAD"):
        for path in links:
            assert (await house.http.request(method, path)).status_code == 200
    assert await house.state(found) == "pending"
    await house.http.post(links[0])
    await house.desk.publish("a1")
    [alert] = await house.send()
    links = [link_in(alert, "unsubscribe"), link_in(alert, "preferences"), link_in(alert, "preferences") + "/export"]
    for method in ("GET", "HEAD"):
        for path in links:
            answer = await house.http.request(method, path)
            assert (answer.status_code, await house.state(found)) == (200, "active")
            assert answer.headers["Cache-Control"] == "no-store"
            assert "set-cookie" not in answer.headers
    assert (await house.http.get(link_in(alert, "preferences") + "/erase")).status_code == 405


@pytest.mark.parametrize(
    "request_",
    [
        {"content": b"List-Unsubscribe=One-Click", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {},
    ],
)
async def test_one_click_unsubscribes(house: House, request_: dict[str, object]) -> None:
    newsletter = await house.create()
    reader = await house.reader(newsletter, "reader@example.org")
    await house.desk.publish("a1")
    [alert] = await house.send()
    header = str(alert.message["List-Unsubscribe"])
    assert alert.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    path = header.removeprefix(f"<{SITE}").removesuffix(">")
    for _ in range(2):  # repeated, it is the same
        answer = await house.http.post(path, **request_)  # type: ignore[arg-type]
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
        assert await house.state(reader) == "unsubscribed"
    await house.desk.publish("a2")
    assert await house.send() == []
    house.clock.now += 31 * 86_400
    await house.send()
    assert await house.state(reader) == "erased"
    assert (await house.http.post(path)).status_code == 200
    for unknown in (
        "/newsletters/ferries/unsubscribe/forged",
        "/newsletters/nothing/unsubscribe/forged",
        path[:-3] + "xyz",
    ):
        assert (await house.http.post(unknown)).status_code == 200


@pytest.mark.parametrize(
    "added", [".", ",", ")", ">", "'", "%22", "&gt;", "&amp;utm_source=x", "%20", "%E2%80%8B", "=", "*", ";"]
)
async def test_what_mail_programs_append_to_a_link_is_ignored(house: House, added: str) -> None:
    newsletter = await house.create()
    await house.sign_up("reader@example.org")
    [mail] = await house.send()
    path = link_in(mail, "confirm")
    page = await house.http.get(path + added)
    assert page.status_code == 200
    assert f'action="{path}' in page.text
    assert (await house.http.post(path + added)).status_code == 200
    assert (await house.http.get(path)).status_code == 200
    found = await house.parts.subscribers.by_address(newsletter, "reader@example.org")
    assert found is not None
    assert await house.state(found) == "active"


async def test_a_confirmation_that_is_opened_again_says_that_it_is_done(house: House) -> None:
    await house.create()
    await house.sign_up("reader@example.org")
    [mail] = await house.send()
    path = link_in(mail, "confirm")
    await house.http.post(path)
    again = await house.http.get(path)
    assert again.status_code == 200
    assert "You are subscribed" in again.text
    assert "/preferences/" in again.text
    assert "Once a day, 07:00 (Europe/Berlin)" in again.text
    assert "<button" not in again.text
    preferences = re.search(r'href="(/newsletters/ferries/preferences/[^"]+)"', again.text)
    assert preferences
    page = await house.http.get(preferences[1])
    unsubscribing = re.search(r'action="(/newsletters/ferries/unsubscribe/[^"]+)"', page.text)
    assert unsubscribing
    left = await house.http.post(unsubscribing[1])
    assert 'href="/newsletters/ferries"' in left.text
    late = await house.http.get(path)
    assert (late.status_code, "<button" in late.text) == (410, False)


async def test_links_that_lead_nowhere_say_what_to_do(house: House) -> None:
    newsletter = await house.create()
    await house.create(slug="other")
    await house.sign_up("reader@example.org")
    [mail] = await house.send()
    path = link_in(mail, "confirm")
    token = path.rpartition("/")[2]
    changed = "A" if token[20] != "A" else "B"
    for wrong in (token[:-4], token[:20] + changed + token[21:], "x", "%00", token * 3):
        for method in ("GET", "POST"):
            answer = await house.http.request(method, f"/newsletters/ferries/confirm/{wrong}")
            assert answer.status_code == 404
            assert "Copy the whole link" in answer.text
    assert (await house.http.post(f"/newsletters/other/confirm/{token}")).status_code == 404
    assert (await house.http.post(f"/newsletters/ferries/preferences/{token}")).status_code in (404, 415)
    house.clock.now += 31 * 86_400
    expired = await house.http.post(path)
    assert expired.status_code == 410
    assert "/newsletters/ferries" in expired.text
    await house.send()
    assert await house.parts.subscribers.by_address(newsletter, "reader@example.org") is None


async def test_who_does_not_confirm_is_reminded_once_and_erased(house: House) -> None:
    newsletter = await house.create()
    await house.sign_up("reader@example.org")
    assert len(await house.send()) == 1
    house.clock.now += 23 * 3600
    assert await house.send() == []
    house.clock.now += 2 * 3600
    [reminder] = await house.send()
    assert reminder.message["Subject"] == "Still waiting for your confirmation: Ferry News"
    for _ in range(29):
        house.clock.now += 86_400
        assert await house.send() == []
    assert await house.parts.subscribers.by_address(newsletter, "reader@example.org") is None


async def test_a_reader_changes_preferences_exports_and_erases(house: House) -> None:
    newsletter = await house.create()
    reader = await house.reader(newsletter, "reader@example.org")
    await house.desk.publish("a1")
    [alert] = await house.send()
    path = link_in(alert, "preferences")
    page = (await house.http.get(path)).text
    assert "reader@example.org" in page
    saved = await house.http.post(
        path,
        data={
            "topics": "Bridges",
            "cadence": "weekly",
            "hour": "18",
            "weekday": "4",
            "zone": "America/New_York",
            "pause": "7",
        },
    )
    assert (saved.status_code, "Your preferences are saved" in saved.text) == (200, True)
    changed = await house.parts.subscribers.get(reader.id)
    assert changed is not None
    assert changed.choices.group == "weekly4|18:00|America/New_York"
    assert changed.choices.topics == ("Bridges",)
    assert changed.paused_until is not None
    wrong = ("hour=24", "zone=Nowhere", "cadence=x", "weekday=-1", "topics=Weather", "pause=99999")
    for name, value in (each.split("=") for each in wrong):
        assert (await house.http.post(path, data={name: value})).status_code == 422, name
    assert await house.parts.subscribers.get(reader.id) == changed
    exported = await house.http.get(path + "/export")
    assert exported.headers["Content-Disposition"].startswith("attachment")
    assert exported.json()["address"] == "reader@example.org"
    assert (await house.http.post(path + "/erase")).status_code == 200
    assert await house.state(reader) == "erased"
    assert (await house.http.get(path)).status_code == 410
    stored = [
        await house.redis.dump(name) async for name in house.redis.scan_iter(f"*{house.keys.namespace}*newsletter*")
    ]
    assert not any(b"reader@example.org" in (value or b"") for value in stored)


@pytest.mark.parametrize("language", ["de", "fr", "es", "en-GB", "ja", "ar"])
async def test_readers_are_addressed_in_their_language(house: House, language: str) -> None:
    await house.create(language=language)
    page = (await house.http.get("/newsletters/ferries")).text
    primary = language[:2] if language[:2] in ("de", "fr", "es") else "en"
    assert f'<html lang="{primary}"' in page
    word = {"de": "Abonnieren", "fr": "S&#39;abonner", "es": "Suscribirse", "en": "Subscribe"}[primary]
    assert word in page
    await house.sign_up("reader@example.org")
    [mail] = await house.send()
    assert f'<html lang="{primary}"' in mail.part("html")


async def test_the_page_preselects_what_the_article_is_about(house: House) -> None:
    await house.create()
    page = (
        await house.http.get(
            "/newsletters/ferries", params={"topic": "bridges", "category": "Ferries", "utm_source": "x"}
        )
    ).text
    assert len(re.findall(r'name="topics" value="\w+" checked', page)) == 2


async def test_names_of_readers_choice_are_escaped(house: House) -> None:
    await house.create(
        name="A & B <i>", description="<script>alert(1)</script>", topics=[{"label": '"x" <b>', "filter": {}}]
    )
    page = (await house.http.get("/newsletters/ferries")).text
    assert "<script>" not in page
    assert "<i>" not in page
    assert "A &amp; B &lt;i&gt;" in page


async def test_unknown_newsletters_have_a_page(house: House) -> None:
    answer: httpx.Response = await house.http.get("/newsletters/nothing")
    assert answer.status_code == 404
    assert "There is no such newsletter" in answer.text
    as_json = await house.http.get("/newsletters/nothing", headers={"Accept": "application/json"})
    assert as_json.headers["Content-Type"] == "application/problem+json"


async def test_public_pages_tell_search_engines_what_they_are(house: House) -> None:
    await house.create(slug="ferries", name="Ferry & Pier", description='What "moves".', public_archive=True)
    expected = {
        "/newsletters": ("Newsletters", "Newsletters: Ferry &amp; Pier"),
        "/newsletters/ferries": ("Ferry &amp; Pier", "What &#34;moves&#34;."),
        "/newsletters/ferries/archive": ("Ferry &amp; Pier: Archive", "What &#34;moves&#34;."),
    }
    for path, (title, description) in expected.items():
        page = (await house.http.get(f"{path}?utm_source=x", headers={"Accept": "text/html"})).text
        assert f"<title>{title} · " in page
        assert f'<meta name="description" content="{description}">' in page
        assert f'<meta property="og:title" content="{title}">' in page
        assert re.search(rf'<link rel="canonical" href="https?://[^/"]+{path}">', page), page
    for path in ("/newsletters/none", "/newsletters/ferries/confirm/x"):
        page = (await house.http.get(path, headers={"Accept": "text/html"})).text
        assert "canonical" not in page
        assert '<meta name="robots" content="noindex">' in page
