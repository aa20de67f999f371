"""An account changes subscriptions at a limited rate; other accounts and reading are not affected."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from newswire.rate_limits import RatePolicy
from newswire_notify.settings import NotifySettings
from newswire_notify.subscriptions.write_limit import WriteLimit, WriteRateExceededError
from tests.notify.notify_server import Api, served_api

DRAFT = {"channel": {"type": "webhook", "url": "http://127.0.0.1:9/hook"}}


@pytest.fixture
async def api(redis: Redis, redis_url: str, namespace: str, keys: Keyspace) -> AsyncIterator[Api]:
    settings = NotifySettings(
        redis_url=SecretStr(redis_url),
        namespace=namespace,
        allow_volatile=True,
        webhook_allow_private=True,
        subscription_write_rate=0.003,
    )
    async with served_api(redis, settings, keys) as made:
        yield made


async def test_an_account_that_changes_too_fast_is_told_when_to_go_on(api: Api) -> None:
    key = await api.key("Reading Room", Scope.SUBSCRIBE)
    made = await api.http.post("/v1/subscriptions", json=DRAFT, headers=key)
    assert made.status_code == 201
    assert made.headers["RateLimit-Policy"] == '"subscriptions";q=1;w=334'
    assert made.headers["RateLimit"].startswith('"subscriptions";r=0;t=')
    path = f"/v1/subscriptions/{made.json()['id']}"
    again = await api.key("Reading Room", Scope.SUBSCRIBE)  # another key of the account shares its rate
    for method, address in (
        ("POST", "/v1/subscriptions"),
        ("PUT", path),
        ("PATCH", path),
        ("POST", f"{path}/pause"),
        ("POST", f"{path}/resume"),
        ("POST", f"{path}/enable"),
        ("POST", f"{path}/test"),
        ("POST", f"{path}/secret/rotate"),
        ("DELETE", path),
    ):
        refused = await api.http.request(method, address, json=DRAFT, headers=again)
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:newswire:problem:rate-limited"), address
        assert refused.json()["violated-policies"] == ["subscriptions"]
        assert 0 < int(refused.headers["Retry-After"]) <= 334
        assert refused.headers.get_list("RateLimit-Policy") == ['"subscriptions";q=1;w=334']
    assert (await api.http.get(path, headers=key)).status_code == 200
    other = await api.key("Other Room", Scope.SUBSCRIBE)
    assert (await api.http.post("/v1/subscriptions", json=DRAFT, headers=other)).status_code == 201


def test_the_rate_is_averaged_over_ten_seconds() -> None:
    now = 0.0
    limit = WriteLimit(0.5, lambda: now)
    policy = RatePolicy("subscriptions", 5, 10)
    assert [limit.spend("a") for _ in range(5)] == [(policy, 4 - n, 2 * (n + 1)) for n in range(5)]
    with pytest.raises(WriteRateExceededError, match="5 times in 10 s; try again in 2 s"):
        limit.spend("a")
    assert limit.spend("b") == (policy, 4, 2)
    now = 2.0
    assert limit.spend("a") == (policy, 0, 10)


def test_zero_is_no_limit() -> None:
    assert WriteLimit(0).spend("a") is None
