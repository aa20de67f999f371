"""Who may open the portal: users with the permission to manage subscriptions, and browsers in which a one-time link was opened."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import Response

from newswire.auth.accounts import Account, find_account
from newswire.http.forms import MAX_FORM_BYTES, FormData
from newswire.http.middleware import add_headers
from newswire.http.problems import problem
from newswire.http.rate_limits import limit_headers
from newswire.keys import Keyspace
from newswire.observability.audit import Actor
from newswire.settings import Settings
from newswire.users.roles import Permission
from newswire.users.service import actor_of
from newswire.users.sessions import Sessions, csrf_token
from newswire.workspace.browser_sessions import (
    BrowserSessions,
    SignedIn,
    client_of_request,
    read_form_of_session,
)
from newswire_notify.portal.links import SESSION_LIFETIME, PortalLinks, PortalSession
from newswire_notify.subscriptions.errors import SubscriptionEndedError, SubscriptionNotFoundError
from newswire_notify.subscriptions.models import Subscription
from newswire_notify.subscriptions.repository import Subscriptions

PATH = "/portal"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who opened a page, and the account that it is about."""

    account: Account
    accounts: Sequence[str]
    """All accounts whose subscriptions the visitor may manage."""
    actor: Actor
    token: str = field(repr=False)
    """Of the session; it identifies the browser, and is never shown."""
    signed_in: SignedIn | None
    """The user; None for a visitor with a link."""
    session: PortalSession | None = None

    @property
    def csrf(self) -> str:
        """What every form of the session carries."""
        return csrf_token(self.token)

    @property
    def entitlement(self) -> str | None:
        """The entitlement of the account, as it is stored with subscriptions."""
        found = self.account.entitlement
        return None if found is None else found.model_dump_json(exclude_defaults=True)


class PortalAccess:
    """Admits visitors."""

    def __init__(
        self, links: PortalLinks, subscriptions: Subscriptions, records: "Redis", keys: Keyspace, settings: Settings
    ) -> None:
        self.links = links
        self.sessions = Sessions(records, keys)
        self._browsers = BrowserSessions(self.sessions, settings)
        self._subscriptions = subscriptions
        self._records = records
        self._keys = keys
        self._secure = settings.public_url.scheme == "https"
        self.cookie = "__Host-newswire-portal" if self._secure else "newswire-portal"

    async def visitor(self, request: Request) -> Visitor:
        """Return who opened a page. It is about the account that the address names, or about the visitor's first one.

        Raises:
            newswire.http.problems.ProblemError: no user is signed in (401), or the user lacks the permission (403).
        """
        client, account = client_of_request(request), request.query_params.get("account")
        token = request.cookies.get(self.cookie, "")
        session = await self.links.find(token) if token else None
        if session is not None:
            found = await self._enabled(session.link.account, account)
            return Visitor(found, [found.name], session.actor(client.address), token, None, session)
        signed_in = await self._browsers.require(request)
        accounts = signed_in.user.accounts_with(Permission.MANAGE_SUBSCRIPTIONS)
        wanted = account or next(iter(accounts), "")
        if wanted not in accounts:
            raise _not_permitted("none of your roles includes the permission to manage subscriptions here")
        found = await self._enabled(wanted)
        actor = actor_of(signed_in.user, client, wanted)
        return Visitor(found, accounts, actor, request.cookies[self._browsers.cookie], signed_in)

    async def owner(self, request: Request, subscription_id: str) -> tuple[Visitor, Subscription]:
        """Return the visitor of a page about a subscription, and the subscription.

        Raises:
            SubscriptionNotFoundError: there is none, or the visitor may not manage it.
            SubscriptionEndedError: an operator ended it recently.
        """
        visitor = await self.visitor(request)
        found = await self._subscriptions.find(subscription_id)
        if found is not None and found.account in visitor.accounts:
            return await self._about(visitor, found.account), found
        for account in visitor.accounts if found is None else ():
            if (reason := await self._subscriptions.ended_by_operator(account, subscription_id)) is not None:
                raise SubscriptionEndedError(reason)
        raise SubscriptionNotFoundError

    async def read_form(self, request: Request, visitor: Visitor, max_bytes: int = MAX_FORM_BYTES) -> FormData:
        """Read a form that a page of this session sent, and count it towards the rate of changes of the account.

        Raises:
            newswire.http.problems.ProblemError: 403 if another site or another session sent it.
            newswire_notify.subscriptions.write_limit.WriteRateExceededError: the account changes too much.
        """
        whose = visitor.signed_in.user.name if visitor.signed_in else visitor.account.name
        sent = await read_form_of_session(request, visitor.token, whose, max_bytes)
        if standing := request.app.state.subscription_write_limit.spend(visitor.account.name):
            add_headers(request.scope, limit_headers([standing]))
        return sent

    def start(self, response: Response, token: str) -> None:
        """Put the session of a link into a browser."""
        seconds = int(SESSION_LIFETIME.total_seconds())
        response.set_cookie(
            self.cookie, token, max_age=seconds, path="/", secure=self._secure, httponly=True, samesite="lax"
        )

    async def leave(self, request: Request, response: Response) -> None:
        """End the session of a link, and remove it from the browser."""
        await self.links.end(request.cookies.get(self.cookie, ""))
        response.delete_cookie(self.cookie, path="/", secure=self._secure, httponly=True, samesite="lax")

    async def _about(self, visitor: Visitor, account: str) -> Visitor:
        if account == visitor.account.name:
            return visitor
        return replace(visitor, account=await self._enabled(account), actor=replace(visitor.actor, account=account))

    async def _enabled(self, name: str, wanted: str | None = None) -> Account:
        found = await find_account(self._records, self._keys, name)
        if found is None or found.disabled_at is not None:
            raise _not_permitted(f"the account {name} is disabled")
        if wanted not in (None, "", name):
            raise _not_permitted(f"this link is for the account {name}")
        return found


def _not_permitted(detail: str) -> Exception:
    return problem(403, "not-permitted", detail, title="Not permitted")
