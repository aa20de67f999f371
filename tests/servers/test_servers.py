"""The servers that the other tests use."""

import json
import urllib.request

from redis.asyncio import Redis
from selenium.webdriver import Chrome

from tests.servers.elasticsearch import VERSION, ElasticsearchServer


async def test_redis_keeps_its_data_and_evicts_nothing(redis: Redis) -> None:
    settings = await redis.config_get("appendonly", "maxmemory-policy")
    assert settings == {"appendonly": "yes", "maxmemory-policy": "noeviction"} or settings == {
        b"appendonly": b"yes",
        b"maxmemory-policy": b"noeviction",
    }


def test_elasticsearch_is_the_version_we_ship_with(elasticsearch: ElasticsearchServer) -> None:
    with urllib.request.urlopen(elasticsearch.request("/")) as answer:
        assert json.load(answer)["version"]["number"] == VERSION


def test_elasticsearch_takes_data(elasticsearch: ElasticsearchServer) -> None:
    with urllib.request.urlopen(elasticsearch.request("/_cluster/health")) as answer:
        assert json.load(answer)["status"] in {"green", "yellow"}


def test_chromium_runs_scripts(chromium: Chrome) -> None:
    chromium.get("data:text/html,<title>before</title><script>document.title='after'</script>")
    assert chromium.title == "after"
