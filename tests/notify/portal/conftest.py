"""Notify with the portal, and browsers that open it: by a link, or signed in as a user."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import HttpUrl, SecretStr
from redis.asyncio import Redis

from newswire.auth.accounts import create_account
from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.http.application import create_app
from newswire.keys import Keyspace
from newswire.observability.audit import COMMAND_LINE, AuditEntry, read_page
from newswire.users.models import User
from newswire.users.roles import Role
from newswire.users.service import UserService
from newswire.workspace.texts import texts as all_texts
from newswire_notify.app import service
from newswire_notify.portal.frame import PACKAGE
from newswire_notify.portal.links import PortalLinks
from newswire_notify.settings import NotifySettings
from newswire_notify.subscriptions.models import Subscription
from tests.ingest.users.conftest import Browser
from tests.notify.conftest import SITE, Desk

ACCOUNT = "Harbour Post"


def texts(language: str) -> Mapping[str, str]:
    """Return the texts of the portal's pages."""
    return all_texts(language, PACKAGE)


@dataclass
class Portal:
    """Notify, its users, and any number of browsers. Deliveries are made by the desk."""

    app: Any
    desk: Desk
    redis: Redis
    keys: Keyspace
    users: UserService
    links: PortalLinks
    browsers: list[Browser] = field(default_factory=list)

    def browser(self, language: str = "en") -> Browser:
        """Return a browser without cookies."""
        http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=SITE)
        made = Browser(http)
        made.headers["Accept-Language"] = language
        self.browsers.append(made)
        return made

    async def user(self, *roles: Role, account: str = ACCOUNT, email: str = "ida@harbour.example") -> User:
        await create_account(self.redis, self.keys, account)
        return await self.users.create(email, "Ida", {account: frozenset(roles)}, by=COMMAND_LINE)

    async def signed_in(self, user: User, language: str = "en") -> Browser:
        """Return a browser in which a user has signed in."""
        browser = self.browser(language)
        started = await self.users.sessions.start(user, address=None, user_agent="")
        browser.http.cookies.set("__Host-newswire-session", started.token, domain="news.example")
        return browser

    async def subscriber(self, language: str = "en", account: str = ACCOUNT) -> Browser:
        """Return a browser in which a subscriber of an account has signed in."""
        email = f"{account.split(' ', maxsplit=1)[0].lower()}@harbour.example"
        known = await self.users.users.find_by_email(email)
        return await self.signed_in(known or await self.user(Role.SUBSCRIBER, account=account, email=email), language)

    async def by_link(self, account: str = ACCOUNT) -> Browser:
        """Return a browser in which a link was opened."""
        await create_account(self.redis, self.keys, account)
        token = await self.links.create(account, timedelta(hours=1), by=COMMAND_LINE)
        browser = self.browser()
        await browser.get(f"/portal/open/{token}")
        await browser.post("/portal/open", token=token)
        return browser

    async def key(self, *scopes: Scope, account: str = ACCOUNT) -> dict[str, str]:
        created = await create_key(self.redis, self.keys, account, set(scopes))
        return {"Authorization": f"Bearer {created.token}"}

    async def subscribe(
        self, url: str, filter_: dict[str, Any] | None = None, *, account: str = ACCOUNT, **channel: Any
    ) -> Subscription:
        await create_account(self.redis, self.keys, account)
        return await self.desk.subscribe(url, filter_, account=account, **channel)

    async def audit(self, act: str | None = None) -> list[AuditEntry]:
        """Return what the audit log has, newest first, without what the fixtures did."""
        page = await read_page(self.redis, self.keys, limit=100, act=act)
        return [entry for entry in page.entries if entry.actor != COMMAND_LINE]


@pytest.fixture
async def portal(desk: Desk, redis: Redis, redis_url: str, keys: Keyspace) -> AsyncIterator[Portal]:
    settings = NotifySettings(
        namespace=keys.namespace,
        redis_url=SecretStr(redis_url),
        public_url=HttpUrl(SITE),
        webhook_allow_private=True,
        read_rate=0,
    )
    async with service(settings) as notify:
        app = create_app([notify], settings, redis=redis)
        made = Portal(app, desk, redis, keys, UserService(redis, keys), PortalLinks(redis, keys))
        yield made
        for browser in made.browsers:
            await browser.http.aclose()
