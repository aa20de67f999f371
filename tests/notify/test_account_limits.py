"""Limits of memory and URLs for the subscriptions of one account."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from newswire.auth.credentials import Scope
from newswire.filter_input import MAX_FILTER_BYTES
from newswire.filters import Filter
from newswire.keys import Keyspace
from newswire_notify.fanout.matcher import Matcher
from newswire_notify.settings import NotifySettings
from newswire_notify.subscriptions.account_limits import AccountLimitError, AccountLimits, ExceededLimit
from newswire_notify.subscriptions.backup import attach_subscriptions
from newswire_notify.subscriptions.models import Subscription, SubscriptionDraft
from tests.notify.conftest import Desk, published
from tests.notify.notify_server import Api, served_api

pytestmark = pytest.mark.slow

TOTAL = 64 * 1024
HOOK = "http://127.0.0.1:9/hook"
COUNTED = ("filter", "labels", "url", "headers")
URNS = "urn:newswire:problem:"


def draft(url: str = HOOK, size: int = 0, **members: Any) -> dict[str, Any]:
    """Return a subscription whose filter takes about so many bytes."""
    filter_ = {"metadata": {"desk": "x" * size}} if size else {}
    return {"channel": {"type": "webhook", "url": url}, "filter": filter_, **members}


TOO_LARGE = {
    "one long value of metadata": {"metadata": {"desk": "x" * MAX_FILTER_BYTES}},
    "fifty values of metadata": {"metadata": {f"name{n}": "ferry " * 300 for n in range(50)}},
    "every field full": {
        name: [f"{n:03}" + "x" * 197 for n in range(100)] for name in ("publishers", "categories", "topics", "authors")
    },
    "few characters of many bytes": {
        "topics": [f"{n:03}" + "鯨" * 197 for n in range(100)],
        "metadata": {"a": "鯨" * 3000},
    },
    "escaped characters": {"metadata": {"desk": '"' * (MAX_FILTER_BYTES // 2 + 1)}},
}


@pytest.fixture
def settings(redis_url: str, namespace: str) -> NotifySettings:
    return NotifySettings(
        redis_url=SecretStr(redis_url),
        namespace=namespace,
        allow_volatile=True,
        webhook_allow_private=True,
        subscription_bytes_per_account=TOTAL,
        webhook_urls_per_host=2,
    )


@pytest.fixture
async def api(redis: Redis, settings: NotifySettings, keys: Keyspace) -> AsyncIterator[Api]:
    async with served_api(redis, settings, keys) as made:
        yield made


async def test_a_filter_of_bounded_size_is_refused_wherever_it_is_sent(api: Api) -> None:
    key = await api.key("Reading Room", Scope.SUBSCRIBE, Scope.READ)
    made = await api.http.post("/v1/subscriptions", json=draft(), headers=key)
    path = f"/v1/subscriptions/{made.json()['id']}"
    for name, filter_ in TOO_LARGE.items():
        for method, address, body in (
            ("POST", "/v1/subscriptions", draft() | {"filter": filter_}),
            ("PUT", path, draft() | {"filter": filter_}),
            ("PATCH", path, {"filter": filter_}),
            ("POST", "/v1/subscriptions/preview", {"filter": filter_}),
            ("POST", "/v1/stream/tokens", {"filter": filter_}),
        ):
            answer = await api.http.request(method, address, json=body, headers=key)
            assert answer.status_code == 422, (name, method, address)
            [error] = answer.json()["errors"]
            assert error["field"] == "filter"
            assert str(MAX_FILTER_BYTES) in error["problem"]
            assert "shorter" in error["fix"]
    assert (await api.http.get(path, headers=key)).json()["filter"] == {}


async def test_patches_that_add_up_to_a_large_filter_are_refused(api: Api) -> None:
    key = await api.key("Reading Room", Scope.SUBSCRIBE)
    made = await api.http.post("/v1/subscriptions", json=draft(), headers=key)
    path = f"/v1/subscriptions/{made.json()['id']}"
    statuses = [
        (await api.http.patch(path, json={"filter": {"metadata": {f"name{n}": "x" * 20_000}}}, headers=key)).status_code
        for n in range(4)
    ]
    assert statuses == [200, 200, 200, 422]


async def test_the_bytes_of_all_subscriptions_of_an_account_are_limited(api: Api) -> None:
    key = await api.key("Reading Room", Scope.SUBSCRIBE)
    first, second, third = [
        await api.http.post("/v1/subscriptions", json=draft(size=size), headers=key)
        for size in (30_000, 30_000, 10_000)
    ]
    assert (first.status_code, second.status_code, third.status_code) == (201, 201, 409)
    assert third.json()["type"] == f"{URNS}subscriptions-too-large"
    for said in (str(TOTAL), "filters, labels, URLs and headers", "NEWSWIRE_SUBSCRIPTION_BYTES_PER_ACCOUNT"):
        assert said in third.json()["detail"]
    path = f"/v1/subscriptions/{first.json()['id']}"
    for method, body in (
        ("PATCH", draft(size=40_000)),
        ("PUT", draft(size=40_000)),
        (
            "PATCH",
            {"labels": {f"name{n}": "l" * 200 for n in range(20)}, "filter": {"metadata": {"desk": "x" * 32_000}}},
        ),
    ):
        grown = await api.http.request(method, path, json=body, headers=key)
        assert (grown.status_code, grown.json()["type"]) == (409, f"{URNS}subscriptions-too-large")
    assert (await api.http.get(path, headers=key)).json()["filter"] == draft(size=30_000)["filter"]
    assert (await api.http.patch(path, json=draft(size=20_000), headers=key)).status_code == 200
    assert (await api.http.post("/v1/subscriptions", json=draft(size=10_000), headers=key)).status_code == 201
    stranger = await api.key("Stranger", Scope.SUBSCRIBE)
    assert (await api.http.post("/v1/subscriptions", json=draft(size=30_000), headers=stranger)).status_code == 201
    await api.http.delete(f"/v1/subscriptions/{second.json()['id']}", headers=key)
    assert (await api.http.post("/v1/subscriptions", json=draft(size=25_000), headers=key)).status_code == 201


async def test_many_short_values_count_with_their_memory(api: Api) -> None:
    key = await api.key("Reading Room", Scope.SUBSCRIBE)
    values = [f"{number:x}" for number in range(100)]
    filter_ = dict.fromkeys(("publishers", "categories", "topics", "authors"), values)
    many = draft() | {"filter": filter_ | {"languages": [f"de-x-{value}" for value in values]}}
    statuses = [(await api.http.post("/v1/subscriptions", json=many, headers=key)).status_code for _ in range(3)]
    assert statuses == [201, 409, 409]  # 3 KB of JSON each, of 64 KiB in all


async def test_the_urls_of_one_host_are_limited(api: Api) -> None:
    key = await api.key("Reading Room", Scope.SUBSCRIBE)

    async def subscribe(url: str) -> httpx.Response:
        return await api.http.post("/v1/subscriptions", json=draft(url), headers=key)

    one = await subscribe("http://hooks.example/1")
    two = await subscribe("http://hooks.example/2")
    assert (one.status_code, two.status_code) == (201, 201)
    for url in (
        "http://hooks.example/3",
        "http://HOOKS.example/3",
        "http://hooks.example./3",
        "https://hooks.example/1",
        "http://hooks.example:8080/1",
        "http://hooks.example/1?n=1",
    ):
        refused = await subscribe(url)
        assert (refused.status_code, refused.json()["type"]) == (409, f"{URNS}too-many-urls-of-host"), url
        for said in ("hooks.example", " 2 ", "NEWSWIRE_WEBHOOK_URLS_PER_HOST"):
            assert said in refused.json()["detail"]
    for url in ("http://hooks.example/1", "http://other.example/3", "http://127.0.0.1:9/3", "http://[::1]:9/3"):
        assert (await subscribe(url)).status_code == 201, url

    elsewhere = (await subscribe("http://other.example/3")).json()["id"]
    for body in ({"channel": {"url": "http://hooks.example/3"}}, draft("http://hooks.example/3")):
        method = "PUT" if "filter" in body else "PATCH"
        moved = await api.http.request(method, f"/v1/subscriptions/{elsewhere}", json=body, headers=key)
        assert moved.status_code == 409, method
    freed = await api.http.patch(
        f"/v1/subscriptions/{two.json()['id']}", json={"channel": {"url": "http://hooks.example/4"}}, headers=key
    )
    assert freed.status_code == 200
    assert (await subscribe("http://hooks.example/2")).status_code == 409
    await api.http.delete(f"/v1/subscriptions/{two.json()['id']}", headers=key)
    assert (await subscribe("http://hooks.example/2")).status_code == 201


async def test_concurrent_requests_do_not_exceed_a_limit(desk: Desk) -> None:
    limits = AccountLimits(total_bytes=10_000, urls_per_host=3)

    async def attempt(number: int) -> Subscription | ExceededLimit:
        wanted = SubscriptionDraft.model_validate(draft(f"http://hooks.example/{number}"))
        try:
            return await desk.subscriptions.add("reader", wanted, limits=limits)
        except AccountLimitError as error:
            return error.limit

    outcomes = Counter(type(made).__name__ for made in await asyncio.gather(*map(attempt, range(20))))
    assert outcomes == {"Subscription": 3, "ExceededLimit": 17}


async def test_a_change_that_adds_nothing_is_accepted_after_a_limit_was_lowered(desk: Desk) -> None:
    made = [await desk.subscribe(f"http://hooks.example/{n}", draft(size=1000)["filter"]) for n in range(5)]
    lowered = AccountLimits(total_bytes=1000, urls_per_host=2)

    async def change(at: int, body: dict[str, Any]) -> bool | None:
        found = await desk.subscriptions.get("reader", made[at].id)
        assert found is not None
        return await desk.subscriptions.update(found, SubscriptionDraft.model_validate(body), lowered)

    assert await change(0, draft("http://hooks.example/0", size=900))
    assert await change(1, draft("http://hooks.example/9", size=900))
    for body in (
        draft("http://hooks.example/2", size=1001),
        draft("http://hooks.example/2", size=900, labels={"a": "b" * 200}),
    ):
        with pytest.raises(AccountLimitError):
            await change(2, body)


async def test_an_entitlement_is_applied_whatever_the_limits_say(desk: Desk) -> None:
    made = await desk.subscribe(HOOK)
    key = desk.keys.deliveries.key("subscription", made.id)
    beyond = Filter(metadata={"desk": "x" * 2 * MAX_FILTER_BYTES}).model_dump_json(exclude_defaults=True)
    await desk.redis.hset(key, mapping={"filter": beyond, "url": "gopher://no longer accepted"})
    await desk.redis.delete(desk.keys.deliveries.key("usage", "reader"))
    found = await desk.subscriptions.get("reader", made.id)
    assert found is not None
    assert await desk.subscriptions.set_entitlement(found, '{"topics":["Ferries"]}')
    narrowed = await desk.subscriptions.get("reader", made.id)
    assert narrowed is not None
    assert (narrowed.entitlement, narrowed.filter) == ('{"topics":["Ferries"]}', found.filter)


async def usage(desk: Desk, account: str) -> dict[str, Any]:
    """Return the usage of an account; of URLs only the number of uses."""
    found = await desk.redis.hgetall(desk.keys.deliveries.key("usage", account))
    plain = {name.decode(): int(count) for name, count in found.items()}
    urls = sorted(count for name, count in plain.items() if name.startswith("url|"))
    return {name: count for name, count in plain.items() if not name.startswith("url|")} | {"urls": urls}


async def counted(desk: Desk, account: str) -> dict[str, Any]:
    """Compute the usage from the records."""
    records = [
        await desk.redis.hgetall(desk.keys.deliveries.key("subscription", made.id))
        async for made in desk.subscriptions.of(account)
    ]
    urls = Counter(record[b"url"].decode() for record in records)
    hosts = Counter(f"host|{urlsplit(url).hostname}" for url in urls)
    total = sum(len(record.get(name.encode(), b"")) for record in records for name in COUNTED)
    total += 64 * sum(record[b"filter"].count(b'"') // 2 for record in records)
    return {"size": total, **hosts, "urls": sorted(urls.values())} if records else {"urls": []}


async def test_usage_equals_the_records_after_any_changes(desk: Desk) -> None:
    dice = random.Random(4)
    made: list[Subscription] = []

    def any_draft() -> SubscriptionDraft:
        host = dice.choice(("hooks.example", "other.example"))
        return SubscriptionDraft.model_validate(draft(f"http://{host}/{dice.randrange(3)}", size=dice.randrange(50)))

    for _ in range(120):
        action = dice.choice(("add", "alter", "alter", "remove", "pause", "entitle", "forget"))
        current = await desk.subscriptions.get("reader", dice.choice(made).id) if made else None
        if action == "add" or current is None:
            made.append(await desk.subscriptions.add("reader", any_draft()))
        elif action == "alter":
            assert await desk.subscriptions.update(current, any_draft())
        elif action == "remove":
            made = [each for each in made if each.id != current.id]
            assert await desk.subscriptions.remove("reader", current.id)
        elif action == "pause":
            await desk.subscriptions.pause(current)
        elif action == "entitle":
            assert await desk.subscriptions.set_entitlement(current, dice.choice((None, '{"topics":["Ferries"]}')))
        else:
            await desk.redis.delete(desk.keys.deliveries.key("usage", "reader"))
        if await desk.redis.exists(desk.keys.deliveries.key("usage", "reader")):  # else the next write builds it
            assert await usage(desk, "reader") == await counted(desk, "reader"), action
    for each in made:
        await desk.subscriptions.remove("reader", each.id)
    assert await desk.redis.exists(desk.keys.deliveries.key("usage", "reader")) == 0


async def test_usage_is_rebuilt_after_a_restore(desk: Desk) -> None:
    await desk.subscribe("http://hooks.example/1", draft(size=500)["filter"])
    await desk.redis.hset(desk.keys.deliveries.key("usage", "reader"), mapping={"size": 1, "host|hooks.example": 99})
    await attach_subscriptions(desk.redis, desk.keys)
    await desk.subscribe("http://hooks.example/2")
    assert await usage(desk, "reader") == await counted(desk, "reader")


async def test_the_change_feed_does_not_grow_with_the_filters(desk: Desk) -> None:
    matcher = Matcher(desk.redis, desk.keys)
    await matcher.catch_up()
    for number in range(40):
        made = await desk.subscribe(HOOK, {"metadata": {"desk": f"{number} " + "x" * 60_000}})
        await desk.subscriptions.remove("reader", made.id)
    standing = await desk.subscribe(HOOK, {"metadata": {"desk": "x" * 60_000}})
    changes = desk.keys.deliveries.key("filters", "changes")
    assert await desk.redis.xlen(changes) == 81
    assert await desk.redis.memory_usage(changes, samples=0) < 60_000
    await matcher.catch_up()
    article = published("a1", metadata={"desk": "x" * 60_000})
    assert matcher.match(article) == [standing.criteria().digest()]


async def test_a_filter_that_is_removed_and_added_again_is_matched(desk: Desk) -> None:
    matcher = Matcher(desk.redis, desk.keys)
    await matcher.catch_up()
    gone = await desk.subscribe(HOOK, {"query": "harbour"})
    for _ in range(3):
        made = await desk.subscribe(HOOK, {"query": "ferry"})
        await desk.subscriptions.remove("reader", made.id)
    await desk.subscriptions.remove("reader", gone.id)
    back = await desk.subscribe(HOOK, {"query": "ferry"})
    await matcher.catch_up()
    assert len(matcher.index) == 1
    assert matcher.match(published("a1")) == [back.criteria().digest()]
