"""A process uses no more connections to Redis and Elasticsearch than docs/operators/sizing.md says."""

import asyncio
import gc
import re
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

from redis.asyncio import BlockingConnectionPool

from newswire.http.application import ServiceFactory
from newswire.storage.redis_client import open_redis
from newswire_ingest.app import service as ingest
from newswire_ingest.settings import IngestSettings
from newswire_notify.app import service as notify
from newswire_notify.settings import NotifySettings
from newswire_search.app import service as search
from newswire_search.index.elasticsearch import client as elasticsearch_client
from newswire_search.settings import SearchSettings

SIZING = Path(__file__).parents[1] / "docs/operators/sizing.md"


async def test_calls_share_the_connections_that_there_may_be(redis_url: str) -> None:
    async with open_redis(redis_url, connections=16) as client, open_redis(redis_url) as other:
        before = {each["id"] for each in await other.client_list()}
        await asyncio.gather(*(client.execute_command("BLPOP", "nothing", 0.05) for _ in range(64)))
        assert len([each for each in await other.client_list() if each["id"] not in before]) == 16


async def test_each_client_of_a_service_has_the_connections_of_the_setting(redis_url: str) -> None:
    own = {"redis_url": redis_url, "redis_connections": 17}
    factories: dict[str, ServiceFactory] = {
        "ingest": lambda: ingest(IngestSettings.model_validate(own)),
        "search": lambda: search(SearchSettings.model_validate(own | {"index": "elasticsearch"})),
        "notify": lambda: notify(NotifySettings.model_validate(own)),
    }
    clients = Counter[str]()
    for name, factory in factories.items():
        async with AsyncExitStack() as stack:
            earlier = {id(pool) for pool in pools()}
            await stack.enter_async_context(factory())
            opened = [pool for pool in pools() if id(pool) not in earlier]
            assert {pool.max_connections for pool in opened} == {17}
            clients[name] = len(opened) + 1  # and the client of the process, which authenticates
    text = SIZING.read_text()
    said = {name: int(number) for name, number in re.findall(r"^\| `(\w+)` \| (\d) ", text, re.MULTILINE)}
    assert said == clients | {"operations": 0}


def pools() -> list[BlockingConnectionPool]:
    return [each for each in gc.get_objects() if isinstance(each, BlockingConnectionPool)]


async def test_the_connections_to_each_elasticsearch_node_are_bounded() -> None:
    urls = "http://a:9200,http://b:9200"
    settings = SearchSettings.model_validate({"elasticsearch_url": urls, "elasticsearch_connections": 3})
    async with elasticsearch_client.connect(settings) as client:
        assert [node.config.connections_per_node for node in client.transport.node_pool.all()] == [3, 3]
