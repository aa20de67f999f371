"""The Redis functions of the hub: what each returns and changes; and how few commands an update takes."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from newswire.key_families import families_of
from newswire.keys import Keyspace
from newswire.storage.direct_connection import DirectCommands
from newswire_notify.keys import FAMILIES
from newswire_notify.websub.changed_topics import CLAIM_MS, ChangedTopics, ClaimedTopic, Claims
from newswire_notify.websub.keys import FAMILIES as HUB
from newswire_notify.websub.models import HubSubscription
from newswire_notify.websub.repository import HubSubscriptions
from tests.notify.conftest import SITE, Clock, until
from tests.notify.websub_parts import LATEST, FeedServer, RunningHub, Subscribers, http_server, running_hub

CALLBACK = "https://reader.example/a"
SPORT = f"{SITE}/feeds/category/Sport.atom"


@pytest.fixture
def keys(namespace: str) -> Keyspace:
    return Keyspace(namespace)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def changed(redis: Redis, keys: Keyspace, clock: Clock) -> ChangedTopics:
    return ChangedTopics(redis, keys, clock)


@pytest.fixture
def subscriptions(redis: Redis, keys: Keyspace, clock: Clock) -> HubSubscriptions:
    return HubSubscriptions(redis, keys, clock)


@pytest.fixture
async def hub(redis: Redis, namespace: str) -> AsyncIterator[RunningHub]:
    feeds, subscribers = FeedServer(), Subscribers()
    async with (
        http_server(feeds.handle) as feeds.url,
        http_server(subscribers.handle) as subscribers.url,
        running_hub(redis, namespace, feeds, subscribers) as running,
    ):
        yield running


async def subscribe(subscriptions: HubSubscriptions, topic: str, clock: Clock, etag: str | None = None) -> None:
    await subscriptions.put(HubSubscription(topic, CALLBACK, clock.now + 3600), etag)


def topics(claims: Claims) -> list[str]:
    return [each.topic for each in claims.claimed]


async def test_claim_topics_queues_those_with_subscriptions_and_keeps_earlier_times(
    changed: ChangedTopics, subscriptions: HubSubscriptions, clock: Clock
) -> None:
    assert await changed.claim(8, mark_all=True) == Claims([], [])
    for topic in (LATEST, SPORT):
        await subscribe(subscriptions, topic, clock)
    clock.now += 1
    assert await changed.claim(0, mark_all=True) == Claims([], [])
    clock.now -= 1
    assert sorted(topics(await changed.claim(8))) == sorted([LATEST, SPORT])


async def test_claim_topics_returns_what_is_known_of_them(
    changed: ChangedTopics, subscriptions: HubSubscriptions, clock: Clock
) -> None:
    await subscribe(subscriptions, LATEST, clock, '"e1"')
    await subscribe(subscriptions, SPORT, clock)
    await changed.mark([f"{SITE}/feeds/unknown.atom"])
    assert sorted((await changed.claim(8)).claimed) == [
        ClaimedTopic(SPORT, has_subscriptions=True, etag=None),
        ClaimedTopic(LATEST, has_subscriptions=True, etag='"e1"'),
        ClaimedTopic(f"{SITE}/feeds/unknown.atom", has_subscriptions=False, etag=None),
    ]


async def test_claim_topics_claims_the_longest_waiting_up_to_a_limit(changed: ChangedTopics, clock: Clock) -> None:
    for topic in ("c", "a", "b"):
        await changed.mark([topic])
        clock.now += 1
    await changed.mark(["later"], delay=60)
    assert topics(await changed.claim(2)) == ["c", "a"]
    assert topics(await changed.claim(2)) == ["b"]
    assert topics(await changed.claim(2)) == []


async def test_claim_topics_gives_a_topic_to_one_process(
    changed: ChangedTopics, subscriptions: HubSubscriptions, clock: Clock
) -> None:
    await subscribe(subscriptions, LATEST, clock)
    assert topics(await changed.claim(8)) == [LATEST]
    assert topics(await changed.claim(8, own=[LATEST])) == []  # it is not queued
    assert topics(await changed.claim(8, mark_all=True)) == []
    assert topics(await changed.claim(8, own=[LATEST])) == [LATEST]
    await changed.release(LATEST)
    assert topics(await changed.claim(8, mark_all=True)) == [LATEST]


async def test_claim_topics_skips_topics_and_says_which_are_due(changed: ChangedTopics) -> None:
    await changed.mark(["a", "b"])
    assert await changed.claim(8, skip=["a", "c"]) == Claims([ClaimedTopic("b", False, None)], ["a"])
    assert topics(await changed.claim(8)) == ["a"]


async def test_a_claim_that_has_ended_is_of_a_topic_that_some_subscribers_may_have_been_sent(
    changed: ChangedTopics, subscriptions: HubSubscriptions, clock: Clock
) -> None:
    await subscribe(subscriptions, LATEST, clock, '"e1"')
    assert topics(await changed.claim(8)) == [LATEST]
    clock.now += CLAIM_MS / 1000 - 1
    await changed.renew([LATEST, SPORT])
    clock.now += 2
    assert await changed.claim(8) == Claims([], [])
    clock.now += CLAIM_MS / 1000
    assert topics(await changed.claim(8, own=[LATEST])) == []
    assert topics(await changed.claim(8, skip=[LATEST])) == []
    assert (await changed.claim(8)).claimed == [ClaimedTopic(LATEST, has_subscriptions=True, etag=None)]


async def test_a_claim_that_was_released_is_not_renewed(redis: Redis, changed: ChangedTopics, keys: Keyspace) -> None:
    await changed.mark([LATEST])
    await changed.claim(8)
    await changed.release(LATEST)
    await changed.renew([LATEST])
    assert await redis.zcard(keys.deliveries.key("hub", "claimed")) == 0


@pytest.mark.parametrize(("stored", "etag", "expected"), [('"e1"', '"e2"', '"e2"'), ('"e1"', None, '"e1"')])
async def test_release_topic_stores_the_etag_that_all_were_sent(
    changed: ChangedTopics,
    subscriptions: HubSubscriptions,
    clock: Clock,
    stored: str,
    etag: str | None,
    expected: str,
) -> None:
    await subscribe(subscriptions, LATEST, clock, stored)
    await changed.claim(8)
    await changed.release(LATEST, etag=etag)
    [claimed] = (await changed.claim(8, mark_all=True)).claimed
    assert claimed.etag == expected


async def test_release_topic_stores_nothing_for_a_topic_without_subscriptions(
    redis: Redis, changed: ChangedTopics, keys: Keyspace
) -> None:
    await changed.mark([LATEST])
    await changed.claim(8)
    await changed.release(LATEST, etag='"e1"')
    assert [name async for name in redis.scan_iter(f"{keys.deliveries.key('hub')}*")] == []


@pytest.mark.parametrize(("forget", "expected"), [(True, None), (False, '"e1"')])
async def test_a_topic_that_is_given_back_is_claimed_again(
    changed: ChangedTopics, subscriptions: HubSubscriptions, clock: Clock, forget: bool, expected: str | None
) -> None:
    await subscribe(subscriptions, LATEST, clock, '"e1"')
    await changed.claim(8)
    await changed.give_back(LATEST, forget_etag=forget)
    assert (await changed.claim(8)).claimed == [ClaimedTopic(LATEST, has_subscriptions=True, etag=expected)]


async def test_remove_subscription_leaves_nothing_of_it(
    redis: Redis, subscriptions: HubSubscriptions, keys: Keyspace, clock: Clock
) -> None:
    await subscribe(subscriptions, LATEST, clock, '"e1"')
    assert await subscriptions.remove(LATEST, "https://reader.example/b") is False
    assert await subscriptions.get(LATEST, CALLBACK) is not None
    assert await subscriptions.remove(LATEST, CALLBACK) is True
    assert await subscriptions.remove(LATEST, CALLBACK) is False
    assert [name async for name in redis.scan_iter(f"{keys.deliveries.key('hub')}*")] == []


async def test_a_subscription_that_is_renewed_while_lapsed_ones_are_removed_stays(
    redis: Redis, subscriptions: HubSubscriptions, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await subscribe(subscriptions, LATEST, clock)
    clock.now += 3601
    found = redis.zrangebyscore

    async def then_renewed(*arguments: Any, **options: Any) -> Any:
        lapsed = await found(*arguments, **options)
        await subscribe(subscriptions, LATEST, clock)
        return lapsed

    monkeypatch.setattr(redis, "zrangebyscore", then_renewed)
    assert await subscriptions.remove_lapsed() == 1
    assert await subscriptions.get(LATEST, CALLBACK) is not None


async def test_an_update_takes_few_commands_however_many_subscribers(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hub.subscribe("/first")
    for number in range(700):
        callback = f"{hub.subscribers.url}/{number}"
        await hub.subscriptions.put(HubSubscription(LATEST, callback, hub.clock.now + 3600, "s"), None)
    await hub.quiet()
    sent: list[str] = []
    send = DirectCommands.send_packed_command

    async def recorded(self: DirectCommands, command: bytes | str | list[bytes], check_health: bool = True) -> None:
        packed = b"".join(command) if isinstance(command, list) else command
        assert isinstance(packed, bytes)
        name = re.search(rb"\r\n([a-z]+(?:_[a-z]+)*_topics?)_", packed) or re.search(rb"\r\n([A-Z]+)\r\n", packed)
        assert name, packed
        if b":hub:" in packed:
            sent.append(name[1].decode())
        await send(self, command, check_health)

    monkeypatch.setattr(DirectCommands, "send_packed_command", recorded)
    await hub.published("<feed>1</feed>")
    await until(lambda: len(hub.subscribers.pushes) == 701, 120)
    besides = [each for each in sent if each != "claim_topics"]  # it looks for work once a second
    assert set(besides[:-1]) == {"HSCAN"}  # the last one may be the end of its claim
    assert len(besides) < 10


async def test_every_key_of_the_hub_is_of_a_declared_family(hub: RunningHub) -> None:
    await hub.subscribe("/a", secret="s")
    await hub.published("<feed>1</feed>")
    await until(lambda: bool(hub.subscribers.pushes))
    await hub.quiet()
    await hub.stop()
    for callback in ("https://[2001:db8::7]/a", "https://reader.example./a"):
        await hub.subscriptions.put(HubSubscription(LATEST, callback, hub.clock.now + 3600), None)
    # As during a round.
    await hub.redis.zadd(hub.keys.deliveries.key("hub", "changed"), {LATEST: 0})
    await hub.redis.zadd(hub.keys.deliveries.key("hub", "claimed"), {LATEST: 0})
    prefix = hub.keys.deliveries.key("")
    seen = set()
    async for name in hub.redis.scan_iter(f"{prefix}hub*"):
        [family] = families_of(name.decode().removeprefix(prefix), "deliveries", FAMILIES)
        assert (await hub.redis.type(name)).decode() == family.type
        seen.add(family)
    assert seen == set(HUB)
