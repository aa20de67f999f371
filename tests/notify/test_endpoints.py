"""Endpoints: secrets, headers, rate, circuit breaker, notices and operations of the owner."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from aiohttp import web
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook as Verifier

from newswire_notify.deliveries.attempt_decisions import RETRY_DELAYS_SECONDS
from newswire_notify.deliveries.worker import Worker
from newswire_notify.subscriptions.models import Subscription
from newswire_notify.subscriptions.owner_notifier import OwnerNotifier
from newswire_notify.webhooks.circuit_breaker import CircuitState
from newswire_notify.webhooks.sending import Sender
from newswire_notify.webhooks.service import TooManySecretsError
from newswire_notify.webhooks.webhook_endpoint import Webhook
from tests.notify.conftest import SITE, Desk, ReceivedWebhook, Receiver, until

DAY = 86_400


def signed_by(got: ReceivedWebhook, *secrets: str) -> None:
    """Assert that a webhook is signed by exactly these, as the reference implementation would sign it."""
    at = datetime.fromtimestamp(int(got.headers["webhook-timestamp"]), UTC)
    expected = [Verifier(secret).sign(got.headers["webhook-id"], at, got.body.decode()) for secret in secrets]
    assert got.headers["webhook-signature"].split(" ") == expected


async def current(desk: Desk, subscription: Subscription) -> Subscription:
    found = await desk.subscriptions.get(subscription.account, subscription.id)
    assert found is not None
    return found


async def fail(desk: Desk, receiver: Receiver, subscription: Subscription, times: int = 5) -> None:
    """Have an endpoint fail so many times in a row."""
    receiver.answer("/a", 500)
    for number in range(times):
        await desk.publish(f"failed{number}")
    await desk.deliver()
    assert (await current(desk, subscription)).health.failures == times


async def test_both_secrets_sign_during_the_overlap(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    desk.clock.now = datetime.now(UTC).timestamp()
    fresh = await desk.endpoints.rotate_secret("reader", subscription.id, 3600)
    assert fresh is not None
    await desk.publish("a1")
    await desk.deliver()
    signed_by(receiver.got[-1], fresh, subscription.secret)
    desk.clock.now += 3601
    await desk.publish("a2")
    await desk.deliver()
    signed_by(receiver.got[-1], fresh)


async def test_a_leaked_secret_can_be_revoked_at_once(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    fresh = await desk.endpoints.rotate_secret("reader", subscription.id, 0)
    await desk.publish("a1")
    await desk.deliver()
    signed_by(receiver.got[-1], str(fresh))


async def test_former_secrets_are_limited(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    for _ in range(3):
        assert await desk.endpoints.rotate_secret("reader", subscription.id, 3600)
    with pytest.raises(TooManySecretsError):
        await desk.endpoints.rotate_secret("reader", subscription.id, 3600)
    assert await desk.endpoints.rotate_secret("stranger", subscription.id, 3600) is None


async def test_custom_headers_do_not_override_standard_ones(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(
        f"{receiver.url}/a", headers={"Authorization": "Bearer ours", "X-Team": "night"}
    )
    await desk.publish("a1")
    await desk.deliver()
    [got] = receiver.got
    assert (got.headers["Authorization"], got.headers["X-Team"]) == ("Bearer ours", "night")
    assert got.headers["Content-Type"] == "application/cloudevents+json"
    shown = json.dumps((await current(desk, subscription)).public_view())
    assert "Bearer ours" not in shown
    assert "header_names" in shown
    assert "Bearer ours" not in repr(await current(desk, subscription))


@pytest.mark.parametrize(
    "headers",
    [
        *({name: "x"} for name in ("Host", "Content-Type", "content-length", "webhook-id", "Webhook-Signature", "Cookie")),
        *({name: "x"} for name in ("Connection", "Transfer-Encoding", "X-Forwarded-For", "x-real-ip", "Proxy-Authorization")),
        *({name: "x"} for name in ("", "X-", "X-A B", "X-A:", "X-Ä", "X-A\r\nHost", "TE", "Expect", "User-Agent")),
        *({name: "x"} for name in ("Forwarded", "Via", "Upgrade", "Keep-Alive", "Trailer", "Set-Cookie", "X-Forwarded")),
        *({name: "x"} for name in ("X-FORWARDED-HOST", "X-Host", "X-Client-IP", "X-Cluster-Client-Ip", "True-Client-IP")),
        *({name: "x"} for name in ("X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Remote-User")),
        *({name: "x"} for name in ("X-aws-ec2-metadata-token", "X-Google-Metadata-Request", "X-Envoy-Internal")),
        *({name: "x"} for name in ("X-Auth-Request-User", "X-WEBAUTH-USER", "X-Amzn-Oidc-Data", "X-MS-CLIENT-PRINCIPAL")),
        *({name: "x"} for name in ("X-Goog-Authenticated-User-Email", "X-Accel-Redirect", "X-Webhook-Signature")),
        *({"X-A": value} for value in ("", " a", "a ", "a\r\nb", "a\nb", "a\0b", "ä", "x" * 2001)),
        {"X-A": "1", "x-a": "2"},
        {f"X-{number}": "x" for number in range(11)},
        {f"X-{number}": "x" * 1500 for number in range(3)},
    ],
    ids=repr,
)  # fmt: skip
def test_headers_that_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Webhook(type="webhook", url="https://example.com/", headers=headers)


@pytest.mark.parametrize(
    "name", ["Authorization", "X-Api-Key", "x-request-id", "X-Team", "X-Token", "X-Correlation-ID"]
)
def test_headers_that_are_accepted(name: str) -> None:
    assert Webhook(type="webhook", url="https://example.com/", headers={name: "x"}).headers == {name: "x"}


async def test_the_owner_limits_deliveries_in_flight(desk: Desk, receiver: Receiver) -> None:
    await desk.subscribe(f"{receiver.url}/a", concurrency=2)
    for number in range(5):
        await desk.publish(f"a{number}")
    assert len(await desk.queue.claim(30, 64)) == 2
    assert await desk.queue.claim(30, 64) == []


async def test_a_later_version_does_not_wait_for_a_hanging_one(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a", concurrency=1)
    await desk.publish("a1")
    [hanging] = await desk.queue.claim(30, 64)
    await desk.publish("a1", 2)
    await desk.deliver()
    assert receiver.events("/a") == ["a1.2"]
    assert await desk.states(subscription) == {"a1.1": "delivering", "a1.2": "delivered"}
    desk.clock.now += 30
    await desk.deliver()
    assert await desk.states(subscription) == {"a1.1": "superseded", "a1.2": "delivered"}
    assert receiver.events("/a") == ["a1.2"]
    assert hanging.version == 1
    assert (await desk.queue.settle_and_claim([], 0.0, 0)).wait is None


@pytest.mark.parametrize(("rate", "seconds", "maximum"), [(2.0, 5, 11), (0.5, 6, 4), (50.0, 1, 56)])
async def test_the_owner_limits_deliveries_per_second(
    desk: Desk, receiver: Receiver, rate: float, seconds: int, maximum: int
) -> None:
    await desk.subscribe(f"{receiver.url}/a", rate=rate)
    for number in range(60):
        await desk.publish(f"a{number}")
    for _ in range(seconds * 10):
        await desk.deliver()
        desk.clock.now += 0.1
    assert rate * seconds <= len(receiver.got) <= maximum


async def test_the_circuit_opens_after_failures_and_probes(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    await fail(desk, receiver, subscription)
    assert (await current(desk, subscription)).health.circuit is CircuitState.OPEN
    for number in range(20):
        await desk.publish(f"a{number}")
    receiver.got.clear()
    await desk.deliver()
    assert receiver.got == []
    waits = [(await desk.queue.settle_and_claim([], 0.0, 0)).wait]
    for _ in range(5):
        desk.clock.now += waits[-1] or 0
        await desk.deliver()
        waits.append((await desk.queue.settle_and_claim([], 0.0, 0)).wait)
    assert waits == [30, 60, 120, 240, 300, 300]
    assert len(receiver.got) == 5
    receiver.answer("/a", 204)
    receiver.got.clear()
    desk.clock.now += 300
    assert len(await desk.queue.claim(0, 64)) == 1  # the probe, given up at once
    await desk.deliver()
    assert len(receiver.got) == 25
    health = (await current(desk, subscription)).health
    assert (health.circuit, health.failures, health.failing_since) == (CircuitState.CLOSED, 0, None)


async def test_retry_after_delays_all_deliveries_of_an_endpoint(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    receiver.answer("/a", 429, **{"Retry-After": "120"})
    await desk.publish("a1")
    await desk.deliver()
    receiver.answer("/a", 204)
    await desk.publish("a2")
    desk.clock.now += 119
    await desk.deliver()
    assert receiver.events("/a") == ["a1.1"]
    assert (await current(desk, subscription)).health.circuit is CircuitState.CLOSED
    desk.clock.now += 1
    await desk.deliver()
    assert receiver.events("/a") == ["a1.1", "a2.1", "a1.1"] or receiver.events("/a") == ["a1.1", "a1.1", "a2.1"]


async def test_days_of_failures_disable_it_and_notify_the_owner(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a", {"topics": ["Ferries"]})
    await desk.subscribe(f"{receiver.url}/notices", {"topics": ["Nothing"]}, notices=True, content="reference")
    await desk.subscribe(f"{receiver.url}/strangers", {"topics": ["Nothing"]}, notices=True, account="stranger")
    receiver.answer("/a", 500)
    for day in range(6):
        for number in range(5):
            await desk.publish(f"a{day}-{number}", topics=["Ferries"])
        await desk.deliver()
        desk.clock.now += DAY
    found = await current(desk, subscription)
    assert (found.status, found.status_reason) == ("disabled", "failing")
    assert (await desk.queue.settle_and_claim([], 0.0, 0)).wait is None
    notices = OwnerNotifier(desk.queue, desk.broker, desk.keys, SITE)
    assert await notices.notify() == 1
    assert await notices.notify() == 0
    await desk.deliver()
    assert [got.event["type"] for got in receiver.got if got.path == "/notices"] == [
        "newswire.subscription.disabled.v1"
    ]
    [notice] = [got.event["data"] for got in receiver.got if got.path == "/notices"]
    assert (notice["id"], notice["account"], notice["reason"]) == (subscription.id, "reader", "failing")
    assert "/strangers" not in {got.path for got in receiver.got}
    said = [json.loads(fields[b"__data__"]) for _, fields in await desk.redis.xrange(desk.keys.outcomes)]
    assert [event["data"] for event in said if event["type"] == "newswire.subscription.disabled.v1"] == [notice]
    progressed = await desk.redis.smembers(desk.keys.deliveries.key("progressed"))
    assert not [event for event in progressed if b"disabled" in event]


async def test_one_success_keeps_it_enabled(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    for day in range(8):
        receiver.answer("/a", 204 if day == 3 else 500)
        await desk.publish(f"a{day}")
        await desk.deliver()
        desk.clock.now += DAY
    assert (await current(desk, subscription)).status == "active"


async def test_a_disabled_subscription_can_be_enabled(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a")
    await desk.publish("before")
    await desk.deliver()
    receiver.answer("/a", 410)
    await desk.publish("a1")
    await desk.deliver()
    assert ((await current(desk, subscription)).status, (await current(desk, subscription)).status_reason) == (
        "disabled",
        "gone",
    )
    await desk.publish("while-disabled")
    receiver.answer("/a", 204)
    await desk.subscriptions.enable(subscription)
    await desk.publish("a2")
    await desk.publish("before", 2, title="Something else")
    await desk.deliver()
    assert receiver.events("/a")[:2] == ["before.1", "a1.1"]
    assert sorted(receiver.events("/a")[2:]) == ["a2.1", "before.2"]
    assert (await current(desk, subscription)).status_reason is None
    assert await OwnerNotifier(desk.queue, desk.broker, desk.keys, SITE).notify() == 0


async def test_a_successful_test_event_closes_the_circuit(desk: Desk, receiver: Receiver) -> None:
    subscription = await desk.subscribe(f"{receiver.url}/a", headers={"X-Team": "night"})
    await fail(desk, receiver, subscription)
    attempt = (await desk.endpoints.test(await current(desk, subscription))).attempt
    assert (attempt.status, attempt.error, attempt.answer) == (500, "http: status 500", "this is 500")
    assert (await current(desk, subscription)).health.circuit is CircuitState.OPEN
    receiver.answer("/a", 200)
    attempt = (await desk.endpoints.test(await current(desk, subscription))).attempt
    assert (attempt.status, attempt.error) == (200, None)
    got = receiver.got[-1]
    assert got.event["type"] == "newswire.test.v1"
    assert got.headers["X-Team"] == "night"
    signed_by(got, subscription.secret)
    assert (await current(desk, subscription)).health.circuit is CircuitState.CLOSED
    desk.clock.now += RETRY_DELAYS_SECONDS[0] * 2
    await desk.deliver()
    assert set((await desk.states(subscription)).values()) == {"delivered"}


async def test_hanging_endpoints_do_not_block_others(desk: Desk, receiver: Receiver) -> None:
    released = asyncio.Event()

    async def hang() -> web.StreamResponse:
        await released.wait()
        return web.Response(status=204)

    for number in range(6):
        receiver.answers[f"/hangs/{number}"] = hang
        await desk.subscribe(f"{receiver.url}/hangs/{number}", {"topics": ["Hanging"]})
    await desk.publish("a1", topics=["Hanging"])
    patient = Sender(desk.endpoints._sender._http_client, desk.clock, timeout=60)
    worker = Worker(desk.queue, desk.redis, desk.keys, patient, SITE, concurrency=3, lease=90, clock=desk.clock)
    stopping = asyncio.Event()
    running = asyncio.create_task(worker.run(stopping))
    try:
        await until(lambda: len(receiver.got) == 6)
        await desk.subscribe(f"{receiver.url}/quick", {"topics": ["Ferries"]})
        for number in range(5):
            await desk.publish(f"b{number}", topics=["Ferries"])
        await until(lambda: len(receiver.events("/quick")) == 5)
    finally:
        released.set()
        stopping.set()
        await running
