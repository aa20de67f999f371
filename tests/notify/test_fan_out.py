"""Recipients: exactly the right ones, exactly once, despite crashes and repeated events."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from aiohttp import web
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from newswire.keys import Keyspace
from newswire.storage.redis_functions import Call
from newswire_notify.deliveries import progress_publisher
from newswire_notify.deliveries.progress_publisher import DeliveryProgressPublisher
from tests.notify.conftest import SITE, Clock, Desk, Receiver, opened_desk

FERRY = {"query": "ferry"}
HARBOUR = {"query": "harbour"}


async def receive(desk: Desk, receiver: Receiver) -> dict[str, list[str]]:
    """Deliver; return path → events received since the last call."""
    await desk.deliver()
    found: dict[str, list[str]] = {}
    for got in receiver.got:
        found.setdefault(got.path, []).append(got.event["id"])
    receiver.got.clear()
    return found


async def test_recipients_are_sent_every_later_version(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/ferry", FERRY)
    await desk.subscribe(f"{receiver.url}/harbour", HARBOUR)
    await desk.publish("a1")
    assert await receive(desk, receiver) == {"/ferry": ["a1.1"]}
    await desk.publish("a1", 2, title="The harbour is closed")
    await desk.deliver()
    reasons = {got.path: got.event["reason"] for got in receiver.got}
    assert reasons == {"/ferry": "previously_matched", "/harbour": "matched"}
    receiver.got.clear()
    await desk.publish("a1", 3, title="Nothing of either")
    assert await receive(desk, receiver) == {"/ferry": ["a1.3"], "/harbour": ["a1.3"]}


async def test_a_retraction_goes_to_exactly_the_recipients(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/ferry", FERRY)
    await desk.subscribe(f"{receiver.url}/harbour", HARBOUR)
    await desk.publish("a1")
    await desk.publish("b1", title="The harbour is closed")
    await receive(desk, receiver)
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


async def test_a_republished_article_goes_to_matches_and_recipients(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/ferry", FERRY)
    await desk.publish("a1")
    await desk.retract("a1")
    assert await receive(desk, receiver) == {"/ferry": ["a1.1.retracted"]}
    await desk.subscribe(f"{receiver.url}/harbour", HARBOUR)
    await desk.publish("a1", 2, title="The harbour is closed")
    assert await receive(desk, receiver) == {"/ferry": ["a1.2"], "/harbour": ["a1.2"]}
    await desk.retract("a1", 2)
    assert await receive(desk, receiver) == {"/ferry": ["a1.2.retracted"], "/harbour": ["a1.2.retracted"]}


async def test_a_subscription_is_sent_only_later_events(desk: Desk, receiver: Receiver) -> None:
    before = await desk.put("a1")
    await desk.subscribe(f"{receiver.url}/a")
    await desk.fan_out([before])
    await desk.publish("a2")
    await desk.publish("a1", 2)
    [got] = (await receive(desk, receiver)).values()
    assert sorted(got) == ["a1.2", "a2.1"]


async def test_a_new_subscription_with_a_known_filter_is_no_recipient_of_older_articles(
    desk: Desk, receiver: Receiver
) -> None:
    await desk.subscribe(f"{receiver.url}/old", FERRY)
    await desk.publish("a1")
    await desk.subscribe(f"{receiver.url}/new", FERRY)
    await desk.publish("a1", 2, title="About something else")
    assert set(await receive(desk, receiver)) == {"/old"}


async def test_silent_versions_go_only_to_recipients(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/first", FERRY)
    await desk.publish("a1")
    await desk.publish("b1", silent=True)
    await desk.subscribe(f"{receiver.url}/second", FERRY)
    assert await receive(desk, receiver) == {"/first": ["a1.1"]}
    await desk.publish("a1", 2, silent=True)
    assert await receive(desk, receiver) == {"/first": ["a1.2"]}
    await desk.retract("b1")
    assert await receive(desk, receiver) == {}


async def test_other_kinds_are_delivered_only_to_recipients(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/corrections", FERRY, events=("corrected", "retracted"))
    await desk.publish("a1")
    await desk.publish("a1", 2)
    assert await receive(desk, receiver) == {}
    await desk.publish("a1", 3, kind="corrected")
    assert await receive(desk, receiver) == {"/corrections": ["a1.3"]}
    await desk.publish("a1", 4, kind="updated")
    assert await receive(desk, receiver) == {"/corrections": ["a1.4"]}


async def test_a_later_version_supersedes_waiting_deliveries(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    receiver.answer("/a", 500)
    await desk.publish("a1")
    await desk.deliver()
    receiver.answer("/a", 204)
    receiver.got.clear()
    await desk.publish("a1", 2)
    assert await receive(desk, receiver) == {"/a": ["a1.2"]}
    desk.clock.now += 1_000_000
    assert await receive(desk, receiver) == {}
    assert await desk.states(subscription) == {"a1.1": "superseded", "a1.2": "delivered"}


async def test_a_superseded_attempt_is_not_retried(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")

    async def superseding() -> Any:
        receiver.answer("/a", 204)
        await desk.publish("a1", 2)
        return web.Response(status=500)

    receiver.answers["/a"] = superseding
    await desk.publish("a1")
    assert await receive(desk, receiver) == {"/a": ["a1.1", "a1.2"]}
    assert await desk.states(subscription) == {"a1.1": "superseded", "a1.2": "delivered"}


async def test_a_repeated_event_is_delivered_once(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/a")
    item = await desk.put("a1")
    await desk.fan_out([item, item])
    await desk.deliver()
    await desk.fan_out([item])
    assert await receive(desk, receiver) == {"/a": ["a1.1"]}
    assert await desk.redis.xlen(desk.keys.outcomes) == 1


class Killed(BaseException):
    """Simulates that a process is killed."""


@pytest.mark.parametrize("answer_lost", [False, True])
@pytest.mark.parametrize("survived", range(5))
async def test_a_crash_neither_skips_nor_repeats_deliveries(
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


async def test_a_late_first_version_delivers_the_latest_to_its_matches(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/ferry", FERRY)
    await desk.subscribe(f"{receiver.url}/harbour", HARBOUR)
    first = await desk.put("a1")
    second = await desk.put("a1", 2, title="The harbour is closed")
    await desk.fan_out([second])
    await desk.fan_out([first])
    assert await receive(desk, receiver) == {"/ferry": ["a1.2"], "/harbour": ["a1.2"]}
    await desk.retract("a1", 2)
    assert set(await receive(desk, receiver)) == {"/ferry", "/harbour"}


async def test_a_version_after_its_retraction_is_not_delivered(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/a")
    first = await desk.put("a1")
    await desk.retract("a1")
    await desk.fan_out([first])
    assert await receive(desk, receiver) == {}


async def test_outcomes_report_recipients_and_results(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/ferry", FERRY)
    await desk.publish("a1")
    await desk.deliver()
    await desk.subscribe(f"{receiver.url}/harbour", HARBOUR)
    await desk.publish("a1", 2, title="The harbour is closed")
    await DeliveryProgressPublisher(desk.queue, desk.broker, desk.keys, SITE).announce()
    said = [json.loads(fields[b"__data__"]) for _, fields in await desk.redis.xrange(desk.keys.outcomes)]
    first, second, progressed = said
    assert first["data"] == {"id": "a1", "version": 1, "event": "a1.1", "matched": 1, "previously_matched": 0}
    assert second["data"] == {"id": "a1", "version": 2, "event": "a1.2", "matched": 1, "previously_matched": 1}
    assert progressed["type"] == "newswire.deliveries.progressed.v1"
    ended = {"delivered": 1, "dead": 0, "superseded": 0, "cancelled": 0}
    assert progressed["data"] == {"id": "a1", "version": 1, "event": "a1.1"} | ended


async def test_all_totals_that_have_changed_are_published_at_once(
    desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_publisher, "PAGE", 2)
    await desk.subscribe(f"{receiver.url}/ferry", FERRY)
    for number in range(5):
        await desk.publish(f"a{number}")
    await desk.deliver()
    publisher = DeliveryProgressPublisher(desk.queue, desk.broker, desk.keys, SITE)
    assert [await publisher.announce(), await publisher.announce()] == [5, 0]
    said = [json.loads(fields[b"__data__"]) for _, fields in await desk.redis.xrange(desk.keys.outcomes)]
    assert sum(each["data"]["delivered"] for each in said if each["type"] == "newswire.deliveries.progressed.v1") == 5


async def test_events_of_one_batch_are_announced_once_each(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/ferry", FERRY)
    items = [await desk.put(f"a{number}") for number in range(130)]
    await desk.fan_out([*items, *items])
    await desk.fan_out(items)
    said = [json.loads(fields[b"__data__"])["id"] for _, fields in await desk.redis.xrange(desk.keys.outcomes)]
    assert sorted(said) == sorted(f"a{number}.1.fanned_out" for number in range(130))
    await desk.deliver()
    assert len(receiver.got) == 130


async def test_a_batch_that_could_not_be_announced_is_when_it_is_handled_again(
    redis: Redis, keys: Keyspace, clock: Clock, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise RedisConnectionError("away")

    async with opened_desk(redis, keys, clock, deliveries=redis) as desk:  # deliveries as on a server of their own
        await desk.subscribe(f"{receiver.url}/ferry", FERRY)
        items = [await desk.put(f"a{number}") for number in range(110)]
        with monkeypatch.context() as patch:
            patch.setattr(desk.broker, "publish_all", fail)
            with pytest.raises(RedisConnectionError):
                await desk.fan_out(items)
        await desk.fan_out(items)
        assert await redis.xlen(keys.outcomes) == 110
        await desk.deliver()
        assert len(receiver.got) == 110


async def test_what_cannot_be_announced_in_the_step_that_plans_is_when_it_is_handled_again(
    desk: Desk, receiver: Receiver
) -> None:
    await desk.subscribe(f"{receiver.url}/ferry", FERRY)
    items = [await desk.put(f"a{number}") for number in range(3)]
    await desk.redis.set(desk.keys.outcomes, "not a stream")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await desk.fan_out(items)
    await desk.redis.delete(desk.keys.outcomes)
    await desk.fan_out(items)
    await desk.fan_out(items)
    said = [json.loads(fields[b"__data__"])["id"] for _, fields in await desk.redis.xrange(desk.keys.outcomes)]
    assert said == [f"a{number}.1.fanned_out" for number in range(3)]
    await desk.deliver()
    assert len(receiver.got) == 3


async def test_an_event_is_announced_in_the_same_words_wherever_its_deliveries_are(
    redis: Redis, keys: Keyspace, clock: Clock, receiver: Receiver
) -> None:
    async def announced(deliveries: Redis | None) -> list[bytes]:
        async with opened_desk(redis, keys, clock, deliveries=deliveries) as desk:
            await desk.subscribe(f"{receiver.url}/ferry", FERRY)
            await desk.fan_out([await desk.put("å1", title="100% of ferries")])
            found = [fields[b"__data__"] for _, fields in await redis.xrange(keys.outcomes)]
            await redis.delete(*await redis.keys(f"*{keys.namespace}*"))
            return found

    assert await announced(None) == await announced(redis) != []


async def test_namespaces_are_isolated(redis: Redis, keys: Keyspace, clock: Clock, receiver: Receiver) -> None:
    async with (
        opened_desk(redis, keys, clock) as one,
        opened_desk(redis, Keyspace(keys.namespace + "x"), clock) as other,
    ):
        await one.subscribe(f"{receiver.url}/one")
        await other.subscribe(f"{receiver.url}/other")
        await one.publish("a1")
        await other.deliver()
        assert receiver.got == []
        assert await receive(one, receiver) == {"/one": ["a1.1"]}
