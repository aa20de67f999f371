"""Publishers over their rate or quota get 429 with the time of the next attempt; others are not affected."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from newswire.auth.accounts import limit_account
from newswire.auth.credentials import Caller, Scope
from newswire.http.problem_handlers import as_problem
from newswire.keys import Keyspace
from newswire.rate_limits import RatePolicy
from newswire.storage.memory_guard import MemoryGuard
from newswire.storage.redis_client import open_redis
from newswire_ingest.articles.command_batcher import CommandBatcher
from newswire_ingest.articles.repository import publishing_functions
from newswire_ingest.limits.errors import RateExceededError
from newswire_ingest.limits.limits import Limits, seconds_until_midnight
from newswire_ingest.problem_handlers import PROBLEMS
from newswire_ingest.settings import IngestSettings
from tests.ingest.conftest import ARTICLE, Ingest
from tests.servers.valkey import embedded_valkey

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def settings(settings: IngestSettings, request: pytest.FixtureRequest) -> IngestSettings:
    return settings.model_copy(update=getattr(request, "param", {}))


@pytest.fixture
def limits(redis: Redis, namespace: str) -> Limits:
    keys = Keyspace(namespace)
    return Limits(CommandBatcher(publishing_functions(redis, keys).call_all), keys, MemoryGuard(redis, 0.85), 2, 0)


def caller(key_id: str = "a") -> Caller:
    return Caller("Harbour Gazette", key_id, frozenset({Scope.PUBLISH}))


async def remaining(limits: Limits, now: datetime, who: Caller | None = None) -> int:
    [(policy, left, _)] = await limits.admit(who or caller(), now)
    assert policy.name == "publish"
    return left


async def test_a_bucket_is_used_up_and_refills_at_its_rate(limits: Limits) -> None:
    assert [await remaining(limits, NOON) for _ in range(20)] == list(range(19, -1, -1))
    with pytest.raises(RateExceededError) as refused:
        await limits.admit(caller(), NOON)
    problem = as_problem(refused.value, PROBLEMS)
    assert problem is not None
    assert problem.status == 429
    assert problem.headers["Retry-After"] == "1"
    assert problem.headers["RateLimit-Policy"] == '"publish";q=20;w=10'
    assert problem.headers["RateLimit"] == '"publish";r=0;t=1'
    assert await remaining(limits, NOON, caller("b")) == 19
    assert await remaining(limits, NOON + timedelta(seconds=0.5)) == 0
    with pytest.raises(RateExceededError):
        await limits.admit(caller(), NOON + timedelta(seconds=0.9))
    assert await remaining(limits, NOON + timedelta(seconds=60)) == 19


async def test_the_record_of_a_full_bucket_expires(limits: Limits, redis: Redis, namespace: str) -> None:
    await limits.admit(caller(), NOON)
    assert 0 < await redis.pttl(f"{namespace}:rate:a") <= 500


@pytest.mark.parametrize(
    ("rate", "quota", "window"), [(5, 50, 10), (0.5, 5, 10), (0.01, 1, 100), (0.3, 3, 10), (1000, 10_000, 10)]
)
def test_a_rate_is_a_policy(rate: float, quota: int, window: int) -> None:
    assert RatePolicy.of_rate("publish", rate) == RatePolicy("publish", quota, window)


def test_the_day_ends_at_midnight_utc() -> None:
    assert seconds_until_midnight(NOON) == 43_200
    assert seconds_until_midnight(datetime(2026, 3, 1, 23, 59, 59, 1000, tzinfo=UTC)) == 1
    assert seconds_until_midnight(datetime(2026, 3, 2, tzinfo=UTC)) == 86_400


@pytest.mark.parametrize("settings", [{"publish_rate": 0.2}], indirect=True)
async def test_too_many_requests_are_429_with_retry_after(ingest: Ingest, publisher: dict[str, str]) -> None:
    first = await ingest.http.post("/v1/articles", json=ARTICLE, headers=publisher)
    assert first.status_code == 201
    assert first.headers["ratelimit-policy"] == '"publish";q=2;w=10'
    assert re.fullmatch(r'"publish";r=1;t=[1-5]', first.headers["ratelimit"])
    refused_for_its_content = await ingest.http.post("/v1/articles", json={}, headers=publisher)
    assert refused_for_its_content.status_code == 422
    assert refused_for_its_content.headers["ratelimit"].startswith('"publish";r=0')
    refused = await ingest.http.delete(first.headers["location"], headers=publisher)
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert 1 <= int(refused.headers["retry-after"]) <= 5
    assert refused.headers.get_list("ratelimit") == [refused.headers["ratelimit"]]
    assert refused.json()["violated-policies"] == ["publish"]
    read = await ingest.http.get(first.headers["location"], headers=publisher)
    assert (read.status_code, "ratelimit" in read.headers) == (200, False)
    other_key = await ingest.key("Harbour Gazette", Scope.PUBLISH)
    assert (await ingest.http.post("/v1/articles", json=ARTICLE, headers=other_key)).status_code == 201


@pytest.mark.parametrize("settings", [{"daily_quota": 2}], indirect=True)
async def test_a_daily_quota_counts_new_articles_of_the_account(ingest: Ingest, publisher: dict[str, str]) -> None:
    again = {**publisher, "Idempotency-Key": "once"}
    first = await ingest.http.post("/v1/articles", json=ARTICLE, headers=again)
    repeated = await ingest.http.post("/v1/articles", json=ARTICLE, headers=again)
    assert (first.status_code, repeated.status_code) == (201, 200)
    other_key = await ingest.key("Harbour Gazette", Scope.PUBLISH)
    assert (await ingest.http.post("/v1/articles", json=ARTICLE, headers=other_key)).status_code == 201
    fresh = {**publisher, "Idempotency-Key": "other"}
    refused = await ingest.http.post("/v1/articles", json={**ARTICLE, "external_id": "a"}, headers=fresh)
    assert refused.status_code == 429, refused.text
    assert refused.json()["resets_at"].endswith("T00:00:00Z")
    assert refused.json()["resets_at"] in refused.json()["detail"]
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    assert refused.headers["ratelimit-policy"] == '"daily";q=2;w=86400'
    assert refused.headers["ratelimit"].startswith('"daily";r=0;t=')
    assert len(await ingest.events()) == 2
    assert not await ingest.redis.exists(ingest.keys.external("Harbour Gazette"))
    stranger = await ingest.key("Valley Post", Scope.PUBLISH)
    assert (await ingest.http.post("/v1/articles", json=ARTICLE, headers=stranger)).status_code == 201

    await limit_account(ingest.redis, ingest.keys, "Harbour Gazette", {"daily_quota": 3})
    ingest.app.state.callers.clear()  # a process caches a key for a few seconds at most
    assert (await ingest.http.post("/v1/articles", json=ARTICLE, headers=fresh)).status_code == 201


async def test_without_limits_there_are_no_records_and_headers(ingest: Ingest, publisher: dict[str, str]) -> None:
    answer = await ingest.http.post("/v1/articles", json=ARTICLE, headers=publisher)
    assert answer.status_code == 201
    assert "ratelimit" not in answer.headers
    assert not [key async for key in ingest.redis.scan_iter(f"{ingest.keys.namespace}:rate:*")]
    assert not [key async for key in ingest.redis.scan_iter(f"{ingest.keys.namespace}:quota:*")]


async def test_an_account_may_have_a_rate_of_its_own(ingest: Ingest, publisher: dict[str, str]) -> None:
    await limit_account(ingest.redis, ingest.keys, "Harbour Gazette", {"publish_rate": 0.1})
    answers = [await ingest.http.post("/v1/articles", json=ARTICLE, headers=publisher) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 429]


async def test_the_metric_of_memory_follows_the_limit_and_ends_with_it() -> None:
    def fill() -> float | None:
        labels = {"server": f"127.0.0.1:{server.port}", "writers": "publishing"}
        return REGISTRY.get_sample_value("newswire_memory_guard_fill_ratio", labels)

    with embedded_valkey() as server:
        async with open_redis(f"redis://127.0.0.1:{server.port}/0") as redis:
            guard = MemoryGuard(redis, 0.5)
            await guard.measure()
            assert fill() is None
            used = (await redis.info("memory"))["used_memory"]
            await redis.config_set("maxmemory", used * 4)
            await guard.measure()
            assert fill() == pytest.approx(0.5, rel=0.1)
            await redis.config_set("maxmemory", 0)
            await guard.measure()
            assert fill() is None
