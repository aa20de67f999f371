"""A subscriber of a feed at the hub of a real installation: publication, restart, retraction, and the end of its lease."""

import hashlib
import hmac
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson
from redis import Redis

from newswire.keys import Keyspace
from tests.cli.running import Running
from tests.polling import DEADLINE_SECONDS, until
from tests.servers.http_server import serving

SECRET = "k7Hq2" * 8


@dataclass
class WebSubClient:
    """A subscriber as the Recommendation describes it: it discovers, subscribes, confirms, and checks signatures."""

    callback: str
    verified: list[str] = field(default_factory=list)
    contents: list[str] = field(default_factory=list)
    forged: int = 0

    def discover(self, feed: str) -> tuple[str, str]:
        link = httpx.get(feed, trust_env=False).headers["Link"]
        found = {relation: url for url, relation in re.findall(r'<([^>]+)>; rel="(\w+)"', link)}
        return found["hub"], found["self"]

    def subscribe(self, hub: str, topic: str) -> None:
        form = {"hub.mode": "subscribe", "hub.callback": self.callback, "hub.topic": topic, "hub.secret": SECRET}
        response = httpx.post(hub, data=form, trust_env=False)
        assert response.status_code == 202, response.text


@contextmanager
def websub_client() -> Iterator[WebSubClient]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(asked.get("hub.challenge", "").encode())  # the body ends with the connection
            client.verified.append(asked["hub.mode"])

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            expected = f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}"
            if hmac.compare_digest(self.headers["X-Hub-Signature"], expected):
                client.contents.append(body.decode())
            else:
                client.forged += 1
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as site:
        client = WebSubClient(f"{site}/websub?id=1")
        yield client


def publish(running: Running, title: str) -> str:
    article = {"title": title, "body": "<p>Nine captains sailed.</p>", "category": "Sea & Air"}
    response = httpx.post(
        f"{running.site}/v1/articles", headers=running.key("PUBLISHER"), json=article, trust_env=False
    )
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


FEEDS = ("latest.atom", "category/Sea%20%26%20Air.xml", "search.json?q=captains")


def test_subscribers_follow_their_feeds_through_a_restart(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with ExitStack() as stack:
        clients = {feed: stack.enter_context(websub_client()) for feed in FEEDS}

        def all_have(word: str) -> bool:
            return all(any(word in content for content in client.contents) for client in clients.values())

        running = Running(data, "--no-samples")
        try:
            running.until_ready()
            for feed, client in clients.items():
                hub, topic = client.discover(f"{running.site}/feeds/{feed}")
                assert hub == f"{running.site}/hub"
                client.subscribe(hub, topic)
            until(lambda: all(client.verified == ["subscribe"] for client in clients.values()))
            first = publish(running, "Quillfeather ferries")
            until(lambda: all_have("Quillfeather"))
        finally:
            running.process.terminate()
            running.process.wait(DEADLINE_SECONDS)

        port = urlsplit(running.site).port
        running = Running(data, "--no-samples", "--port", str(port))
        try:
            running.until_ready()
            publish(running, "Marrowdale pier")
            until(lambda: all_have("Marrowdale"))
            httpx.delete(
                f"{running.site}/v1/articles/{first}", headers=running.key("PUBLISHER"), trust_env=False
            ).raise_for_status()
            until(lambda: all("Quillfeather" not in client.contents[-1] for client in clients.values()))
            assert all("Marrowdale" in client.contents[-1] for client in clients.values())
        finally:
            running.process.terminate()
            running.process.wait(DEADLINE_SECONDS)
        assert sum(client.forged for client in clients.values()) == 0


def end_lease(running: Running, client: WebSubClient) -> None:
    """Move the end of a client's lease into the past."""
    keys = Keyspace("newswire").deliveries
    with Redis.from_url((running.data_dir / "redis.url").read_text().strip()) as redis:
        for name in redis.scan_iter(keys.key("hub", "topic", "*")):
            if stored := redis.hget(name, client.callback):
                redis.hset(name, client.callback, orjson.dumps(orjson.loads(stored) | {"expires_at": time.time() - 1}))


def test_leases_end_unless_they_are_renewed_and_rights_can_go(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with websub_client() as first, websub_client() as second:
        running = Running(data, "--no-samples")
        try:
            running.until_ready()
            hub, topic = first.discover(f"{running.site}/feeds/latest.atom")

            def published(title: str, *clients: WebSubClient) -> None:
                publish(running, title)
                for client in clients:
                    until(lambda client=client: any(title in content for content in client.contents))  # type: ignore[misc]

            for client in (first, second):
                client.subscribe(hub, topic)
                until(lambda client=client: client.verified == ["subscribe"])  # type: ignore[misc]
            published("Quillfeather ferries", first, second)
            end_lease(running, first)
            published("Marrowdale pier", second)
            assert "Marrowdale" not in "".join(first.contents)
            first.subscribe(hub, topic)
            until(lambda: first.verified == ["subscribe"] * 2)
            published("Osprey landing", first, second)
            first.subscribe(hub, topic)  # before its lease ends
            until(lambda: first.verified == ["subscribe"] * 3)
            published("Tern rock", first, second)
        finally:
            running.process.terminate()
            running.process.wait(DEADLINE_SECONDS)
        pushed = len(first.contents) + len(second.contents)

        port = urlsplit(running.site).port
        running = Running(data, "--port", str(port), environment={"NEWSWIRE_PUBLIC_READ": "false"})
        try:
            until(lambda: first.verified[-1] == second.verified[-1] == "denied")
            publish(running, "Plover bank")
            assert httpx.get(f"{running.site}/feeds/latest.atom", trust_env=False).status_code == 401
        finally:
            running.process.terminate()
            running.process.wait(DEADLINE_SECONDS)
        assert [client.verified.count("denied") for client in (first, second)] == [1, 1]
        assert len(first.contents) + len(second.contents) == pushed
        assert first.forged == second.forged == 0
