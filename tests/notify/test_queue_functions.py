"""Each Redis function of the queue by itself: what it returns and changes, called with its named arguments."""

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_notify.subscriptions.account_limits import NO_LIMITS
from newswire_notify.subscriptions.models import Subscription
from tests.notify.conftest import Clock, Desk, opened_desk

KEEP = 7 * 86_400_000
URL = "https://receiver.example/a"
ENVELOPE = b'{"a":1}'


def delivery_id(event: str, subscription: Subscription) -> str:
    return f"msg_{hashlib.sha1(f'{event}|{subscription.id}'.encode()).hexdigest()}"


async def fields(desk: Desk, *parts: str) -> dict[str, str]:
    found = await desk.redis.hgetall(desk.queue.key(*parts))
    return {name.decode(): value.decode() for name, value in found.items()}


async def queues(desk: Desk, subscription: Subscription, delivery: str) -> set[str]:
    """Return the sets of a subscription that hold a delivery."""
    names = ("due", "paused", "in_flight", "superseded_in_flight")
    return {
        name for name in names if await desk.redis.zscore(desk.queue.key(name, subscription.id), delivery) is not None
    }


async def fan_out(desk: Desk, *events: dict[str, Any], **changes: Any) -> Any:
    """Plan events, and claim nothing."""
    return (await fan_out_and_claim(desk, *events, **changes))[0]


async def fan_out_and_claim(
    desk: Desk,
    *events: dict[str, Any],
    limit: int = 0,
    results: tuple[dict[str, Any], ...] = (),
    announcements: Sequence[bytes] = (),
    **changes: Any,
) -> Any:
    named = {
        "events": events,
        "as_of": int(await desk.redis.get(desk.queue.key("filters", "changed")) or 0),
        "announced": [],
        "outcomes": "",
        "chunk": 100,
        "budget": 1000,
        "keep": KEEP,
        "keep_plan": KEEP,
        "prefix": desk.queue.prefix,
        "now": desk.queue.now_ms,
        "turn": turn(*results, limit=limit),
    }
    return await desk.queue.functions.call("fan_out", [], named | changes, [ENVELOPE] * len(events) + [*announcements])


def event_of(event: str, digests: list[str], **changes: Any) -> dict[str, Any]:
    article, _, version = event.partition(".")
    return {
        "id": event,
        "type": "newswire.article.published.v1",
        "kind": "published",
        "article": article,
        "version": int(version.split(".")[0]),
        "entry": "1800000000000-1",
        "digests": digests,
    } | changes


async def plan(desk: Desk, event: str, digests: list[str], **changes: Any) -> Any:
    """Plan an event, and enqueue nothing yet."""
    return (await fan_out(desk, event_of(event, digests, **changes), chunk=0))[0]


async def expand(desk: Desk, event: str, chunk: int = 100) -> Any:
    """Expand an event that is planned."""
    return (await fan_out(desk, event_of(event, []), chunk=chunk))[0]


async def enqueued(desk: Desk, subscription: Subscription, event: str = "a1.1", **changes: Any) -> str:
    """Plan and expand an event for a subscription; return the id of its delivery."""
    [[count, *_]] = await fan_out(desk, event_of(event, [subscription.criteria().digest()], **changes))
    assert count == 1
    return delivery_id(event, subscription)


def turn(*results: dict[str, Any], limit: int) -> dict[str, Any]:
    """Return the arguments of a call that settles and claims."""
    return {
        "per_endpoint": 8,
        "keep": KEEP,
        "keep_dead": 2 * KEEP,
        "keep_responses": KEEP,
        "circuit": {"opens_after": 2, "first_probe": 1000, "max_probe": 3000, "disables_after": 10_000},
        "results": results,
        "lease": 60_000,
        "limit": limit,
        "articles": "",
    }


async def settle_and_claim(desk: Desk, *results: dict[str, Any], limit: int = 0, **changes: Any) -> Any:
    return await desk.queue.call("settle_and_claim", **turn(*results, limit=limit) | changes)


def result(delivery: str, attempt: int = 1, **decided: Any) -> dict[str, Any]:
    return {"delivery": delivery, "attempt": attempt, "wait": 0, "record": "[1]", "response": "", **decided}


DELIVERED: dict[str, Any] = {"state": "delivered", "health": "success"}
FAILED: dict[str, Any] = {"state": "waiting", "failed": True, "health": "failure"}


async def ended(desk: Desk, subscription: Subscription, event: str = "a1.1", **decided: Any) -> str:
    """Enqueue, claim and settle one delivery; return its id."""
    delivery = await enqueued(desk, subscription, event)
    await settle_and_claim(desk, limit=1)
    await settle_and_claim(desk, result(delivery, **(decided or DELIVERED)))
    return delivery


# fan_out


async def test_fan_out_plans_once_and_lists_the_matched_digests(desk: Desk) -> None:
    assert (await plan(desk, "a1.1", ["d1", "d2"]))[1] == 2
    assert (await plan(desk, "a1.1", ["d3", "d4"]))[1] == 2
    listed = await desk.redis.lrange(desk.queue.key("event_plan", "a1.1", "digests"), 0, -1)
    assert {entry.split(b"|")[0] for entry in listed} == {b"d1", b"d2"}
    assert {entry.split(b"|")[3] for entry in listed} == {b"matched"}


async def test_fan_out_refuses_matches_that_are_older_than_the_filters(desk: Desk) -> None:
    await desk.subscribe(URL)
    assert await fan_out(desk, event_of("a1.1", []), as_of=0) == [-1]
    assert await desk.redis.exists(desk.queue.key("event_plan", "a1.1")) == 0


async def test_fan_out_adds_the_earlier_recipients_of_an_article(desk: Desk) -> None:
    await plan(desk, "a1.1", ["d1"])
    await plan(desk, "a1.2", ["d2"], entry="1800000000000-2")
    listed = await desk.redis.lrange(desk.queue.key("event_plan", "a1.2", "digests"), 0, -1)
    assert {(entry.split(b"|")[0], entry.split(b"|")[3]) for entry in listed} == {
        (b"d1", b"previously_matched"),
        (b"d2", b"matched"),
    }


async def test_fan_out_gives_the_matches_of_a_late_event_the_later_version(desk: Desk) -> None:
    await plan(desk, "a1.2", ["d1"], entry="1800000000000-2")
    await plan(desk, "a1.1", ["d2"])
    assert (await fields(desk, "event_plan", "a1.1"))["target"] == "a1.2"
    assert (await fields(desk, "article_recipients", "a1"))["event"] == "a1.2"


async def test_fan_out_plans_no_version_for_anyone_after_the_retraction(desk: Desk) -> None:
    retraction = {"kind": "retracted", "type": "newswire.article.retracted.v1"}
    await plan(desk, "a1.1", ["d1"])
    await desk.redis.hset(desk.queue.key("responses", "a1"), "x", "y")
    await plan(desk, "a1.2", [], entry="1800000000000-3", **retraction)
    await plan(desk, "a1.2.late", ["d2"], article="a1", version=2, entry="1800000000000-2")
    assert await desk.redis.llen(desk.queue.key("event_plan", "a1.2.late", "digests")) == 0
    assert await desk.redis.exists(desk.queue.key("responses", "a1")) == 0


async def test_fan_out_keeps_recipients_only_of_what_was_sent_to_someone(desk: Desk) -> None:
    await plan(desk, "a1.1", [])
    await plan(desk, "a2.1", ["d1"])
    assert 0 < await desk.redis.pttl(desk.queue.key("article_recipients", "a1")) <= KEEP
    assert await desk.redis.pttl(desk.queue.key("article_recipients", "a2")) == -1


async def test_fan_out_claims_what_an_endpoint_without_other_work_may_be_sent(desk: Desk) -> None:
    mine, other = await desk.subscribe(URL), await desk.subscribe(f"{URL}/other", {"categories": ["Sport"]})
    first = event_of("a1.1", [mine.criteria().digest()])
    second = event_of("a2.1", [other.criteria().digest()], entry="1800000000000-2")
    [one, two], [_, wait, deliveries, endpoints, envelopes, _] = await fan_out_and_claim(desk, first, second, limit=1)
    assert (one[0], two[0], wait) == (1, 1, 0), "one slot: the second delivery is due, and waits"
    kind, delivery = b"newswire.article.published.v1", delivery_id("a1.1", mine)
    assert deliveries == [[delivery.encode(), 1, 0, b"a1.1", kind, b"a1", 1, b"matched", mine.id.encode()]]
    assert (endpoints[0][:2], envelopes) == ([mine.id.encode(), URL.encode()], [[b"a1.1", ENVELOPE, b"a1", 1]])
    assert await queues(desk, mine, delivery) == {"in_flight"}
    assert await queues(desk, other, delivery_id("a2.1", other)) == {"due"}
    states, wait, *_ = await settle_and_claim(desk, result(delivery, **DELIVERED), limit=5)
    assert (states, wait) == ([b"delivered"], 60_000)


async def test_fan_out_releases_what_it_claimed_when_the_lease_ends(desk: Desk, clock: Clock) -> None:
    mine = await desk.subscribe(URL)
    await fan_out_and_claim(desk, event_of("a1.1", [mine.criteria().digest()]), limit=5)
    clock.now += 61
    taken = (await settle_and_claim(desk, limit=5))[2]
    assert [each[:2] for each in taken] == [[delivery_id("a1.1", mine).encode(), 2]]


async def test_fan_out_respects_rate_and_order_of_endpoints(desk: Desk) -> None:
    paced = await desk.subscribe(URL, rate=1)
    digest = paced.criteria().digest()
    events = [event_of(f"a{n}.1", [digest], entry=f"1800000000000-{n}") for n in (1, 2, 3)]
    _, [_, wait, deliveries, *_] = await fan_out_and_claim(desk, *events, limit=9)
    assert (len(deliveries), wait) == (1, 900), "one, after the burst; the others wait for their time"
    waiting = await desk.subscribe(f"{URL}/waiting", {"categories": ["Sport"]})
    earlier = await enqueued(desk, waiting, "b1.1", entry="1800000000000-4")
    quick = await desk.subscribe(f"{URL}/quick", {"categories": ["Music"]})
    later = event_of("b2.1", [quick.criteria().digest()], entry="1800000000000-5")
    _, [_, _, deliveries, *_] = await fan_out_and_claim(desk, later, limit=1)
    assert [taken[0] for taken in deliveries] == [earlier.encode()], "it has waited longer"


async def test_fan_out_settles_what_has_ended(desk: Desk) -> None:
    mine = await desk.subscribe(URL)
    digest = mine.criteria().digest()
    await fan_out_and_claim(desk, event_of("a1.1", [digest]), limit=1)
    done = result(delivery_id("a1.1", mine), **DELIVERED)
    later = event_of("a1.2", [digest], entry="1800000000000-2")
    _, [states, wait, deliveries, *_] = await fan_out_and_claim(desk, later, results=(done,), limit=1)
    assert (states, wait, [taken[3] for taken in deliveries]) == ([b"delivered"], 60_000, [b"a1.2"])
    assert (await fields(desk, "progress", "a1.1"))["delivered"] == "1"


# expand_next_event, mark_announced


async def test_fan_out_enqueues_in_chunks_and_leaves_the_rest_to_the_turns(desk: Desk) -> None:
    mine = [await desk.subscribe(f"{URL}{number}") for number in range(3)]
    await plan(desk, "a1.1", [mine[0].criteria().digest()])
    enqueued_now, left, matched, previously, announced = await expand(desk, "a1.1", chunk=2)
    assert (enqueued_now, left, matched, previously, announced) == (2, 1, 2, 0, b"")
    assert await desk.redis.zrange(desk.queue.key("expanding"), 0, -1) == [b"a1.1"]
    assert (await expand(desk, "a1.1", chunk=2))[:3] == [1, 0, 3]
    assert (await expand(desk, "a1.1"))[0] == 0


async def test_fan_out_leaves_events_beyond_its_budget_to_another_call(desk: Desk) -> None:
    mine = [await desk.subscribe(f"{URL}{number}") for number in range(3)]
    events = [event_of(f"a{number}.1", [mine[0].criteria().digest()]) for number in range(4)]
    assert [each[0] for each in await fan_out(desk, *events, budget=4)] == [3, 3]
    assert [each[0] for each in await fan_out(desk, *events, budget=8)] == [0, 0, 3, 3]


async def test_fan_out_marks_events_as_announced(desk: Desk) -> None:
    assert (await fan_out(desk, event_of("a1.1", [])))[0][4] == b""
    assert (await fan_out(desk, event_of("a1.1", []), announced=["a1.1", "unknown.1"]))[0][4] == b"1"
    assert await desk.redis.exists(desk.queue.key("event_plan", "unknown.1")) == 0


async def test_fan_out_announces_an_event_once_all_its_deliveries_are_enqueued(desk: Desk) -> None:
    mine = [await desk.subscribe(f"{URL}{number}") for number in range(3)]
    events = [event_of("a1.1", [mine[0].criteria().digest()]), event_of("a2.1", [])]
    announcing = {"outcomes": desk.keys.outcomes, "announcements": [b'{"data":{"id":"a1"', b'{"data":{"id":"a2"']}

    async def said() -> list[Any]:
        return [orjson.loads(found[b"__data__"])["data"] for _, found in await desk.redis.xrange(desk.keys.outcomes)]

    assert [each[1:] for each in await fan_out(desk, *events, chunk=2, **announcing)] == [
        [1, 2, 0, b""],
        [0, 0, 0, b"1"],
    ]
    assert await said() == [{"id": "a2", "matched": 0, "previously_matched": 0}]
    for _ in range(2):
        again = await fan_out(desk, *events, chunk=2, **announcing)
        assert [each[1:] for each in again] == [[0, 3, 0, b"1"], [0, 0, 0, b"1"]]
    assert (await said())[1:] == [{"id": "a1", "matched": 3, "previously_matched": 0}]
    assert await desk.redis.exists(desk.queue.key("expanding")) == 0


async def test_fan_out_continues_a_plan_with_more_digests_than_a_chunk(desk: Desk) -> None:
    mine = [await desk.subscribe(f"{URL}{number}", {"topics": [f"Topic {number}"]}) for number in range(5)]
    digests = [each.criteria().digest() for each in mine]
    progress = [(await fan_out(desk, event_of("a1.1", digests), chunk=2))[0][:3] for _ in range(5)]
    assert progress == [[2, 4, 2], [1, 3, 3], [1, 2, 4], [1, 1, 5], [0, 0, 5]]
    assert await desk.redis.exists(desk.queue.key("event_plan", "a1.1", "digests")) == 0


async def test_take_progress_takes_changed_totals_once(desk: Desk) -> None:
    mine = await desk.subscribe(URL)
    await ended(desk, mine)
    await desk.redis.sadd(desk.queue.key("progressed"), "expired.1")
    assert await desk.queue.call("take_progress", limit=9) == [[b"a1.1", b"a1", b"1", b"1", b"0", b"0", b"0"]]
    assert await desk.queue.call("take_progress", limit=9) == []


async def test_fan_out_supersedes_what_waits_of_an_earlier_version(desk: Desk) -> None:
    mine = await desk.subscribe(URL)
    first = await enqueued(desk, mine, "a1.1")
    second = await enqueued(desk, mine, "a1.2", entry="1800000000000-2")
    assert ((await fields(desk, "delivery", first))["state"], await queues(desk, mine, second)) == (
        "superseded",
        {"due"},
    )


async def test_fan_out_lets_an_attempt_under_way_end(desk: Desk) -> None:
    mine = await desk.subscribe(URL)
    first = await enqueued(desk, mine, "a1.1")
    await settle_and_claim(desk, limit=1)
    second = await enqueued(desk, mine, "a1.2", entry="1800000000000-2")
    assert await queues(desk, mine, first) == {"superseded_in_flight"}
    states, *_ = await settle_and_claim(desk, result(first, **FAILED))
    assert (states, await queues(desk, mine, second)) == ([b"superseded"], {"due"})


async def test_expand_next_event_takes_turns_until_the_queue_is_long_enough(desk: Desk) -> None:
    async def expand_next(chunk: int = 1, max_due_endpoints: int = 10) -> Any:
        named = {"chunk": chunk, "max_due_endpoints": max_due_endpoints, "keep": KEEP, "keep_plan": KEEP}
        return await desk.queue.call("expand_next_event", **named)

    assert await expand_next() is None
    mine = [await desk.subscribe(f"{URL}{number}") for number in range(4)]
    for number, event in enumerate(("a1.1", "a2.1")):
        await plan(desk, event, [mine[0].criteria().digest()], entry=f"1800000000000-{number + 1}")
        await expand(desk, event, chunk=1)
    assert await expand_next(max_due_endpoints=1) == b"QUEUE_FULL"
    turns = [await expand_next() for _ in range(4)]
    assert [turn[0] for turn in turns] == [b"a1.1", b"a2.1", b"a1.1", b"a2.1"]
    assert turns[0][1:4] == [ENVELOPE, b"a1", 1]
    await desk.redis.zadd(desk.queue.key("expanding"), {"nothing.1": 0})
    assert await expand_next() == [b"nothing.1", b"", b"", 0, 0, 0, 0, 0, b"1"]


async def test_mark_announced_ends_the_turns_of_events(desk: Desk) -> None:
    mine = await desk.subscribe(URL)
    await enqueued(desk, mine)
    await desk.redis.zadd(desk.queue.key("expanding"), {"a1.1": 1, "unknown.1": 2})
    assert await desk.queue.call("mark_announced", events=["a1.1", "unknown.1"]) == b"OK"
    assert (await fields(desk, "event_plan", "a1.1"))["announced"] == "1"
    assert await desk.redis.exists(desk.queue.key("expanding"), desk.queue.key("event_plan", "unknown.1")) == 0


# settle_and_claim


async def test_settle_and_claim_claims_for_a_lease_and_counts_the_attempt(desk: Desk, clock: Clock) -> None:
    mine = await desk.subscribe(URL)
    delivery = await enqueued(desk, mine)
    _, wait, deliveries, endpoints, envelopes, blocked = await settle_and_claim(desk, limit=5)
    kind = b"newswire.article.published.v1"
    assert deliveries == [[delivery.encode(), 1, 0, b"a1.1", kind, b"a1", 1, b"matched", mine.id.encode()]]
    assert (endpoints[0][:2], envelopes) == ([mine.id.encode(), URL.encode()], [[b"a1.1", ENVELOPE, b"a1", 1]])
    assert (wait, blocked, await queues(desk, mine, delivery)) == (60_000, 0, {"in_flight"})
    assert (await settle_and_claim(desk, limit=5))[2] == []
    clock.now += 61
    assert [taken[:2] for taken in (await settle_and_claim(desk, limit=5))[2]] == [[delivery.encode(), 2]]


async def test_settle_and_claim_reports_deliveries_that_wait_for_results(desk: Desk) -> None:
    mine = await desk.subscribe(URL)
    delivery = await enqueued(desk, mine)
    await enqueued(desk, mine, "a2.1", article="a2")
    *_, blocked = await settle_and_claim(desk, limit=5, per_endpoint=1)
    assert blocked == 1
    *_, blocked = await settle_and_claim(desk, result(delivery, **DELIVERED), limit=5, per_endpoint=1)
    assert blocked == 0


async def test_settle_and_claim_refuses_the_result_of_a_lost_lease(desk: Desk, clock: Clock) -> None:
    mine = await desk.subscribe(URL)
    delivery = await enqueued(desk, mine)
    await settle_and_claim(desk, limit=1)
    clock.now += 61
    await settle_and_claim(desk, limit=1)
    states, *_ = await settle_and_claim(desk, result(delivery, 1, **DELIVERED), result(delivery, 2, **DELIVERED))
    assert states == [None, b"delivered"]
    assert (await settle_and_claim(desk, result(delivery, 2, **DELIVERED)))[0] == [None]


async def test_settle_and_claim_schedules_a_retry_and_keeps_the_response(desk: Desk, clock: Clock) -> None:
    mine = await desk.subscribe(URL)
    delivery = await enqueued(desk, mine)
    await settle_and_claim(desk, limit=1)
    states, *_ = await settle_and_claim(desk, result(delivery, **FAILED | {"wait": 5000, "response": "no"}))
    assert (states, (await fields(desk, "delivery", delivery))["failures"]) == ([b"waiting"], "1")
    assert await desk.redis.zscore(desk.queue.key("due", mine.id), delivery) == (clock.now + 5) * 1000
    assert await fields(desk, "responses", "a1") == {f"{delivery}|1": "no"}


async def test_settle_and_claim_releases_without_a_failure(desk: Desk) -> None:
    mine = await desk.subscribe(URL)
    delivery = await enqueued(desk, mine)
    await settle_and_claim(desk, limit=1)
    states, *_ = await settle_and_claim(desk, result(delivery, state="waiting", record=""))
    assert (states, (await fields(desk, "delivery", delivery))["failures"]) == ([b"waiting"], "0")


@pytest.mark.parametrize(("state", "kept"), [("delivered", KEEP), ("cancelled", KEEP), ("dead", 2 * KEEP)])
async def test_settle_and_claim_keeps_ended_deliveries_for_their_retention(desk: Desk, state: str, kept: int) -> None:
    mine = await desk.subscribe(URL)
    delivery = await ended(desk, mine, state=state)
    assert kept - 60_000 < await desk.redis.pttl(desk.queue.key("delivery", delivery)) <= kept
    assert (await desk.redis.zscore(desk.queue.key("deliveries", "dead"), delivery) is not None) == (state == "dead")
    assert await desk.redis.llen(desk.queue.key("endings", mine.id)) == (0 if state == "dead" else 1)
    assert (await fields(desk, "progress", "a1.1"))[state] == "1"
    assert await fields(desk, "pending", mine.id) == {}


async def test_settle_and_claim_opens_the_circuit_and_doubles_the_pause_between_probes(
    desk: Desk, clock: Clock
) -> None:
    mine = await desk.subscribe(URL)
    delivery = await enqueued(desk, mine)
    pauses = []
    for attempt in range(1, 6):
        assert len((await settle_and_claim(desk, limit=9))[2]) == 1
        await settle_and_claim(desk, result(delivery, attempt, **FAILED))
        probe_at = (await fields(desk, "subscription", mine.id)).get("probe_at")
        pauses.append(int(probe_at) - round(clock.now * 1000) if probe_at else None)
        if probe_at:
            assert (await settle_and_claim(desk, limit=9))[2] == []
            clock.now = int(probe_at) / 1000
    assert pauses == [None, 1000, 2000, 3000, 3000]


async def test_settle_and_claim_holds_an_endpoint_that_asked_for_it(desk: Desk, clock: Clock) -> None:
    mine = await desk.subscribe(URL)
    held = await enqueued(desk, mine, "a1.1")
    await settle_and_claim(desk, limit=1)
    await settle_and_claim(desk, result(held, **FAILED | {"health": "hold", "wait": 5000}))
    await enqueued(desk, mine, "a2.1", entry="1800000000000-2")
    assert (await settle_and_claim(desk, limit=9))[2] == []
    clock.now += 5
    assert len((await settle_and_claim(desk, limit=9))[2]) == 2


@pytest.mark.parametrize("failing_for", [9.0, 10.0])
async def test_settle_and_claim_disables_what_fails_for_too_long(desk: Desk, clock: Clock, failing_for: float) -> None:
    mine = await desk.subscribe(URL)
    delivery = await enqueued(desk, mine)
    for attempt in (1, 2):
        await settle_and_claim(desk, limit=1)
        await settle_and_claim(desk, result(delivery, attempt, **FAILED))
    clock.now += failing_for
    await settle_and_claim(desk, limit=1)
    await settle_and_claim(desk, result(delivery, 3, **FAILED))
    found = await fields(desk, "subscription", mine.id)
    assert (found["status"], found.get("status_reason")) == (
        ("disabled", "failing") if failing_for == 10 else ("active", None)
    )


async def test_settle_and_claim_holds_only_corrections_of_a_gone_endpoint(desk: Desk) -> None:
    mine = await desk.subscribe(URL)
    first = await enqueued(desk, mine, "a1.1")
    correction = await enqueued(desk, mine, "a2.2", entry="1800000000000-2")
    await settle_and_claim(desk, limit=9)
    await settle_and_claim(desk, result(first, state="dead", gone=True))
    assert (await fields(desk, "delivery", first))["state"] == "dead"
    assert await queues(desk, mine, correction) == {"paused"}
    assert await desk.redis.sismember(desk.queue.key("disabled"), mine.id)


async def test_settle_and_claim_respects_concurrency_and_rate(desk: Desk, clock: Clock) -> None:
    narrow = await desk.subscribe(f"{URL}1", concurrency=2)
    slow = await desk.subscribe(f"{URL}2", rate=1)
    for number in range(4):
        await plan(desk, f"a{number}.1", [narrow.criteria().digest()], entry=f"1800000000000-{number + 1}")
        await expand(desk, f"a{number}.1")
    taken = [delivery[8].decode() for delivery in (await settle_and_claim(desk, limit=99))[2]]
    assert (taken.count(narrow.id), taken.count(slow.id)) == (2, 1)
    clock.now += 1
    assert [delivery[8].decode() for delivery in (await settle_and_claim(desk, limit=99))[2]] == [slow.id]


async def test_settle_and_claim_shifts_due_times_when_the_clock_is_set_back(desk: Desk, clock: Clock) -> None:
    mine = await desk.subscribe(URL)
    delivery = await enqueued(desk, mine)
    await settle_and_claim(desk, limit=1)
    await settle_and_claim(desk, result(delivery, **FAILED | {"wait": 5000}))
    clock.now -= 86_400
    assert (await settle_and_claim(desk, limit=1))[1] == 5000
    clock.now += 5
    assert len((await settle_and_claim(desk, limit=1))[2]) == 1


# replay, cancel


async def replay(desk: Desk, delivery: str, subscription: str = "", state: str = "") -> Any:
    return await desk.queue.call("replay", id=delivery, subscription=subscription, state=state, keep=KEEP)


async def test_replay_enqueues_an_ended_delivery_again(desk: Desk) -> None:
    mine = await desk.subscribe(URL)
    delivery = await ended(desk, mine)
    assert await replay(desk, delivery, mine.id) == b"OK"
    assert (await queues(desk, mine, delivery), await desk.redis.pttl(desk.queue.key("delivery", delivery))) == (
        {"due"},
        -1,
    )
    assert (await fields(desk, "progress", "a1.1"))["delivered"] == "0"


async def test_replay_makes_a_waiting_delivery_due(desk: Desk, clock: Clock) -> None:
    mine = await desk.subscribe(URL)
    delivery = await enqueued(desk, mine)
    await settle_and_claim(desk, limit=1)
    await settle_and_claim(desk, result(delivery, **FAILED | {"wait": 60_000}))
    assert await replay(desk, delivery) == b"OK"
    assert len((await settle_and_claim(desk, limit=1))[2]) == 1


async def test_replay_says_why_it_does_not(desk: Desk) -> None:
    mine = await desk.subscribe(URL)
    delivery = await ended(desk, mine)
    assert await replay(desk, "msg_unknown") == b"MISSING"
    assert await replay(desk, delivery, "sub_other") == b"MISSING"
    assert await replay(desk, delivery, state="dead") == b"MISSING"
    await plan(desk, "a1.2", [mine.criteria().digest()], entry="1800000000000-2")
    assert await replay(desk, delivery) == b"SUPERSEDED"
    await desk.subscriptions.remove("reader", mine.id)
    assert await replay(desk, delivery) == b"UNSUBSCRIBED"


async def test_cancel_ends_what_has_not_ended(desk: Desk) -> None:
    mine = await desk.subscribe(URL)
    delivery = await enqueued(desk, mine)

    async def cancel(subscription: str) -> Any:
        return await desk.queue.call("cancel", id=delivery, subscription=subscription, keep=KEEP)

    assert await cancel("sub_other") == b"MISSING"
    assert await cancel(mine.id) == b"OK"
    assert ((await fields(desk, "delivery", delivery))["state"], await queues(desk, mine, delivery)) == (
        "cancelled",
        set(),
    )
    assert await cancel(mine.id) == b"ENDED"


# list_deliveries, list_for_dead, count_dead, replay_dead, recent_deliveries


async def listed(desk: Desk, subscription: Subscription, **wanted: Any) -> tuple[list[str], list[str]]:
    named = {"examine": 10, "limit": 10, "state": "", "article": "", "since": 0, "until": 10**15, "after": []}
    ids, after = await desk.queue.call("list_deliveries", subscription=subscription.id, **named | wanted)
    return [raw.decode() for raw in ids], [part.decode() for part in after]


async def dead(desk: Desk, subscription: Subscription, event: str) -> str:
    return await ended(desk, subscription, event, state="dead")


async def test_list_deliveries_filters_and_continues_newest_first(desk: Desk, clock: Clock) -> None:
    mine = await desk.subscribe(URL)
    first = await ended(desk, mine, "a1.1")
    clock.now += 10
    second, third = await dead(desk, mine, "a2.1"), await enqueued(desk, mine, "a3.1")
    at, newer = int(clock.now * 1000), sorted([second, third], reverse=True)
    assert await listed(desk, mine) == ([*newer, first], [])
    assert (await listed(desk, mine, state="dead"))[0] == [second]
    assert (await listed(desk, mine, article="a3"))[0] == [third]
    assert (await listed(desk, mine, since=at))[0] == newer
    assert (await listed(desk, mine, until=at))[0] == [first]
    assert await listed(desk, mine, limit=1) == (newer[:1], [str(at), newer[0]])
    assert await listed(desk, mine, after=[str(at), newer[0]]) == ([newer[1], first], [])
    assert await listed(desk, mine, examine=2, state="delivered") == ([], [str(at), newer[1]])
    await desk.redis.zrem(desk.queue.key("deliveries", mine.id), newer[1])
    assert (await listed(desk, mine, after=[str(at - 1), newer[1]]))[0] == [first]


@pytest.mark.parametrize("listed", ["own", "dead"])
async def test_count_dead_counts_what_failed_by_a_time(desk: Desk, clock: Clock, listed: str) -> None:
    mine = await desk.subscribe(URL)
    await dead(desk, mine, "a1.1")
    await dead(desk, mine, "a2.1")
    await plan(desk, "a2.2", [mine.criteria().digest()], entry="1800000000000-2")
    at = int(clock.now * 1000)
    clock.now += 10
    await dead(desk, mine, "a3.1")
    await dead(desk, await desk.subscribe(URL, {"topics": ["Bridges"]}), "a4.1")

    async def count(upto: int, examine: int = 10, after: tuple[bytes, ...] = ()) -> Any:
        named = {"subscription": mine.id, "list": listed, "upto": upto, "examine": examine}
        return await desk.queue.call("count_dead", **named, after=[part.decode() for part in after])

    assert await count(at) == [1, 1, []]
    assert await count(at + 10_000) == [2, 1, []]
    counted, after = 0, (b"9999999999999", b"none")  # with a position, it counts by pages
    while (page := await count(at + 10_000, 2, tuple(after)))[2]:
        counted, after = counted + page[0] + page[1], page[2]
    assert counted + page[0] + page[1] == 3


async def test_list_for_dead_is_the_shorter_one(desk: Desk, clock: Clock) -> None:
    mine, other = await desk.subscribe(URL), await desk.subscribe(URL, {"topics": ["Bridges"]})
    await dead(desk, mine, "a1.1")
    await ended(desk, mine, "a2.1")

    async def listed() -> list[bytes]:
        return [await desk.queue.call("list_for_dead", subscription=each.id) for each in (mine, other)]

    assert await listed() == [b"dead", b"own"]
    await dead(desk, other, "a3.1")
    assert await listed() == [b"own", b"own"]


@pytest.mark.parametrize("listed", ["own", "dead"])
async def test_replay_dead_sends_each_once_a_hundred_per_second(desk: Desk, clock: Clock, listed: str) -> None:
    mine, other = await desk.subscribe(URL), await desk.subscribe(URL, {"topics": ["Bridges"]})
    of_another = await dead(desk, other, "a9.1")
    deliveries = {await dead(desk, mine, f"a{number}.1") for number in range(3)}
    at = int(clock.now * 1000)

    async def replay_dead(replayed: int, **changes: Any) -> Any:
        named = {
            "subscription": mine.id,
            "list": listed,
            "upto": at,
            "examine": 10,
            "after": [],
            "limit": 2,
            "keep": KEEP,
        }
        return await desk.queue.call("replay_dead", **named | {"replayed": replayed} | changes)

    assert await replay_dead(0, upto=at - 1) == [0, []]
    replayed, after = await replay_dead(98)
    assert (replayed, len(after)) == (100, 2)
    assert await replay_dead(100, after=[part.decode() for part in after]) == [101, []]
    due = await desk.redis.zrange(desk.queue.key("due", mine.id), 0, -1, withscores=True)
    assert {raw.decode() for raw, _ in due} == deliveries
    assert [int(score) for _, score in due] == [at, at, at + 1000]
    assert await desk.redis.zrange(desk.queue.key("deliveries", "dead"), 0, -1) == [of_another.encode()]
    assert await replay_dead(0) == [0, []]
    await desk.redis.hset(desk.queue.key("subscription", mine.id), "status", "disabled")
    assert await replay_dead(0) == b"UNSUBSCRIBED"


async def test_recent_deliveries_lists_the_newest_and_what_ended_last(desk: Desk, clock: Clock) -> None:
    mine, other = await desk.subscribe(URL), await desk.subscribe(URL, {"topics": ["Bridges"]}, account="other")
    late = await enqueued(desk, mine, "a1.1")
    clock.now += 10
    newest = await enqueued(desk, mine, "a2.1")
    await enqueued(desk, other, "a3.1")

    async def recent(rows: int = 10) -> set[tuple[str, str]]:
        named = {"account": "reader", "subscriptions": 10, "limit": 1, "rows": rows}
        found = await desk.queue.call("recent_deliveries", **named)
        assert {row[1].decode() for row in found} == {mine.id}
        return {(row[0].decode(), row[2].decode()) for row in found}

    assert await recent() == {(newest, "waiting")}
    await settle_and_claim(desk, limit=1)
    await settle_and_claim(desk, result(late, **DELIVERED))
    assert await recent() == {(newest, "waiting"), (late, "delivered")}
    assert len(await recent(1)) == 1


# trim_histories, trim_dead


async def test_trim_histories_removes_what_is_old_and_counts_what_goes_early(desk: Desk, clock: Clock) -> None:
    mine = await desk.subscribe(URL)
    old = await ended(desk, mine, "a1.1")
    clock.now += 10
    early = await ended(desk, mine, "a2.1")

    async def trim(keep: int, limit: int, removals: int = 100) -> Any:
        return await desk.queue.call("trim_histories", keep=keep, limit=limit, removals=removals)

    assert await trim(5000, 10**6) == [0, b"0"]
    assert await desk.redis.exists(desk.queue.key("delivery", old)) == 0
    clock.now += 6
    assert await trim(60_000, 0, removals=0) == [0, b"1"]
    assert await trim(60_000, 0) == [1, b"0"]
    assert await desk.redis.exists(desk.queue.key("delivery", early)) == 0
    assert (await fields(desk, "history", mine.id))["removed"] == "1"


async def test_settle_and_claim_schedules_a_trim_at_once_only_beyond_the_limit(desk: Desk, clock: Clock) -> None:
    mine = await desk.subscribe(URL)

    async def next_trim(event: str, history_bytes: int) -> float:
        delivery = await enqueued(desk, mine, event)
        await settle_and_claim(desk, limit=1)
        await settle_and_claim(desk, result(delivery, **DELIVERED), history_bytes=history_bytes)
        return await desk.redis.zscore(desk.queue.key("histories"), mine.id) / 1000

    first = clock.now
    assert await next_trim("a1.1", 10**6) == pytest.approx(first + KEEP / 1000 + 0.001)
    clock.now += 10
    assert await next_trim("a2.1", 10**6) == pytest.approx(first + KEEP / 1000 + 0.001)
    assert await next_trim("a3.1", 2000) == pytest.approx(clock.now)


async def test_trim_histories_leaves_a_replayed_delivery(desk: Desk, clock: Clock) -> None:
    mine = await desk.subscribe(URL)
    delivery = await ended(desk, mine)
    await replay(desk, delivery)
    clock.now += 10
    assert await desk.queue.call("trim_histories", keep=5000, limit=10**6, removals=100) == [0, b"0"]
    assert await queues(desk, mine, delivery) == {"due"}
    assert await desk.redis.llen(desk.queue.key("endings", mine.id)) == 0


async def test_trim_dead_removes_the_old_and_the_excess(desk: Desk, clock: Clock) -> None:
    mine = await desk.subscribe(URL)
    old = await ended(desk, mine, "a1.1", state="dead")
    clock.now += 10
    rest = []
    for event in ("a2.1", "a3.1"):
        rest.append(await ended(desk, mine, event, state="dead"))
        clock.now += 1
    assert await desk.queue.call("trim_dead", keep=5000, limit=1, removals=100) == [1, b"0"]
    assert await desk.redis.exists(*(desk.queue.key("delivery", each) for each in (old, rest[0]))) == 0
    assert await desk.redis.zrange(desk.queue.key("deliveries", "dead"), 0, -1) == [rest[1].encode()]
    assert await desk.queue.call("trim_dead", keep=5000, limit=0, removals=1) == [1, b"1"]


# rotate_secret, close_circuit, notify_owner


async def test_rotate_secret_keeps_former_secrets_for_their_overlap(desk: Desk) -> None:
    mine = await desk.subscribe(URL)

    async def rotate(secret: str, now: int, overlap: int, account: str = "reader") -> Any:
        named = {"id": mine.id, "account": account, "secret": secret, "now": now, "overlap": overlap}
        return await desk.queue.call("rotate_secret", former_secrets=1, **named)

    assert await rotate("new", 1000, 500, account="other") == b"MISSING"
    assert await rotate("second", 1000, 500) == b"OK"
    assert await rotate("third", 1100, 500) == b"TOO_MANY"
    found = await fields(desk, "subscription", mine.id)
    assert (found["secret"], orjson.loads(found["former_secrets"])) == ("second", [[mine.secret, 1500]])
    assert await rotate("third", 1600, 500) == b"OK"
    assert await rotate("fourth", 3000, 0) == b"OK"
    assert (await fields(desk, "subscription", mine.id))["former_secrets"] == "[]"


async def test_close_circuit_makes_waiting_deliveries_due(desk: Desk) -> None:
    mine = await desk.subscribe(URL)
    delivery = await enqueued(desk, mine)
    for attempt in (1, 2):
        await settle_and_claim(desk, limit=1)
        await settle_and_claim(desk, result(delivery, attempt, **FAILED))
    assert await desk.queue.call("close_circuit", id=mine.id, account="other") == 0
    assert (await settle_and_claim(desk, limit=1))[2] == []
    assert await desk.queue.call("close_circuit", id=mine.id, account="reader") == 1
    assert len((await settle_and_claim(desk, limit=1))[2]) == 1


async def test_notify_owner_enqueues_a_notice_where_it_is_wanted_and_once(desk: Desk) -> None:
    wanted = await desk.subscribe(f"{URL}1", notices=True)
    await desk.subscribe(f"{URL}2")
    failed = await desk.subscribe(f"{URL}3")
    await desk.redis.hset(desk.queue.key("subscription", failed.id), "disabled_at", "5")
    await desk.redis.sadd(desk.queue.key("disabled"), failed.id)

    async def notify(disabled_at: str) -> Any:
        named = {"id": failed.id, "disabled_at": disabled_at, "account": "reader", "event": "e1", "type": "t"}
        return await desk.queue.call("notify_owner", envelope='{"n":1}', keep=KEEP, **named)

    assert await notify("4") == 1
    assert await desk.redis.sismember(desk.queue.key("disabled"), failed.id)
    assert await notify("5") == 0
    assert not await desk.redis.sismember(desk.queue.key("disabled"), failed.id)
    found = await fields(desk, "delivery", delivery_id("e1", wanted))
    assert (found["reason"], found["envelope"], found["version"]) == ("notice", '{"n":1}', "0")


# subscribe, update, change_status, unsubscribe, rebuild_lookups


async def subscribe(desk: Desk, number: int = 1, limits: Any = NO_LIMITS, **changes: Any) -> Any:
    of = {
        "status": "active",
        "url": f"{URL}{number}",
        "headers": "{}",
        "labels": "{}",
        "filter": "{}",
        "events": "published",
    }
    named = {
        "id": f"sub_{number}",
        "account": "reader",
        "digest": "d1",
        "newest_entry": "5-1",
        "limits": limits,
        "created": number,
        "fields": of,
    }
    return await desk.queue.call("subscribe", **named | changes)


async def test_subscribe_joins_after_the_newest_entry(desk: Desk) -> None:
    assert await subscribe(desk) == b"OK"
    found = await fields(desk, "subscription", "sub_1")
    assert (found["after_entry"], found["joined_seq"], found["revision"]) == ("5-1", "1", "1")
    assert await desk.redis.zrange(desk.queue.key("memberships", "d1"), 0, -1) == [b"sub_1|5-1"]
    assert orjson.loads((await fields(desk, "filters"))["d1"]) == {"filter": {}, "events": ["published"]}
    assert await desk.redis.exists(desk.queue.key("backfills")) == 0


async def test_subscribe_with_a_start_in_the_past_begins_a_backfill(desk: Desk) -> None:
    assert await subscribe(desk, backfill_after="2-0", backfill_since=2) == b"OK"
    found = await fields(desk, "backfill", "sub_1.1")
    assert (found["cursor"], found["since"], found["mode"], found["last_seq"]) == ("2-0", "2", "missed", "1")


@pytest.mark.parametrize(
    ("limits", "answer"),
    [
        ({"subscriptions": 1}, b"SUBSCRIPTIONS"),
        ({"bytes": 40}, b"BYTES"),
        ({"urls_per_host": 1}, b"URLS"),
        ({"subscriptions": 2, "bytes": 1000, "urls_per_host": 2}, b"OK"),
    ],
)
async def test_subscribe_names_the_limit_that_would_be_exceeded(desk: Desk, limits: Any, answer: bytes) -> None:
    assert await subscribe(desk, 1) == b"OK"
    assert await subscribe(desk, 2, limits) == answer
    assert await desk.redis.exists(desk.queue.key("subscription", "sub_2")) == (answer == b"OK")


async def test_subscribe_refuses_a_suspended_account(desk: Desk) -> None:
    await desk.redis.sadd(desk.queue.key("suspended"), "reader")
    assert await subscribe(desk) == b"SUSPENDED"


async def update(desk: Desk, found: Subscription, **changes: Any) -> Any:
    of = {
        "url": found.channel.url,
        "headers": "{}",
        "labels": "{}",
        "filter": '{"query":"ferry"}',
        "events": "published",
    }
    named = {
        "id": found.id,
        "account": "reader",
        "revision": "1",
        "digest": "d2",
        "limits": NO_LIMITS,
        "fields": of,
    }
    return await desk.queue.call("update", **named | changes)


async def test_update_moves_the_membership_to_the_new_digest(desk: Desk) -> None:
    mine = await desk.subscribe(URL)
    former = mine.criteria().digest()
    assert await update(desk, mine) == b"OK"
    found = await fields(desk, "subscription", mine.id)
    assert (found["digest"], found["revision"], found["filter"]) == ("d2", "2", '{"query":"ferry"}')
    assert found["past_memberships"].startswith(f"{former}|1|")
    assert set(await fields(desk, "filters")) == {"d2"}


async def test_update_says_why_it_does_not(desk: Desk) -> None:
    mine = await desk.subscribe(URL)
    assert await update(desk, mine, account="other") == b"MISSING"
    assert await update(desk, mine, revision="7") == b"STALE"
    assert await update(desk, mine, limits={"changes": 0}) == b"TOO_MANY_CHANGES"
    assert await update(desk, mine, limits={"bytes": 1}) == b"BYTES"
    elsewhere = {
        "url": "https://elsewhere.example/b",
        "headers": "{}",
        "labels": "{}",
        "filter": "{}",
        "events": "published",
    }
    assert await update(desk, mine, limits={"urls_per_host": 0}, fields=elsewhere) == b"URLS"
    assert (await fields(desk, "subscription", mine.id))["revision"] == "1"


async def change_status(desk: Desk, found: Subscription, **changes: Any) -> Any:
    named = {
        "id": found.id,
        "account": "reader",
        "revision": "1",
        "suspended": False,
        "set": {},
        "unset": [],
        "membership": "",
        "digest": found.criteria().digest(),
        "backfill": {},
    }
    return await desk.queue.call("change_status", **named | changes)


async def test_change_status_holds_waiting_deliveries_and_makes_them_due_again(desk: Desk, clock: Clock) -> None:
    mine = await desk.subscribe(URL)
    delivery = await enqueued(desk, mine)
    assert await change_status(desk, mine, set={"status": "paused"}, membership="leave") == b"OK"
    found = await fields(desk, "subscription", mine.id)
    assert (found["status"], found["revision"], found["attached"]) == ("paused", "2", "0")
    assert (found["paused_at"], await queues(desk, mine, delivery)) == (f"{clock.now * 1000:.0f}", {"paused"})
    missed = {"after": "9-1", "since": 9, "first_seq": 2, "mode": "missed"}
    again = {
        "set": {"status": "active"},
        "unset": ["paused_at", "left_seq"],
        "membership": "rejoin",
        "backfill": missed,
    }
    assert await change_status(desk, mine, revision="2", **again) == b"OK"
    found = await fields(desk, "subscription", mine.id)
    assert (found["status"], found["revision"], found["attached"]) == ("active", "3", "1")
    assert ("paused_at" in found, "left_seq" in found, await queues(desk, mine, delivery)) == (False, False, {"due"})
    backfill = await fields(desk, "backfill", f"{mine.id}.1")
    assert (backfill["cursor"], backfill["first_seq"], backfill["last_seq"], backfill["mode"]) == (
        "9-1",
        "2",
        "3",
        "missed",
    )


async def test_change_status_changes_nothing_where_the_decision_is_out_of_date(desk: Desk) -> None:
    mine = await desk.subscribe(URL)
    paused = {"set": {"status": "paused"}, "membership": "leave"}
    assert await change_status(desk, mine, account="other", **paused) == b"MISSING"
    assert await change_status(desk, mine, revision="2", **paused) == b"STALE"
    assert await change_status(desk, mine, suspended=True, **paused) == b"SUSPENSION_CHANGED"
    await desk.redis.sadd(desk.queue.key("suspended"), "reader")
    assert await change_status(desk, mine, suspended=False, **paused) == b"SUSPENSION_CHANGED"
    assert (await fields(desk, "subscription", mine.id))["status"] == "active"


async def test_unsubscribe_cancels_what_waits_and_leaves_the_reason_of_an_operator(desk: Desk) -> None:
    mine = await desk.subscribe(URL)
    delivery = await enqueued(desk, mine)

    async def unsubscribe(account: str) -> Any:
        named = {"id": mine.id, "account": account, "keep": KEEP, "reason": "it floods us", "keep_reason": 1000}
        return await desk.queue.call("unsubscribe", **named)

    assert await unsubscribe("other") == 0
    assert await unsubscribe("reader") == 1
    assert (await fields(desk, "delivery", delivery))["state"] == "cancelled"
    assert await fields(desk, "ended", mine.id) == {"account": "reader", "reason": "it floods us"}
    assert await fields(desk, "filters") == {}
    assert await desk.redis.exists(*(desk.queue.key(name) for name in ("usage:reader", "subscriptions:reader"))) == 0
    assert await unsubscribe("reader") == 0


async def test_rebuild_lookups_restores_what_follows_from_the_record(desk: Desk) -> None:
    mine = await desk.subscribe(URL)
    await update(desk, mine)
    derived = [
        "filters",
        "memberships:d2",
        f"memberships:{mine.criteria().digest()}",
        "subscriptions:reader",
        "usage:reader",
    ]
    derived.append(f"past_memberships:{mine.criteria().digest()}")
    names = [desk.queue.key(name) for name in derived]
    before = [await desk.redis.dump(name) for name in names]
    await desk.redis.delete(*names)
    assert await desk.queue.call("rebuild_lookups", id=mine.id) == 1
    after = [await desk.redis.dump(name) for name in names]
    assert after[:4] == before[:4]
    assert (after[5], await desk.redis.exists(names[4])) == (before[5], 0)


# claim_backfill, advance_backfill, replay_since


async def claim_backfill(desk: Desk) -> Any:
    return await desk.queue.call("claim_backfill", lease=30_000)


async def advance(desk: Desk, backfill: str, *events: dict[str, Any], **changes: Any) -> Any:
    named = {
        "id": backfill,
        "cursor": "1-0",
        "reached": "9-0",
        "end_entry": "99-0",
        "done": False,
        "keep": KEEP,
        "examined": 3,
    }
    return await desk.queue.call("advance_backfill", events=events, **named | changes)


def past(event: str, **changes: Any) -> dict[str, Any]:
    article, version = event.split(".")
    about = {"kind": "published", "entry": "5-0", "envelope": "{}", "matches": True, "type": "t"}
    return about | {"id": event, "article": article, "version": int(version)} | changes


async def replaying(desk: Desk) -> tuple[Subscription, str]:
    mine = await desk.subscribe(URL)
    assert await desk.queue.call("replay_since", id=mine.id, account="reader", since=1, after="1-0") == b"OK"
    return mine, f"{mine.id}.1"


async def test_claim_backfill_leases_the_one_that_waited_longest(desk: Desk, clock: Clock) -> None:
    assert await claim_backfill(desk) is None
    mine, backfill = await replaying(desk)
    assert await claim_backfill(desk) == [backfill.encode(), mine.id.encode(), b"1-0", b"", b"all"]
    assert await claim_backfill(desk) is None
    clock.now += 31
    assert (await claim_backfill(desk))[0] == backfill.encode()


async def test_claim_backfill_waits_for_a_paused_subscription_and_drops_a_deleted_one(desk: Desk, clock: Clock) -> None:
    mine, backfill = await replaying(desk)
    await desk.subscriptions.pause(mine)
    assert await claim_backfill(desk) is None
    assert await desk.redis.zscore(desk.queue.key("backfills"), backfill) == (clock.now + 5) * 1000
    await desk.subscriptions.remove("reader", mine.id)
    clock.now += 5
    assert await claim_backfill(desk) is None
    assert await desk.redis.exists(desk.queue.key("backfill", backfill), desk.queue.key("backfills")) == 0


async def test_claim_backfill_stands_still_while_many_deliveries_wait(desk: Desk, clock: Clock) -> None:
    mine, _ = await replaying(desk)
    await desk.redis.zadd(desk.queue.key("due", mine.id), {f"msg_{number}": 1 for number in range(100)})
    assert await claim_backfill(desk) is None
    await desk.redis.delete(desk.queue.key("due", mine.id))
    clock.now += 0.5
    assert await claim_backfill(desk) is not None


async def test_advance_backfill_enqueues_matches_and_moves_the_cursor(desk: Desk) -> None:
    mine, backfill = await replaying(desk)
    assert await advance(desk, backfill, past("a1.1"), past("a2.1", matches=False)) == 1
    found = await fields(desk, "backfill", backfill)
    assert (found["cursor"], found["end_entry"], found["enqueued"], found["examined"]) == ("9-0", "99-0", "1", "3")
    assert await queues(desk, mine, delivery_id("a1.1", mine)) == {"due"}
    assert await advance(desk, backfill, past("a3.1")) == -1


async def test_advance_backfill_skips_what_a_later_version_supersedes(desk: Desk) -> None:
    _, backfill = await replaying(desk)
    await plan(desk, "a1.2", [])
    assert await advance(desk, backfill, past("a1.1"), past("a1.2")) == 1


async def test_advance_backfill_sends_again_what_was_sent_only_in_a_replay(desk: Desk) -> None:
    mine, backfill = await replaying(desk)
    delivery = await ended(desk, mine)
    assert await advance(desk, backfill, past("a1.1", entry="1800000000000-1")) == 1
    assert await queues(desk, mine, delivery) == {"due"}


async def test_advance_backfill_ends_at_the_end(desk: Desk) -> None:
    _, backfill = await replaying(desk)
    assert await advance(desk, backfill, done=True) == 0
    assert (await fields(desk, "backfill", backfill))["state"] == "done"
    assert 0 < await desk.redis.pttl(desk.queue.key("backfill", backfill)) <= KEEP
    assert await claim_backfill(desk) is None


async def test_replay_since_says_why_it_does_not(desk: Desk) -> None:
    mine, _ = await replaying(desk)

    async def replay_since(account: str = "reader") -> Any:
        return await desk.queue.call("replay_since", id=mine.id, account=account, since=1, after="1-0")

    assert await replay_since("other") == b"MISSING"
    assert await replay_since() == b"RUNNING"
    await desk.subscriptions.pause(mine)
    assert await replay_since() == b"PAUSED"
    await desk.redis.hset(desk.queue.key("subscription", mine.id), "status", "disabled")
    assert await replay_since() == b"DISABLED"


async def test_all_workers_agree_on_the_time_of_the_server(redis: Redis, keys: Keyspace, clock: Clock) -> None:
    async with opened_desk(redis, keys, clock) as desk:
        desk.queue._clock = None
        await settle_and_claim(desk)
        seconds, microseconds = await redis.time()
        seen = int(await redis.get(desk.queue.key("clock")))
        assert abs(seen - (seconds * 1000 + microseconds // 1000)) < 60_000
