"""Newsletters operated step by step: the pages over HTTP, real Redis, a real mail server, and a clock that tests move."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import HttpUrl, SecretStr
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.auth.signed_tokens import SignedTokens
from newswire.http.application import Service, create_app
from newswire.keys import Keyspace
from newswire.storage.document_archive import open_archive
from newswire_notify.fanout.handlers import FanOut
from newswire_notify.newsletters.assembly import NewsletterParts, assemble_newsletters
from newswire_notify.newsletters.forms import default_choices
from newswire_notify.newsletters.models import Newsletter, Subscriber, SubscriberState
from newswire_notify.newsletters.schedule import Cadence
from newswire_notify.settings import NotifySettings
from tests.notify.conftest import Clock, Desk
from tests.notify.newsletters.mail_server import MailServer, ReceivedMail, mail_server

SITE = "https://news.example"
DRAFT: dict[str, Any] = {
    "slug": "ferries",
    "name": "Ferry News",
    "description": "What moves on the water, every morning.",
    "sender": {"name": "Harbour Post", "address": "news@harbour.example", "reply_to": "desk@harbour.example"},
    "topics": [
        {"label": "Ferries", "filter": {"topics": ["Ferries"]}},
        {"label": "Bridges", "filter": {"query": "bridge"}},
    ],
    "time_zone": "Europe/Berlin",
}


@dataclass
class House:
    """A publishing house with newsletters."""

    redis: Redis
    keys: Keyspace
    clock: Clock
    desk: Desk
    parts: NewsletterParts
    mail: MailServer
    http: httpx.AsyncClient
    key: dict[str, str]
    app: FastAPI

    async def create(self, **changes: Any) -> Newsletter:
        answer = await self.http.post("/v1/newsletters", json=DRAFT | changes, headers=self.key)
        assert answer.status_code == 201, answer.text
        found = await self.parts.newsletters.find(answer.json()["id"])
        assert found is not None
        return found

    async def reader(
        self,
        newsletter: Newsletter,
        address: str,
        cadence: str = "instant",
        state: SubscriberState = SubscriberState.ACTIVE,
        **choices: Any,
    ) -> Subscriber:
        """Add a subscriber who has confirmed already."""
        chosen = replace(default_choices(newsletter), cadence=Cadence(cadence), **choices)
        return await self.parts.subscribers.add(newsletter, address, chosen, {}, state=state)

    async def form_token(self, slug: str = "ferries") -> str:
        page = (await self.http.get(f"/newsletters/{slug}")).text
        found = re.search(r'name="form_token" value="([^"]+)"', page)
        assert found, page
        return found[1]

    async def sign_up(
        self, email: str, *, slug: str = "ferries", fill: float = 10, token: str | None = None, **fields: Any
    ) -> httpx.Response:
        """Sign up through the form, as a person who takes some seconds."""
        token = token or await self.form_token(slug)
        self.clock.now += fill
        return await self.http.post(
            f"/newsletters/{slug}/subscribe", data={"email": email, "form_token": token, "website": ""} | fields
        )

    async def send(self) -> list[ReceivedMail]:
        """Do all that is due, and return the mails that were received since."""
        before = len(self.mail.got)
        while await self.parts.digests.step():
            pass
        while await self.parts.queue.expand_next():
            pass
        await self.parts.workers.send_due()
        return self.mail.got[before:]

    def set_time(self, text: str) -> None:
        self.clock.now = datetime.fromisoformat(text).timestamp()

    async def state(self, subscriber: Subscriber) -> str:
        found = await self.parts.subscribers.get(subscriber.id)
        return "erased" if found is None else str(found.state)


def link_in(mail: ReceivedMail, kind: str) -> str:
    """Return the path of a link in a mail."""
    found = re.search(rf"{re.escape(SITE)}(/newsletters/\S+/{kind}/\S+)", mail.text)
    assert found, mail.text
    return found[1]


@asynccontextmanager
async def opened_house(
    redis: Redis, keys: Keyspace, clock: Clock, desk: Desk, mail: MailServer, **changes: Any
) -> AsyncIterator[House]:
    settings = NotifySettings(
        namespace=keys.namespace,
        public_url=HttpUrl(SITE),
        allow_volatile=True,
        smtp_url=SecretStr(mail.url),
        mail_jitter=0,
        read_rate=0,
        **changes,
    )
    tokens = SignedTokens(redis, keys, clock=clock)
    parts = assemble_newsletters(redis, redis, keys, tokens, settings, clock, open_archive(settings))
    desk.fan_out = FanOut(
        desk.matcher, desk.queue, redis, desk.broker, keys, clock=clock, workers=[desk.worker], then=parts.planner
    )
    app = create_app([Service("notify", routers=list(parts.routers))], settings, redis=redis)
    created = await create_key(redis, keys, "Harbour Post", {Scope.SUBSCRIBE})
    transport = httpx.ASGITransport(app, client=("192.0.2.7", 4711))
    async with httpx.AsyncClient(transport=transport, base_url=SITE) as http:
        yield House(redis, keys, clock, desk, parts, mail, http, {"Authorization": f"Bearer {created.token}"}, app)


@pytest.fixture
async def mail() -> AsyncIterator[MailServer]:
    async with mail_server() as server:
        yield server


@pytest.fixture
async def house(redis: Redis, keys: Keyspace, clock: Clock, desk: Desk, mail: MailServer) -> AsyncIterator[House]:
    async with opened_house(redis, keys, clock, desk, mail) as opened:
        yield opened
