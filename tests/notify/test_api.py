"""The subscribers' API over HTTP, and the path of a version through a served notify."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from standardwebhooks.webhooks import Webhook

from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from newswire.observability.audit import read_page
from newswire_notify.settings import NotifySettings
from tests.notify.conftest import Desk, Receiver, until
from tests.notify.notify_server import Api, served, served_api

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(redis_url: str, namespace: str) -> NotifySettings:
    return NotifySettings(
        redis_url=SecretStr(redis_url),
        namespace=namespace,
        allow_volatile=True,
        webhook_allow_private=True,
        subscriptions_per_account=3,
    )


@pytest.fixture
async def api(redis: Redis, settings: NotifySettings, keys: Keyspace) -> AsyncIterator[Api]:
    async with served_api(redis, settings, keys) as made:
        yield made


@pytest.fixture
async def subscriber(api: Api) -> dict[str, str]:
    return await api.key("Reading Room", Scope.SUBSCRIBE)


async def test_a_subscription_receives_a_verified_webhook(
    api: Api, subscriber: dict[str, str], receiver: Receiver, desk: Desk
) -> None:
    draft = {
        "channel": {"type": "webhook", "url": f"{receiver.url}/a"},
        "filter": {"query": "ferries", "categories": ["transport"]},
    }
    answer = await api.http.post("/v1/subscriptions", json=draft, headers=subscriber)
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"/v1/subscriptions/{made['id']}"
    assert made["channel"] == draft["channel"]
    assert made["filter"] == draft["filter"]
    assert made["events"] == ["published", "updated", "corrected", "retracted"]
    assert (made["content"], made["status"]) == ("full", "active")
    await desk.put("a1")
    await until(lambda: receiver.events("/a") == ["a1.1"])
    [got] = receiver.got
    assert Webhook(made["secret"]).verify(got.body, {k.lower(): v for k, v in got.headers.items()})["id"] == "a1.1"
    listed = (await api.http.get("/v1/subscriptions", headers=subscriber)).json()
    read = (await api.http.get(f"/v1/subscriptions/{made['id']}", headers=subscriber)).json()
    assert listed == {"subscriptions": [read], "next_cursor": None}
    assert read == {name: value for name, value in made.items() if name != "secret"}

    async def shown() -> bool:
        deliveries = (await api.http.get(f"/v1/subscriptions/{made['id']}/deliveries", headers=subscriber)).json()[
            "deliveries"
        ]
        return [(d["event"], d["state"], [a["status"] for a in d["attempts"]]) for d in deliveries] == [
            ("a1.1", "delivered", [204])
        ]

    await until(shown)
    assert (await api.http.delete(f"/v1/subscriptions/{made['id']}", headers=subscriber)).status_code == 204
    assert (await api.http.get(f"/v1/subscriptions/{made['id']}", headers=subscriber)).status_code == 404
    metrics = (await api.http.get("/metrics")).text
    assert 'newswire_webhook_deliveries_total{outcome="delivered"}' in metrics


async def test_another_account_sees_nothing(api: Api, subscriber: dict[str, str], receiver: Receiver) -> None:
    draft = {"channel": {"type": "webhook", "url": receiver.url}}
    made = (await api.http.post("/v1/subscriptions", json=draft, headers=subscriber)).json()
    stranger = await api.key("Stranger", Scope.SUBSCRIBE)
    path = f"/v1/subscriptions/{made['id']}"
    assert (await api.http.get("/v1/subscriptions", headers=stranger)).json() == {
        "subscriptions": [],
        "next_cursor": None,
    }
    for method, address in (
        ("GET", path),
        ("DELETE", path),
        ("GET", path + "/deliveries"),
        ("POST", path + "/secret/rotate"),
        ("POST", path + "/test"),
        ("POST", path + "/enable"),
    ):
        answer = await api.http.request(method, address, headers=stranger)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await api.http.get(path, headers=subscriber)).status_code == 200


async def test_an_owner_rotates_tests_and_enables_an_endpoint(
    api: Api, subscriber: dict[str, str], receiver: Receiver, redis: Redis, keys: Keyspace
) -> None:
    channel = {
        "type": "webhook",
        "url": f"{receiver.url}/a",
        "headers": {"X-Team": "night shift"},
        "rate": 20,
        "notices": True,
    }
    made = (await api.http.post("/v1/subscriptions", json={"channel": channel}, headers=subscriber)).json()
    path = f"/v1/subscriptions/{made['id']}"
    assert made["channel"] == {
        "type": "webhook", "url": channel["url"], "header_names": ["X-Team"], "rate": 20, "notices": True,
    }  # fmt: skip
    tested = (await api.http.post(path + "/test", headers=subscriber)).json()
    assert (tested["delivered"], tested["status"], tested["error"]) == (True, 204, None)
    [got] = receiver.got
    assert got.headers["X-Team"] == "night shift"
    assert Webhook(made["secret"]).verify(got.body, {k.lower(): v for k, v in got.headers.items()})
    answer = await api.http.post(path + "/secret/rotate", json={"overlap": 60}, headers=subscriber)
    assert answer.headers["cache-control"] == "no-store"
    await api.http.post(path + "/test", headers=subscriber)
    for secret in (made["secret"], answer.json()["secret"]):
        assert Webhook(secret).verify(receiver.got[1].body, {k.lower(): v for k, v in receiver.got[1].headers.items()})
    assert (await api.http.post(path + "/secret/rotate", json={"overlap": -1}, headers=subscriber)).status_code == 422
    for _ in range(2):
        await api.http.post(path + "/secret/rotate", headers=subscriber)
    refused = await api.http.post(path + "/secret/rotate", headers=subscriber)
    assert (refused.status_code, refused.json()["title"]) == (409, "Too many secrets")
    receiver.answer("/a", 410)
    tested = (await api.http.post(path + "/test", headers=subscriber)).json()
    assert (tested["delivered"], tested["status"], tested["answer"]) == (False, 410, "")  # it is at a private address
    enabled = await api.http.post(path + "/enable", headers=subscriber)
    assert (enabled.status_code, enabled.json()["status"]) == (200, "active")
    for text in (enabled.text, (await api.http.get("/v1/subscriptions", headers=subscriber)).text):
        assert "whsec_" not in text
        assert "night shift" not in text
    acts = [entry.act for entry in (await read_page(redis, keys, limit=20, act="subscription.")).entries]
    assert Counter(acts) == {
        "subscription.created": 1,
        "subscription.tested": 3,
        "subscription.secret_rotated": 3,
    }  # it was not disabled: to enable it changed nothing


async def test_keys_and_scopes(api: Api, receiver: Receiver) -> None:
    draft = {"channel": {"type": "webhook", "url": receiver.url}}
    assert (await api.http.post("/v1/subscriptions", json=draft)).status_code == 401
    publisher = await api.key("P", Scope.PUBLISH)
    assert (await api.http.post("/v1/subscriptions", json=draft, headers=publisher)).status_code == 403
    admin = await api.key("A", Scope.ADMIN)
    assert (await api.http.post("/v1/subscriptions", json=draft, headers=admin)).status_code == 201


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"channel": None}, "channel"),
    ({"channel": {"type": "pigeon", "url": "https://example.com/"}}, "channel.type"),
    ({"channel": {"type": "webhook", "url": "nonsense"}}, "channel.url"),
    ({"channel": {"type": "webhook", "url": "https://example.com/", "secret": "mine"}}, "channel.secret"),
    ({"channel": {"type": "webhook", "url": "https://example.com/", "headers": {"Host": "x"}}}, "channel.headers"),
    ({"channel": {"type": "webhook", "url": "https://example.com/", "rate": 0}}, "channel.rate"),
    ({"channel": {"type": "webhook", "url": "https://example.com/", "concurrency": 257}}, "channel.concurrency"),
    ({"filter": {"topic": ["x"]}}, "filter.topic"),
    ({"filter": {"query": "x" * 1001}}, "filter.query"),
    ({"filter": {"query": "ferr*"}}, "filter.query"),
    ({"filter": {"metadata": {"desk": 1}}}, "filter.metadata.desk"),
    ({"events": ["published"]}, "events"),
    ({"events": ["published", "retracted", "burned"]}, "events.2"),
    ({"content": "everything"}, "content"),
    ({"colour": "red"}, "colour"),
]


async def test_invalid_members_are_named(api: Api, subscriber: dict[str, str], receiver: Receiver) -> None:
    for changes, field in WRONG:
        draft = {"channel": {"type": "webhook", "url": receiver.url}} | changes
        answer = await api.http.post("/v1/subscriptions", json=draft, headers=subscriber)
        assert answer.status_code == 422, changes
        assert answer.headers["content-type"] == "application/problem+json"
        assert field in [error["field"] for error in answer.json()["errors"]], changes


async def test_subscriptions_of_an_account_are_limited(
    api: Api, subscriber: dict[str, str], receiver: Receiver
) -> None:
    draft = {"channel": {"type": "webhook", "url": receiver.url}}
    statuses = [
        (await api.http.post("/v1/subscriptions", json=draft, headers=subscriber)).status_code for _ in range(4)
    ]
    assert statuses == [201, 201, 201, 409]


async def test_private_endpoints_are_refused_by_default(
    redis: Redis, settings: NotifySettings, keys: Keyspace, receiver: Receiver
) -> None:
    closed = settings.model_copy(update={"webhook_allow_private": False})
    async with served(redis, closed) as (url, _), httpx.AsyncClient(base_url=url) as http:
        key = await Api(http, redis, keys).key("R", Scope.SUBSCRIBE)
        for address in (receiver.url, "https://127.0.0.1/", "https://[::1]/"):
            answer = await http.post(
                "/v1/subscriptions", json={"channel": {"type": "webhook", "url": address}}, headers=key
            )
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["field"] == "channel.url"
