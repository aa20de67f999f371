"""Real servers for every test. Where one cannot be had, a laptop's run skips with the reason; with CI set it fails."""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest
from redis.asyncio import Redis

from tests.servers.elasticsearch import ElasticsearchServer, NoServer, elasticsearch_server
from tests.servers.valkey import redis_server


def lacking(reason: str) -> None:
    """Skip the test for want of a server, or fail it where skipping is not allowed."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture(scope="session")
def _elasticsearch_or_reason() -> Iterator[ElasticsearchServer | str]:
    with ExitStack() as stack:
        try:
            yield stack.enter_context(elasticsearch_server())
        except NoServer as error:
            yield str(error)


@pytest.fixture
def elasticsearch(_elasticsearch_or_reason: ElasticsearchServer | str) -> ElasticsearchServer:
    if isinstance(_elasticsearch_or_reason, str):
        lacking(_elasticsearch_or_reason)
        raise AssertionError
    return _elasticsearch_or_reason


@pytest.fixture
def namespace() -> str:
    return f"t{secrets.token_hex(5)}"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client
