"""Sign-ups by bots and floods, and scanners that open every link: no flood of mail, and no reader is subscribed or unsubscribed."""

import html
import re
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_notify.newsletters.forms import default_choices
from newswire_notify.newsletters.signup import SIGNUPS_PER_NETWORK, Origin, SignupResult
from tests.notify.conftest import Clock, Desk
from tests.notify.newsletters.conftest import SITE, House, opened_house
from tests.notify.newsletters.mail_server import MailServer, ReceivedMail

pytestmark = pytest.mark.slow

JSON = {"Accept": "application/json"}


def links_of(mail: ReceivedMail) -> set[str]:
    """Return every address in a mail: in its text, its HTML and its headers."""
    in_html = {html.unescape(found) for found in re.findall(r'(?:href|src|action)="([^"]+)"', mail.part("html"))}
    in_headers = re.findall(r"<(https?://[^>]+)>", "".join(str(value) for value in mail.message.values()))
    return {
        url for url in (*in_html, *re.findall(r"https?://[^\s<>]+", mail.text), *in_headers) if url.startswith(SITE)
    }


async def test_a_scanner_that_opens_every_link_changes_nothing(house: House) -> None:
    newsletter = await house.create()
    active = await house.reader(newsletter, "active@example.org")
    daily = await house.reader(newsletter, "daily@example.org", "daily")
    await house.sign_up("pending@example.org")
    await house.desk.publish("a1")
    mails = await house.send()
    house.clock.now += 86_400
    mails += await house.send()
    pending = await house.parts.subscribers.by_address(newsletter, "pending@example.org")
    assert pending is not None
    assert {mail.recipient for mail in mails} == {"active@example.org", "daily@example.org", "pending@example.org"}
    before = [await house.parts.subscribers.get(each.id) for each in (active, daily, pending)]
    opened: set[str] = set()
    to_open = set().union(*map(links_of, mails))
    assert len(to_open) > 8
    while to_open:  # a crawler also follows what the pages link to
        url = to_open.pop()
        opened.add(url)
        for method in ("HEAD", "OPTIONS", "GET"):
            answer = await house.http.request(method, url, headers={"User-Agent": "LinkScanner/1"})
            assert answer.status_code < 500, (method, url)
            assert "set-cookie" not in answer.headers
        found = re.findall(r'(?:href|src)="([^"#]+)"', answer.text)
        found += re.findall(r'<form[^>]* action="([^"]+)"', answer.text)  # as a GET, with nothing filled in
        found = [str(httpx.URL(url).join(html.unescape(each))) for each in found]
        to_open |= {each for each in found if each.startswith(f"{SITE}/newsletters") and each not in opened}
    assert any("/confirm/" in url for url in opened)
    assert any("/unsubscribe/" in url for url in opened)
    assert any(url.endswith("/erase") for url in opened)
    assert [await house.parts.subscribers.get(each.id) for each in (active, daily, pending)] == before
    assert await house.send() == []


async def test_ten_thousand_sign_ups_of_one_network_send_few_mails(house: House) -> None:
    newsletter = await house.create()
    origin = Origin("2001:db8::7", "2001:db8::/64", "bot")
    results = [
        await house.parts.signup.sign_up(
            newsletter, f"r{number}@example.org", default_choices(newsletter), origin, form_age=10, trapped=False
        )
        for number in range(10_000)
    ]
    assert results == [SignupResult.MAILED] * SIGNUPS_PER_NETWORK + [SignupResult.TOO_MANY] * (
        10_000 - SIGNUPS_PER_NETWORK
    )
    assert len(await house.send()) == SIGNUPS_PER_NETWORK
    assert sum((await house.parts.newsletters.counts(newsletter.id)).values()) == SIGNUPS_PER_NETWORK
    limits = [name async for name in house.redis.scan_iter(f"*{house.keys.namespace}*newsletter_limit:network*")]
    assert [await house.redis.zcard(name) for name in limits] == [SIGNUPS_PER_NETWORK]


async def test_many_networks_together_reach_the_limit_of_the_newsletter(
    redis: Redis, keys: Keyspace, clock: Clock, desk: Desk, mail: MailServer
) -> None:
    async with opened_house(redis, keys, clock, desk, mail, signups_per_newsletter=40) as house:
        newsletter = await house.create()
        results = [
            await house.parts.signup.sign_up(
                newsletter,
                f"r{number}@example.org",
                default_choices(newsletter),
                Origin(None, f"network {number}", "bot"),
                form_age=10,
                trapped=False,
            )
            for number in range(60)
        ]
        assert results == [SignupResult.MAILED] * 40 + [SignupResult.TOO_MANY] * 20
        assert len(await house.send()) == 40


async def test_a_bot_that_fills_every_field_causes_no_mail(house: House) -> None:
    await house.create()
    page = (await house.http.get("/newsletters/ferries")).text
    form = re.search(r"<form.*?</form>", page, re.DOTALL)
    assert form
    names = set(re.findall(r'<(?:input|select|textarea)[^>]* name="([^"]+)"', form[0]))
    values = dict(re.findall(r'name="([^"]+)"[^>]* value="([^"]+)"', form[0]))
    assert "email" in names
    filled = dict.fromkeys(names, "Cheap pills at https://spam.example") | values | {"email": "victim@example.org"}
    house.clock.now += 60
    answer = await house.http.post("/newsletters/ferries/subscribe", data=filled)
    assert answer.status_code < 500
    assert await house.send() == []


async def test_json_has_the_limits_and_the_trap_of_the_form(house: House) -> None:
    await house.create()
    described = (await house.http.get("/newsletters/ferries", headers=JSON)).json()
    house.clock.now += 10
    sent = {"form_token": described["form_token"], "cadence": "instant"}
    trapped = await house.http.post(
        "/newsletters/ferries/subscribe", json=sent | {"email": "a@example.org", "website": "https://spam.example"}
    )
    assert trapped.status_code == 202
    statuses = [
        (
            await house.http.post("/newsletters/ferries/subscribe", json=sent | {"email": f"r{n}@example.org"})
        ).status_code
        for n in range(30)
    ]
    assert statuses == [202] * (SIGNUPS_PER_NETWORK - 1) + [429] * (31 - SIGNUPS_PER_NETWORK)
    assert len(await house.send()) == SIGNUPS_PER_NETWORK - 1


async def test_a_confirmation_holds_no_text_of_its_requester(house: House) -> None:
    await house.create()
    spam = "Cheap pills at spam.example"
    fields: dict[str, Any] = {
        "name": spam,
        "first_name": spam,
        "comment": spam,
        "subject": spam,
        "language": spam,
        "utm_source": spam,
    }
    await house.sign_up("victim@example.org", **fields)
    [mail] = await house.send()
    agent = await house.http.get("/newsletters/ferries", params=fields, headers={"User-Agent": spam, "Referer": spam})
    assert spam not in agent.text
    for content in (mail.text, mail.part("html"), *map(str, mail.message.values())):
        assert "pills" not in content
