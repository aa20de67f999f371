"""Deliveries on the pages: found, explained, replayed after a count and exactly once."""

import asyncio
import re
from typing import Any

import pytest

from newswire.storage.document_archive import Pointer
from newswire.timestamps import redis_time_ms
from newswire_notify.deliveries import service
from newswire_notify.portal import delivery_pages
from newswire_notify.portal.reasons import Reason, reason_of
from newswire_notify.subscriptions.models import Subscription
from newswire_notify.webhooks.sending import HIDDEN_FAILURE
from tests.notify.conftest import Receiver
from tests.notify.portal.conftest import Portal, texts
from tests.notify.portal.test_subscription_pages import act_of

EN = texts("en")


async def failed(portal: Portal, receiver: Receiver, count: int) -> tuple[Subscription, list[dict[str, Any]]]:
    """Return a subscription and its deliveries, all of which failed for good."""
    mine = await portal.subscribe(f"{receiver.url}/a")
    receiver.answer("/a", 500)
    await portal.desk.fan_out([await portal.desk.put(f"a{number}") for number in range(count)])
    await portal.desk.deliver()
    rows = (await portal.desk.deliveries.of(mine.id, 100)).rows
    now = await redis_time_ms(portal.redis)
    for row in rows:  # as after the last retry
        key = portal.desk.queue.key("delivery", row["id"])
        await portal.redis.hset(key, mapping={"state": "dead", "ended": now})
        await portal.redis.zadd(portal.desk.queue.key("deliveries", "dead"), {row["id"]: now})
        await portal.redis.hdel(portal.desk.queue.key("pending", mine.id), row["article"])
    await portal.redis.delete(portal.desk.queue.key("due", mine.id))
    return mine, rows


async def test_the_list_is_filtered_and_paged_and_finds_an_event(portal: Portal, receiver: Receiver) -> None:
    mine, rows = await failed(portal, receiver, 30)
    path, browser = f"/portal/subscriptions/{mine.id}/deliveries", await portal.subscriber()
    page = await browser.get(path)
    assert page.text.count('<th scope="row">') == 25
    assert EN["why_server_error"] in page.text
    assert page.text.count("The ferry leaves on time</bdi>") == 25
    older = re.search(r'href="\?([^"]+)">Older', page.text)
    assert older
    assert (await browser.get(f"{path}?{older[1].replace('&amp;', '&')}")).text.count('<th scope="row">') == 5
    assert EN["no_matching_deliveries"] in (await browser.get(f"{path}?state=delivered")).text
    assert (await browser.get(f"{path}?state=dead&since=2001-01-01T00:00")).text.count('<th scope="row">') == 25
    assert EN["no_matching_deliveries"] in (await browser.get(f"{path}?until=2001-01-01T00:00")).text
    assert EN["time_unread"] in (await browser.get(f"{path}?since=yesterday")).text
    for wanted in (rows[3]["id"], rows[3]["event"]):
        found = await browser.get(f"{path}?event={wanted}")
        assert (found.text.count('<th scope="row">'), rows[3]["id"] in found.text) == (1, True)
    for odd in ("state=lost", "after=1-x%00", "event=%00", f"event={'x' * 5000}", "since=9999-99-99"):
        assert (await browser.get(f"{path}?{odd}")).status_code in (200, 400)


async def test_a_page_on_which_nothing_matches_leads_to_older_deliveries(
    portal: Portal, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = await portal.subscribe(f"{receiver.url}/a")
    await portal.desk.fan_out([await portal.desk.put("a0", title="Long", body=f"<p>{'ferry ' * 20_000}</p>")])
    await portal.desk.deliver()
    portal.desk.clock.now += 1
    await portal.desk.fan_out([await portal.desk.put(f"b{number}") for number in range(20)])
    for module in (service, delivery_pages):
        monkeypatch.setattr(module, "MAX_EXAMINED", 10)
    monkeypatch.setattr(service, "EXAMINED_PER_CALL", 10)
    path, browser = f"/portal/subscriptions/{mine.id}/deliveries", await portal.subscriber()
    query = "state=delivered"
    for _ in range(2):
        page = (await browser.get(f"{path}?{query}")).text
        assert EN["none_of_examined"].format(count=10) in page
        older = re.search(r'href="\?([^"]+)">Older', page)
        assert older
        query = older[1].replace("&amp;", "&")
    assert "Long</bdi>" in (await browser.get(f"{path}?{query}")).text


async def test_a_delivery_shows_request_answer_and_reason_and_is_replayed_once(
    portal: Portal, receiver: Receiver
) -> None:
    mine, rows = await failed(portal, receiver, 1)
    path, browser = f"/portal/subscriptions/{mine.id}/deliveries/{rows[0]['id']}", await portal.by_link()
    page = await browser.get(path)
    for shown in (
        EN["why_server_error"],
        EN["fix_server_error"],
        rows[0]["id"],
        "The ferry leaves on time",
        "this is 500",
    ):
        assert shown in page.text
    receiver.answer("/a", 204)
    act = act_of(browser)
    await asyncio.gather(*(browser.post(path, follow=False, act=act) for _ in range(3)))
    await portal.desk.deliver()
    await browser.post(path, act=act)  # reloaded
    await portal.desk.deliver()
    assert len(receiver.got) == 2
    assert [entry.act for entry in await portal.audit("deliveries.")] == ["deliveries.replayed"]
    await portal.desk.fan_out([await portal.desk.put_retraction("a0", 1)])
    gone = await browser.get(path)
    assert EN["body_gone"] in gone.text
    assert "The ferry leaves on time" not in gone.text
    refused = await browser.post(path, act=act_of(browser))
    assert (refused.status_code, "supersedes it" in refused.text) == (409, True)


async def test_a_body_in_an_archive_that_is_away_leaves_the_rest_of_the_page(
    portal: Portal, receiver: Receiver
) -> None:
    mine, [row] = await failed(portal, receiver, 1)
    pointer = Pointer.to(b"text", 4).written()
    await portal.redis.hset(portal.keys.version(row["article"], 1), "document", pointer)
    path, browser = f"/portal/subscriptions/{mine.id}/deliveries", await portal.subscriber()
    page = await browser.get(f"{path}/{row['id']}")
    assert (page.status_code, EN["body_away"] in page.text, EN["why_server_error"] in page.text) == (200, True, True)
    assert (await browser.get(path)).text.count('<th scope="row">') == 1


async def test_all_failed_are_counted_first_and_each_is_sent_once(portal: Portal, receiver: Receiver) -> None:
    mine, rows = await failed(portal, receiver, 12)
    path, browser = f"/portal/subscriptions/{mine.id}/replay", await portal.subscriber()
    sheet = await browser.get(path)
    assert EN["replay_count"].format(count=12) in sheet.text
    upto = re.search(r'name="upto" value="(\d+)"', sheet.text)
    assert upto
    act = act_of(browser)
    receiver.answer("/a", 204)
    receiver.got.clear()
    answers = await asyncio.gather(
        *(browser.post(path, follow=False, do="failed", upto=upto[1], act=act) for _ in range(3))
    )
    assert {answer.headers["location"] for answer in answers} == {
        f"/portal/subscriptions/{mine.id}/deliveries?replayed=12"
    }
    await portal.desk.deliver()
    await browser.get(f"/portal/subscriptions/{mine.id}")
    await browser.post(path, do="failed", upto=upto[1], act=act_of(browser))  # another tab with the same sheet
    await portal.desk.deliver()
    assert sorted(got.headers["webhook-id"] for got in receiver.got) == sorted(row["id"] for row in rows)
    [entry] = await portal.audit("deliveries.")
    assert entry.details["deliveries"] == 12


async def test_a_replay_since_a_time_is_counted_first_and_started_once(portal: Portal, receiver: Receiver) -> None:
    mine, _ = await failed(portal, receiver, 3)
    path, browser = f"/portal/subscriptions/{mine.id}/replay", await portal.subscriber()
    sheet = await browser.get(f"{path}?since=2026-01-01T00:00")
    assert '<p class="count">3</p>' in sheet.text.split('id="all"')[1]
    act = act_of(browser)
    for _ in range(2):
        assert (
            await browser.post(path, follow=False, do="since", since="2026-01-01T00:00", act=act)
        ).status_code == 303
    assert len(await portal.audit("deliveries.")) == 1
    await browser.get(f"{path}?since=2026-01-01T00:00")
    running = await browser.post(path, do="since", since="2026-01-01T00:00", act=act_of(browser))
    assert (running.status_code, "an earlier replay is running".capitalize() in running.text) == (409, True)
    assert EN["time_unread"] in (await browser.get(f"{path}?since=soon")).text


def test_every_failure_has_a_reason_with_a_remedy() -> None:
    cases = {
        "refused-address: the endpoint resolves to a private network": Reason.ADDRESS,
        "dns: the name does not resolve (NXDOMAIN)": Reason.DNS,
        "connect: TLS failed": Reason.TLS,
        "connect: Connection refused": Reason.CONNECT,
        "timeout: no connection in time": Reason.CONNECT_TIMEOUT,
        "timeout: no response in time": Reason.RESPONSE_TIMEOUT,
        "http: the status line is invalid": Reason.INVALID_RESPONSE,
        HIDDEN_FAILURE: Reason.HIDDEN,
    }
    assert {error: reason_of({"status": None, "error": error}) for error in cases} == cases
    statuses = {
        301: Reason.REDIRECT,
        403: Reason.CREDENTIALS,
        410: Reason.GONE,
        422: Reason.REJECTED,
        502: Reason.SERVER_ERROR,
    }
    assert {status: reason_of({"status": status, "error": "x"}) for status in statuses} == statuses
    assert reason_of({"status": 204, "error": None}) is None
    for reason in Reason:
        assert EN[f"why_{reason}"]
        assert EN[f"fix_{reason}"]
