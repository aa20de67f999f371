"""Real servers for every test. If one is not available, tests are skipped with the reason; with CI set they fail."""

import functools
import gc
import os
import random
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress

import fastapi.dependencies.models
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

SEED = "NEWSWIRE_TEST_SEED"
"""Names the seed of the order of tests; 0 keeps the order in which they are written."""
SLOW_FIXTURES = {"_elasticsearch_or_reason", "chromium"}
"""Tests that use one of these are marked as slow. Others mark themselves."""


def pytest_configure() -> None:
    """Choose the seed before workers start: all of them must collect the tests in the same order."""
    os.environ.setdefault(SEED, str(random.SystemRandom().randrange(1, 2**32)))


def pytest_report_header() -> str:
    return f"order of the tests of a file: {SEED}={os.environ[SEED]}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests, and shuffle the tests of each file. Files keep their order: long ones begin first.

    pytest groups the tests by their shared fixtures afterwards, so that no server is started twice.
    """
    for item in items:
        if SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    seed = os.environ[SEED]
    if seed == "0":
        return
    by_file: dict[str, list[pytest.Item]] = {}
    for item in items:
        by_file.setdefault(item.nodeid.partition("::")[0], []).append(item)
    for file, tests in by_file.items():
        random.Random(f"{seed} {file}").shuffle(tests)
    items[:] = [item for tests in by_file.values() for item in tests]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Download servers for the selected tests before any timeout applies: a first download takes longer than any of them.

    What was collected lives to the end. The garbage collector need not go through it again and again: on a busy machine that takes
    seconds, in which the timeouts of connections end.
    """
    gc.collect()
    gc.freeze()
    if session.config.option.collectonly:
        return
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if "redis_url" in wanted:
        fetch_redis()
    if "_elasticsearch_or_reason" in wanted:
        with suppress(ServerUnavailableError):  # the fixture reports it to the tests that need it
            fetch_elasticsearch()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Clear what FastAPI keeps of the endpoints it has seen: it would keep the apps of several hundred tests, each with its routes.

    Going through a gigabyte of them takes the garbage collector seconds, in which connections of the tests time out.
    """
    for kept in vars(fastapi.dependencies.models).values():
        if isinstance(kept, functools._lru_cache_wrapper):
            kept.cache_clear()


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
