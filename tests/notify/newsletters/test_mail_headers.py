"""Mails of every kind and language, with awkward names in them, keep to the standards of Internet mail."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_notify.newsletters.dkim import new_key
from newswire_notify.newsletters.forms import default_choices
from newswire_notify.newsletters.mail_composer import host_of
from newswire_notify.newsletters.models import SubscriberState
from newswire_notify.newsletters.texts import texts
from tests.notify.conftest import Clock, Desk
from tests.notify.newsletters.conftest import House, opened_house
from tests.notify.newsletters.mail_lint import sender_name, violations
from tests.notify.newsletters.mail_server import MailServer

pytestmark = pytest.mark.slow

PRIVATE, _ = new_key()
NAMES = {
    "plain": "Ferry News",
    "quotes and backslashes": 'The "Daily" \\ Post, Ltd. (Harbour) <x@y.example>; a:b',
    "quotes only": '"' * 100,
    "encoded word": "=?utf-8?B?eA==?= and =?iso-8859-1?Q?=E9?=",
    "umlauts": "Fähren & Häfen: Öffentliches",
    "emoji": "🚢 Ferries 👩‍👩‍👧‍👦 " + "🌊" * 20,
    "right to left": "أخبار العبّارات — חדשות המעבורות",
    "long words": "word " * 19 + "word",
    "one long word": "w" * 100,
    "cjk": "港湾新聞" * 25,
    "one character too long for a line": "a" * 66 + "é",
    "combining": "e\u0301" * 50,
    "list syntax": "a, b, c; d",
    "dots": "...",
}
TITLES = {
    **NAMES,
    "200 characters": "Two captains retire after forty years of fog and rain on the sound, " * 3,
    "300 umlauts": "Ä" * 300,
    "looks like a header": "Bcc: victim@example.org",
    "From at the beginning": "From here to there",
}
INJECTIONS = ["x\r\nBcc: victim@example.org", "x\nBcc: y", "x\ry", "x\0y", "x\u2028y", "x\x1b[31m"]


@pytest.fixture
async def signing_house(
    redis: Redis, keys: Keyspace, clock: Clock, desk: Desk, mail: MailServer
) -> AsyncIterator[House]:
    signing: dict[str, Any] = {
        "dkim_private_key": SecretStr(PRIVATE),
        "dkim_domain": "harbour.example",
        "dkim_selector": "s1",
        "signups_per_network": 1000,
    }
    async with opened_house(redis, keys, clock, desk, mail, **signing) as opened:
        opened.set_time("2026-11-26T12:00:00+01:00")
        yield opened


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "ar"])
async def test_mails_keep_to_the_standards_whatever_is_named(signing_house: House, language: str) -> None:
    house = signing_house
    names = NAMES if language == "en" else {name: NAMES[name] for name in ("plain", "umlauts", "right to left")}
    found: dict[str, list[str]] = {}
    for number, (what, name) in enumerate(names.items()):
        slug = f"n{number}"
        newsletter = await house.create(
            slug=slug,
            name=name,
            language=language,
            sender={"name": name, "address": "n+e?w%s&a#1=2@harbour.example", "reply_to": "d{e}s|k'@bücher.example"},
            topics=[{"label": name, "filter": {}}],
            brand={"postal_address": name},
        )
        await house.sign_up(f"pending{number}@example.org", slug=slug)
        await house.reader(newsletter, "l" * 64 + f"@{'d' * 60}.{'e' * 60}.example")
        await house.reader(newsletter, "daily@example.org", "daily")
        for mail in await house.send():
            found[f"confirmation: {what}"] = violations(mail.data, listed=False)
    for number, (what, title) in enumerate(TITLES.items()):
        await house.desk.publish(f"a{number}", title=title, authors=[{"name": NAMES["right to left"]}])
        alerts = await house.send()
        assert alerts
        for mail in alerts:
            assert mail.message["Subject"] == " ".join(title.split())
            found[f"alert: {what}"] = violations(mail.data, listed=True)
    house.clock.now += 86_400
    digests = [mail for mail in await house.send() if mail.recipient == "daily@example.org"]
    assert len(digests) == len(names)
    for mail, name in zip(sorted(digests, key=lambda each: each.message["List-Id"].split("<")[1]), names, strict=True):
        found[f"digest: {name}"] = violations(mail.data, listed=True)
    assert {what: problems for what, problems in found.items() if problems} == {}
    assert {sender_name(mail.data) for mail in digests} == {" ".join(name.split()) for name in names.values()}


@pytest.mark.parametrize("name", INJECTIONS)
async def test_a_name_adds_no_header(house: House, name: str) -> None:
    sender = {"name": name, "address": "x@harbour.example"}
    draft = {"slug": "x", "name": name, "description": "x", "sender": sender}
    answer = await house.http.post("/v1/newsletters", json=draft, headers=house.key)
    if answer.status_code == 422:  # characters that no name has
        assert {error["field"] for error in answer.json()["errors"]} == {"name", "sender.name"}
        return
    assert answer.json()["name"] == " ".join(name.split())
    await house.sign_up("reader@example.org", slug="x")
    [mail] = await house.send()
    assert violations(mail.data, listed=False) == []


def test_the_list_of_an_installation_at_an_ipv6_address_has_a_name() -> None:
    assert host_of("http://[::1]:8000") == "localhost"
    assert host_of("http://127.0.0.1:8000") == "127.0.0.1"
    assert host_of("https://News.Example:8443/x") == "news.example"


async def test_a_mail_about_a_sign_up_names_the_language_it_is_written_in(house: House) -> None:
    newsletter = await house.create()
    choices = default_choices(newsletter)
    active = SubscriberState.ACTIVE
    await house.parts.subscribers.add(newsletter, "leser@example.org", choices, {}, state=active, language="de")
    await house.sign_up("leser@example.org")
    [mail] = await house.send()
    assert '<html lang="de"' in mail.part("html")
    assert texts("de")["preferences"] in mail.part("html")
