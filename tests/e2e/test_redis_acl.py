"""Each service with a user of its own in Redis, which may do only what `newswire redis-acl` prints."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis as SynchronousRedis

from newswire.keys import Keyspace
from newswire.storage.redis_client import open_redis
from newswire_notify.newsletters.models import Choices, NewsletterDraft, Sender, SubscriberState
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.schedule import Cadence
from newswire_notify.newsletters.subscribers import Subscribers
from tests.cli.running import newswire
from tests.e2e.conftest import Newswire, receiver, service
from tests.e2e.test_main_job import ARTICLE, bearer, events_of, live, subscribe
from tests.polling import DEADLINE_SECONDS, until
from tests.servers.smtp_sink import SmtpSink, listen
from tests.servers.valkey import embedded_valkey

pytestmark = pytest.mark.slow
KEYS = Keyspace("newswire")


@contextmanager
def mail_server() -> Iterator[tuple[str, SmtpSink]]:
    """A mail server in a thread: the test blocks its own event loop."""
    sink, started, ended, found = SmtpSink(), threading.Event(), [], []

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with listen(sink) as url:
            found.append(url)
            ended.append(lambda: loop.call_soon_threadsafe(stop.set))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(DEADLINE_SECONDS)
    try:
        yield found[0], sink
    finally:
        ended[0]()
        thread.join()


async def add_a_reader(url: str) -> None:
    async with open_redis(url) as redis:
        newsletters = Newsletters(redis, KEYS)
        sender = Sender(name="Harbour Post", address="news@harbour.example")
        draft = NewsletterDraft(slug="ferries", name="Ferries", description="What moves.", sender=sender)
        newsletter = await newsletters.add("tide-publish", draft)
        choices = Choices(Cadence.INSTANT, "UTC")
        await Subscribers(newsletters).add(newsletter, "r@harbour.example", choices, {}, state=SubscriberState.ACTIVE)


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[SynchronousRedis]:
    """The server with the printed users."""
    with embedded_valkey(tmp_path / "redis") as server, SynchronousRedis(port=server.port) as redis:
        printed = newswire("redis-acl")
        assert printed.returncode == 0, printed.stderr
        for line in printed.stdout.splitlines():
            assert redis.execute_command(*line.replace(">PASSWORD", ">secret").split()) in (b"OK", "OK", True)
        yield redis


def url_of(admin: SynchronousRedis, user: str) -> str:
    return f"redis://newswire-{user}:secret@127.0.0.1:{admin.connection_pool.connection_kwargs['port']}/0"


@pytest.fixture
def installed(admin: SynchronousRedis, tmp_path: Path) -> Iterator[tuple[Newswire, SmtpSink]]:
    commands = {"NEWSWIRE_REDIS_URL": url_of(admin, "commands")}

    def key(scope: str) -> str:
        made = newswire("keys", "create", "--account", f"tide-{scope}", "--scope", scope, **commands)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    with ExitStack() as stack:
        smtp_url, sink = stack.enter_context(mail_server())
        common = {
            "NEWSWIRE_INDEX": "embedded",
            "NEWSWIRE_DATA_DIR": str(tmp_path / "data"),
            "NEWSWIRE_MEDIA_DIR": str(tmp_path / "media"),
            "NEWSWIRE_SMTP_URL": smtp_url,
            "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true",
        }
        ingest, search, notify = (
            stack.enter_context(
                service(name, common | {"NEWSWIRE_REDIS_URL": url_of(admin, name)}, tmp_path / f"{name}.log")
            )
            for name in ("ingest", "search", "notify")
        )
        yield Newswire(ingest, search, notify, key("publish"), key("subscribe"), environment=commands), sink


def publish(installed: Newswire, **changes: Any) -> httpx.Response:
    return httpx.post(
        f"{installed.ingest}/v1/articles",
        headers=bearer(installed.publisher_key),
        json=ARTICLE | changes,
        timeout=DEADLINE_SECONDS,
        trust_env=False,
    )


def test_the_main_job_needs_these_permissions_and_no_others(
    installed: tuple[Newswire, SmtpSink], admin: SynchronousRedis
) -> None:
    newswire_, sink = installed
    asyncio.run(add_a_reader(url_of(admin, "commands")))
    with receiver() as endpoint, live(newswire_) as heard:
        subscribe(newswire_, endpoint.url, {"query": "captains"})
        published = publish(newswire_)
        assert published.status_code == 201, published.text
        until(lambda: found(newswire_, "captains"))
        until(lambda: endpoint.requests)
        until(lambda: events_of(heard))
        until(lambda: sink.count == 1)
        article = f"{newswire_.ingest}/v1/articles/{published.json()['id']}"
        for method, body in (("PUT", ARTICLE | {"title": "Captains vote again"}), ("DELETE", None)):
            key = bearer(newswire_.publisher_key)
            changed = httpx.request(method, article, headers=key, json=body, timeout=DEADLINE_SECONDS, trust_env=False)
            assert changed.status_code == 200, changed.text
        until(lambda: not found(newswire_, "captains"))
        until(lambda: events_of(heard)[-1]["type"].endswith(".retracted.v1"))
        until(lambda: any(b".retracted.v1" in body for _, body in endpoint.requests))
    denied = [(entry["username"], entry["reason"], entry["object"]) for entry in admin.acl_log()]
    assert denied == []
    one_right_less_is_reported(newswire_, admin)


def one_right_less_is_reported(installed: Newswire, admin: SynchronousRedis) -> None:
    admin.execute_command("ACL", "SETUSER", "newswire-ingest", "-zadd")
    refused = publish(installed)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "30")
    assert "the Redis user lacks a permission" in refused.json()["detail"]
    admin.execute_command("ACL", "SETUSER", "newswire-ingest", "+zadd")
    assert publish(installed).status_code == 201

    admin.execute_command("ACL", "SETUSER", "newswire-search", "-xreadgroup")
    admin.execute_command("ACL", "SETUSER", "newswire-notify", "-xread")
    for site, check in ((installed.search, "search: consumer"), (installed.notify, "notify: live stream")):
        until(lambda site=site, check=check: failing(site, check))  # type: ignore[misc]
    assert "the Redis user lacks a permission" in failing(installed.search, "search: consumer")


def found(installed: Newswire, words: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{installed.search}/v1/search", params={"q": words}, trust_env=False)
    articles: list[dict[str, Any]] = answer.json().get("articles", [])
    return articles


def failing(site: str, check: str) -> str:
    answer = httpx.get(f"{site}/status", timeout=DEADLINE_SECONDS, trust_env=False)
    found = str(answer.json()["checks"][check])
    return "" if found == "ok" else found
