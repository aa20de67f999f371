"""What the hub pushes, to whom and when; slow and failing subscribers, leases, restarts."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from redis.asyncio import Redis

from newswire_notify.websub.distribution import MIN_FETCH_INTERVAL_SECONDS
from newswire_notify.websub.models import HubSubscription
from newswire_notify.websub.pushing import signature
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


def answering(*statuses: int, **headers: str) -> Handler:
    """Respond with these statuses in turn; the last one repeats."""
    left = list(statuses)

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=left.pop(0) if len(left) > 1 else left[0], headers=headers)

    return answer


def held_until(event: asyncio.Event) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        await event.wait()
        return web.Response()

    return answer


async def test_a_feed_that_did_not_change_is_not_pushed(hub: RunningHub) -> None:
    await hub.subscribe("/a")
    await hub.indexed()
    await hub.quiet()
    assert hub.subscribers.pushes == []
    assert hub.feeds.requested[-1][1] is not None


async def test_only_the_feeds_that_changed_are_pushed(hub: RunningHub) -> None:
    await hub.subscribe("/a")
    await hub.subscribe("/b", f"{SITE}/feeds/category/Sport.atom")
    await hub.published("<feed>sport</feed>", "/feeds/category/Sport.atom")
    await until(lambda: bool(hub.subscribers.pushes))
    await hub.quiet()
    assert [push.path for push in hub.subscribers.pushes] == ["/b"]


async def test_the_feed_without_a_retracted_article_is_pushed(hub: RunningHub) -> None:
    hub.feeds.put("/feeds/latest.atom", "<feed></feed>")
    await hub.subscribe("/a")
    await hub.published("<feed>article</feed>")
    await until(lambda: hub.subscribers.bodies("/a") == [b"<feed>article</feed>"])
    await hub.published("<feed></feed>")
    await until(lambda: hub.subscribers.bodies("/a")[1:] == [b"<feed></feed>"])


async def test_what_was_published_during_the_verification_is_pushed(hub: RunningHub) -> None:
    go_on = asyncio.Event()

    async def waiting(request: web.Request) -> web.StreamResponse:
        await go_on.wait()
        return web.Response(text=request.query["hub.challenge"])

    hub.subscribers.on_ask["/a"] = waiting
    await hub.request("subscribe", "/a")
    await hub.verified("/a", 1)
    await hub.published("<feed>meanwhile</feed>")
    await hub.quiet()
    go_on.set()
    await until(lambda: hub.subscribers.bodies("/a") == [b"<feed>meanwhile</feed>"])


async def test_an_update_during_the_end_of_a_push_is_not_pushed_twice(hub: RunningHub) -> None:
    await hub.subscribe("/a")
    for number in range(40):
        body = f"<feed>{number}</feed>"
        hub.feeds.put("/feeds/latest.atom", body)
        await hub.indexed()
        await until(lambda body=body: body.encode() in hub.subscribers.bodies("/a"))  # type: ignore[misc]
        await hub.indexed()  # nothing has changed
    await hub.quiet()
    assert hub.subscribers.bodies("/a") == [f"<feed>{number}</feed>".encode() for number in range(40)]


async def test_a_burst_of_articles_makes_few_fetches_and_the_last_state_is_pushed(
    redis: Redis, namespace: str, feeds: FeedServer, subscribers: Subscribers
) -> None:
    async with running_hub(redis, namespace, feeds, subscribers, min_interval=MIN_FETCH_INTERVAL_SECONDS) as hub:
        await hub.subscribe("/a")
        await hub.quiet()
        fetched = len(feeds.requested)
        for number in range(200):
            await hub.published(f"<feed>{number}</feed>")
        await until(lambda: b"<feed>199</feed>" in subscribers.bodies("/a"))
        await hub.quiet()
        assert len(feeds.requested) - fetched < 50
        assert subscribers.bodies("/a")[-1] == b"<feed>199</feed>"


async def test_a_failed_push_is_repeated(hub: RunningHub) -> None:
    await hub.subscribe("/a")
    hub.subscribers.on_push["/a"] = answering(500, 503, 204)
    await hub.published("<feed>1</feed>")
    await until(lambda: len(hub.subscribers.pushes) == 3)
    await hub.quiet()
    assert {push.body for push in hub.subscribers.pushes} == {b"<feed>1</feed>"}
    assert len(hub.subscribers.pushes) == 3


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 429, 500, 503])
async def test_an_update_that_fails_is_dropped_and_the_subscription_stays(hub: RunningHub, status: int) -> None:
    await hub.subscribe("/a")
    hub.subscribers.on_push["/a"] = answering(status, Location=f"{hub.subscribers.url}/elsewhere")
    await hub.published("<feed>1</feed>")
    await until(lambda: len(hub.subscribers.bodies("/a")) == 3)
    await hub.quiet()
    del hub.subscribers.on_push["/a"]
    await hub.published("<feed>2</feed>")
    await until(lambda: hub.subscribers.bodies("/a")[3:] == [b"<feed>2</feed>"])
    assert hub.subscribers.bodies("/elsewhere") == []


async def test_410_ends_the_subscription(hub: RunningHub) -> None:
    await hub.subscribe("/a")
    await hub.subscribe("/b")
    hub.subscribers.on_push["/a"] = answering(410)
    await hub.published("<feed>1</feed>")
    await hub.holds("/a", present=False)
    await hub.published("<feed>2</feed>")
    await until(lambda: len(hub.subscribers.bodies("/b")) == 2)
    await hub.quiet()
    assert len(hub.subscribers.bodies("/a")) == 1


async def test_a_subscription_whose_lease_has_ended_gets_nothing_and_is_removed(hub: RunningHub) -> None:
    await hub.subscribe("/a", lease_seconds="3600")
    await hub.subscribe("/b", lease_seconds="7200")
    hub.clock.now += 3601
    await hub.published("<feed>1</feed>")
    await until(lambda: bool(hub.subscribers.bodies("/b")))
    await hub.quiet()
    assert hub.subscribers.bodies("/a") == []
    assert await hub.subscriptions.remove_lapsed() == 1
    assert await hub.subscriptions.remove_lapsed() == 0
    assert (await hub.subscriptions.counts("127.0.0.1")) == (1, 1, 1)


async def test_nothing_is_left_of_a_topic_without_subscriptions(hub: RunningHub) -> None:
    await hub.subscribe("/a")
    await hub.published("<feed>1</feed>")
    await until(lambda: bool(hub.subscribers.bodies("/a")))
    await hub.quiet()
    await hub.request("unsubscribe", "/a")
    await hub.holds("/a", present=False)
    await hub.quiet()

    async def gone() -> bool:
        return [key async for key in hub.redis.scan_iter(f"{hub.keys.deliveries.key('hub')}*")] == []

    await until(gone)


async def test_a_slow_subscriber_delays_neither_others_nor_the_next_update(
    redis: Redis, namespace: str, feeds: FeedServer, subscribers: Subscribers
) -> None:
    go_on = asyncio.Event()
    async with running_hub(redis, namespace, feeds, subscribers, hub_concurrency=4) as hub:
        for path in ("/slow1", "/slow2", "/quick1", "/quick2"):
            await hub.subscribe(path)
        for path in ("/slow1", "/slow2"):
            subscribers.on_push[path] = held_until(go_on)
        for number in (1, 2, 3):
            await hub.published(f"<feed>{number}</feed>")
            for path in ("/quick1", "/quick2"):
                await until(lambda path=path, number=number: len(subscribers.bodies(path)) == number)  # type: ignore[misc]
        assert subscribers.bodies("/slow1") == [b"<feed>1</feed>"]
        go_on.set()
        await until(lambda: subscribers.bodies("/slow1") == [b"<feed>1</feed>", b"<feed>3</feed>"])
        await until(lambda: subscribers.bodies("/slow2") == [b"<feed>1</feed>", b"<feed>3</feed>"])


async def test_an_update_supersedes_the_repetition_of_an_earlier_one(
    redis: Redis, namespace: str, feeds: FeedServer, subscribers: Subscribers
) -> None:
    async with running_hub(redis, namespace, feeds, subscribers, retry_delays=(3600.0,)) as hub:
        await hub.subscribe("/a")
        subscribers.on_push["/a"] = answering(500, 204)
        await hub.published("<feed>1</feed>")
        await until(lambda: len(subscribers.pushes) == 1)
        await hub.published("<feed>2</feed>")
        await until(lambda: subscribers.bodies("/a") == [b"<feed>1</feed>", b"<feed>2</feed>"])
        await hub.quiet()


async def test_a_process_that_ends_in_the_middle_leaves_the_update_to_the_next(
    redis: Redis, namespace: str, feeds: FeedServer, subscribers: Subscribers
) -> None:
    clock, never = Clock(), asyncio.Event()
    async with running_hub(redis, namespace, feeds, subscribers, clock=clock) as hub:
        await hub.subscribe("/a")
        await hub.subscribe("/stuck")
        await hub.quiet()
        subscribers.on_push["/stuck"] = held_until(never)
        await hub.published("<feed>1</feed>")
        await until(lambda: bool(subscribers.bodies("/a") and subscribers.bodies("/stuck")))
    subscribers.on_push.clear()
    async with running_hub(redis, namespace, feeds, subscribers, clock=clock) as hub:
        await until(lambda: subscribers.bodies("/stuck") == [b"<feed>1</feed>"] * 2)
        await hub.quiet()
        await hub.published("<feed>2</feed>")
        await until(lambda: b"<feed>2</feed>" in subscribers.bodies("/a"))
    never.set()


async def test_the_claim_of_a_killed_process_ends_and_its_topic_is_pushed(
    redis: Redis, namespace: str, feeds: FeedServer, subscribers: Subscribers
) -> None:
    clock = Clock()
    async with running_hub(redis, namespace, feeds, subscribers, clock=clock) as hub:
        await hub.subscribe("/a")
        await hub.quiet()
        hub_keys = hub.keys.deliveries
    # As a process leaves it that was killed after it began to push.
    feeds.put("/feeds/latest.atom", "<feed>1</feed>")
    await redis.zadd(hub_keys.key("hub", "claimed"), {LATEST: int((clock.now + 30) * 1000)})
    await redis.hdel(hub_keys.key("hub", "etags"), LATEST)
    async with running_hub(redis, namespace, feeds, subscribers, clock=clock) as hub:
        clock.now += 31
        await until(lambda: subscribers.bodies("/a") == [b"<feed>1</feed>"])
        await hub.quiet()


async def test_outcomes_that_came_while_no_process_ran_are_pushed(
    redis: Redis, namespace: str, feeds: FeedServer, subscribers: Subscribers
) -> None:
    clock = Clock()
    async with running_hub(redis, namespace, feeds, subscribers, clock=clock) as hub:
        await hub.subscribe("/a")
        await hub.quiet()
    await hub.published("<feed>1</feed>")
    async with running_hub(redis, namespace, feeds, subscribers, clock=clock):
        await until(lambda: subscribers.bodies("/a") == [b"<feed>1</feed>"])


async def test_a_feed_that_cannot_be_fetched_is_pushed_later(hub: RunningHub) -> None:
    await hub.subscribe("/a")
    await hub.quiet()
    hub.feeds.failing["/feeds/latest.atom"] = web.Response(status=503, headers={"Retry-After": "1"})
    fetched = len(hub.feeds.requested)
    await hub.published("<feed>1</feed>")
    await until(lambda: len(hub.feeds.requested) > fetched)
    del hub.feeds.failing["/feeds/latest.atom"]
    hub.clock.now += 2
    await until(lambda: hub.subscribers.bodies("/a") == [b"<feed>1</feed>"])


async def test_subscribers_are_denied_once_a_feed_is_no_longer_public(hub: RunningHub) -> None:
    for path in ("/a", "/b"):
        await hub.subscribe(path)
    hub.feeds.refuse("/feeds/latest.atom", 401, "unauthorised")
    await hub.indexed()
    for path in ("/a", "/b"):
        await hub.holds(path, present=False)
        await hub.verified(path, 2)
        assert hub.subscribers.modes(path) == ["subscribe", "denied"]
    assert hub.subscribers.pushes == []


async def test_many_subscribers_get_one_push_each(hub: RunningHub) -> None:
    await hub.subscribe("/first")
    await hub.quiet()
    callbacks = [f"{hub.subscribers.url}/{number}" for number in range(1200)]
    for callback in callbacks:
        await hub.subscriptions.put(HubSubscription(LATEST, callback, hub.clock.now + 3600, "s"), None)
    await hub.quiet()
    await hub.published("<feed>1</feed>")
    await until(lambda: len(hub.subscribers.pushes) >= 1201, 120)
    await hub.quiet()
    assert sorted(push.path for push in hub.subscribers.pushes) == sorted(["/first", *(f"/{n}" for n in range(1200))])


async def test_a_large_feed_is_signed_as_a_small_one(hub: RunningHub) -> None:
    await hub.subscribe("/a", secret="s")
    body = "é" * 1_000_000
    await hub.published(body)
    await until(lambda: bool(hub.subscribers.pushes))
    [push] = hub.subscribers.pushes
    expected = hmac.new(b"s", body.encode(), hashlib.sha256).hexdigest()
    assert push.headers["X-Hub-Signature"] == f"sha256={expected}" == signature("s", push.body)
