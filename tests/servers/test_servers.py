"""The servers that the other tests stand on."""

import json
import urllib.request

from redis.asyncio import Redis

from tests.servers.elasticsearch import VERSION, ElasticsearchServer


async def test_redis_keeps_its_data_and_evicts_nothing(redis: Redis) -> None:
    settings = await redis.config_get("appendonly", "maxmemory-policy")
    assert settings == {"appendonly": "yes", "maxmemory-policy": "noeviction"} or settings == {
        b"appendonly": b"yes",
        b"maxmemory-policy": b"noeviction",
    }


def test_elasticsearch_is_the_version_we_ship_with(elasticsearch: ElasticsearchServer) -> None:
    if elasticsearch.password:
        return
    with urllib.request.urlopen(elasticsearch.url) as answer:
        assert json.load(answer)["version"]["number"] == VERSION
