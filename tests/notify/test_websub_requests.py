"""Requests to the hub: limits, verification, and what a failed one leaves."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiohttp import web
from redis.asyncio import Redis

from newswire_notify.websub.service import MAX_PENDING_PER_HOST
from tests.notify.conftest import SITE, Clock, until
from tests.notify.websub_parts import LATEST, FeedServer, Handler, RunningHub, Subscribers, http_server, running_hub

pytestmark = pytest.mark.slow


@pytest.fixture
async def subscribers() -> AsyncIterator[Subscribers]:
    found = Subscribers()
    async with http_server(found.handle) as found.url:
        yield found


@pytest.fixture
async def feeds() -> AsyncIterator[FeedServer]:
    found = FeedServer()
    async with http_server(found.handle) as found.url:
        yield found


@pytest.fixture
async def hub(redis: Redis, namespace: str, feeds: FeedServer, subscribers: Subscribers) -> AsyncIterator[RunningHub]:
    async with running_hub(redis, namespace, feeds, subscribers) as running:
        yield running


def responding(status: int, text: str | None = None, *, before: str = "", after: str = "", **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = text if text is not None else before + request.query["hub.challenge"] + after
        return web.Response(status=status, text=body, headers=headers)

    return answer


async def redirecting(request: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": f"/good?{request.query_string}"})


async def redirecting_with_the_challenge(request: web.Request) -> web.StreamResponse:
    return web.Response(status=307, text=request.query["hub.challenge"], headers={"Location": "/good"})


async def without_a_length(request: web.Request) -> web.StreamResponse:
    """A body that ends with the connection, as simple HTTP/1.0 servers send it."""
    response = web.StreamResponse()
    response.force_close()
    response.enable_chunked_encoding()
    await response.prepare(request)
    challenge = request.query["hub.challenge"].encode()
    await response.write(challenge[:7])
    await response.write(challenge[7:])
    return response


REFUSALS: dict[str, Handler] = {
    "another challenge": responding(200, "x" * 43),
    "an empty body": responding(200, ""),
    "no body": responding(204, ""),
    "a newline after it": responding(200, after="\n"),
    "a space before it": responding(200, before=" "),
    "a byte order mark": responding(200, before="\ufeff"),
    "a page around it": responding(200, before="<html>", after="</html>"),
    "a very long body": responding(200, after="x" * 10_000),
    "404": responding(404),
    "410": responding(410),
    "500": responding(500),
    "a redirect": redirecting,
    "a redirect with the challenge": redirecting_with_the_challenge,
}


@pytest.mark.parametrize("how", REFUSALS)
async def test_a_request_that_is_not_confirmed_leaves_the_old_state(hub: RunningHub, how: str) -> None:
    await hub.subscribe("/old", secret="old")
    for path in ("/old", "/new"):
        hub.subscribers.on_ask[path] = REFUSALS[how]

    assert (await hub.request("subscribe", "/old", secret="new")).status_code == 202
    assert (await hub.request("unsubscribe", "/old")).status_code == 202
    assert (await hub.request("subscribe", "/new")).status_code == 202
    await hub.verified("/old", 3)
    await hub.verified("/new", 1)
    await hub.stop()

    found = await hub.subscriptions.get(LATEST, hub.subscribers.url + "/old")
    assert found is not None
    assert found.secret == "old"
    assert await hub.subscriptions.get(LATEST, hub.subscribers.url + "/new") is None
    assert hub.subscribers.modes("/good") == []


@pytest.mark.parametrize("status", [200, 201, 202, 299])
async def test_any_success_confirms(hub: RunningHub, status: int) -> None:
    hub.subscribers.on_ask["/a"] = responding(status)
    await hub.subscribe("/a")


async def test_a_body_without_a_length_confirms(hub: RunningHub) -> None:
    hub.subscribers.on_ask["/a"] = without_a_length
    await hub.subscribe("/a")


async def test_a_callback_that_is_not_there_is_not_subscribed(hub: RunningHub) -> None:
    callback = "http://127.0.0.1:9/a"
    parameters = {"hub.mode": "subscribe", "hub.callback": callback, "hub.topic": LATEST}
    assert (await hub.http.post("/hub", data=parameters)).status_code == 202
    await hub.subscribe("/b")
    await hub.stop()
    assert await hub.subscriptions.get(LATEST, callback) is None


async def test_the_response_comes_before_the_verification_ends(hub: RunningHub) -> None:
    go_on = asyncio.Event()

    async def waiting(request: web.Request) -> web.StreamResponse:
        await go_on.wait()
        return web.Response(text=request.query["hub.challenge"])

    hub.subscribers.on_ask["/a"] = waiting
    assert (await hub.request("subscribe", "/a")).status_code == 202
    await hub.verified("/a", 1)
    assert await hub.subscriptions.get(LATEST, hub.subscribers.url + "/a") is None
    go_on.set()
    await hub.holds("/a")


async def test_requests_for_one_subscription_are_verified_in_order(hub: RunningHub) -> None:
    go_on = asyncio.Event()

    async def waiting(request: web.Request) -> web.StreamResponse:
        if request.query["hub.mode"] == "subscribe":
            await go_on.wait()
        return web.Response(text=request.query["hub.challenge"])

    hub.subscribers.on_ask["/a"] = waiting
    await hub.request("subscribe", "/a")
    await hub.request("unsubscribe", "/a")
    await hub.verified("/a", 1)
    go_on.set()
    await hub.verified("/a", 2)
    assert hub.subscribers.modes("/a") == ["subscribe", "unsubscribe"]
    await hub.holds("/a", present=False)


async def test_each_verification_has_a_challenge_of_its_own_and_keeps_the_query_of_the_callback(
    hub: RunningHub,
) -> None:
    for _ in range(2):
        await hub.request("subscribe", "/a?token=a%2Bb&x=1")
    await hub.verified("/a", 2)
    first, second = (parameters for _, parameters in hub.subscribers.asked)
    assert first["hub.challenge"] != second["hub.challenge"]
    assert (first["token"], first["x"]) == ("a+b", "1")


@pytest.mark.parametrize(("sent", "granted"), [("60", 3600), ("86400", 86_400), ("99999999", 2_592_000)])
async def test_the_verification_tells_the_granted_lease(hub: RunningHub, sent: str, granted: int) -> None:
    await hub.subscribe("/a", lease_seconds=sent)
    assert hub.subscribers.asked[0][1]["hub.lease_seconds"] == str(granted)
    found = await hub.subscriptions.get(LATEST, hub.subscribers.url + "/a")
    assert found is not None
    assert found.expires_at == hub.clock.now + granted


async def test_the_topic_is_repeated_as_it_was_sent(hub: RunningHub) -> None:
    topic = "HTTPS://NEWS.EXAMPLE:443/feeds/latest.atom"
    assert (await hub.request("subscribe", "/a", topic)).status_code == 202
    await hub.holds("/a")
    assert hub.subscribers.asked[0][1]["hub.topic"] == topic


async def test_a_feed_that_does_not_exist_is_denied(hub: RunningHub) -> None:
    hub.feeds.refuse("/feeds/nothing.atom", 404, "not-found")
    assert (await hub.request("subscribe", "/a", f"{SITE}/feeds/nothing.atom")).status_code == 202
    await hub.verified("/a", 1)
    [(_, asked)] = hub.subscribers.asked
    expected = {"hub.mode": "denied", "hub.topic": f"{SITE}/feeds/nothing.atom", "hub.reason": "no: not-found"}
    assert asked == expected


@pytest.mark.parametrize("body", ["<html>404</html>", '{"type": "about:blank"}', "[]"])
async def test_the_error_page_of_a_proxy_denies_nobody(hub: RunningHub, body: str) -> None:
    hub.feeds.failing["/feeds/latest.atom"] = web.Response(status=404, text=body)
    await hub.subscribe("/a")
    assert hub.subscribers.modes("/a") == ["subscribe"]


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{}", {"Content-Type": "application/json"}, 415),
        (b"hub.mode=subscribe", {}, 415),
        (b"x=" + b"y" * 20_000, {"Content-Type": "application/x-www-form-urlencoded"}, 413),
        (b"hub.mode=%ff", {"Content-Type": "application/x-www-form-urlencoded"}, 400),
        (b"", {"Content-Type": "application/x-www-form-urlencoded"}, 422),
    ],
)
async def test_what_is_no_form_gets_a_problem(
    hub: RunningHub, content: bytes, headers: dict[str, str], status: int
) -> None:
    response = await hub.http.post("/hub", content=content, headers=headers)
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["errors"][0]["field"]


async def test_a_charset_in_the_content_type_is_read(hub: RunningHub) -> None:
    content = httpx.QueryParams(
        {"hub.mode": "subscribe", "hub.topic": LATEST, "hub.callback": f"{hub.subscribers.url}/a"}
    )
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    response = await hub.http.post("/hub", content=str(content), headers=headers)
    assert (response.status_code, response.content) == (202, b"")
    await hub.holds("/a")


async def test_the_hub_limits_what_one_address_sends(
    redis: Redis, namespace: str, feeds: FeedServer, subscribers: Subscribers
) -> None:
    async with running_hub(redis, namespace, feeds, subscribers, hub_rate=0.5) as hub:
        statuses = [(await hub.request("subscribe", "/a")).status_code for _ in range(8)]
        refused = await hub.request("subscribe", "/a")
    assert statuses.count(202) == 5
    assert statuses[0] == 202
    assert refused.status_code == 429
    assert refused.json()["type"] == "urn:newswire:problem:rate-limited"
    assert int(refused.headers["Retry-After"]) >= 1
    assert "q=5;w=10" in refused.headers["RateLimit-Policy"]


async def test_one_host_has_a_limited_number_of_requests_waiting_and_delays_no_other(
    redis: Redis, namespace: str, feeds: FeedServer, subscribers: Subscribers
) -> None:
    go_on = asyncio.Event()

    async def waiting(request: web.Request) -> web.StreamResponse:
        await go_on.wait()
        return web.Response(text=request.query["hub.challenge"])

    subscribers.on_ask["/slow"] = waiting
    async with running_hub(redis, namespace, feeds, subscribers) as hub:
        for number in range(MAX_PENDING_PER_HOST):
            topic = f"{SITE}/feeds/topic/{number}.atom"
            assert (await hub.request("subscribe", "/slow", topic)).status_code == 202
        refused = await hub.request("subscribe", "/slow")
        other = {
            "hub.mode": "subscribe",
            "hub.topic": LATEST,
            "hub.callback": f"{subscribers.url}/x".replace("127.0.0.1", "localhost"),
        }
        accepted = await hub.http.post("/hub", data=other)
        go_on.set()
        await hub.holds("/slow", f"{SITE}/feeds/topic/99.atom")
        assert await hub.request("subscribe", "/slow")
    assert refused.status_code == 429
    assert refused.json()["type"] == "urn:newswire:problem:hub-full"
    assert accepted.status_code == 202


@pytest.mark.parametrize(
    ("limit", "topic"),
    [
        ({"hub_subscriptions_max": 1}, LATEST),
        ({"hub_subscriptions_per_host": 1}, LATEST),
        ({"hub_topics_max": 1}, f"{SITE}/feeds/latest.xml"),
    ],
)
async def test_a_full_hub_takes_renewals_only(
    redis: Redis, namespace: str, feeds: FeedServer, subscribers: Subscribers, limit: dict[str, Any], topic: str
) -> None:
    async with running_hub(redis, namespace, feeds, subscribers, **limit) as hub:
        await hub.subscribe("/a")
        refused = await hub.request("subscribe", "/b", topic)
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:newswire:problem:hub-full")
        assert (await hub.request("subscribe", "/a")).status_code == 202
        assert (await hub.request("unsubscribe", "/a")).status_code == 202

        async def has_room() -> bool:
            return await hub.subscriptions.counts("127.0.0.1") == (0, 0, 0)

        await until(has_room)
        await hub.subscribe("/b", topic)


async def test_private_addresses_are_not_asked(
    redis: Redis, namespace: str, feeds: FeedServer, subscribers: Subscribers
) -> None:
    async with running_hub(redis, namespace, feeds, subscribers, webhook_allow_private=False) as hub:
        refused = await hub.request("subscribe", "/a")
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == "hub.callback"
    assert subscribers.asked == []


async def test_without_public_reading_there_are_no_subscriptions(
    redis: Redis, namespace: str, feeds: FeedServer, subscribers: Subscribers
) -> None:
    clock = Clock()
    async with running_hub(redis, namespace, feeds, subscribers, clock=clock) as hub:
        await hub.subscribe("/a")
    async with running_hub(redis, namespace, feeds, subscribers, clock=clock, public_read=False) as hub:
        await hub.holds("/a", present=False)
        await hub.verified("/a", 2)
        refused = await hub.request("subscribe", "/a")
    assert subscribers.modes("/a") == ["subscribe", "denied"]
    assert re.search("not public", subscribers.asked[-1][1]["hub.reason"])
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "hub.topic")


async def test_a_hub_that_is_switched_off_is_not_there_and_its_group_goes_on(
    redis: Redis, namespace: str, feeds: FeedServer, subscribers: Subscribers
) -> None:
    async with running_hub(redis, namespace, feeds, subscribers) as hub:
        await hub.subscribe("/a")
    async with running_hub(redis, namespace, feeds, subscribers, hub=False) as hub:
        await hub.verified("/a", 2)
        assert (await hub.request("subscribe", "/a")).status_code == 404
        await hub.indexed()

        async def handled() -> bool:
            [group] = await redis.xinfo_groups(hub.keys.outcomes)
            return bool(group["entries-read"] == 1 and not group["pending"])

        await until(handled)
    assert subscribers.modes("/a") == ["subscribe", "denied"]
