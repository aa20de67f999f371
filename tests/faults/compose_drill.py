"""`make drill-compose`: builds the compose stack, runs it scaled, breaks it during publishing, and counts the results.

It publishes twenty articles a second while Redis is killed and restarted, and then one replica each of search and notify. The
publisher behaves as a client should: it repeats a request with its Idempotency-Key until it gets a response. In the end every
acknowledged article must be found once and must have reached every subscription, and no work may be left over.
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
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
from elasticsearch import AsyncElasticsearch
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_search.index.mapping import alias_in_use
from tests.e2e import test_main_job as main_job
from tests.e2e.conftest import Newswire
from tests.e2e.test_main_job import bearer
from tests.faults.checker import differences
from tests.faults.compose import compose, containers, docker, exit_codes, published
from tests.faults.drills import IN_FLIGHT
from tests.faults.journal import Journal, Receipt, Subscriber, Write
from tests.faults.load import Publisher, listen, signed, subscribe
from tests.faults.readback import Readback, read_back, read_index
from tests.polling import until

GATEWAY = "http://127.0.0.1:8000"
OPERATORS = "http://127.0.0.1:8001"
RECEIVER = "http://receiver:9000"
REPLICAS = {"ingest": 2, "search": 2, "notify": 3}
KILLS = 3
SETTLED_SECONDS = 420
"""A delivery that has failed twice is tried again after up to six minutes."""
ENDED_BY_SIGTERM = 143
"""The exit code of a Java process after SIGTERM."""


class Drill:
    """The results so far, and whether all of them were right."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def check(self, what: str, seen: Callable[[], object]) -> None:
        """Return whether a check passes; ``seen`` returns what is wrong, or raises."""
        begun = time.monotonic()
        try:
            wrong = seen()
        except Exception as error:  # noqa: BLE001 (any error is the result)
            wrong = f"{type(error).__name__}: {error} {getattr(error, 'stderr', '')}"
        print(f"  {'FAILED' if wrong else 'ok':6} {what}  ({time.monotonic() - begun:.1f} s)", flush=True)
        if wrong:
            self.failed.append(what)
            lines = wrong if isinstance(wrong, list) else [str(wrong)]
            print(
                "".join(f"           {line[:500]}\n" for line in lines[:5]) + f"           ({len(lines)} in all)",
                flush=True,
            )


def received() -> list[dict[str, Any]]:
    """Return everything that the receiver received."""
    return list(httpx.get(f"http://{published('receiver', 9000)}/", timeout=30, trust_env=False).json())


def key(scope: str) -> str:
    """Create a key as operators do."""
    made = compose(
        "exec", "-T", "ingest", "newswire", "keys", "create", "--account", f"drill-{scope}", "--scope", scope
    )
    return made.strip()


def ready() -> dict[str, Any] | None:
    """Return the gateway's status of all replicas once all are ready."""
    try:
        answer = httpx.get(f"{OPERATORS}/status", timeout=15, trust_env=False)
    except httpx.TransportError:
        return None
    document = answer.json()
    whole = answer.status_code == 200 and {name: len(found) for name, found in document["replicas"].items()} == REPLICAS
    return document if whole else None


def the_gateway_speaks_for_all() -> object:
    """The operators' addresses cover every replica, by number and by name."""
    until(ready, 60)
    metrics = httpx.get(f"{OPERATORS}/metrics", timeout=15, trust_env=False).text
    up = Counter(re.findall(r'^newswire_up{instance="[^"]+",service="(\w+)"} 1.0$', metrics, re.MULTILINE))
    paths = httpx.get(f"{GATEWAY}/openapi.json", trust_env=False).json()["paths"]
    assert {"/v1/articles", "/v1/search", "/v1/subscriptions"} <= set(paths)
    assert httpx.get(f"{GATEWAY}/docs", trust_env=False).status_code == 200
    assert "channels" in httpx.get(f"{GATEWAY}/asyncapi", trust_env=False).json()
    assert httpx.get(f"{GATEWAY}/healthz", trust_env=False).json()["status"] == "ok"
    return None if up == REPLICAS else f"newswire_up of {dict(up)}"


def the_gateway_refuses_in_our_form() -> object:
    """The gateway rejects large bodies, long addresses and unknown paths with problem documents."""
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


def operators_have_an_entry_point_of_their_own() -> object:
    """Operators' routes are closed on the public port and open on theirs."""
    admin = bearer(key("admin"))
    paths = "/v1/keys", "/v1/accounts", "/v1/audit-log", "/v1/dead-letters", "/status", "/metrics"
    seen = {
        path: [httpx.get(entry + path, headers=admin, timeout=15, trust_env=False) for entry in (GATEWAY, OPERATORS)]
        for path in paths
    }
    return [
        f"{path}: {public.status_code}, {own.status_code}"
        for path, (public, own) in seen.items()
        if (public.status_code, public.headers["content-type"]) != (404, "application/problem+json")
        or own.status_code != 200
    ]


def the_main_job(newswire: Newswire, journal: Journal) -> object:
    """An article is published, found, delivered and retracted, and then gone everywhere; the stack is empty before."""
    at = "/main-job"

    def requests() -> list[tuple[dict[str, str], bytes]]:
        return [(item["headers"], item["body"].encode()) for item in received() if item["path"] == at]

    with main_job.live(newswire, "?category=transport") as heard:
        subscription = main_job.subscribe(newswire, RECEIVER + at, {"query": "captains sailed"})
        answer = httpx.post(
            f"{GATEWAY}/v1/articles",
            headers=bearer(newswire.publisher_key) | main_job.TRACED,
            json=main_job.ARTICLE,
            trust_env=False,
        )
        assert answer.status_code == 201, answer.text
        article = answer.json()
        main_job.is_found_with_its_words_marked(newswire, article["id"])
        (webhook,) = until(requests)
        main_job.arrives_signed([webhook], subscription, article["id"])
        until(lambda: [event["subject"] for event in main_job.events_of(heard)] == [article["id"]])
        address = f"{GATEWAY}/v1/articles/{article['id']}"
        assert httpx.delete(address, headers=bearer(newswire.publisher_key), trust_env=False).status_code == 200
        until(lambda: len(requests()) == 2)
        until(lambda: [event["type"] for event in main_job.events_of(heard)] == main_job.both_events())
    title, category = article["title"], article["category"]
    journal.writes += [
        Write(article["id"], 1, "published", title, category),
        Write(article["id"], 1, "retracted", title, category),
    ]
    journal.subscribers.append(Subscriber(subscription["id"], subscription["secret"], at, category=category))
    reader = f"{GATEWAY}/v1/search/articles/{article['id']}"
    until(lambda: httpx.get(reader, trust_env=False).status_code == 410)
    main_job.no_word_is_left(newswire, article, subscription["id"])
    return None


def hurt(drill: Drill, begun: float) -> None:
    """Kill Redis and restart it, then one replica each of search and notify, at fixed times after the start."""

    def at(second: float) -> None:
        time.sleep(max(0.0, begun + second - time.monotonic()))

    def unready() -> str | None:
        detail: str = httpx.get(f"{OPERATORS}/status", timeout=15, trust_env=False).json().get("detail", "")
        return detail if "redis" in detail and "ingest: " in detail else None

    at(8)
    compose("kill", "--signal", "KILL", "redis")
    drill.check("Redis killed, and /status at the gateway says so", lambda: not until(unready))
    at(14)
    compose("start", "redis")
    drill.check("Redis started, and every replica is ready again", lambda: not until(ready, 90))
    at(20)
    killed = [containers(service)[0] for service in ("search", "notify")]
    docker("kill", "--signal", "KILL", *killed)
    drill.check("a replica each of search and notify killed, and no reader notices", reading_for(8))
    docker("start", *killed)


def reading_for(seconds: float) -> Callable[[], object]:
    """Return a check that reads continuously, and returns failed requests."""

    def read() -> list[str]:
        answers: list[httpx.Response] = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answers.append(httpx.get(f"{GATEWAY}/v1/search?q=moorings", timeout=15, trust_env=False))
        slowest = max(answer.elapsed.total_seconds() for answer in answers)
        print(f"         searched {len(answers)} times, slowest {slowest:.2f} s")
        return [f"{answer.status_code} {answer.text}" for answer in answers if answer.status_code != 200]

    return read


Cause = Callable[[Drill, float], None]


@dataclass(frozen=True)
class Harm:
    """What is done to a stack during a storm, and how its stores are read afterwards."""

    cause: Cause
    """Breaks and repairs parts; the second argument is the time at which publishing began."""
    kept: Callable[[], Awaitable[Readback]]
    kills: int
    """How many processes with webhooks in flight it may kill."""
    gateways: tuple[str, ...] = (GATEWAY,)


async def storm(
    drill: Drill, harm: Harm, journal: Journal, keys: dict[str, str], seconds: float, rate: float
) -> list[str]:
    """Publish and listen while harm is done; return the differences when all work is done."""
    await subscribe(journal, GATEWAY, keys["subscribe"], [RECEIVER])
    publisher = Publisher(journal, harm.gateways, keys["publish"], rate=rate, seed=secrets.randbelow(10**6))
    stopping = asyncio.Event()
    listening = asyncio.create_task(listen(journal.readings[0], harm.gateways, journal.failed_requests))
    publishing = asyncio.create_task(publisher.run(stopping))
    try:
        await asyncio.gather(asyncio.sleep(seconds), asyncio.to_thread(harm.cause, drill, time.monotonic()))
        stopping.set()
        await asyncio.wait_for(publishing, 120)
        left = await left_wrong(journal, harm)
    finally:
        for task in (publishing, listening):
            task.cancel()
        await asyncio.gather(publishing, listening, return_exceptions=True)
    print(
        f"         {len(journal.writes)} writes acknowledged, the slowest after {publisher.slowest:.1f} s;"
        f" {len(journal.receipts)} webhooks, {len(journal.heard)} events heard live;"
        f" {len(journal.failed_requests)} requests were repeated"
    )
    return left


async def left_wrong(journal: Journal, harm: Harm) -> list[str]:
    """Compare the observations with the stores until there is no difference, or for `SETTLED_SECONDS`."""
    deadline = time.monotonic() + SETTLED_SECONDS
    while True:
        came = received()
        # Each is parsed once, soon after it came: its signature is valid for five minutes.
        journal.receipts += [receipt(journal, item) for item in came[len(journal.receipts) :]]
        again = sum(item["status"] != 204 for item in came) + harm.kills * IN_FLIGHT
        found = differences(journal, await harm.kept(), repeats_allowed=again)
        if not found or time.monotonic() > deadline:
            return [str(difference) for difference in found]
        await asyncio.sleep(1)


def receipt(journal: Journal, item: dict[str, Any]) -> Receipt:
    """Parse what the receiver recorded of one webhook."""
    owner = next(one for one in journal.subscribers if one.path == item["path"])
    said = json.loads(item["body"])
    return Receipt(
        path=item["path"],
        webhook_id=item["headers"]["webhook-id"],
        event=said["id"],
        article=said["subject"],
        rank=said["data"]["version"] * 2 + said["type"].endswith(".retracted.v1"),
        signed=signed(owner, item["body"].encode(), item["headers"]),
        at=item["at"],
    )


async def everything_kept() -> Readback:
    """Read the stores through the drill's ports."""
    keys = Keyspace("newswire")
    secret = ("elastic", os.environ["ELASTIC_PASSWORD"])
    async with (
        AsyncElasticsearch(
            f"http://{published('elasticsearch', 9200)}", basic_auth=secret, request_timeout=60
        ) as index,
        Redis.from_url(f"redis://:{os.environ['REDIS_PASSWORD']}@{published('redis', 6379)}/0") as redis,
    ):
        return await read_back(redis, keys, await read_index(index, alias_in_use(keys.namespace)))


def stops_in_good_order() -> list[str]:
    """Stop everything; each process must end by itself."""
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


def run(drill: Drill, options: argparse.Namespace) -> None:
    """Use, break and check a running stack."""
    seconds, rate = options.seconds, options.rate
    drill.check("the gateway speaks for every replica", the_gateway_speaks_for_all)
    drill.check("the gateway refuses in problem documents", the_gateway_refuses_in_our_form)
    drill.check("operators have an entry point of their own", operators_have_an_entry_point_of_their_own)
    keys = {scope: key(scope) for scope in ("publish", "subscribe")}
    newswire = Newswire(GATEWAY, GATEWAY, GATEWAY, keys["publish"], keys["subscribe"])
    journal = Journal()
    drill.check("published, found, delivered, heard live, retracted, gone", lambda: the_main_job(newswire, journal))
    print(f"Publishing {rate:g} articles a second for {seconds:g} s:")
    drill.check(
        "everything acknowledged is kept, found and heard",
        lambda: asyncio.run(storm(drill, Harm(hurt, everything_kept, KILLS), journal, keys, seconds, rate)),
    )
    drill.check("every replica is ready", lambda: not until(ready, 60))


def arguments(program: str, about: str | None) -> argparse.Namespace:
    """Parse the command line of a drill."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.faults.{program}", description=about)
    parser.add_argument("--no-build", action="store_true", help="take the images that are there")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    parser.add_argument(
        "--seconds", type=float, default=40, help="how long to publish; things are killed in the first 30"
    )
    parser.add_argument("--rate", type=float, default=20, help="articles a second")
    return parser.parse_args()


def with_a_stack(
    options: argparse.Namespace, scales: dict[str, int], used: Callable[[Drill, argparse.Namespace], None]
) -> int:
    """Build and start a stack, use it, and stop it; return the exit code, 0 if everything was right."""
    for name in ("ELASTIC_PASSWORD", "SEARCH_INDEX_PASSWORD", "REDIS_PASSWORD"):
        os.environ[name] = secrets.token_hex(16)  # of volumes of this run
    drill = Drill()
    try:
        compose("down", "--volumes", "--remove-orphans")
        if not options.no_build:
            compose("build", quiet=False)
        begun = time.monotonic()
        scaled = [f"--scale={name}={count}" for name, count in scales.items()]
        compose("up", "--no-build", "--wait", "--wait-timeout", "600", *scaled)
        print(f"Healthy after {time.monotonic() - begun:.0f} s, images:\n{compose('images')}", flush=True)
        used(drill, options)
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
    return 1 if drill.failed else 0


if __name__ == "__main__":
    sys.exit(with_a_stack(arguments("compose_drill", __doc__), REPLICAS, run))
