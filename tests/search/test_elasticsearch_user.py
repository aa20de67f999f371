"""The role that is printed has exactly the privileges that search needs in Elasticsearch; a snapshot is restored under it."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from elasticsearch import AsyncElasticsearch, AuthorizationException
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from newswire.messaging.messages import DependencyUnavailableError
from newswire_operations.elasticsearch_role import NAME, api_key_request, role_descriptor
from newswire_search.index.elasticsearch.admin import ElasticsearchIndexAdmin
from newswire_search.index.elasticsearch.index import ElasticsearchIndex
from newswire_search.index.mapping import index_settings
from tests.cli.running import newswire
from tests.conftest import lacking
from tests.e2e.conftest import service
from tests.e2e.test_main_job import ARTICLE, bearer
from tests.polling import DEADLINE_SECONDS, until
from tests.search.samples import publish, put, retract, search
from tests.servers.elasticsearch import ElasticsearchServer, ServerUnavailableError, secured_elasticsearch_server

SCRIPT = Path(__file__).parents[2] / "compose/make-search-user.sh"
PASSWORD = "of-the-search-service"
NAMESPACE = "harbour"


@pytest.fixture(scope="module")
def server() -> Iterator[ElasticsearchServer]:
    with ExitStack() as stack:
        try:
            server = stack.enter_context(secured_elasticsearch_server())
        except ServerUnavailableError as error:
            lacking(str(error))
            raise
        for _ in range(2):  # at each start of the stack
            subprocess.run(
                ["sh", SCRIPT],
                check=True,
                env={
                    "PATH": os.environ["PATH"],
                    "ELASTICSEARCH_URL": server.url,
                    "ELASTIC_USERNAME": server.username or "",
                    "ELASTIC_PASSWORD": server.password or "",
                    "SEARCH_INDEX_PASSWORD": PASSWORD,
                    "NEWSWIRE_NAMESPACE": NAMESPACE,
                },
            )
        yield server


@pytest.fixture
async def client(server: ElasticsearchServer) -> AsyncIterator[AsyncElasticsearch]:
    async with AsyncElasticsearch(server.url, basic_auth=(NAME, PASSWORD), request_timeout=60) as client:
        yield client


@pytest.fixture
async def operator(server: ElasticsearchServer) -> AsyncIterator[AsyncElasticsearch]:
    async with operator_of(server) as client:
        yield client


@asynccontextmanager
async def operator_of(server: ElasticsearchServer) -> AsyncIterator[AsyncElasticsearch]:
    credentials = (server.username or "", server.password or "")
    async with AsyncElasticsearch(server.url, basic_auth=credentials, request_timeout=60) as client:
        yield client


async def index_search_and_reindex(client: AsyncElasticsearch, namespace: str) -> None:
    """Do everything that services and commands do in Elasticsearch."""
    index = ElasticsearchIndex(client, namespace, index_settings(1, 0, 50))
    await index.target.ensure()
    articles = [publish(f"01m86knzh692edqb59d0ejve{n:02}", f"Ferry number {n}") for n in range(5)]
    await put(index, *articles)
    await put(index, retract(articles[0].id, 1))
    admin = ElasticsearchIndexAdmin(index)
    await admin.refresh()

    first = await search(index, "ferry", limit=2)
    assert first.total == 4
    second = await search(index, "ferry", limit=2, after=first.next)
    assert len({article["id"] for article in [*first.articles, *second.articles]}) == 4
    assert await index.get(articles[1].id)
    assert await index.check() is None

    old = await admin.in_use()
    assert await admin.mismatch() is None
    assert not await admin.is_empty()
    assert await admin.identity()
    staging = await admin.open_staging(None)
    await staging.write(articles)
    await staging.finish()
    await admin.pause_writes()
    await admin.swap(staging)
    await admin.resume_writes()
    assert await admin.in_use() == staging.name != old
    assert old is not None
    await admin.drop(old)
    assert await admin.unused() == []


async def test_restricted_user_can_index_search_and_reindex(client: AsyncElasticsearch) -> None:
    await index_search_and_reindex(client, NAMESPACE)


async def test_the_script_of_the_full_stack_makes_the_role_that_is_printed(operator: AsyncElasticsearch) -> None:
    made = (await operator.security.get_role(name=NAME))[NAME]
    printed = role_descriptor(NAMESPACE)
    assert made["cluster"] == printed["cluster"]
    (indices,) = made["indices"]
    assert {name: sorted(indices[name]) for name in ("names", "privileges")} == {
        name: sorted(printed["indices"][0][name]) for name in ("names", "privileges")
    }
    assert not made["applications"]
    assert not made["run_as"]


async def test_every_privilege_is_needed(server: ElasticsearchServer, operator: AsyncElasticsearch) -> None:
    whole = role_descriptor("")
    (indices,) = whole["indices"]
    for number, lacked in enumerate((*whole["cluster"], *indices["privileges"])):
        namespace = f"lacking{number}"
        role = role_descriptor(namespace)
        role["cluster"] = [each for each in role["cluster"] if each != lacked]
        role["indices"][0]["privileges"] = [each for each in indices["privileges"] if each != lacked]
        key = await operator.security.create_api_key(name=namespace, role_descriptors={namespace: role})
        async with AsyncElasticsearch(server.url, api_key=key["encoded"], request_timeout=60) as client:
            with pytest.raises((AuthorizationException, DependencyUnavailableError), match="403"):
                await index_search_and_reindex(client, namespace)


async def test_restricted_user_reaches_no_other_index_or_cluster_api(client: AsyncElasticsearch) -> None:
    forbidden = [
        client.indices.create(index="somebody-else"),
        client.indices.create(index="harbours-articles-2-000001"),
        client.indices.delete(index=".security-7"),
        client.indices.close(index=f"{NAMESPACE}-articles-4"),
        client.delete(index=f"{NAMESPACE}-articles-4", id="01m86knzh692edqb59d0ejve01"),
        client.cluster.put_settings(persistent={"action.auto_create_index": "false"}),
        client.cluster.state(),
        client.security.get_user(),
        client.security.put_user(username="other", password="other-password", roles=["superuser"]),
        client.snapshot.get_repository(),
        client.nodes.info(),
        client.indices.put_index_template(name="any", index_patterns=["*"], template={}),
    ]
    for call in forbidden:
        with pytest.raises(AuthorizationException):
            await call


@pytest.fixture
async def settings(server: ElasticsearchServer, redis_url: str, namespace: str) -> dict[str, str]:
    """The settings of services and commands: they use an API key with the printed role."""
    printed = newswire("elasticsearch-role", "--api-key", NEWSWIRE_NAMESPACE=namespace)
    assert printed.returncode == 0, printed.stderr
    assert json.loads(printed.stdout) == api_key_request(namespace)
    async with operator_of(server) as operator:
        key = await operator.security.create_api_key(**json.loads(printed.stdout))
    return {
        "NEWSWIRE_INDEX": "elasticsearch",
        "NEWSWIRE_ELASTICSEARCH_URL": server.url,
        "NEWSWIRE_ELASTICSEARCH_API_KEY": key["encoded"],
        "NEWSWIRE_REDIS_URL": redis_url,
        "NEWSWIRE_NAMESPACE": namespace,
        "NEWSWIRE_ALLOW_VOLATILE": "true",
    }


async def test_a_snapshot_is_restored_under_the_printed_role(
    settings: dict[str, str], operator: AsyncElasticsearch, redis: Redis, tmp_path: Path
) -> None:
    """What was published, corrected and retracted after the snapshot is repaired before the service runs again."""

    def sent(method: str, path: str, **changes: Any) -> str:
        body = None if method == "DELETE" else ARTICLE | changes
        answer = httpx.request(
            method, f"{ingest}{path}", headers=bearer(key), json=body, timeout=DEADLINE_SECONDS, trust_env=False
        )
        assert answer.status_code in (200, 201), answer.text
        return str(answer.json()["id"])

    def found(site: str, words: str) -> int:
        answer = httpx.get(f"{site}/v1/search", params={"q": words}, timeout=DEADLINE_SECONDS, trust_env=False)
        return int(answer.json().get("total", 0))

    def run() -> None:
        with service("search", settings, tmp_path / "search.log") as site:
            ids.extend(sent("POST", "/v1/articles", title=title) for title in ("Tides", "Gales", "Fogs"))
            until(lambda: [found(site, title) for title in ("tides", "gales", "fogs")] == [1, 1, 1])

    def change() -> None:
        sent("PUT", f"/v1/articles/{ids[0]}", title="Currents")
        sent("DELETE", f"/v1/articles/{ids[1]}")
        sent("POST", "/v1/articles", title="Squalls")

    def again() -> None:
        done = newswire("verify", "--repair", **settings)
        assert "1 extra, 1 missing, 1 stale; 3 repaired" in done.stdout, done.stderr
        with service("search", settings, tmp_path / "search.log") as site:
            words = ("tides", "gales", "fogs", "currents", "squalls")
            assert [found(site, word) for word in words] == [0, 0, 1, 1, 1]
            sent("POST", "/v1/articles", title="Moorings")
            until(lambda: found(site, "moorings") == 1)

    ids: list[str] = []
    namespace = settings["NEWSWIRE_NAMESPACE"]
    key = (await create_key(redis, Keyspace(namespace), "harbour-post", {Scope.PUBLISH})).token
    with service("ingest", settings, tmp_path / "ingest.log") as ingest:
        await asyncio.to_thread(run)
        await snapshot(operator, namespace)
        await asyncio.to_thread(change)
        await restore(operator, namespace)
        await asyncio.to_thread(again)


async def snapshot(operator: AsyncElasticsearch, namespace: str) -> None:
    await operator.snapshot.create_repository(
        name="articles", repository={"type": "fs", "settings": {"location": "articles"}}
    )
    made = await operator.snapshot.create(
        repository="articles",
        snapshot="first",
        indices=f"{namespace}-articles-*",
        include_global_state=False,
        wait_for_completion=True,
    )
    assert made["snapshot"]["state"] == "SUCCESS"


async def restore(operator: AsyncElasticsearch, namespace: str) -> None:
    for name in await operator.indices.get(index=f"{namespace}-articles-*"):
        await operator.indices.delete(index=name)
    restored = await operator.snapshot.restore(
        repository="articles",
        snapshot="first",
        indices=f"{namespace}-articles-*",
        include_global_state=False,
        wait_for_completion=True,
    )
    assert restored["snapshot"]["shards"]["failed"] == 0
