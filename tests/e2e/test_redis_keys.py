"""A run through everything that Newswire does leaves only Redis keys that are declared, each of the declared type."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from redis import Redis as SynchronousRedis
from redis.asyncio import Redis

from newswire.auth.accounts import disable_account, entitle_account
from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.events import FIELD
from newswire.filters import Filter
from newswire.key_families import KeyFamily, families_of
from newswire.keys import FAMILIES as SHARED
from newswire.keys import Keyspace
from newswire.messaging.retention import trim
from newswire.storage.disk_erasure import rewrite_if_due
from newswire.storage.redis_client import open_redis
from newswire.storage.redis_functions import Call
from newswire_ingest.keys import FAMILIES as INGEST
from newswire_notify.deliveries.queue import Queue
from newswire_notify.keys import FAMILIES as NOTIFY
from newswire_notify.newsletters.keys import FAMILIES as NEWSLETTERS
from newswire_notify.settings import NotifySettings
from newswire_notify.subscriptions.account_limits import NO_LIMITS
from newswire_notify.websub.keys import FAMILIES as HUB
from newswire_search.keys import FAMILIES as SEARCH
from tests.cli.running import Running, newswire
from tests.ingest.media.images import jpeg
from tests.ingest.passkeys.authenticator import Authenticator
from tests.ingest.users.openid_provider import Provider, running_provider
from tests.polling import DEADLINE_SECONDS, until
from tests.servers.http_server import serving

FAMILIES = (*SHARED, *INGEST, *SEARCH, *NOTIFY)
KEYS = Keyspace("newswire")
UNSEEN = {
    "replication": "only in a cluster; `faults/test_cluster.py` writes it",
    "never-stored": "it never exists",
    "index:repair": "only `newswire verify --repair` writes it, where another process has an index open that differs",
    "responses:<article>": "responses from private addresses are not kept; `test_queue_functions.py` writes one",
    "response_log:<subscription>": "as the responses",
    "endpoint-warning:<subscription>": "an endpoint has to fail for a day; `portal/test_endpoint_warnings.py` writes one",
    "import:<import>": "users import on the desk; `ingest/imports/test_imports.py` writes one",
    "imports:of:<account>": "as the import",
    "imports:all": "as the import",
    "imports:due": "as the import",
    "archive:totals": "no version is old enough for an archive; `ingest/archive/test_archive.py` writes one",
    "archive:pass": "as the totals",
    "archive:owner": "as the totals",
    "archive:lease": "as the totals",
    "archive:writing": "as the totals",
    "archive:erasures": "as the totals",
    "labels:merged:<account>": "users rename labels on the desk; `ingest/desk/test_account_pages.py` does",
}
"""Families that this run does not write, each with the reason."""
ARTICLE = {
    "title": "The ferry is late",
    "body": "<p>Fog.</p>",
    "category": "Transport",
    "topics": ["Ferries"],
    "language": "en",
}
CROWD = 600
"""More members than are enqueued at a time."""
_TYPES = {
    "hash": ("hset", "hincrby", "hdel"),
    "zset": ("zadd", "zincr", "zrem", "zunionstore"),
    "set": ("sadd", "srem"),
    "list": ("rpush", "lpop", "ltrim"),
    "string": ("set", "incrby"),
    "stream": ("xadd", "xtrim", "xgroup-create"),
}
_TYPE_OF_EVENT = {event: kind for kind, events in _TYPES.items() for event in events}


class Endpoints:
    """A receiver with an endpoint for each way in which a delivery can go."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.released = threading.Event()
        self.url = ""


@contextmanager
def endpoints() -> Iterator[Endpoints]:
    found = Endpoints()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            found.paths.append(self.path)
            if self.path == "/slow":
                found.released.wait(60)
            status = {"/fails": 500, "/gone": 410}.get(self.path, 204)
            self.send_response(status)
            body = b"" if status == 204 else b"no, thank you"
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as site:
        found.url = site
        try:
            yield found
        finally:
            found.released.set()


class WrittenKeys:
    """Every key that was written, also if it exists no more, with the types that it had."""

    def __init__(self, redis: SynchronousRedis) -> None:
        self.types: dict[str, set[str]] = {}
        self._redis = redis
        redis.config_set("notify-keyspace-events", "KA")
        self._events = redis.pubsub(ignore_subscribe_messages=True)
        self._events.psubscribe(**{"__keyspace@*__:*": self._note})
        self.scan()
        self._thread = self._events.run_in_thread(sleep_time=0.05, daemon=True)

    def _note(self, message: dict[str, Any]) -> None:
        name = message["channel"].decode().split("__:", 1)[1]
        kinds = self.types.setdefault(name, set())
        if kind := _TYPE_OF_EVENT.get(message["data"].decode()):
            kinds.add(kind)

    def scan(self) -> None:
        for name in self._redis.scan_iter(count=1000):
            kind = self._redis.type(name).decode()
            if kind != "none":
                self.types.setdefault(name.decode(), set()).add(kind)

    def close(self) -> None:
        self._thread.stop()
        self._thread.join(DEADLINE_SECONDS)
        self.scan()

    def saw(self, family: str) -> bool:
        (wanted,) = [each for each in FAMILIES if each.pattern == family]
        return any(wanted in found for found in map(family_of, list(self.types)))


def family_of(name: str) -> list[KeyFamily]:
    for store, prefix in (("deliveries", KEYS.deliveries.key("")), ("records", KEYS.key(""))):
        if name.startswith(prefix):
            return families_of(name.removeprefix(prefix), store, FAMILIES)  # type: ignore[arg-type]
    return []


class Client:
    """Requests with the keys of an installation."""

    def __init__(self, running: Running) -> None:
        self._running = running

    def __call__(self, role: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = httpx.request(
            method,
            self._running.site + path,
            headers=self._running.key(role) | headers,
            json=body,
            timeout=60,
            trust_env=False,
        )
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def put(self, external_id: str, **changes: Any) -> Any:
        return self("PUBLISHER", "PUT", f"/v1/articles/by-external-id/{external_id}", {**ARTICLE, **changes})

    def subscribe(self, url: str, **more: Any) -> str:
        channel = {"type": "webhook", "url": url, "notices": True}
        return str(self("SUBSCRIBER", "POST", "/v1/subscriptions", {"channel": channel, **more})["id"])


@pytest.fixture
def provider() -> Iterator[Provider]:
    with running_provider() as found:
        yield found


@pytest.fixture
def running(tmp_path: Path, provider: Provider) -> Iterator[Running]:
    staff = {"name": "staff", "label": "SSO", "issuer": provider.issuer, "client_id": "newswire"}
    environment = {
        "NEWSWIRE_PUBLISH_RATE": "1000",
        "NEWSWIRE_DAILY_QUOTA": "1000",
        "NEWSWIRE_AUTHENTICATION_FAILURES": "2",
        "NEWSWIRE_OPENID_PROVIDERS": orjson.dumps([staff | {"client_secret": "s/cret"}]).decode(),
    }
    started = Running(tmp_path / "data", "--no-samples", environment=environment)
    try:
        started.until_ready()
        yield started
    finally:
        started.process.terminate()
        started.process.wait(DEADLINE_SECONDS)


@pytest.fixture
def url(running: Running) -> str:
    return (running.data_dir / "redis.url").read_text().strip()


@pytest.fixture
def written(url: str) -> Iterator[WrittenKeys]:
    with SynchronousRedis.from_url(url) as redis:
        keys = WrittenKeys(redis)
        try:
            yield keys
        finally:
            with suppress(Exception):  # the test has closed it
                keys.close()


def test_every_key_is_declared_and_every_declared_key_is_seen(running: Running, url: str, written: WrittenKeys) -> None:
    client = Client(running)
    with endpoints() as to:
        deliveries_of_every_kind(client, to, written)
        articles_of_every_kind(client)
        images(client)
        people_sign_in(client, running.site)
        a_subscriber_opens_the_portal(client, running.site, f"{to.url}/ok")
        asyncio.run(operations(url, to))
        client.put("to-many", topics=["Everybody"])
        until(lambda: written.saw("expanding"))
        for late in ("suspended", "entitled", "ended:<subscription>"):
            until(lambda late=late: written.saw(late))  # type: ignore[misc]
        until(lambda: written.saw("article:<article>:dead-letters"))
        reindexed = newswire("reindex", "--data-dir", str(running.data_dir))
        assert reindexed.returncode == 0, reindexed.stderr
    written.close()
    undeclared = {name for name in written.types if len(family_of(name)) != 1}
    assert undeclared == set()
    wrong = {name: kinds for name, kinds in written.types.items() if kinds - {family_of(name)[0].type}}
    assert wrong == {}
    apart = {family.pattern for family in (*NEWSLETTERS, *HUB)}  # they have tests of their own, with readers
    unseen = {family.pattern for family in FAMILIES if not written.saw(family.pattern)} - apart
    assert unseen == set(UNSEEN)


def deliveries_of_every_kind(client: Client, to: Endpoints, written: WrittenKeys) -> None:
    """Deliveries that arrive, fail, are superseded while they are sent, and held; a backfill; a disabled endpoint."""
    ok, *_ = (client.subscribe(f"{to.url}/{path}") for path in ("ok", "fails", "slow", "gone"))
    article = client.put("late-ferry")
    until(lambda: {"/ok", "/fails", "/slow", "/gone"} <= set(to.paths))
    client.put("late-ferry", title="The ferry is very late")
    until(lambda: written.saw("superseded_in_flight:<subscription>"))
    to.released.set()
    until(lambda: written.saw("delivery:<delivery>:attempts"), 120)
    client("SUBSCRIBER", "POST", f"/v1/subscriptions/{ok}/pause")
    client.put("late-ferry", title="The ferry is cancelled")
    draft = client("PUBLISHER", "POST", "/v1/drafts", {"article_id": article["id"]})
    client("PUBLISHER", "DELETE", f"/v1/drafts/{draft['id']}")
    until(lambda: written.saw("paused:<subscription>"))
    client("SUBSCRIBER", "POST", f"/v1/subscriptions/{ok}/resume")
    client.subscribe(f"{to.url}/since", start="2026-01-01T00:00:00Z")
    until(lambda: "/since" in to.paths)
    page = client("SUBSCRIBER", "GET", f"/v1/subscriptions/{ok}/deliveries?limit=1")
    assert page["deliveries"]
    client("ADMIN", "POST", "/v1/stream/tokens", {})
    client("PUBLISHER", "DELETE", f"/v1/articles/{article['id']}")
    client("ADMIN", "DELETE", f"/v1/admin/subscriptions/{ok}", {"reason": "it floods us"})


def preview_a_draft(browser: httpx.Client, form: dict[str, str]) -> None:
    """Write a draft on the desk, and look at it as a page of the site."""
    draft = browser.post("/desk/drafts", data=form).url.path
    browser.post(draft, data=form | {"revision": "1", "title": "Fog", "body": "<p>Nothing sails.</p>"})
    shown = browser.post(f"{draft}/preview", data=form)
    assert (shown.status_code, "Nothing sails." in shown.text) == (200, True)


def people_sign_in(client: Client, site: str) -> None:
    """A user signs in by a link, a passkey and a provider, a sign-in with a wrong password fails, and a new one is asked for."""
    user = {"email": "ida@harbour.example", "name": "Ida Roth", "memberships": {"gazette": ["editor"]}}
    made = client("ADMIN", "POST", "/v1/users", user)
    link = client("ADMIN", "POST", f"/v1/users/{made['id']}/links", {"purpose": "sign-in"})
    path = httpx.URL(link["url"]).path
    with httpx.Client(base_url=site, trust_env=False, follow_redirects=True) as browser:
        page = browser.post(path)
        assert page.status_code == 200
        form = {"csrf": page.text.partition('name="csrf" value="')[2].partition('"')[0]}
        preview_a_draft(browser, form)
        use_a_passkey(browser, form, site.replace("127.0.0.1", "localhost"))
    with httpx.Client(base_url=site, trust_env=False, follow_redirects=True) as browser:
        at_provider = browser.post("/sign-in/openid/staff").headers["refresh"].removeprefix("0; url=")
        assert browser.get(at_provider).url.path == "/desk"
    guess = {"email": "ida@harbour.example", "password": "a guess"}
    assert httpx.post(f"{site}/sign-in", data=guess, trust_env=False).status_code == 403
    forgotten = httpx.post(f"{site}/forgot-password", data={"email": "ida@harbour.example"}, trust_env=False)
    assert forgotten.is_success


def use_a_passkey(browser: httpx.Client, form: dict[str, str], site: str) -> None:
    """Add a passkey, and sign in with it."""
    authenticator = Authenticator(origin=site)
    made = authenticator.create(browser.get("/account/passkeys/options").text)
    assert browser.post("/account/passkeys", data=form | {"name": "Phone", "credential": made}).is_success
    answer = authenticator.get(browser.get("/sign-in/passkey/options").text)
    assert browser.post("/sign-in/passkey", data={"credential": answer}).url.path == "/desk"


def a_subscriber_opens_the_portal(client: Client, site: str, endpoint: str) -> None:
    """A link is opened, and a subscription created on the page."""
    link = client("SUBSCRIBER", "POST", "/v1/portal-links", {})
    with httpx.Client(base_url=site, trust_env=False, follow_redirects=True) as browser:
        browser.post("/portal/open", data={"token": link["url"].rpartition("/")[2]})
        page = browser.get("/portal/new").text
        fields = {name: re.findall(f'name="{name}" value="([^"]+)"', page)[-1] for name in ("csrf", "act")}
        made = browser.post("/portal/new", data=fields | {"url": endpoint})
    assert "whsec_" in made.text


def articles_of_every_kind(client: Client) -> None:
    """A repeatable request, a scheduled article, merged labels, and keys that are refused."""
    client("PUBLISHER", "POST", "/v1/articles", ARTICLE, **{"Idempotency-Key": "once"})
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    client("PUBLISHER", "POST", "/v1/articles", {**ARTICLE, "embargo_until": later})
    client("ADMIN", "POST", "/v1/topics/merge", {"old": "Ferries", "new": "Ships"})
    for number in range(6):
        token = f"nw_01m8bqjdsayqyabkw4p7prc29{number}_{'0' * 48}"
        httpx.get(f"{client._running.site}/v1/articles", headers={"Authorization": f"Bearer {token}"}, trust_env=False)


def images(client: Client) -> None:
    """An image that an article uses, and one that is deleted."""
    address, key = f"{client._running.site}/v1/media", client._running.key("PUBLISHER")
    used, unused = (
        httpx.post(address, content=jpeg(width), headers=key, timeout=60, trust_env=False).json()
        for width in (400, 500)
    )
    client.put("with-image", image={"url": used["url"]})
    client("PUBLISHER", "DELETE", f"/v1/media/{unused['id']}")


async def operations(url: str, to: Endpoints) -> None:
    """What operators do, what a poisonous entry and a large audience bring, and what is otherwise done once a minute."""
    async with open_redis(url) as redis:
        await create_key(redis, KEYS, "Disabled Reader", {Scope.SUBSCRIBE})
        await entitle_account(redis, KEYS, "Disabled Reader", Filter.model_validate({"topics": ["Ferries"]}))
        await disable_account(redis, KEYS, "Disabled Reader")
        await crowd(redis, to)
        (article,) = await redis.zrange(KEYS.articles, 0, 0)
        poison = orjson.dumps({"specversion": "1.0", "subject": article.decode()})
        await redis.xadd(KEYS.stream, {FIELD: poison})
        await redis.xadd(KEYS.outcomes, {FIELD: b"{}"})
        await settled(lambda: trimmed(redis, "articles"))
        await settled(lambda: trimmed(redis, "outcomes"))
        for store in ("records", "deliveries"):
            await rewrite_if_due(redis, redis, KEYS, timedelta(0), store=store)


async def settled(done: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not await done():
            await asyncio.sleep(0.1)


async def trimmed(redis: Redis, stream: Any) -> bool:
    """Trim everything that the groups have handled."""
    await trim(redis, KEYS, timedelta(0), stream=stream)
    return bool(await redis.exists(KEYS.trimmed if stream == "articles" else KEYS.key("trimmed", stream)))


async def crowd(redis: Redis, to: Endpoints) -> None:
    """Create many subscriptions with one filter; they are paused, so that nothing is sent to them."""
    queue = Queue(redis, KEYS, retention=NotifySettings().retention)
    fields = {
        "schema": 1,
        "status": "paused",
        "created": 1,
        "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "url": f"{to.url}/crowd",
        "headers": "{}",
        "filter": '{"topics":["Everybody"]}',
        "events": "published",
        "content": "full",
        "labels": "{}",
    }
    arguments = {
        "prefix": queue.prefix,
        "account": "Crowd",
        "digest": "0" * 32,
        "newest_entry": "0-0",
        "limits": NO_LIMITS,
        "created": 1,
        "fields": fields,
    }
    answers = await queue.functions.call_all(
        [Call("subscribe", (), arguments | {"id": f"sub_crowd{number}"}) for number in range(CROWD)]
    )
    assert set(answers) == {b"OK"}
