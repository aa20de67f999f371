"""From a published version to a signed webhook, with every failure on the way."""

import asyncio
import math
import socket
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from standardwebhooks.webhooks import Webhook

from newswire.keys import Keyspace
from newswire.messaging.group_member import GroupMember
from newswire.messaging.groups import NOTIFY
from newswire.observability import metrics
from newswire.observability.audit import COMMAND_LINE
from newswire.storage.redis_client import open_redis
from newswire_notify.deliveries import dead_letters
from newswire_notify.deliveries.attempt_decisions import RETRY_DELAYS_SECONDS
from newswire_notify.deliveries.models import AttemptOutcome, AttemptResult
from newswire_notify.deliveries.progress_publisher import DeliveryProgressPublisher
from newswire_notify.deliveries.queue import Queue
from newswire_notify.deliveries.service import NotReplayableError
from tests.notify.conftest import RETENTION, SITE, Desk, Receiver, until
from tests.notify.test_http_client import OK, Endpoint, endpoint
from tests.servers.valkey import free_port


async def test_a_version_arrives_signed_once_per_subscription(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a", {"categories": ["transport"]})
    await desk.subscribe(f"{receiver.url}/other", {"categories": ["sports"]})
    await desk.publish("a1")
    await desk.deliver()
    [got] = receiver.got
    assert got.path == "/a"
    assert got.event["id"] == "a1.1"
    assert got.event["type"] == "newswire.article.published.v1"
    assert got.event["data"]["body"] == "<p>It crossed the sound before dawn.</p>"
    assert got.event["reason"] == "matched"
    assert got.headers["traceparent"] == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    # the reference implementation checks the time as well, so it is given one that signs by the wall clock
    verify = Webhook(subscription.secret)
    stamp = got.headers["webhook-timestamp"]
    assert int(stamp) == int(desk.clock.now)
    expected = verify.sign(got.headers["webhook-id"], datetime.fromtimestamp(int(stamp), UTC), got.body.decode())
    assert got.headers["webhook-signature"] == expected
    assert await desk.states(subscription) == {"a1.1": "delivered"}


async def test_content_can_be_reduced(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/summary", content="summary")
    await desk.subscribe(f"{receiver.url}/reference", content="reference")
    await desk.publish("a1", summary="On time.")
    await desk.deliver()
    data = {got.path: got.event["data"] for got in receiver.got}
    assert data["/summary"]["summary"] == "On time."
    assert not {"body", "text"} & set(data["/summary"])
    assert set(data["/reference"]) == {"id", "version", "publisher", "url", "kind", "published_at", "updated_at"}


async def test_retries_keep_the_id_and_record_every_attempt(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    receiver.answer("/a", 500, 500, 200)
    await desk.publish("a1")
    for wait in (0, *RETRY_DELAYS_SECONDS[:2]):
        desk.clock.now += wait
        await desk.deliver()
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    [delivery] = (await desk.deliveries.of(subscription.id, 10)).rows
    assert delivery["state"] == "delivered"
    attempts = await desk.deliveries.attempts(subscription.id, delivery["id"])
    assert [(a["attempt"], a["status"], a["error"], a["answer"]) for a in attempts or []] == [
        (1, 500, "http: status 500", "this is 500"),
        (2, 500, "http: status 500", "this is 500"),
        (3, 200, None, "this is 200"),
    ]


async def test_no_retry_before_its_due_time(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/a")
    receiver.answer("/a", 500)
    await desk.publish("a1")
    await desk.deliver()
    desk.clock.now += RETRY_DELAYS_SECONDS[0] - 0.1
    await desk.deliver()
    assert len(receiver.got) == 1
    desk.clock.now += 0.1
    await desk.deliver()
    assert len(receiver.got) == 2


async def test_dead_endpoints_do_not_delay_others_and_end_as_dead_letters(desk: Desk, receiver: Receiver) -> None:
    async def hang() -> web.StreamResponse:
        await asyncio.sleep(30)
        raise AssertionError

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    receiver.answers["/hangs"] = hang
    desk.hanging.add(f"{receiver.url}/hangs")
    receiver.answer("/fails", 503)
    only_the_first = {"categories": ["Transport"]}
    hanging = await desk.subscribe(f"{receiver.url}/hangs", only_the_first)
    gone = await desk.subscribe(closed, only_the_first)
    failing = await desk.subscribe(f"{receiver.url}/fails", only_the_first)
    healthy = await desk.subscribe(f"{receiver.url}/well")
    await desk.publish("a1")
    for wait in (0, *RETRY_DELAYS_SECONDS):
        desk.clock.now += wait
        await desk.publish(f"b{wait}-{desk.clock.now:.0f}", category="Weather")
        await desk.deliver()
    assert len(set(receiver.events("/well"))) == len(receiver.events("/well")) == 2 + len(RETRY_DELAYS_SECONDS)
    assert set((await desk.states(healthy)).values()) == {"delivered"}
    errors = {}
    for subscription in (hanging, gone, failing):
        delivery = next(d for d in (await desk.deliveries.of(subscription.id, 100)).rows if d["event"] == "a1.1")
        assert delivery["state"] == "dead"
        assert len(delivery["attempts"]) == 1 + len(RETRY_DELAYS_SECONDS)
        errors[subscription.id] = delivery["attempts"][-1]["error"]
    assert errors[hanging.id].startswith("timeout")
    assert errors[gone.id].startswith("connect")
    assert errors[failing.id].startswith("http")
    letters = [letter for letter in await dead_letters.list_dead(desk.redis, desk.keys) if letter.event == "a1.1"]
    assert {letter.subscription for letter in letters} == {hanging.id, gone.id, failing.id}


async def test_a_dead_letter_can_be_retried_or_dropped(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/a")
    receiver.answer("/a", 500)
    await desk.publish("a1")
    await desk.publish("a2")
    for _ in range(20):  # once the circuit is open, one of them has its turn at a time
        desk.clock.now += RETRY_DELAYS_SECONDS[4]
        await desk.deliver()
    first, second = sorted(await dead_letters.list_dead(desk.redis, desk.keys), key=lambda letter: letter.event)
    assert first.error == "http: status 500"
    assert await dead_letters.drop(desk.redis, desk.redis, desk.keys, second.id, by=COMMAND_LINE)
    assert not await dead_letters.drop(desk.redis, desk.redis, desk.keys, second.id, by=COMMAND_LINE)
    receiver.answer("/a", 200)
    receiver.got.clear()
    await dead_letters.retry(desk.queue, desk.redis, first.id, by=COMMAND_LINE)
    await desk.deliver()
    assert [(got.event["id"], got.headers["webhook-id"]) for got in receiver.got] == [("a1.1", first.id)]
    assert await dead_letters.list_dead(desk.redis, desk.keys) == []
    with pytest.raises(NotReplayableError, match="no dead delivery"):
        await dead_letters.retry(desk.queue, desk.redis, first.id, by=COMMAND_LINE)


async def test_410_disables_the_subscription(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    receiver.answer("/a", 410)
    await desk.publish("a1")
    await desk.deliver()
    await desk.publish("a2")
    await desk.deliver()
    assert receiver.events("/a") == ["a1.1"]
    found = await desk.subscriptions.get("reader", subscription.id)
    assert found is not None
    assert found.status == "disabled"
    assert await desk.states(subscription) == {"a1.1": "dead"}


@pytest.mark.parametrize(("said", "waited"), [("120", 120), ("999999", 3600), ("nonsense", RETRY_DELAYS_SECONDS[0])])
async def test_retry_after_is_honoured_and_bounded(desk: Desk, receiver: Receiver, said: str, waited: float) -> None:
    await desk.subscribe(f"{receiver.url}/a")
    receiver.answer("/a", 429, **{"Retry-After": said})
    await desk.publish("a1")
    await desk.deliver()
    assert (await desk.queue.settle_and_claim([], 0.0, 0)).wait == waited


async def test_redirects_are_not_followed(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    receiver.answer("/a", 307, Location=f"{receiver.url}/elsewhere")
    await desk.publish("a1")
    await desk.deliver()
    assert [got.path for got in receiver.got] == ["/a"]
    assert await desk.states(subscription) == {"a1.1": "waiting"}


async def test_only_the_beginning_of_a_long_response_is_kept(desk: Desk, receiver: Receiver) -> None:
    async def long() -> web.StreamResponse:
        return web.Response(text="x" * 1_000_000)

    receiver.answers["/a"] = long
    subscription = await desk.subscribe(f"{receiver.url}/a")
    await desk.publish("a1")
    await desk.deliver()
    [delivery] = (await desk.deliveries.of(subscription.id, 10)).rows
    [attempt] = await desk.deliveries.attempts(subscription.id, delivery["id"]) or []
    assert attempt["answer"] == "x" * 4096


async def test_a_worker_without_lease_cannot_settle(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    await desk.publish("a1")
    [stale] = await desk.queue.claim(10, 64)
    desk.clock.now += 9
    assert await desk.queue.claim(10, 64) == []
    desk.clock.now += 1
    [fresh] = await desk.queue.claim(10, 64)
    assert (stale.id, stale.attempt, fresh.attempt) == (fresh.id, 1, 2)
    assert await desk.queue.settle([AttemptResult(stale, AttemptOutcome.DEAD, 0, None)]) == [None]
    assert await desk.states(subscription) == {"a1.1": "delivering"}
    assert await desk.queue.settle([AttemptResult(fresh, AttemptOutcome.DELIVERED, 0, None)]) == ["delivered"]
    assert await desk.queue.settle([AttemptResult(fresh, AttemptOutcome.RETRY, 0, None)]) == [None]


async def test_deliveries_continue_after_the_clock_is_set_back_an_hour(desk: Desk, receiver: Receiver) -> None:
    """First attempts, retries and the claims of a killed worker continue on time."""
    await desk.subscribe(f"{receiver.url}/claimed")
    await desk.publish("a1")
    assert len(await desk.queue.claim(30, 64)) == 1
    await desk.subscribe(f"{receiver.url}/failing", {"publishers": ["harbour-post"]})
    receiver.answer("/failing", 500, 204)
    await desk.publish("a2")
    await desk.deliver()
    await desk.publish("a3")

    desk.clock.now -= 3600
    await desk.deliver()
    assert receiver.events("/claimed") == ["a2.1", "a3.1"]
    assert receiver.events("/failing") == ["a2.1", "a3.1"]
    await desk.publish("a4")
    desk.clock.now += RETRY_DELAYS_SECONDS[0]
    await desk.deliver()
    assert receiver.events("/failing") == ["a2.1", "a3.1", "a4.1", "a2.1"]
    desk.clock.now += 30
    await desk.deliver()
    assert receiver.events("/claimed") == ["a2.1", "a3.1", "a4.1", "a1.1"]


async def test_a_small_clock_adjustment_has_no_effect(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/a")
    receiver.answer("/a", 500)
    await desk.publish("a1")
    await desk.deliver()
    desk.clock.now -= 2
    assert (await desk.queue.settle_and_claim([], 0.0, 0)).wait == RETRY_DELAYS_SECONDS[0] + 2


async def test_workers_use_the_time_of_the_server(desk: Desk, receiver: Receiver) -> None:
    """Without an injected clock, as in production, the queue uses the server's time, so that all workers agree on leases."""
    await desk.subscribe(f"{receiver.url}/a")
    desk.clock.now = time.time()
    await desk.publish("a1")
    queue = Queue(desk.redis, desk.keys, retention=RETENTION)
    desk.clock.now += 86_400
    assert len(await queue.claim(30, 64)) == 1
    assert await queue.claim(30, 64) == []
    assert 29 < ((await queue.settle_and_claim([], 0.0, 0)).wait or 0) <= 30


async def test_deliveries_in_flight_per_endpoint_are_limited(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/a")
    await desk.subscribe(f"{receiver.url}/b", {"topics": ["nothing"]})
    for number in range(12):
        await desk.publish(f"a{number}")
    assert len(await desk.queue.claim(30, 64)) == 8
    assert await desk.queue.claim(30, 64) == []


async def test_unsubscribing_cancels_waiting_deliveries(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    await desk.publish("a1")
    assert not await desk.subscriptions.remove("stranger", subscription.id)
    assert await desk.subscriptions.remove("reader", subscription.id)
    await desk.publish("a2")
    await desk.deliver()
    assert receiver.got == []
    assert (await desk.queue.settle_and_claim([], 0.0, 0)).wait is None
    await desk.matcher.catch_up()
    assert len(desk.matcher.index) == 0


async def test_an_erased_version_is_not_delivered(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    await desk.publish("a1")
    await desk.redis.delete(desk.keys.version("a1", 1))
    await desk.deliver()
    assert receiver.got == []
    assert await desk.states(subscription) == {"a1.1": "cancelled"}


async def test_responses_are_erased_with_the_article(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    receiver.answer("/a", 200)
    await desk.publish("a1")
    await desk.deliver()
    await desk.put_retraction("a1", 1)
    [delivery] = (await desk.deliveries.of(subscription.id, 10)).rows
    [attempt] = await desk.deliveries.attempts(subscription.id, delivery["id"]) or []
    assert attempt["answer"] is None
    await desk.fan_out([desk.entries["a1.1.retracted"]])
    assert not await desk.redis.exists(desk.keys.deliveries.key("responses", "a1"))


async def test_a_response_after_the_retraction_is_not_kept(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")

    async def retracted_meanwhile() -> web.StreamResponse:
        receiver.answer("/a", 204)
        await desk.retract("a1")
        return web.Response(text="you sent me: It crossed the sound before dawn.")

    receiver.answers["/a"] = retracted_meanwhile
    await desk.publish("a1")
    await desk.deliver()
    assert await desk.states(subscription) == {"a1.1": "delivered", "a1.1.retracted": "delivered"}
    assert not await desk.redis.exists(desk.keys.deliveries.key("responses", "a1"))


async def test_no_delivery_data_contains_text_of_a_retracted_article(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/a")
    await desk.subscribe(f"{receiver.url}/b")
    receiver.answer("/b", 500)
    item = await desk.put("a1", title="Unmistakable")
    await desk.fan_out([item])
    for wait in (0, *RETRY_DELAYS_SECONDS):
        desk.clock.now += wait
        await desk.deliver()
    await desk.retract("a1")
    await desk.deliver()
    async for key in desk.redis.scan_iter(f"*{desk.keys.namespace}*"):
        if key.decode() != desk.keys.stream:
            assert b"Unmistakable" not in (await desk.redis.dump(key) or b""), key


async def test_the_worker_delivers_at_once_and_releases_what_it_cannot_finish(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    stopping = asyncio.Event()
    running = asyncio.create_task(desk.worker.run(stopping))
    await until(lambda: desk.worker.running)
    await desk.publish("a1")
    await until(lambda: receiver.events("/a") == ["a1.1"])
    stopping.set()
    await asyncio.wait_for(running, 60)
    assert await desk.states(subscription) == {"a1.1": "delivered"}


async def test_a_webhook_over_a_connection_that_the_endpoint_closed_is_sent_over_another_one(desk: Desk) -> None:
    async def once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(it.requests) == 2:
            writer.transport.abort()
        else:
            writer.write(OK)

    it: Endpoint
    async with endpoint(once) as it:
        subscription = await desk.subscribe(it.url)
        for number in range(3):
            await desk.publish(f"a{number}")
            await desk.deliver()
        assert (len(it.requests), it.http_client) == (4, 2)
        assert it.requests[1].partition(b"webhook-id")[2] == it.requests[2].partition(b"webhook-id")[2]
        assert set((await desk.states(subscription)).values()) == {"delivered"}


async def test_attempts_over_open_connections_are_released_when_the_worker_stops(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(it.requests) == 1:
            writer.write(OK)

    monkeypatch.setattr("newswire_notify.deliveries.worker.DRAIN_SECONDS", 0.05)
    it: Endpoint
    async with endpoint(once) as it:
        subscription = await desk.subscribe(it.url)
        stopping = asyncio.Event()
        running = asyncio.create_task(desk.worker.run(stopping))
        await until(lambda: desk.worker.running)
        await desk.publish("a1")
        await until(lambda: len(it.requests) == 1)

        async def is_delivered() -> bool:
            return await desk.states(subscription) == {"a1.1": "delivered"}

        await until(is_delivered)
        await desk.publish("a2")
        await until(lambda: len(it.requests) == 2)
        assert it.http_client == 1
        stopping.set()
        await asyncio.wait_for(running, 60)
        assert await desk.states(subscription) == {"a1.1": "delivered", "a2.1": "waiting"}


async def test_results_are_settled_by_the_next_call_of_the_fan_out_while_it_calls_often(
    desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CARRIED_DELAY_SECONDS", "FREQUENT_SECONDS"):
        monkeypatch.setattr(f"newswire_notify.deliveries.worker.{name}", 600.0)
    subscription = await desk.subscribe(f"{receiver.url}/a")
    await desk.matcher.catch_up()  # otherwise the first event takes two calls
    stopping = asyncio.Event()
    running = asyncio.create_task(desk.worker.run(stopping))
    await until(lambda: desk.worker.running)
    await desk.publish("a1")

    async def is_settled() -> bool:
        return await desk.states(subscription) == {"a1.1": "delivered"}

    await until(is_settled)
    for number in range(2, 5):
        await desk.publish(f"a{number}")
        await until(lambda: len(desk.worker._results) == 1)
    assert await desk.states(subscription) == {
        "a1.1": "delivered",
        "a2.1": "delivered",
        "a3.1": "delivered",
        "a4.1": "delivering",
    }
    plan_and_claim = desk.queue.plan_and_claim

    async def failing(*_: Any, **__: Any) -> Any:
        raise RedisConnectionError("gone")

    monkeypatch.setattr(desk.queue, "plan_and_claim", failing)
    with pytest.raises(RedisConnectionError):
        await desk.publish("a5")
    monkeypatch.setattr(desk.queue, "plan_and_claim", plan_and_claim)
    assert len(desk.worker._results) == 1, "they are settled by another call"
    stopping.set()
    await asyncio.wait_for(running, 60)
    assert (await desk.states(subscription))["a4.1"] == "delivered"
    assert receiver.events("/a") == ["a1.1", "a2.1", "a3.1", "a4.1"]


async def test_results_do_not_wait_where_deliveries_wait_for_them(
    desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CARRIED_DELAY_SECONDS", "FREQUENT_SECONDS", "BLOCKED_SECONDS"):
        monkeypatch.setattr(f"newswire_notify.deliveries.worker.{name}", 600.0)
    await desk.subscribe(f"{receiver.url}/a", concurrency=1)
    stopping = asyncio.Event()
    running = asyncio.create_task(desk.worker.run(stopping))
    await until(lambda: desk.worker.running)
    for number in range(6):
        await desk.publish(f"a{number}")
    await until(lambda: len(receiver.events("/a")) == 6)
    stopping.set()
    await asyncio.wait_for(running, 60)


async def test_kept_responses_are_bounded(desk: Desk, redis: Redis, receiver: Receiver) -> None:
    async def long() -> web.StreamResponse:
        return web.Response(text="x" * 4096)

    receiver.answers["/a"] = long
    await desk.subscribe(f"{receiver.url}/a")
    await desk.publish("first")
    await desk.deliver()
    await desk.fan_out([await desk.put(f"a{number}") for number in range(260)])
    await desk.deliver()
    names = {
        name async for name in redis.scan_iter(desk.keys.deliveries.key("responses", "*"))
    }  # a scan may name one twice
    answers = [await redis.hgetall(name) for name in names]
    kept = sum(len(answer) for found in answers for answer in found.values())
    assert 900_000 < kept <= 1_048_576
    last = receiver.got[-1].event["subject"]  # those that are due at the same moment are sent in any order
    newest = desk.keys.deliveries.key("responses", last)
    assert await redis.exists(newest)
    await desk.retract(last)
    assert not await redis.exists(newest)


async def test_what_waits_is_unknown_while_redis_cannot_be_asked(desk: Desk, keys: Keyspace) -> None:
    async with open_redis(f"redis://127.0.0.1:{free_port()}") as away:
        queue = Queue(away, keys, retention=RETENTION)
        publisher = DeliveryProgressPublisher(queue, desk.broker, keys, SITE)
        with pytest.raises(RedisError):
            await publisher._publish()
        member = GroupMember(away, keys, NOTIFY)
        metrics.consumer_lag.labels(NOTIFY.name).set(7)
        observing = asyncio.create_task(member.keep_observing())
        await until(lambda: REGISTRY.get_sample_value("newswire_consumer_lag_entries", {"group": NOTIFY.name}) is None)
        observing.cancel()
    for name in ("webhook_queue_age_seconds", "endpoints_with_work", "dead_deliveries"):
        value = REGISTRY.get_sample_value(f"newswire_{name}")
        assert value is not None
        assert math.isnan(value)


async def test_metrics_say_how_long_deliveries_wait_and_how_attempts_ended(desk: Desk, receiver: Receiver) -> None:
    async def waiting() -> float:
        await DeliveryProgressPublisher(desk.queue, desk.broker, desk.keys, SITE)._publish()
        return REGISTRY.get_sample_value("newswire_webhook_queue_age_seconds") or 0.0

    def attempts(what: str, result: str) -> float:
        name = f"newswire_webhook_attempt_duration_seconds_{what}"
        return REGISTRY.get_sample_value(name, {"result": result}) or 0.0

    async def slowly() -> web.Response:
        await asyncio.sleep(0.3)
        return web.Response(status=204)

    assert await waiting() == 0
    desk.clock.now = time.time() - 40
    await desk.subscribe(f"{receiver.url}/a")
    await desk.publish("a1")
    assert 40 <= await waiting() <= time.time() - desk.clock.now + 1
    before = {result: (attempts("count", result), attempts("sum", result)) for result in ("2xx", "5xx")}
    receiver.answer("/a", 503)
    desk.clock.now = time.time()
    await desk.deliver()
    assert await waiting() == 0, "it waits for its next attempt, not for a worker"
    receiver.answers["/a"] = slowly
    desk.clock.now += RETRY_DELAYS_SECONDS[0] * 2
    began = time.monotonic()
    await desk.deliver()
    took = time.monotonic() - began
    counts = {result: attempts("count", result) - count for result, (count, _) in before.items()}
    assert counts == {"2xx": 1, "5xx": 1}
    assert 0.3 <= attempts("sum", "2xx") - before["2xx"][1] <= took
