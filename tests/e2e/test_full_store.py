"""A full store rejects new articles, everything else continues, and freed memory is used again."""

import secrets
from pathlib import Path

import httpx
import pytest
from redis import Redis

from tests.cli.running import newswire
from tests.e2e.conftest import receiver, service
from tests.polling import until
from tests.servers.valkey import embedded_valkey

BIG = 20_000
PATIENCE = 120
"""Seconds within which a state is reached even on a very busy machine."""


@pytest.mark.timeout(600)
def test_publishing_stops_before_the_store_is_full_and_deliveries_continue(tmp_path: Path) -> None:
    with embedded_valkey(tmp_path / "store") as server:
        environment = {
            "NEWSWIRE_REDIS_URL": f"redis://127.0.0.1:{server.port}/0",
            "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true",
        }
        with Redis(port=server.port) as redis, receiver() as subscriber:
            redis.config_set("maxmemory", "64mb")
            publisher, reader = (key(scope, environment) for scope in ("publish", "subscribe"))
            with service("notify", environment, tmp_path / "before.log") as notify:
                subscribe(notify, reader, subscriber.url)
            with (
                service("ingest", environment, tmp_path / "ingest.log") as ingest,
                httpx.Client(base_url=ingest, trust_env=False, timeout=PATIENCE) as http,
            ):
                locations = fill(http, publisher)
                used = redis.info("memory")["used_memory"]
                assert 0.8 < used / (64 * 1024 * 1024) < 0.92
                refused(http, publisher)
                assert http.get(locations[0], headers=publisher).json()["title"] == "Number 0"
                until(lambda: "memory" in http.get("/status").json().get("detail", ""), PATIENCE)

                with service("notify", environment, tmp_path / "after.log"):
                    until(lambda: len(subscriber.requests) >= len(locations), PATIENCE)
                refused(http, publisher)

                for location in locations[: len(locations) // 3]:
                    gone = http.delete(location, headers=publisher)
                    assert gone.status_code == 200, gone.text
                until(lambda: post(http, publisher, "Room again").status_code == 201, PATIENCE)
                until(lambda: http.get("/status").status_code == 200, PATIENCE)


def key(scope: str, environment: dict[str, str]) -> dict[str, str]:
    made = newswire("keys", "create", "--account", f"tide-{scope}", "--scope", scope, **environment)
    assert made.returncode == 0, made.stderr
    return {"Authorization": f"Bearer {made.stdout.strip()}"}


def subscribe(notify: str, headers: dict[str, str], url: str) -> None:
    sent = {"channel": {"type": "webhook", "url": url}, "content": "reference"}
    answer = httpx.post(f"{notify}/v1/subscriptions", headers=headers, json=sent, trust_env=False, timeout=PATIENCE)
    assert answer.status_code == 201, answer.text


def post(http: httpx.Client, headers: dict[str, str], title: str) -> httpx.Response:
    sent = {"title": title, "body": f"<p>{secrets.token_hex(BIG // 2)}</p>"}
    return http.post("/v1/articles", headers=headers, json=sent)


def fill(http: httpx.Client, headers: dict[str, str]) -> list[str]:
    """Publish until the store rejects an article; return the addresses of the articles."""
    locations: list[str] = []
    while (answer := post(http, headers, f"Number {len(locations)}")).status_code == 201:
        locations.append(answer.headers["location"])
        assert len(locations) < 5000
    assert answer.status_code == 503, answer.text
    return locations


def refused(http: httpx.Client, headers: dict[str, str]) -> None:
    answer = post(http, headers, "One more")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
