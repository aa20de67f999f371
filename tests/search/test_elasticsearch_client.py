"""Elasticsearch is reached through any node of a cluster, with a key or a user; contradictory settings are refused."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr, ValidationError

from newswire_search.app import open_index
from newswire_search.index.elasticsearch import client as elasticsearch_client
from newswire_search.index.elasticsearch.index import ElasticsearchIndex
from newswire_search.settings import SearchSettings
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.valkey import free_port


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """Yield the address of a node that accepts connections and never answers."""

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(wait, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


def settings_for(*urls: str, server: ElasticsearchServer) -> SearchSettings:
    password = SecretStr(server.password) if server.password else None
    given = {"elasticsearch_username": server.username, "elasticsearch_password": password}
    return SearchSettings.model_validate({"index": "elasticsearch", "elasticsearch_url": ",".join(urls)} | given)


async def test_nodes_that_are_down_or_silent_are_left_out(
    elasticsearch: ElasticsearchServer, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elasticsearch_client, "REQUEST_SECONDS_OF_MANY", 1.0)
    down = f"http://127.0.0.1:{free_port()}"
    index = await open_index(settings_for(down, silent, elasticsearch.url, server=elasticsearch))
    assert isinstance(index, ElasticsearchIndex)
    try:
        for _ in range(20):
            assert (await index.client.info())["version"]["number"]
    finally:
        await index.close()


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://search.example:80/es/", "http://search.example:80/es"),
        ("http://ida:p%40ss@search.example", "http://search.example:80"),
        ("https://[fd00::1]", "https://[fd00::1]:443"),
        ("https://search.example:9243", "https://search.example:9243"),
    ],
)
async def test_an_address_may_have_the_usual_port_or_none(url: str, base: str) -> None:
    client = elasticsearch_client.connect(SearchSettings.model_validate({"elasticsearch_url": url}))
    assert [node.base_url for node in client.transport.node_pool.all()] == [base]
    await client.close()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"elasticsearch_username": "reader"}, "are set together"),
        ({"elasticsearch_api_key": "a", "elasticsearch_username": "b", "elasticsearch_password": "c"}, "not both"),
        ({"elasticsearch_cloud_id": "a:b", "elasticsearch_url": "http://a:9200"}, "not both"),
        ({"elasticsearch_client_key": __file__}, "NEWSWIRE_ELASTICSEARCH_CLIENT_CERT"),
        ({"elasticsearch_url": ""}, "at least 1 item"),
    ],
)
def test_contradictory_settings_are_refused(given: dict[str, str], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        SearchSettings.model_validate(given)


async def test_keys_certificates_and_cloud_ids_are_passed_on() -> None:
    cloud_id = "press:" + "ZXUuZXhhbXBsZSRhYmMkZGVm"  # eu.example$abc$def
    settings = SearchSettings.model_validate({"elasticsearch_cloud_id": cloud_id, "elasticsearch_api_key": "c2VjcmV0"})
    async with elasticsearch_client.connect(settings) as client:
        (node,) = client.transport.node_pool.all()
        assert (node.config.scheme, node.config.host) == ("https", "abc.eu.example")
        assert client._headers["authorization"] == "ApiKey c2VjcmV0"
