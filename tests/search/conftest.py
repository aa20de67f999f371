"""The indexes under test: every test that takes ``index`` runs on both."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from elasticsearch import AsyncElasticsearch
from newswire_search.elasticsearch_index import ElasticsearchIndex
from newswire_search.embedded_index import EmbeddedIndex
from newswire_search.index import ArticleIndex
from newswire_search.mapping import index_settings

from tests.servers.elasticsearch import ElasticsearchServer

REFRESH_MS = 50
BOTH = ["embedded", "elasticsearch"]

Opener = Callable[[str], Awaitable[ElasticsearchIndex]]


def client_of(server: ElasticsearchServer) -> AsyncElasticsearch:
    credentials = (server.username, server.password or "") if server.username else None
    return AsyncElasticsearch(server.url, basic_auth=credentials, request_timeout=30)


@pytest.fixture
async def open_elasticsearch_index(request: pytest.FixtureRequest) -> AsyncIterator[Opener]:
    """Open indexes by namespace; all are deleted afterwards."""
    server: ElasticsearchServer = request.getfixturevalue("elasticsearch")
    opened: list[ElasticsearchIndex] = []

    async def open_index(namespace: str) -> ElasticsearchIndex:
        index = ElasticsearchIndex(client_of(server), namespace, index_settings(1, 0, REFRESH_MS))
        opened.append(index)
        return index

    yield open_index
    async with client_of(server) as client:
        for index in opened:
            await index.close()
            await client.indices.delete(index=f"{index.alias}-*", ignore_unavailable=True)


@pytest.fixture(params=BOTH)
async def index(request: pytest.FixtureRequest, tmp_path: Path, namespace: str) -> AsyncIterator[ArticleIndex]:
    if request.param == "embedded":
        embedded = EmbeddedIndex(tmp_path / "index")
        yield embedded
        await embedded.close()
    else:
        opener: Opener = request.getfixturevalue("open_elasticsearch_index")
        yield await opener(namespace)
