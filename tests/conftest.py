"""Real servers for every test. If one is not available, tests are skipped with the reason; with CI set they fail."""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress

import pytest
from redis.asyncio import Redis
from selenium.webdriver import Chrome

from newswire.storage.redis_client import open_redis
from tests.servers.browser import BrowserUnavailableError, chromium_browser
from tests.servers.elasticsearch import (
    QUICK_TO_START,
    ElasticsearchServer,
    ServerUnavailableError,
    elasticsearch_server,
    fetch_elasticsearch,
)
from tests.servers.valkey import fetch_redis, redis_server


def pytest_collection_finish(session: pytest.Session) -> None:
    """Download servers for the selected tests before any timeout applies: a first download takes longer than any of them."""
    if session.config.option.collectonly:
        return
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if "redis_url" in wanted:
        fetch_redis()
    if "_elasticsearch_or_reason" in wanted:
        with suppress(ServerUnavailableError):  # the fixture reports it to the tests that need it
            fetch_elasticsearch()


def lacking(reason: str) -> None:
    """Skip the test because a server is missing, or fail it if skipping is not allowed."""
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
            yield stack.enter_context(elasticsearch_server(QUICK_TO_START))
        except ServerUnavailableError as error:
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
    async with open_redis(redis_url) as client:
        yield client


@pytest.fixture
def chromium() -> Iterator[Chrome]:
    with ExitStack() as stack:
        try:
            browser = stack.enter_context(chromium_browser())
        except BrowserUnavailableError as error:
            lacking(str(error))
            raise
        yield browser
