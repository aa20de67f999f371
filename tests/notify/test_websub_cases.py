"""The hub's cases 100 to 106 of the public test suite of WebSub, with real subscribers."""

import hashlib
import hmac
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.notify.conftest import SITE, until
from tests.notify.websub_parts import LATEST, FeedServer, RunningHub, Subscribers, http_server, running_hub

pytestmark = pytest.mark.slow


@pytest.fixture
async def hub(redis: Redis, namespace: str) -> AsyncIterator[RunningHub]:
    feeds, subscribers = FeedServer(), Subscribers()
    async with http_server(feeds.handle) as feeds.url, http_server(subscribers.handle) as subscribers.url:
        feeds.put("/feeds/latest.atom", "<feed>before</feed>")
        async with running_hub(redis, namespace, feeds, subscribers) as running:
            yield running


async def test_100_a_typical_subscriber_is_verified_and_gets_the_whole_feed_without_a_signature(
    hub: RunningHub,
) -> None:
    await hub.subscribe("/a")
    [(_, asked)] = hub.subscribers.asked
    assert asked["hub.mode"] == "subscribe"
    assert asked["hub.topic"] == LATEST
    assert asked["hub.lease_seconds"] == "864000"
    assert len(asked["hub.challenge"]) >= 32

    await hub.published("<feed>after</feed>")
    await until(lambda: bool(hub.subscribers.pushes))

    [push] = hub.subscribers.pushes
    assert push.body == b"<feed>after</feed>"
    assert push.headers["Content-Type"] == "application/atom+xml"
    assert push.headers["Link"] == f'<{SITE}/hub>; rel="hub", <{LATEST}>; rel="self"'
    assert "X-Hub-Signature" not in push.headers


async def test_101_a_subscriber_with_a_secret_gets_a_signature(hub: RunningHub) -> None:
    await hub.subscribe("/a", secret="grüne Fähre")

    await hub.published("<feed>after</feed>")
    await until(lambda: bool(hub.subscribers.pushes))

    [push] = hub.subscribers.pushes
    expected = hmac.new("grüne Fähre".encode(), push.body, hashlib.sha256).hexdigest()
    assert push.headers["X-Hub-Signature"] == f"sha256={expected}"


async def test_102_unknown_parameters_are_ignored(hub: RunningHub) -> None:
    await hub.subscribe("/a", foo="bar", verify="async", lease="x")

    await hub.published("<feed>after</feed>")
    await until(lambda: bool(hub.subscribers.pushes))
    assert set(hub.subscribers.asked[0][1]) == {"hub.mode", "hub.topic", "hub.challenge", "hub.lease_seconds"}


async def test_103_a_subscriber_subscribes_again_before_its_lease_ends(hub: RunningHub) -> None:
    await hub.subscribe("/a", lease_seconds="3600", secret="first")
    hub.clock.now += 3000
    assert (await hub.request("subscribe", "/a", lease_seconds="7200", secret="second")).status_code == 202

    async def renewed() -> bool:
        found = await hub.subscriptions.get(LATEST, hub.subscribers.url + "/a")
        return found is not None and found.secret == "second"

    await until(renewed)
    hub.clock.now += 3000  # the first lease would have ended
    await hub.published("<feed>after</feed>")
    await hub.quiet()

    [push] = hub.subscribers.pushes
    expected = hmac.new(b"second", push.body, hashlib.sha256).hexdigest()
    assert push.headers["X-Hub-Signature"] == f"sha256={expected}"


async def test_104_an_unsubscribed_callback_gets_nothing_more(hub: RunningHub) -> None:
    await hub.subscribe("/a")
    await hub.subscribe("/b")
    assert (await hub.request("unsubscribe", "/a", lease_seconds="nonsense")).status_code == 202
    await hub.holds("/a", present=False)

    await hub.published("<feed>after</feed>")
    await until(lambda: bool(hub.subscribers.bodies("/b")))
    await hub.quiet()

    assert hub.subscribers.bodies("/a") == []
    asked = hub.subscribers.asked[-1][1]
    assert asked["hub.mode"] == "unsubscribe"
    assert "hub.lease_seconds" not in asked


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/feeds/latest.xml", "application/rss+xml"),
        ("/feeds/category/Sea%20%26%20Air.json", "application/feed+json"),
        ("/feeds/search.atom?q=night+ferry&topic=%C3%89t%C3%A9", "application/atom+xml"),
        ("/feeds/latest.json", "text/plain; charset=iso-8859-1"),
    ],
)
async def test_105_and_106_content_and_its_type_are_pushed_as_the_topic_has_them(
    hub: RunningHub, path: str, content_type: str
) -> None:
    body = '{"é": 1}\r\n\r\n<ü>'
    hub.feeds.put(path, "before", content_type)
    await hub.subscribe("/a", SITE + path)

    await hub.published(body, path, content_type=content_type)
    await until(lambda: bool(hub.subscribers.pushes))

    [push] = hub.subscribers.pushes
    assert (push.body, push.headers["Content-Type"]) == (body.encode(), content_type)
    assert push.headers["Link"].endswith(f', <{SITE}{path}>; rel="self"')
