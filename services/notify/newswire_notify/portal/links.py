"""One-time links to the portal, and the sessions that they are swapped for.

A link is for one account. Opening its page changes nothing, because mail scanners open links; the page's button uses it up.
Of links and sessions only the SHA-256 of their 256 random bits is stored. A session ends after some hours, or with the key that
made its link.
"""

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from redis.asyncio import Redis

from newswire.auth.credentials import find_caller
from newswire.keys import Keyspace
from newswire.observability.audit import Act, Actor, ActorType, record
from newswire.timestamps import epoch_ms, from_epoch_ms, utc_now

DEFAULT_LIFETIME = timedelta(hours=1)
MAX_LIFETIME = timedelta(hours=24)
SESSION_LIFETIME = timedelta(hours=8)
_LINK, _SESSION = re.compile(r"[A-Za-z0-9_-]{43}"), re.compile(r"nwp_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class PortalLink:
    """What a link grants: to manage the subscriptions of an account."""

    id: str
    account: str
    key_id: str | None
    """The key that made it; None if the command line did."""


@dataclass(frozen=True, slots=True)
class PortalSession:
    """A browser in which a link was opened."""

    link: PortalLink
    ends_at: datetime

    def actor(self, address: str | None) -> Actor:
        """Return who acts in this session, for the audit log: it names the creator of the link."""
        return Actor(ActorType.PORTAL_LINK, self.link.key_id, self.link.account, address)


class PortalLinks:
    """Makes and uses links, and finds and ends their sessions."""

    def __init__(self, records: "Redis", keys: Keyspace, clock: Callable[[], datetime] = utc_now) -> None:
        self._redis = records
        self._keys = keys
        self._clock = clock

    async def create(self, account: str, lifetime: timedelta, *, by: Actor) -> str:
        """Return the token of a new link."""
        token = secrets.token_urlsafe(32)
        link = PortalLink(_digest(token)[:16], account, by.key_id)
        await self._redis.set(self._key("portal-link", token), _written(link), px=min(lifetime, MAX_LIFETIME))
        seconds = int(lifetime.total_seconds())
        await self._record(by, Act.PORTAL_LINKED, link, lifetime_seconds=seconds)
        return token

    async def peek(self, token: str) -> PortalLink | None:
        """Return an unused link, and leave it unused; None if it is unknown, used or expired, or its key is revoked."""
        if not _LINK.fullmatch(token):
            return None
        return await self._valid(_read(await self._redis.get(self._key("portal-link", token))))

    async def open(self, token: str, address: str | None) -> tuple[str, PortalSession] | None:
        """Use a link up, and return the token of a new session. Of several concurrent calls, one gets it."""
        if await self.peek(token) is None:
            return None
        link = _read(await self._redis.getdel(self._key("portal-link", token)))
        if link is None:
            return None
        session_token = f"nwp_{secrets.token_urlsafe(32)}"
        session = PortalSession(link, self._clock() + SESSION_LIFETIME)
        content = orjson.dumps([orjson.loads(_written(link)), epoch_ms(session.ends_at)])
        await self._redis.set(self._key("portal-session", session_token), content, px=SESSION_LIFETIME)
        await self._record(session.actor(address), Act.PORTAL_OPENED, link)
        return session_token, session

    async def find(self, token: str) -> PortalSession | None:
        """Return a session that has not ended."""
        if not _SESSION.fullmatch(token):
            return None
        stored = await self._redis.get(self._key("portal-session", token))
        if stored is None:
            return None
        content, ends_ms = orjson.loads(stored)
        link, ends_at = PortalLink(**content), from_epoch_ms(ends_ms)
        if ends_at <= self._clock() or await self._valid(link) is None:
            return None
        return PortalSession(link, ends_at)

    async def end(self, token: str) -> None:
        """End a session."""
        await self._redis.delete(self._key("portal-session", token))

    async def _valid(self, link: PortalLink | None) -> PortalLink | None:
        """Return a link unless the key that made it is revoked or expired."""
        if link is None or link.key_id is None:
            return link
        return link if await find_caller(self._redis, self._keys, link.key_id) else None

    def _key(self, family: str, token: str) -> str:
        return self._keys.key(family, _digest(token))

    async def _record(self, by: Actor, act: Act, link: PortalLink, **details: int) -> None:
        await record(self._redis, self._keys, by, act, "portal_link", link.id, account=link.account, **details)


def link_address(site: str, token: str) -> str:
    """Return the address of a link."""
    return f"{site}/portal/open/{token}"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _written(link: PortalLink) -> bytes:
    return orjson.dumps({"id": link.id, "account": link.account, "key_id": link.key_id})


def _read(stored: bytes | None) -> PortalLink | None:
    return None if stored is None else PortalLink(**orjson.loads(stored))
