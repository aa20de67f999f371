"""Connections to an https Elasticsearch need a trusted certificate."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from elasticsearch import ConnectionError as NotConnected
from pydantic import HttpUrl

from newswire_search.app import open_index
from newswire_search.index.elasticsearch.index import ElasticsearchIndex
from newswire_search.settings import SearchSettings


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[str]:
    """Serve https with a certificate of a private authority, and write the authority to ``ca.pem``."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(headers={"X-Elastic-Product": "Elasticsearch"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0, ssl_context=context)
    await site.start()
    yield f"https://localhost:{runner.addresses[0][1]}"
    await runner.cleanup()


async def exists(url: str, authority: Path | None) -> bool:
    settings = SearchSettings(index="elasticsearch", elasticsearch_url=[HttpUrl(url)], elasticsearch_ca_certs=authority)
    index = await open_index(settings)
    assert isinstance(index, ElasticsearchIndex)
    try:
        return bool(await index.client.indices.exists_alias(name=index.alias))
    finally:
        await index.close()


async def test_certificate_of_a_configured_authority_is_accepted(server: str, tmp_path: Path) -> None:
    assert await exists(server, tmp_path / "ca.pem")


async def test_a_certificate_of_an_unknown_authority_is_refused(server: str, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    for authority in (None, other):
        with pytest.raises(NotConnected):
            await exists(server, authority)


def test_missing_certificate_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="elasticsearch_ca_certs"):
        SearchSettings(elasticsearch_ca_certs=tmp_path / "nowhere.pem")
