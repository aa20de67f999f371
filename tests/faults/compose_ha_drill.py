"""`make drill-compose-ha`: builds the highly available compose stack, kills one of everything during publishing, and counts.

The primary of Redis, a Sentinel, an Elasticsearch node, a replica of each service and a gateway are killed in turn and started
again. Each time an article must be published, found and delivered while the killed container is away. The publisher behaves as in
the drill of the full stack, with which this one shares its load and its checker. In the end all stores are killed at once:
the roles that Redis servers had must survive it.
"""

import argparse
import asyncio
import itertools
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import httpx
from elasticsearch import AsyncElasticsearch
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_search.index.mapping import alias_in_use
from tests.e2e.conftest import Newswire
from tests.e2e.test_main_job import bearer
from tests.faults import compose_drill
from tests.faults.compose import HIGHLY_AVAILABLE, compose, containers, docker, published
from tests.faults.compose_drill import (
    GATEWAY,
    OPERATORS,
    RECEIVER,
    Cause,
    Drill,
    Harm,
    received,
    storm,
    the_main_job,
)
from tests.faults.journal import Journal, Subscriber, Write
from tests.faults.readback import Readback, read_back, read_index
from tests.polling import until

SECOND_GATEWAY = "http://127.0.0.1:8010"
SERVERS = {"10.213.79.11": "redis", "10.213.79.12": "redis-2", "10.213.79.13": "redis-3"}
NODES = ("elasticsearch", "elasticsearch-2", "elasticsearch-3")
KILLED = ("the primary", "sentinel-2", "elasticsearch", "ingest", "search", "notify", "operations", "gateway")
REPLICAS = {"ingest": 2, "search": 2, "notify": 2}


def primary() -> str:
    """Return the container of the primary that a Sentinel names."""
    for sentinel in ("sentinel", "sentinel-2", "sentinel-3"):
        with suppress(subprocess.CalledProcessError):
            said = compose(
                "exec", "-T", sentinel, "redis-cli", "-p", "26379", "sentinel", "get-master-addr-by-name", "newswire"
            )
            return SERVERS[said.split()[0]]
    raise AssertionError("no Sentinel answers")


def watched(journal: Journal, key: str, what: str) -> Subscriber:
    """Subscribe to the category of the article that is published while something is away."""
    category = f"Without {what}"
    at = "/without/" + what.replace(" ", "-")
    wanted = {"channel": {"type": "webhook", "url": RECEIVER + at}, "filter": {"categories": [category]}}
    answer = httpx.post(f"{GATEWAY}/v1/subscriptions", headers=bearer(key), json=wanted, timeout=15, trust_env=False)
    assert answer.status_code == 201, answer.text
    journal.subscribers.append(Subscriber(answer.json()["id"], answer.json()["secret"], at, category=category))
    return journal.subscribers[-1]


def still_works(journal: Journal, key: str, subscriber: Subscriber, gateways: Sequence[str]) -> object:
    """Publish an article, find it and receive its webhook, as a client does that tries again, through gateways that are there."""
    title, category = f"Harbour {subscriber.category}".casefold(), str(subscriber.category)
    headers = bearer(key) | {"Idempotency-Key": subscriber.path}
    article = {"title": title, "body": "<p>It goes on.</p>", "category": category}
    sites = itertools.cycle(gateways)
    made = until(lambda: answered("POST", f"{next(sites)}/v1/articles", headers=headers, json=article), 60)
    assert made is not None
    journal.writes.append(Write(made["id"], made["version"], "published", title, category))
    until(lambda: answered("GET", f"{next(sites)}/v1/search/articles/{made['id']}"), 60)
    until(lambda: [item for item in received() if item["path"] == subscriber.path], 60)
    return None


def answered(method: str, address: str, **how: Any) -> dict[str, Any] | None:
    """Return the answer to a request; None if there was none, or not yet a good one."""
    try:
        answer = httpx.request(method, address, timeout=15, trust_env=False, **how)
    except httpx.TransportError:
        return None
    assert answer.is_success or answer.status_code in (404, 502, 503, 504), answer.text
    return dict(answer.json()) if answer.is_success else None


def all_ready() -> bool:
    """Return whether every replica of every service, all stores and Sentinels are there and well."""
    try:
        answer = httpx.get(f"{OPERATORS}/status", timeout=15, trust_env=False)
    except httpx.TransportError:
        return False
    replicas = {name: len(found) for name, found in answer.json().get("replicas", {}).items()}
    return answer.status_code == 200 and replicas == REPLICAS and not not_healthy()


def not_healthy() -> list[str]:
    """Return the containers that have a health check and do not pass it."""
    ids = compose("ps", "--all", "--quiet").split()
    said = docker("inspect", "--format", "{{.Name}} {{if .State.Health}}{{.State.Health.Status}}{{end}}", *ids)
    return [line for line in said.splitlines() if len(line.split()) > 1 and line.split()[1] != "healthy"]


def kill_each(journal: Journal, keys: dict[str, str]) -> Cause:
    """Return the harm: one of everything is killed, is away for a while, and comes back."""

    def cause(drill: Drill, begun: float) -> None:
        time.sleep(max(0.0, begun + 3 - time.monotonic()))
        for what in KILLED:
            service = primary() if what == "the primary" else what
            subscriber = watched(journal, keys["subscribe"], what)
            killed = containers(service)[0]
            docker("kill", "--signal", "KILL", killed)
            left = (SECOND_GATEWAY,) if what == "gateway" else (GATEWAY, SECOND_GATEWAY)
            drill.check(
                f"without {what} ({service}): published, found, delivered",
                partial(still_works, journal, keys["publish"], subscriber, left),
            )
            docker("start", killed)
            drill.check(f"{service} is back, and all are well", lambda: not until(all_ready, 180))

    return cause


async def everything_kept() -> Readback:
    """Read the stores through the drill's ports: the primary of Redis, and any node of Elasticsearch."""
    keys = Keyspace("newswire")
    context = ssl.create_default_context(cadata=compose("exec", "-T", NODES[1], "cat", "config/certificates/ca.crt"))
    nodes = [f"https://{published(node, 9200)}" for node in NODES]
    secret = ("elastic", os.environ["ELASTIC_PASSWORD"])
    async with (
        AsyncElasticsearch(nodes, basic_auth=secret, ssl_context=context, request_timeout=60) as index,
        Redis.from_url(f"redis://:{os.environ['REDIS_PASSWORD']}@{published(primary(), 6379)}/0") as redis,
    ):
        return await read_back(redis, keys, await read_index(index, alias_in_use(keys.namespace)))


def a_restart_of_everything(before: str, journal: Journal) -> object:
    """Kill every store and Sentinel at once, start them in the order of their names, and compare what is kept."""
    stores = [containers(name)[0] for name in (*SERVERS.values(), "sentinel", "sentinel-2", "sentinel-3", *NODES)]
    docker("kill", "--signal", "KILL", *stores)
    docker("start", *stores)
    until(all_ready, 300)
    now = primary()
    print(f"         the primary was {before} and is {now}")
    kept = asyncio.run(everything_kept())
    missing = {write.article for write in journal.writes} - {article for article, _ in kept.documents}
    retracted = {write.article for write in journal.writes if write.kind == "retracted"}
    return [f"{article} is gone" for article in missing - retracted]


def run(drill: Drill, options: argparse.Namespace) -> None:
    """Use, break and check a running stack."""
    drill.check("all are ready", lambda: not until(all_ready, 120))
    keys = {scope: compose_drill.key(scope) for scope in ("publish", "subscribe")}
    newswire = Newswire(GATEWAY, GATEWAY, GATEWAY, keys["publish"], keys["subscribe"])
    journal = Journal()
    drill.check("published, found, delivered, heard live, retracted, gone", lambda: the_main_job(newswire, journal))
    print(f"Publishing {options.rate:g} articles a second while one of everything is killed:")
    harm = Harm(kill_each(journal, keys), everything_kept, kills=len(KILLED), gateways=(GATEWAY, SECOND_GATEWAY))
    drill.check(
        "everything acknowledged is kept, found and heard",
        lambda: asyncio.run(storm(drill, harm, journal, keys, options.seconds, options.rate)),
    )
    drill.check("all stores killed at once", lambda: a_restart_of_everything(primary(), journal))


if __name__ == "__main__":
    os.environ.setdefault("COMPOSE_FILE", f"docker-compose.yml:{HIGHLY_AVAILABLE}")
    sys.exit(compose_drill.with_a_stack(compose_drill.arguments("compose_ha_drill", __doc__), {}, run))
