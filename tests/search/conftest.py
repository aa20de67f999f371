"""The indexes under test: every test with the fixture ``index`` runs on both."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from elasticsearch import AsyncElasticsearch

from newswire_search.index.elasticsearch.http_node import ElasticsearchNode
from newswire_search.index.elasticsearch.index import ElasticsearchIndex
from newswire_search.index.elasticsearch.transport import ElasticsearchTransport
from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.index.mapping import index_settings
from newswire_search.index.port import ArticleIndex
from tests.servers.elasticsearch import ElasticsearchServer

REFRESH_MS = 50

Opener = Callable[[str], ElasticsearchIndex]


def client_of(server: ElasticsearchServer) -> AsyncElasticsearch:
    credentials = (server.username, server.password or "") if server.username else None
    return AsyncElasticsearch(
        server.url,
        basic_auth=credentials,
        request_timeout=30,
        node_class=ElasticsearchNode,
        transport_class=ElasticsearchTransport,
    )


@pytest.fixture
async def open_elasticsearch_index(elasticsearch: ElasticsearchServer) -> AsyncIterator[Opener]:
    """Open indexes by namespace; all are deleted afterwards."""
    opened: list[ElasticsearchIndex] = []

    def open_index(namespace: str) -> ElasticsearchIndex:
        index = ElasticsearchIndex(client_of(elasticsearch), namespace, index_settings(1, 0, REFRESH_MS))
        opened.append(index)
        return index

    yield open_index
    async with client_of(elasticsearch) as client:
        for index in opened:
            await index.close()
            made = await client.indices.get(index=f"{index.target.stem}-*")
            for name in made:
                await client.indices.delete(index=name)


@pytest.fixture
async def embedded_index(tmp_path: Path) -> AsyncIterator[EmbeddedIndex]:
    index = EmbeddedIndex(tmp_path / "index")
    yield index
    await index.close()


@pytest.fixture
def elasticsearch_index(open_elasticsearch_index: Opener, namespace: str) -> ElasticsearchIndex:
    return open_elasticsearch_index(namespace)


@pytest.fixture(params=["embedded", "elasticsearch"])
def index(request: pytest.FixtureRequest) -> ArticleIndex:
    opened: ArticleIndex = request.getfixturevalue(f"{request.param}_index")
    return opened
