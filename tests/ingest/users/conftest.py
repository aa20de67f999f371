"""Browsers, and users of the account ``Harbour Post``."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import httpx
import pytest
from pydantic import HttpUrl

from newswire.auth.accounts import create_account
from newswire.auth.signed_tokens import SignedTokens
from newswire.observability.audit import COMMAND_LINE
from newswire.users.models import User
from newswire.users.roles import Role
from newswire.users.service import UserService
from newswire.workspace.frame import home_of
from newswire_ingest.passkeys.models import RelyingParty
from newswire_ingest.passkeys.service import PasskeyService
from tests.ingest.conftest import Ingest

PASSWORD = "velvet ferry onion quay"
SITE = "https://news.example"
_CSRF = re.compile(r'name="csrf" value="([0-9a-f]{64})"')


@dataclass
class Browser:
    """A browser with its cookies. Forms are sent as browsers do, with ``Origin``, and the token of the page seen last."""

    http: httpx.AsyncClient
    page: str = ""
    headers: dict[str, str] = field(default_factory=lambda: {"Accept": "text/html", "Accept-Language": "en"})

    async def get(self, path: str) -> httpx.Response:
        """Open a page, and follow redirects."""
        response = await self.http.get(path, headers=self.headers, follow_redirects=True)
        self.page = response.text
        return response

    async def get_json(self, path: str) -> httpx.Response:
        """Ask for a document as scripts do; the page stays."""
        return await self.http.get(path, headers=self.headers | {"Accept": "application/json"})

    async def post(
        self, path: str, *, follow: bool = True, origin: str = SITE, **fields: str | list[str]
    ) -> httpx.Response:
        """Send a form."""
        found = _CSRF.search(self.page)
        data = ({"csrf": found[1]} if found else {}) | fields
        headers = self.headers | {"Origin": origin}
        response = await self.http.post(path, headers=headers, data=data, follow_redirects=follow)
        if follow:
            self.page = response.text
        return response

    async def sign_in(self, email: str, password: str = PASSWORD, path: str = "/sign-in") -> httpx.Response:
        """Sign in on the page."""
        return await self.post(path, email=email, password=password)


@dataclass
class Desk:
    """Ingest with users, and any number of browsers."""

    ingest: Ingest
    service: UserService
    browsers: list[Browser] = field(default_factory=list)
    site: str = SITE

    @property
    def service_of_passkeys(self) -> PasskeyService:
        """The passkeys of the users."""
        redis, keys = self.ingest.redis, self.ingest.keys
        party = RelyingParty("news.example", "Newswire", SITE)
        return PasskeyService(redis, keys, self.service, SignedTokens(redis, keys), party)

    def at(self, public_url: HttpUrl, opened: str) -> "Desk":
        """Return the same with another public address, opened at an address."""
        return Desk(self.ingest.with_settings(public_url=public_url), self.service, self.browsers, opened)

    def browser(self, language: str = "en") -> Browser:
        """Return a new browser without cookies."""
        http = httpx.AsyncClient(transport=httpx.ASGITransport(self.ingest.app), base_url=self.site)
        browser = Browser(http)
        browser.headers["Accept-Language"] = language
        self.browsers.append(browser)
        return browser

    async def signed_in(self, user: User) -> Browser:
        """Return a browser in which a user is signed in."""
        browser = self.browser()
        assert (await browser.sign_in(user.email)).url.path == home_of(user)
        return browser


MakeUser = Callable[..., Awaitable[User]]


@pytest.fixture
async def desk(ingest: Ingest) -> AsyncIterator[Desk]:
    ingest = ingest.with_settings(public_url=ingest.settings.public_url.__class__(SITE))
    await create_account(ingest.redis, ingest.keys, "Harbour Post")
    made = Desk(ingest, UserService(ingest.redis, ingest.keys))
    yield made
    for browser in made.browsers:
        await browser.http.aclose()


@pytest.fixture
def user(desk: Desk) -> MakeUser:
    """Create a user of the account, with a password."""

    async def make(email: str, *roles: Role, account: str = "Harbour Post", password: str | None = PASSWORD) -> User:
        service = desk.service
        created = await service.create(
            email, email.partition("@")[0].title(), {account: frozenset(roles)}, by=COMMAND_LINE
        )
        if password:
            await service.set_password(created, password, by=COMMAND_LINE)
        found = await service.users.find(created.id)
        assert found is not None
        return found

    return make
