"""Who is told of what: exactly those, exactly once, whatever crashes or comes twice."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from aiohttp import web
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.redis_functions import Call
from newswire_notify.deliveries.progress_publisher import DeliveryProgressPublisher
from tests.notify.conftest import SITE, Clock, Desk, Receiver, opened_desk

FERRY = {"query": "ferry"}
HARBOUR = {"query": "harbour"}


async def told(desk: Desk, receiver: Receiver) -> dict[str, list[str]]:
    """Deliver, and return path → events it got since the last time."""
    await desk.deliver()
    found: dict[str, list[str]] = {}
    for got in receiver.got:
        found.setdefault(got.path, []).append(got.event["id"])
    receiver.got.clear()
    return found


async def test_whoever_was_sent_a_version_is_sent_every_later_one(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/ferry", FERRY)
    await desk.subscribe(f"{receiver.url}/harbour", HARBOUR)
    await desk.publish("a1")
    assert await told(desk, receiver) == {"/ferry": ["a1.1"]}
    await desk.publish("a1", 2, title="The harbour is closed")
    await desk.deliver()
    reasons = {got.path: got.event["reason"] for got in receiver.got}
    assert reasons == {"/ferry": "previously_matched", "/harbour": "matched"}
    receiver.got.clear()
    await desk.publish("a1", 3, title="Nothing of either")
    assert await told(desk, receiver) == {"/ferry": ["a1.3"], "/harbour": ["a1.3"]}


async def test_a_retraction_goes_to_exactly_those_that_were_sent_a_version(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/ferry", FERRY)
    await desk.subscribe(f"{receiver.url}/harbour", HARBOUR)
    await desk.publish("a1")
    await desk.publish("b1", title="The harbour is closed")
    await told(desk, receiver)
    await desk.subscribe(f"{receiver.url}/late-ferry", FERRY)
    await desk.subscribe(f"{receiver.url}/all")
    await desk.retract("a1")
    await desk.deliver()
    [got] = receiver.got
    assert (got.path, got.event["id"], got.event["type"]) == (
        "/ferry",
        "a1.1.retracted",
        "newswire.article.retracted.v1",
    )
    assert got.event["data"]["reason"] == "planted by a prankster"
    assert not {"title", "summary", "body", "text"} & set(got.event["data"])


async def test_a_published_again_article_goes_to_matches_and_to_those_sent_before(
    desk: Desk, receiver: Receiver
) -> None:
    await desk.subscribe(f"{receiver.url}/ferry", FERRY)
    await desk.publish("a1")
    await desk.retract("a1")
    assert await told(desk, receiver) == {"/ferry": ["a1.1.retracted"]}
    await desk.subscribe(f"{receiver.url}/harbour", HARBOUR)
    await desk.publish("a1", 2, title="The harbour is closed")
    assert await told(desk, receiver) == {"/ferry": ["a1.2"], "/harbour": ["a1.2"]}
    await desk.retract("a1", 2)
    assert await told(desk, receiver) == {"/ferry": ["a1.2.retracted"], "/harbour": ["a1.2.retracted"]}


async def test_a_subscription_is_sent_only_what_comes_after_it(desk: Desk, receiver: Receiver) -> None:
    before = await desk.put("a1")
    await desk.subscribe(f"{receiver.url}/a")
    await desk.fan_out([before])
    await desk.publish("a2")
    await desk.publish("a1", 2)
    [got] = (await told(desk, receiver)).values()
    assert sorted(got) == ["a1.2", "a2.1"]


async def test_a_newcomer_with_an_old_filter_is_not_told_of_what_others_were_sent(
    desk: Desk, receiver: Receiver
) -> None:
    await desk.subscribe(f"{receiver.url}/old", FERRY)
    await desk.publish("a1")
    await desk.subscribe(f"{receiver.url}/new", FERRY)
    await desk.publish("a1", 2, title="About something else")
    assert set(await told(desk, receiver)) == {"/old"}


async def test_silent_versions_go_only_to_those_sent_an_earlier_one(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/first", FERRY)
    await desk.publish("a1")
    await desk.publish("b1", silent=True)
    await desk.subscribe(f"{receiver.url}/second", FERRY)
    assert await told(desk, receiver) == {"/first": ["a1.1"]}
    await desk.publish("a1", 2, silent=True)
    assert await told(desk, receiver) == {"/first": ["a1.2"]}
    await desk.retract("b1")
    assert await told(desk, receiver) == {}


async def test_kinds_not_wanted_are_left_out_unless_sent_before(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/corrections", FERRY, events=("corrected", "retracted"))
    await desk.publish("a1")
    await desk.publish("a1", 2)
    assert await told(desk, receiver) == {}
    await desk.publish("a1", 3, kind="corrected")
    assert await told(desk, receiver) == {"/corrections": ["a1.3"]}
    await desk.publish("a1", 4, kind="updated")
    assert await told(desk, receiver) == {"/corrections": ["a1.4"]}


async def test_a_later_version_supersedes_what_waits(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    receiver.answer("/a", 500)
    await desk.publish("a1")
    await desk.deliver()
    receiver.answer("/a", 204)
    receiver.got.clear()
    await desk.publish("a1", 2)
    assert await told(desk, receiver) == {"/a": ["a1.2"]}
    desk.clock.now += 1_000_000
    assert await told(desk, receiver) == {}
    assert await desk.states(subscription) == {"a1.1": "superseded", "a1.2": "delivered"}


async def test_a_failing_attempt_overtaken_by_a_later_version_is_not_tried_again(
    desk: Desk, receiver: Receiver
) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")

    async def overtaken() -> Any:
        receiver.answer("/a", 204)
        await desk.publish("a1", 2)
        return web.Response(status=500)

    receiver.answers["/a"] = overtaken
    await desk.publish("a1")
    assert await told(desk, receiver) == {"/a": ["a1.1", "a1.2"]}
    assert await desk.states(subscription) == {"a1.1": "superseded", "a1.2": "delivered"}


async def test_an_event_that_comes_twice_is_delivered_once(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/a")
    item = await desk.put("a1")
    await desk.fan_out([item, item])
    await desk.deliver()
    await desk.fan_out([item])
    assert await told(desk, receiver) == {"/a": ["a1.1"]}
    assert await desk.redis.xlen(desk.keys.outcomes) == 1


class Killed(BaseException):
    """What a process meets that is killed."""


@pytest.mark.parametrize("answer_lost", [False, True])
@pytest.mark.parametrize("survived", range(5))
async def test_a_crash_mid_way_neither_skips_nor_doubles(
    redis: Redis, keys: Keyspace, clock: Clock, receiver: Receiver, survived: int, answer_lost: bool
) -> None:
    async with opened_desk(redis, keys, clock, chunk=3) as desk:
        for number in range(10):
            await desk.subscribe(f"{receiver.url}/{number}", FERRY if number % 2 else {})
        item = await desk.put("a1")
        call: Callable[..., Awaitable[Any]] = desk.queue.functions.call
        left = survived

        async def mortal(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left >= 0:
                return await call(*arguments)
            if answer_lost:
                await call(*arguments)
            raise Killed

        async def mortal_between(calls: Sequence[Call]) -> list[Any]:
            return [await mortal(*each) for each in calls]

        desk.queue.functions.call = mortal  # type: ignore[method-assign, assignment]
        desk.queue.functions.call_all = mortal_between  # type: ignore[method-assign]

        async def tell_all() -> None:
            await desk.fan_out([item])
            await desk.expand()

        with pytest.raises(Killed):
            await tell_all()
    async with opened_desk(redis, keys, clock, chunk=3) as desk:
        await desk.deliver()
        await desk.subscribe(f"{receiver.url}/newcomer")
        await desk.fan_out([item])
        await desk.deliver()
    assert sorted(got.path for got in receiver.got) == [f"/{number}" for number in range(10)]


async def test_a_late_first_version_makes_the_latest_go_to_its_matches(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/ferry", FERRY)
    await desk.subscribe(f"{receiver.url}/harbour", HARBOUR)
    first = await desk.put("a1")
    second = await desk.put("a1", 2, title="The harbour is closed")
    await desk.fan_out([second])
    await desk.fan_out([first])
    assert await told(desk, receiver) == {"/ferry": ["a1.2"], "/harbour": ["a1.2"]}
    await desk.retract("a1", 2)
    assert set(await told(desk, receiver)) == {"/ferry", "/harbour"}


async def test_a_version_that_comes_after_its_retraction_reaches_nobody(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/a")
    first = await desk.put("a1")
    await desk.retract("a1")
    await desk.fan_out([first])
    assert await told(desk, receiver) == {}


async def test_outcomes_say_how_many_were_told_and_what_became_of_it(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/ferry", FERRY)
    await desk.publish("a1")
    await desk.deliver()
    await desk.subscribe(f"{receiver.url}/harbour", HARBOUR)
    await desk.publish("a1", 2, title="The harbour is closed")
    await DeliveryProgressPublisher(desk.redis, desk.broker, desk.keys, SITE).announce()
    said = [json.loads(fields[b"__data__"]) for _, fields in await desk.redis.xrange(desk.keys.outcomes)]
    first, second, progressed = said
    assert first["data"] == {"id": "a1", "version": 1, "event": "a1.1", "matched": 1, "previously_matched": 0}
    assert second["data"] == {"id": "a1", "version": 2, "event": "a1.2", "matched": 1, "previously_matched": 1}
    assert progressed["type"] == "newswire.deliveries.progressed.v1"
    ended = {"delivered": 1, "dead": 0, "superseded": 0, "cancelled": 0}
    assert progressed["data"] == {"id": "a1", "version": 1, "event": "a1.1"} | ended


async def test_two_namespaces_do_not_see_each_other(
    redis: Redis, keys: Keyspace, clock: Clock, receiver: Receiver
) -> None:
    async with (
        opened_desk(redis, keys, clock) as one,
        opened_desk(redis, Keyspace(keys.namespace + "x"), clock) as other,
    ):
        await one.subscribe(f"{receiver.url}/one")
        await other.subscribe(f"{receiver.url}/other")
        await one.publish("a1")
        await other.deliver()
        assert receiver.got == []
        assert await told(one, receiver) == {"/one": ["a1.1"]}
