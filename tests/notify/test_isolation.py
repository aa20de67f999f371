"""No account sees or changes data of another, and no response shows a secret: every operation of the OpenAPI document is tried."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.http.application import create_app
from newswire.keys import Keyspace
from newswire_notify.app import service
from newswire_notify.settings import NotifySettings
from tests.notify.conftest import Desk, Receiver, until
from tests.notify.notify_server import served
from tests.polling import DEADLINE_SECONDS

pytestmark = pytest.mark.slow

PATH = "/v1/subscriptions"
TOKEN = "Bearer only-the-endpoint-knows"
SINCE = "2026-01-01T00:00:00Z"


async def operations() -> list[tuple[str, str]]:
    """Return method and path of every operation for subscribers."""
    settings = NotifySettings(namespace="isolation")
    async with service(settings) as notify:  # never connected
        app = create_app([notify], settings, redis=Redis())
        return [
            (method.upper(), path)
            for path, methods in app.openapi()["paths"].items()
            if path.startswith(PATH)
            for method in methods
        ]


def right(method: str, path: str, url: str) -> dict[str, Any] | None:
    """Return a body that would be valid for an own subscription."""
    draft = {"channel": {"type": "webhook", "url": f"{url}/stolen"}}
    if method in ("PUT", "PATCH") or (method == "POST" and path == PATH):
        return draft
    if path == f"{PATH}/preview":
        return {}
    return {"since": SINCE} if method == "POST" and path.endswith("/{subscription_id}/replay") else None


@pytest.fixture
async def http(redis: Redis, redis_url: str, namespace: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = NotifySettings(
        redis_url=SecretStr(redis_url), namespace=namespace, allow_volatile=True, webhook_allow_private=True
    )
    async with served(redis, settings) as (url, _), httpx.AsyncClient(base_url=url, timeout=DEADLINE_SECONDS) as client:
        yield client


async def key(redis: Redis, keys: Keyspace, account: str) -> dict[str, str]:
    created = await create_key(redis, keys, account, set(Scope))
    return {"Authorization": f"Bearer {created.token}"}


async def owned(http: httpx.AsyncClient, desk: Desk, receiver: Receiver, owner: dict[str, str]) -> tuple[str, str, str]:
    """Make a subscription with a delivered and a failing delivery; return its id, its secret and the id of the latter."""
    channel = {"type": "webhook", "url": f"{receiver.url}/own", "headers": {"Authorization": TOKEN}}
    made = (await http.post(PATH, json={"channel": channel}, headers=owner)).json()
    receiver.answer("/own", 204, 500)
    await desk.put("a1")
    await until(lambda: len(receiver.got) == 1)
    await desk.put("a2")
    await until(lambda: len(receiver.got) == 2)

    async def listed() -> bool:
        page = (await http.get(f"{PATH}/{made['id']}/deliveries", headers=owner)).json()["deliveries"]
        return [len(delivery["attempts"]) for delivery in page] == [1, 1]

    await until(listed)
    page = (await http.get(f"{PATH}/{made['id']}/deliveries?article=a2", headers=owner)).json()["deliveries"]
    return made["id"], made["secret"], page[0]["id"]


async def record(desk: Desk, subscription: str) -> dict[str, Any]:
    """All stored data of a subscription by key, except what its own deliveries change."""
    found: dict[str, Any] = {}
    for name in ("subscription", "deliveries", "paused", "backfill"):
        stored = desk.keys.deliveries.key(name, subscription)
        kind = await desk.redis.type(stored)
        found[name] = await (desk.redis.hgetall(stored) if kind == b"hash" else desk.redis.zrange(stored, 0, -1))
    return found


async def test_other_accounts_subscriptions_are_404(
    http: httpx.AsyncClient, redis: Redis, keys: Keyspace, desk: Desk, receiver: Receiver
) -> None:
    owner, stranger = await key(redis, keys, "Owner"), await key(redis, keys, "Stranger")
    subscription, _, delivery = await owned(http, desk, receiver, owner)
    own = (await http.post(PATH, json=right("POST", PATH, receiver.url), headers=stranger)).json()["id"]
    before = await record(desk, subscription)
    assert before["subscription"]
    assert len(before["deliveries"]) == 2
    asked = 0
    for method, path in await operations():
        # With the stranger's own subscription, another's delivery is no more to be seen than with the other's.
        for named in (subscription, own) if "{delivery_id}" in path else (subscription,):
            url = path.format(subscription_id=named, delivery_id=delivery)
            answer = await http.request(method, url, json=right(method, path, receiver.url), headers=stranger)
            if "{subscription_id}" in path:
                assert answer.status_code == 404, (method, path, answer.text)
                assert answer.headers["content-type"] == "application/problem+json"
                asked += 1
            else:
                assert answer.status_code in (200, 201, 422), (method, path, answer.text)
            assert subscription not in answer.text
            assert delivery not in answer.text
    assert asked >= 15
    assert await record(desk, subscription) == before
    assert (await http.get(f"{PATH}/{subscription}", headers=owner)).status_code == 200


async def test_secrets_are_shown_only_once(
    http: httpx.AsyncClient,
    redis: Redis,
    keys: Keyspace,
    desk: Desk,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    owner = await key(redis, keys, "Owner")
    subscription, secret, delivery = await owned(http, desk, receiver, owner)
    rotated = (await http.post(f"{PATH}/{subscription}/secret/rotate", headers=owner)).json()["secret"]
    said: list[str] = []
    for method, path in await operations():
        if method == "DELETE" or (path in (f"{PATH}/{{subscription_id}}/secret/rotate", PATH) and method == "POST"):
            continue
        url = path.format(subscription_id=subscription, delivery_id=delivery)
        for body in ({"channel": TOKEN, "secret": 1}, right(method, path, receiver.url)):
            answer = await http.request(method, url, json=body, headers=owner)
            said += [answer.text, repr(answer.headers)]
    said.append((await http.get("/metrics")).text)
    said += [repr(each.__dict__) for each in caplog.records]
    said += [repr(fields) for _, fields in await redis.xrange(keys.outcomes)]
    again = [
        await desk.subscriptions.get("Owner", subscription),
        desk.worker,
        desk.queue,
        *await desk.queue.claim(1, 9),
    ]
    said += map(repr, again)
    for hidden in (secret, rotated, TOKEN.removeprefix("Bearer ")):
        found = [text for text in said if hidden in text]
        assert found == [], hidden
    assert orjson.loads((await http.get(PATH, headers=owner)).content)["subscriptions"]


async def test_unknown_parameters_are_refused(http: httpx.AsyncClient, redis: Redis, desk: Desk) -> None:
    settings = NotifySettings(namespace="isolation")
    async with service(settings) as notify:  # never connected
        paths = create_app([notify], settings, redis=Redis()).openapi()["paths"]
    everything = await key(redis, desk.keys, "reader")
    tried = 0
    for path, methods in paths.items():
        if not path.startswith("/v1/"):
            continue
        url = path.format_map(_Ids())
        for method in methods:
            body = right(method.upper(), path, "http://127.0.0.1:9") if path.startswith(PATH) else None
            if "/admin/" in path and method != "get":
                body = {"reason": "an order of a court"}
            if path.startswith("/v1/newsletters") and method in ("post", "put", "patch"):
                body = {"name": "Ferries"}
            answer = await http.request(method, f"{url}?nowhere=1", json=body, headers=everything)
            assert answer.status_code == 422, (method, path, answer.text)
            assert [e["field"] for e in answer.json()["errors"] if e["field"] == "nowhere"], (method, path, answer.text)
            tried += 1
    assert tried > 20


class _Ids(dict[str, str]):
    """An id for every part of a path."""

    def __missing__(self, name: str) -> str:
        return "01m8aaaaaaaaaaaaaaaaaaaaaa"
