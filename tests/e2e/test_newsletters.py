"""From an article to a mailbox and out of it again: ingest and notify together, a real mail server, a clock that is moved."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import pytest
from pydantic import HttpUrl, SecretStr
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.auth.signed_tokens import SignedTokens
from newswire.http.application import create_app
from newswire.keys import Keyspace
from newswire_ingest.app import service as ingest
from newswire_ingest.settings import IngestSettings
from newswire_notify.app import service as notify
from newswire_notify.newsletters.links import Links
from newswire_notify.settings import NotifySettings
from tests.notify.conftest import Clock, until
from tests.notify.newsletters.mail_server import MailServer, ReceivedMail, mail_server
from tests.polling import DEADLINE_SECONDS

SITE = "https://news.example"


@dataclass
class Stack:
    http: httpx.AsyncClient
    mail: MailServer
    clock: Clock
    opened: Links
    """Makes the tokens of forms that a person opened ten seconds ago."""
    publisher: dict[str, str]
    owner: dict[str, str]

    async def publish(self, title: str, **changes: Any) -> str:
        draft = {"title": title, "body": f"<p>{title} and more.</p>", "category": "Transport", "topics": ["Ferries"]}
        answer = await self.http.post("/v1/articles", json=draft | changes, headers=self.publisher)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def next_mail(self, count: int) -> ReceivedMail:
        """Return the newest mail once there are as many."""
        await until(lambda: len(self.mail.got) >= count, 60)
        assert len(self.mail.got) == count
        return self.mail.got[-1]

    def set_time(self, text: str) -> None:
        self.clock.now = datetime.fromisoformat(text).timestamp()


@pytest.fixture
def keys(namespace: str) -> Keyspace:
    return Keyspace(namespace)


@pytest.fixture
async def stack(redis: Redis, redis_url: str, keys: Keyspace) -> AsyncIterator[Stack]:
    clock = Clock(datetime.fromisoformat("2026-11-26T12:00:00+01:00").timestamp())
    async with AsyncExitStack() as opened:
        mail = await opened.enter_async_context(mail_server())
        common: dict[str, Any] = {
            "redis_url": SecretStr(redis_url), "namespace": keys.namespace, "public_url": HttpUrl(SITE), "allow_volatile": True,
        }  # fmt: skip
        own = NotifySettings(**common, smtp_url=SecretStr(mail.url), mail_jitter=0)
        services = [
            await opened.enter_async_context(ingest(IngestSettings(**common))),
            await opened.enter_async_context(notify(own, newsletter_clock=clock)),
        ]
        app = create_app(services, own, redis=redis)
        stopping: asyncio.Event = app.state.stopping
        loops = [asyncio.ensure_future(loop(stopping)) for each in services for loop in each.loops.values()]
        http = await opened.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=SITE, timeout=DEADLINE_SECONDS)
        )
        made = {
            scope: await create_key(redis, keys, "Harbour Post", {scope}) for scope in (Scope.PUBLISH, Scope.SUBSCRIBE)
        }
        headers = {scope: {"Authorization": f"Bearer {key.token}"} for scope, key in made.items()}
        try:
            await until(_ready(http), 60)
            earlier = SignedTokens(redis, keys, clock=lambda: time.time() - 10)
            opened_before = Links(SITE, earlier, earlier)
            yield Stack(http, mail, clock, opened_before, headers[Scope.PUBLISH], headers[Scope.SUBSCRIBE])
        finally:
            stopping.set()
            await asyncio.wait_for(asyncio.gather(*loops), DEADLINE_SECONDS)


def _ready(http: httpx.AsyncClient) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        return (await http.get("/status")).status_code == 200

    return ready


def link(mail: ReceivedMail, kind: str) -> str:
    found = re.search(rf"{re.escape(SITE)}(/newsletters/\S+/{kind}/\S+)", mail.text)
    assert found, mail.text
    return found[1]


async def sign_up(stack: Stack, email: str, cadence: str) -> None:
    page = (await stack.http.get("/newsletters/ferries?topic=Ferries")).text
    assert 'name="form_token"' in page
    form = {
        "form_token": await stack.opened.form("ferries"),
        "website": "",
        "email": email,
        "topics": ["Ferries", "Bridges"],
        "cadence": cadence,
    }
    answer = await stack.http.post("/newsletters/ferries/subscribe", data=form)
    assert answer.status_code == 200
    assert "Check your mailbox" in answer.text


async def test_from_an_article_to_the_mailbox_and_out_of_it(stack: Stack) -> None:
    draft = {
        "slug": "ferries",
        "name": "Ferry News",
        "description": "What moves on the water.",
        "sender": {"name": "Harbour Post", "address": "news@harbour.example"},
        "topics": [{"label": name, "filter": {"topics": [name]}} for name in ("Ferries", "Bridges")],
        "time_zone": "Europe/Berlin",
    }
    assert (await stack.http.post("/v1/newsletters", json=draft, headers=stack.owner)).status_code == 201
    await stack.publish("Before the reader came")
    await sign_up(stack, "reader@example.org", "instant")
    confirmation = await stack.next_mail(1)
    assert (await stack.http.get(link(confirmation, "confirm"))).status_code == 200
    assert (await stack.http.post(link(confirmation, "confirm"))).status_code == 200

    await stack.publish("The night ferry is back")
    alert = await stack.next_mail(2)
    assert alert.message["Subject"] == "The night ferry is back"
    preferences = link(alert, "preferences")
    assert (await stack.http.post(preferences, data={"cadence": "daily", "hour": "7"})).status_code == 200

    retracted = await stack.publish("A pier that never was")
    await stack.publish("Two captains retire")
    assert (await stack.http.delete(f"/v1/articles/{retracted}", headers=stack.publisher)).status_code == 200
    await until(_archived(stack, "Two captains retire"))
    stack.set_time("2026-11-27T07:00:05+01:00")
    digest = await stack.next_mail(3)
    assert "Two captains retire" in digest.text
    assert "A pier that never was" not in digest.text + digest.part("html")
    assert "The night ferry is back" not in digest.text

    assert (
        await stack.http.post(link(digest, "preferences"), data={"cadence": "daily", "hour": "20"})
    ).status_code == 200
    await stack.publish("The bridge opens")
    await until(_archived(stack, "The bridge opens"))
    stack.set_time("2026-11-28T20:00:05+01:00")
    evening = await stack.next_mail(4)
    assert "The bridge opens" in evening.text

    path = str(evening.message["List-Unsubscribe"]).removeprefix(f"<{SITE}").removesuffix(">")
    answer = await stack.http.post(
        path, content=b"List-Unsubscribe=One-Click", headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 200
    await stack.publish("Nobody reads this by mail")
    await until(_archived(stack, "Nobody reads this by mail"))
    stack.set_time("2026-11-29T20:00:05+01:00")
    # Another reader's mail shows that the queue has been worked on.
    await sign_up(stack, "other@example.org", "daily")
    last = await stack.next_mail(5)
    assert last.recipient == "other@example.org"
    for address in ("/newsletters/ferries/archive", "/newsletters/ferries/archive.atom"):
        assert "A pier that never was" not in (await stack.http.get(address)).text


def _archived(stack: Stack, title: str) -> Callable[[], Awaitable[bool]]:
    async def archived() -> bool:
        return title in (await stack.http.get("/newsletters/ferries/archive")).text

    return archived
