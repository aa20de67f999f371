"""An installation to be fuzzed: `newswire run` with its own Valkey and embedded index, and a key with all scopes."""

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import httpx

from tests.cli.running import Running
from tests.e2e.conftest import receiver

ACCOUNT = "Harbour Gazette"
ARTICLES = 5
LOOPBACK = IPv4Network("127.0.0.0/8")


@dataclass(frozen=True)
class Installation:
    """The address of the installation, and the key of the fuzzer."""

    site: str
    token: str
    key_id: str
    webhook: str
    """The address of a local receiver."""


@contextmanager
def installation(data_dir: Path) -> Iterator[Installation]:
    """Run Newswire without read limits, and with webhooks restricted to this machine."""
    environment = {
        "NEWSWIRE_READ_RATE": "0",
        "NEWSWIRE_READ_RATE_PER_KEY": "0",
        "NEWSWIRE_AUTHENTICATION_FAILURES": "0",
        "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true",
        "NEWSWIRE_WEBHOOK_REFUSED_NETWORKS": ",".join(map(str, _all_but_loopback())),
        "NEWSWIRE_WEBHOOK_TIMEOUT": "2",
        # The test keeps one stream open, so that the fuzzer's requests for a stream are rejected instead of waiting.
        "NEWSWIRE_LIVE_PER_KEY": "1",
        "NEWSWIRE_LIVE_PER_ADDRESS": "1",
    }
    running = Running(data_dir, environment=environment)
    try:
        with receiver() as hook, httpx.Client(base_url=running.site, timeout=60, trust_env=False) as http:
            key = _key(http, running.key("ADMIN"))
            http.headers["Authorization"] = f"Bearer {key['token']}"
            _fill(http, hook.url)
            with _open_stream(running.site, key["token"]):
                yield Installation(running.site, key["token"], key["id"], hook.url)
    finally:
        running.process.terminate()
        running.process.wait(60)


@contextmanager
def _open_stream(site: str, token: str) -> Iterator[None]:
    """Keep a live stream open and read it: one that is not read is closed after a while."""
    opened, stopping = threading.Event(), threading.Event()

    def read() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        while not stopping.is_set():
            with (
                contextlib.suppress(httpx.TransportError),
                httpx.stream("GET", f"{site}/v1/stream", headers=headers, timeout=60, trust_env=False) as stream,
            ):
                if stream.status_code == httpx.codes.OK:
                    opened.set()
                for _ in stream.iter_raw():
                    if stopping.is_set():
                        return

    reading = threading.Thread(target=read, daemon=True)  # it ends with the service at the latest
    reading.start()
    assert opened.wait(60), "the stream cannot be opened"
    try:
        yield
    finally:
        stopping.set()


def _key(http: httpx.Client, admin: dict[str, str]) -> dict[str, str]:
    wanted = {"account": ACCOUNT, "scopes": ["publish", "subscribe", "read", "admin"]}
    made = http.post("/v1/keys", json=wanted, headers=admin)
    assert made.status_code == 201, made.text
    found: dict[str, str] = made.json()
    return found


def _fill(http: httpx.Client, webhook: str) -> None:
    """Create data for the account's lists: articles, a retraction, and a subscription with deliveries."""
    wanted = {"channel": {"type": "webhook", "url": webhook}}
    subscribed = http.post("/v1/subscriptions", json=wanted)
    assert subscribed.status_code == 201, subscribed.text
    for number in range(ARTICLES):
        article = {"title": f"Ferry {number} leaves on time", "body": "<p>It crossed the sound before dawn.</p>"}
        published = http.post("/v1/articles", json=article | {"topics": ["Ferries"], "external_id": f"ferry-{number}"})
        assert published.status_code == 201, published.text
    retracted = http.delete(published.headers["Location"])
    assert retracted.status_code == 200, retracted.text


def _all_but_loopback() -> list[IPv4Network | IPv6Network]:
    return [*IPv4Network("0.0.0.0/0").address_exclude(LOOPBACK), IPv6Network("::/0")]
