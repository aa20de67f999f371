"""The user that the compose file creates for search has exactly the privileges that search needs."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from elasticsearch import AsyncElasticsearch, AuthorizationException

from newswire_search.index.elasticsearch.admin import ElasticsearchIndexAdmin
from newswire_search.index.elasticsearch.index import ElasticsearchIndex
from newswire_search.index.mapping import index_settings
from tests.conftest import lacking
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
    async with AsyncElasticsearch(server.url, basic_auth=("newswire-search", PASSWORD), request_timeout=60) as client:
        yield client


async def test_restricted_user_can_index_search_and_reindex(client: AsyncElasticsearch) -> None:
    index = ElasticsearchIndex(client, NAMESPACE, index_settings(1, 0, 50))
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


async def test_restricted_user_reaches_no_other_index_or_cluster_api(client: AsyncElasticsearch) -> None:
    forbidden = [
        client.indices.create(index="somebody-else"),
        client.indices.create(index="harbours-articles-2-000001"),
        client.indices.delete(index=".security-7"),
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
