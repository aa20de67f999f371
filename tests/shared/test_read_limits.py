"""Read limits and their headers; throttling of failed keys; the network that an address counts for."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Response
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.authentication import authorised
from newswire.auth.authentication_failures import REMEMBERED_SECONDS, AuthenticationFailures, credential_hash
from newswire.auth.credentials import Caller, Scope
from newswire.http.application import Service, create_app
from newswire.http.client_address import ProxyList, client_network
from newswire.http.problems import ProblemError
from newswire.http.read_limits import Cost, ReadLimits, charged
from newswire.keys import Keyspace
from newswire.observability import metrics
from newswire.observability.audit import read_page
from newswire.rate_limits import MAX_BUCKETS, RatePolicy, TokenBuckets
from newswire.settings import Settings
from tests.polling import DEADLINE_SECONDS

KEY = "Bearer nw_01hzzzzzzzzzzzzzzzzzzzzzzz_" + "a" * 48


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def reading(
    redis: Redis, held: asyncio.Event | None = None, **settings: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, FastAPI]]:
    router = APIRouter()

    @router.get("/search", dependencies=[Depends(charged(Cost.SEARCH))])
    async def search() -> dict[str, str]:
        return {}

    @router.get("/record", dependencies=[Depends(charged(Cost.RECORD))])
    async def record() -> dict[str, str]:
        if held is not None:
            await held.wait()
        return {}

    @router.get("/large", dependencies=[Depends(charged(Cost.RECORD))])
    async def large() -> Response:
        return Response(bytes(900_000))

    @router.get("/broken", dependencies=[Depends(charged(Cost.RECORD))])
    async def broken() -> None:
        raise RuntimeError

    @router.get("/private", dependencies=[Depends(authorised(Scope.READ, rechecked=True))])
    async def private() -> Response:
        return Response(status_code=204)

    app = create_app([Service("reading", [router])], Settings(**settings), redis=redis)
    async with client(app) as http:
        yield http, app


def client(app: FastAPI, address: str = "198.51.100.7") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 4711))
    return httpx.AsyncClient(transport=transport, base_url="https://news.example")


async def test_responses_have_rate_limit_headers_and_429_has_retry_after(redis: Redis) -> None:
    async with reading(redis, read_rate=1) as (http, app):
        first = await http.get("/search")
        assert first.headers["ratelimit-policy"] == '"read";q=10;w=10'
        assert first.headers["ratelimit"] == '"read";r=6;t=4'
        assert (await http.get("/record")).headers["ratelimit"].startswith('"read";r=5;t=')
        assert (await http.get("/search")).headers["ratelimit"].startswith('"read";r=1;t=')
        refused = await http.get("/search")
        assert refused.status_code == 429
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["ratelimit"].startswith('"read";r=1;t=')
        assert refused.headers.get_list("ratelimit") == [refused.headers["ratelimit"]]
        assert 1 <= int(refused.headers["retry-after"]) <= 3
        assert refused.json()["violated-policies"] == ["read"]
        assert (await http.get("/record")).status_code == 200  # the remaining units are sufficient for that
        async with client(app, "198.51.100.8") as other:
            assert (await other.get("/search")).status_code == 200


async def test_a_key_has_its_own_rate_from_every_address(redis: Redis, namespace: str) -> None:
    async with reading(redis, namespace=namespace, read_rate=0.4, read_rate_per_key=0.8) as (http, app):
        key = await create_key(redis, Keyspace(namespace), "Valley Post", {Scope.READ})
        headers = {"Authorization": f"Bearer {key.token}"}
        assert (await http.get("/search")).status_code == 200
        assert (await http.get("/search")).status_code == 429
        assert (await http.get("/search", headers=headers)).status_code == 200
        async with client(app, "198.51.100.8") as other:
            assert (await other.get("/search", headers=headers)).headers["ratelimit"].startswith('"read";r=0;')
        assert (await http.get("/search", headers=headers)).status_code == 429


async def test_concurrent_requests_are_limited_and_ended_ones_do_not_count(redis: Redis) -> None:
    held = asyncio.Event()
    async with reading(redis, held, read_concurrency=2) as (http, _):
        assert (await http.get("/broken")).status_code == 500
        waiting = [asyncio.create_task(http.get("/record")) for _ in range(2)]
        async with asyncio.timeout(DEADLINE_SECONDS):
            while (refused := await http.get("/search")).status_code != 429:
                await asyncio.sleep(0.01)
        assert refused.status_code == 429
        assert refused.headers["ratelimit-policy"].startswith('"read-concurrency";q=2;qu="concurrent-requests"')
        assert refused.headers["retry-after"] == "1"
        held.set()
        assert [(await each).status_code for each in waiting] == [200, 200]
        assert (await http.get("/search")).status_code == 200


async def test_a_large_response_is_charged_afterwards(redis: Redis) -> None:
    async with reading(redis, read_rate=1) as (http, _):
        assert (await http.get("/large")).headers["ratelimit"].startswith('"read";r=9;')
        refused = await http.get("/record")
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 11
        assert (await http.get("/large")).status_code == 429


async def test_few_requests_run_at_a_time_and_clients_take_turns(redis: Redis) -> None:
    held = asyncio.Event()
    async with reading(redis, held, read_slots=2) as (http, app), client(app, "198.51.100.8") as other:
        waiting = [asyncio.create_task(each.get("/record")) for each in (http, http, http, other)]
        search = asyncio.create_task(other.get("/search"))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(app.state.read_limits._slots._waiting) < 2:
                await asyncio.sleep(0.01)
        held.set()
        assert [(await each).status_code for each in (*waiting, search)] == [200] * 5
        assert app.state.read_limits._slots._free == 2
        assert not app.state.read_limits._concurrent


async def test_disabled_limits_send_no_headers(redis: Redis) -> None:
    async with reading(redis, read_rate=0, read_concurrency=0) as (http, _):
        answers = await asyncio.gather(*(http.get("/search") for _ in range(200)))
        assert {answer.status_code for answer in answers} == {200}
        assert not any("ratelimit" in answer.headers for answer in answers)


async def test_api_documents_are_charged(redis: Redis) -> None:
    async with reading(redis, read_rate=0.2) as (http, _):
        assert (await http.get("/openapi.json")).status_code == 200
        assert (await http.get("/docs")).status_code == 429
        assert (await http.get("/healthz")).status_code == 200


def test_a_bucket_refills_at_its_rate_up_to_its_window(clock: Clock) -> None:
    buckets = TokenBuckets(RatePolicy("read", 20, 10))
    assert [buckets.spend("a", 8, clock.now).left for _ in range(2)] == [12, 4]
    refused = buckets.spend("a", 8, clock.now)
    assert (refused.allowed, refused.left, refused.seconds) == (False, 4, 2)
    clock.now += 2
    assert buckets.spend("a", 8, clock.now).left == 0
    clock.now += 3600
    assert buckets.spend("a", 20, clock.now).allowed
    assert not buckets.spend("a", 1, clock.now).allowed
    assert buckets.has("b", 20, clock.now)
    assert not buckets.has("b", 21, clock.now)


def test_the_number_of_buckets_is_limited_and_active_ones_are_kept(clock: Clock) -> None:
    buckets = TokenBuckets(RatePolicy("read", 10, 10))
    buckets.spend("used", 5, clock.now)
    for number in range(MAX_BUCKETS):
        buckets.spend(f"2001:db8:{number:x}::/64", 1, clock.now)
        if number == MAX_BUCKETS // 2:
            buckets.spend("used", 5, clock.now)
    assert not buckets.spend("used", 1, clock.now).allowed
    assert len(buckets._full_at) == MAX_BUCKETS


@pytest.mark.parametrize("rate", [0.01, 0.3, 1, 5, 300])
def test_a_rate_allows_its_number_of_requests(rate: float, clock: Clock) -> None:
    limits = ReadLimits(Settings(read_rate=rate), clock)
    policy = RatePolicy.of_rate("read", rate)
    passed = 0
    for _ in range(3000):
        clock.now += policy.window / policy.quota / 3
        try:
            limits.charge(None, "a", 1)
            passed += 1
        except ProblemError:
            pass
    assert passed == pytest.approx(1000 + min(policy.quota, 2000), abs=2)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("made up by a proxy", "made up by a proxy"),
        ("x" * 5000, "x" * 100),
    ],
)
def test_addresses_are_counted_by_network(address: str, network: str) -> None:
    assert client_network(address) == network


def test_proxies_are_addresses_networks_or_all() -> None:
    proxies = ProxyList(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"])
    assert all(each in proxies for each in ("127.0.0.1", "10.9.9.9", "2001:db8::7"))
    assert not any(each in proxies for each in ("127.0.0.2", "2001:db9::7", "gateway", "unknown", ""))
    assert "198.51.100.7" in ProxyList(["*"])


async def test_failed_keys_are_logged_counted_and_throttled(
    redis: Redis, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    def counted(answer: str) -> float:
        return metrics.authentication_failures.labels(answer)._value.get()

    refused, slowed = counted("refused"), counted("slowed_down")
    caplog.set_level(logging.WARNING)
    async with reading(redis, namespace=namespace, authentication_failures=5) as (http, app):
        key = await create_key(redis, Keyspace(namespace), "Valley Post", {Scope.READ})
        honest = {"Authorization": f"Bearer {key.token}"}
        assert (await http.get("/private", headers=honest)).status_code == 204
        statuses = []
        for sent in (KEY, "Basic c2VjcmV0", "Bearer", *[f"{KEY}{number}" for number in range(7)]):
            answer = await http.get("/private", headers={"Authorization": sent})
            statuses.append(answer.status_code)
        assert statuses == [401] * 5 + [429] * 5
        assert answer.json()["title"] == "Too many failed authentications"
        assert 1 <= int(answer.headers["retry-after"]) <= 12
        assert (await http.get("/private", headers=honest)).status_code == 204
        async with client(app, "198.51.100.8") as other:
            assert (await other.get("/private", headers={"Authorization": KEY})).status_code == 401
    assert (counted("refused") - refused, counted("slowed_down") - slowed) == (6, 5)
    logged = [record for record in caplog.records if record.getMessage() == "authentication failed"]
    assert [record.address for record in logged] == ["198.51.100.7"] * 5 + ["198.51.100.8"]  # type: ignore[attr-defined]
    assert logged[0].key == "nw_01hzzzzzzzzzzzzzzzzzzzzzzz"  # type: ignore[attr-defined]
    assert logged[1].key == "malformed"  # type: ignore[attr-defined]
    assert "a" * 48 not in str([vars(record) for record in caplog.records])
    assert any("throttled" in record.getMessage() for record in caplog.records)


async def test_a_burst_of_failed_authentication_leaves_one_audit_entry_per_address(
    redis: Redis, namespace: str
) -> None:
    keys = Keyspace(namespace)
    for _ in range(2):  # a second replica adds none
        async with reading(redis, namespace=namespace, authentication_failures=2) as (http, app):
            for number in range(8):
                await http.get("/private", headers={"Authorization": f"{KEY}{number}"})
            async with client(app, "198.51.100.8") as other:
                assert (await other.get("/private", headers={"Authorization": KEY})).status_code == 401
    page = await read_page(redis, keys, limit=10, act="authentication.")
    [entry] = page.entries
    assert (entry.act, entry.target_type, entry.target) == ("authentication.slowed_down", "address", "198.51.100.7")
    assert (entry.actor.type, entry.actor.address) == ("system", "198.51.100.7")
    assert 0 < await redis.ttl(keys.authentication_burst("198.51.100.7")) <= 60


def test_bursts_are_audited_once_a_minute_each_and_sixty_times_in_all(clock: Clock) -> None:
    failures = AuthenticationFailures(1, clock)
    assert [failures.begins_burst("a") for _ in range(3)] == [True, False, False]
    clock.now += 60
    assert failures.begins_burst("a")
    clock.now += 60
    assert sum(failures.begins_burst(f"client {number}") for number in range(500)) == 60


async def test_a_revoked_key_is_throttled_like_any_other(clock: Clock) -> None:
    failures = AuthenticationFailures(1, clock)
    failures.succeeded(KEY)
    failures.failed("a", "Bearer x", "a")
    failures.check("a", KEY)
    failures.failed("a", KEY, "a")
    with pytest.raises(ProblemError):
        failures.check("a", KEY)
    failures.check("b", KEY)
    clock.now += 60
    failures.check("a", KEY)


async def test_a_key_that_was_valid_long_ago_is_throttled(clock: Clock) -> None:
    failures = AuthenticationFailures(1, clock)
    failures.succeeded(KEY)
    clock.now += REMEMBERED_SECONDS + 1
    failures.failed("a", "Bearer x", "a")
    with pytest.raises(ProblemError) as raised:
        failures.check("a", KEY)
    assert raised.value.headers["Retry-After"] == "60"


async def test_no_credential_is_stored_in_memory(redis: Redis, namespace: str) -> None:
    async with reading(redis, namespace=namespace) as (http, app):
        key = await create_key(redis, Keyspace(namespace), "Valley Post", {Scope.READ})
        header = f"Bearer {key.token}"
        for _ in range(2):
            assert (await http.get("/private", headers={"Authorization": header})).status_code == 204
        assert set(app.state.callers) == set(app.state.authentication_failures._valid) == {credential_hash(header)}
        assert isinstance(app.state.callers[credential_hash(header)][0], Caller)


@pytest.mark.parametrize(
    ("public_url", "sent"), [("https://news.example", "max-age=31536000"), ("http://news.example", None)]
)
async def test_an_https_site_sends_hsts_with_every_response(redis: Redis, public_url: str, sent: str | None) -> None:
    async with reading(redis, public_url=public_url) as (http, _):
        for path in ("/search", "/nothing", "/broken"):
            assert (await http.get(path)).headers.get("strict-transport-security") == sent
