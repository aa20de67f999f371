"""`make drill-compose`: the compose file built, run scaled, used, hurt while articles come in, and counted.

It publishes twenty articles a second while Redis is killed and started again, and then a replica each of search and notify.
The publisher does what a client should: it repeats a request under its Idempotency-Key until it is answered. In the end every
acknowledged article must be found once and must have reached every subscription, and nothing may be left over anywhere.
"""

import argparse
import asyncio
import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
from redis import Redis

from newswire.dead_letters import GROUPS
from newswire.keyspace import Keyspace
from tests.e2e.conftest import Newswire
from tests.e2e.test_main_job import (
    ARTICLE,
    TRACED,
    arrives_signed,
    bearer,
    both_events,
    events_of,
    is_found_with_its_words_marked,
    live,
    no_word_is_left,
    subscribe,
)
from tests.faults.accounting import Found, Heard, wrong_at_receivers, wrong_in_search
from tests.faults.compose import compose, containers, docker, exit_codes, published
from tests.faults.publisher import CATEGORY, Publisher
from tests.polling import until

GATEWAY = "http://127.0.0.1:8000"
RECEIVER = "http://receiver:9000"
REPLICAS = {"ingest": 2, "search": 2, "notify": 3}
ENDED_BY_SIGTERM = 143
"""How a Java process ends that was told to."""


class Drill:
    """What was seen so far, and whether all of it was right."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def check(self, what: str, seen: Callable[[], object]) -> None:
        """Tell whether something is so; it returns what is wrong, or asserts."""
        begun = time.monotonic()
        try:
            wrong = seen()
        except (AssertionError, httpx.HTTPError, subprocess.CalledProcessError) as error:
            wrong = f"{type(error).__name__}: {error} {getattr(error, 'stderr', '')}"
        except ExceptionGroup as group:
            wrong = [f"{type(error).__name__}: {error}" for error in group.exceptions]
        print(f"  {'FAILED' if wrong else 'ok':6} {what}  ({time.monotonic() - begun:.1f} s)", flush=True)
        if wrong:
            self.failed.append(what)
            lines = wrong if isinstance(wrong, list) else [str(wrong)]
            print(
                "".join(f"           {line[:500]}\n" for line in lines[:5]) + f"           ({len(lines)} in all)",
                flush=True,
            )


def received() -> list[dict[str, Any]]:
    """Return all that came to the receiver."""
    return list(httpx.get(f"http://{published('receiver', 9000)}/", timeout=30, trust_env=False).json())


def key(scope: str) -> str:
    """Make a key as operators do."""
    made = compose(
        "exec", "-T", "ingest", "newswire", "keys", "create", "--account", f"drill-{scope}", "--scope", scope
    )
    return made.strip()


def ready() -> dict[str, Any] | None:
    """Return what the gateway says of all replicas, once it is that all are ready."""
    try:
        answer = httpx.get(f"{GATEWAY}/readyz", timeout=15, trust_env=False)
    except httpx.TransportError:
        return None
    document = answer.json()
    whole = answer.status_code == 200 and {name: len(found) for name, found in document["replicas"].items()} == REPLICAS
    return document if whole else None


def the_gateway_speaks_for_all() -> object:
    """Operators' addresses cover every replica, by number and by name."""
    until(ready, 60)
    metrics = httpx.get(f"{GATEWAY}/metrics", timeout=15, trust_env=False).text
    up = Counter(re.findall(r'^newswire_up{instance="[^"]+",service="(\w+)"} 1.0$', metrics, re.MULTILINE))
    paths = httpx.get(f"{GATEWAY}/openapi.json", trust_env=False).json()["paths"]
    assert {"/v1/articles", "/v1/search", "/v1/subscriptions"} <= set(paths)
    assert httpx.get(f"{GATEWAY}/docs", trust_env=False).status_code == 200
    assert "channels" in httpx.get(f"{GATEWAY}/asyncapi", trust_env=False).json()
    assert httpx.get(f"{GATEWAY}/healthz", trust_env=False).json()["status"] == "ok"
    return None if up == REPLICAS else f"newswire_up of {dict(up)}"


def the_gateway_refuses_in_our_form() -> object:
    """Too large a body, too long an address and one where nothing is are answered as problem documents."""
    large = httpx.post(
        f"{GATEWAY}/v1/articles",
        headers=bearer(key("publish")) | {"Content-Type": "application/json"},
        content=b'{"title": "' + b"x" * (3 << 20) + b'"}',
        trust_env=False,
    )
    long = httpx.get(f"{GATEWAY}/{'x' * 10_000}", trust_env=False)
    nothing = httpx.get(f"{GATEWAY}/v1/nothing", trust_env=False)
    seen = [(answer.status_code, answer.headers["content-type"]) for answer in (large, long, nothing)]
    return None if seen == [(status, "application/problem+json") for status in (413, 414, 404)] else str(seen)


def the_main_job(newswire: Newswire) -> object:
    """An article is published, found, heard of, withdrawn, and then gone from everywhere."""
    at = f"/{secrets.token_hex(4)}"

    def requests() -> list[tuple[dict[str, str], bytes]]:
        return [(item["headers"], item["body"].encode()) for item in received() if item["path"] == at]

    with live(newswire, "?category=transport") as heard:
        subscription = subscribe(newswire, RECEIVER + at, {"query": "captains sailed"})
        answer = httpx.post(
            f"{GATEWAY}/v1/articles", headers=bearer(newswire.publisher_key) | TRACED, json=ARTICLE, trust_env=False
        )
        assert answer.status_code == 201, answer.text
        article = answer.json()
        is_found_with_its_words_marked(newswire, article["id"])
        (webhook,) = until(requests)
        arrives_signed([webhook], subscription, article["id"])
        until(lambda: [event["subject"] for event in events_of(heard)] == [article["id"]])
        address = f"{GATEWAY}/v1/articles/{article['id']}"
        assert httpx.delete(address, headers=bearer(newswire.publisher_key), trust_env=False).status_code == 200
        until(lambda: len(requests()) == 2)
        until(lambda: [event["type"] for event in events_of(heard)] == both_events())
    reader = f"{GATEWAY}/v1/search/articles/{article['id']}"
    until(lambda: httpx.get(reader, trust_env=False).status_code == 410)
    no_word_is_left(newswire, article, subscription["id"])
    return None


def hurt(drill: Drill, begun: float) -> None:
    """Kill Redis and start it, then a replica each of search and notify, at their times after the beginning."""

    def at(second: float) -> None:
        time.sleep(max(0.0, begun + second - time.monotonic()))

    def unready() -> str | None:
        detail: str = httpx.get(f"{GATEWAY}/readyz", timeout=15, trust_env=False).json().get("detail", "")
        return detail if "redis" in detail and "ingest: " in detail else None

    at(8)
    compose("kill", "--signal", "KILL", "redis")
    drill.check("Redis killed, and /readyz at the gateway says so", lambda: not until(unready))
    at(14)
    compose("start", "redis")
    drill.check("Redis started, and every replica is ready again", lambda: not until(ready, 90))
    at(20)
    killed = [containers(service)[0] for service in ("search", "notify")]
    docker("kill", "--signal", "KILL", *killed)
    drill.check("a replica each of search and notify killed, and no reader notices", reading_for(8))
    docker("start", *killed)


def reading_for(seconds: float) -> Callable[[], object]:
    """Make a check that reads all the time, and returns what was not answered well."""

    def read() -> list[str]:
        answers: list[httpx.Response] = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answers.append(httpx.get(f"{GATEWAY}/v1/search?q=drill", timeout=15, trust_env=False))
        slowest = max(answer.elapsed.total_seconds() for answer in answers)
        print(f"         searched {len(answers)} times, slowest {slowest:.2f} s")
        return [f"{answer.status_code} {answer.text}" for answer in answers if answer.status_code != 200]

    return read


async def storm(drill: Drill, publisher: Publisher, seconds: float, rate: float) -> None:
    """Publish while things are killed."""
    await asyncio.gather(publisher.publish_for(seconds, rate), asyncio.to_thread(hurt, drill, time.monotonic()))


def found_in_search() -> list[Found]:
    """Return every article of the drill that search shows, page by page."""
    found: list[Found] = []
    query: dict[str, str] = {"category": CATEGORY, "sort": "oldest", "limit": "100"}
    while True:
        answer = httpx.get(f"{GATEWAY}/v1/search", params=query, timeout=15, trust_env=False)
        answer.raise_for_status()
        page = answer.json()
        found += [Found(article["id"], article["version"]) for article in page["articles"]]
        if not page["next_cursor"]:
            return found
        query["cursor"] = page["next_cursor"]


def heard_by_receivers(subscriptions: dict[str, str]) -> list[Heard]:
    """Return what came for the subscriptions, which are given by their paths."""
    return [
        Heard(subscriptions[item["path"]], item["headers"]["webhook-id"], event["type"], event["subject"])
        for item in received()
        if item["path"] in subscriptions
        for event in [json.loads(item["body"])]
    ]


def settled(wrong: Callable[[], list[str]], seconds: float = 120) -> list[str]:
    """Wait until nothing is wrong any more, and return what still is after the deadline."""
    deadline = time.monotonic() + seconds
    while (left := wrong()) and time.monotonic() < deadline:
        time.sleep(1)
    return left


def left_in_redis() -> list[str]:
    """Return what the groups have not handled, and what they or the deliveries have given up."""
    keys = Keyspace(os.environ.get("NEWSWIRE_NAMESPACE", "newswire"))
    with Redis.from_url(f"redis://{published('redis', 6379)}/0", decode_responses=True) as redis:
        groups = {group["name"]: group for group in redis.xinfo_groups(keys.stream)}
        letters = {group: redis.xlen(keys.dead_letters(group)) for group in GROUPS}
        dead = redis.zcard(keys.key("deliveries", "dead"))
    wrong = [f"group {name} is not there" for name in GROUPS if name not in groups]
    wrong += [
        f"group {name}: {it['pending']} pending, lag {it['lag']}"
        for name, it in groups.items()
        if it["pending"] or it["lag"]
    ]
    wrong += [f"{count} dead letters of {group}" for group, count in letters.items() if count]
    return wrong + ([f"{dead} dead deliveries"] if dead else [])


def stops_in_good_order() -> list[str]:
    """Stop everything; each process ends by itself."""
    compose("stop")
    codes = exit_codes()
    print(
        "         exit codes: "
        + ", ".join(f"{name.removeprefix('newswire-drill-')} {code}" for name, code in codes.items())
    )
    return [
        f"{name} ended with {code}"
        for name, code in codes.items()
        if code not in ((0, ENDED_BY_SIGTERM) if "elasticsearch" in name else (0,)) and "receiver" not in name
    ]


def run(drill: Drill, seconds: float, rate: float) -> None:
    """Use, hurt and count a stack that is up."""
    drill.check("the gateway speaks for every replica", the_gateway_speaks_for_all)
    drill.check("the gateway refuses in problem documents", the_gateway_refuses_in_our_form)
    newswire = Newswire(GATEWAY, GATEWAY, GATEWAY, key("publish"), key("subscribe"))
    drill.check("published, found, delivered, heard live, retracted, gone", lambda: the_main_job(newswire))

    subscriptions = {
        path: str(subscribe(newswire, RECEIVER + path, {"categories": [CATEGORY]})["id"])
        for path in ("/plain", "/other", "/flaky")
    }
    print(f"Publishing {rate:g} articles a second for {seconds:g} s:")
    publisher = Publisher(GATEWAY, newswire.publisher_key)
    drill.check("every article is acknowledged in the end", lambda: asyncio.run(storm(drill, publisher, seconds, rate)))
    writes = list(publisher.acknowledged.values())
    print(f"         {len(writes)} acknowledged, {sum(write.retracted for write in writes)} of them retracted")
    print(f"         answers: {dict(publisher.statuses)}")

    def at_receivers() -> list[str]:
        return wrong_at_receivers(writes, heard_by_receivers(subscriptions), subscriptions.values())

    drill.check(
        "search holds every acknowledged article once",
        lambda: settled(lambda: wrong_in_search(writes, found_in_search())),
    )
    drill.check("every subscription heard every event, under one id", lambda: settled(at_receivers))
    drill.check("no group has anything pending, nothing is dead", lambda: settled(left_in_redis))
    drill.check("every replica is ready", lambda: not until(ready, 60))
    webhooks = heard_by_receivers(subscriptions)
    print(
        f"         {len(webhooks)} webhooks for {len({(item.subscription, item.webhook) for item in webhooks})} deliveries"
    )


def main() -> None:
    """Run the drill; the exit code is 0 if everything was right."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.compose_drill", description=__doc__)
    parser.add_argument("--no-build", action="store_true", help="take the images that are there")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    parser.add_argument(
        "--seconds", type=float, default=40, help="how long to publish; things are killed in the first 30"
    )
    parser.add_argument("--rate", type=float, default=20, help="articles a second")
    options = parser.parse_args()
    os.environ["ELASTIC_PASSWORD"] = secrets.token_hex(16)  # of this run's own volume
    drill = Drill()
    try:
        compose("down", "--volumes", "--remove-orphans")
        if not options.no_build:
            compose("build", quiet=False)
        begun = time.monotonic()
        scales = [f"--scale={name}={count}" for name, count in REPLICAS.items()]
        compose("up", "--no-build", "--wait", "--wait-timeout", "600", *scales)
        print(f"Healthy after {time.monotonic() - begun:.0f} s, images:\n{compose('images')}", flush=True)
        run(drill, options.seconds, options.rate)
        if not options.keep:
            drill.check("everything stops in good order", stops_in_good_order)
    except subprocess.CalledProcessError as error:
        drill.failed.append(f"{' '.join(error.cmd)}: {error.stderr}")
        print(compose("ps", "--all"), compose("logs", "--tail", "20"))
    finally:
        if drill.failed and not options.keep:
            print(compose("logs", "--tail", "40", "ingest", "search", "notify", "operations", "gateway"))
        if not options.keep:
            compose("down", "--volumes", "--remove-orphans")
    print("DRILL FAILED: " + "; ".join(drill.failed) if drill.failed else "DRILL PASSED")
    sys.exit(1 if drill.failed else 0)


if __name__ == "__main__":
    main()
