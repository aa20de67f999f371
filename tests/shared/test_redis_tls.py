"""Redis with TLS: the URL names the trusted certificate authority."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from redis.exceptions import ConnectionError as NotConnected

from newswire.storage.redis_client import open_redis


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    """Serve the commands of a connecting Redis client, with TLS."""
    import asyncio

    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.startswith(b"*"):
                words = []
                for _ in range(int(line[1:])):
                    await reader.readline()
                    words.append((await reader.readline()).strip())
                writer.write(b"+PONG\r\n" if words[0].upper() == b"PING" else b"+OK\r\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "localhost", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_the_certificate_authority_is_set_in_the_url(port: int, tmp_path: Path) -> None:
    async with open_redis(
        f"rediss://:secret@localhost:{port}/0?ssl_ca_certs={tmp_path / 'ca.pem'}&protocol=2"
    ) as redis:
        assert await redis.ping()


async def test_a_certificate_of_an_unknown_authority_is_rejected(port: int) -> None:
    async with open_redis(f"rediss://:secret@localhost:{port}/0?protocol=2") as redis:
        with pytest.raises(NotConnected, match="certificate"):
            await redis.ping()
