"""One-time links: invitations, links to reset a password, and links to sign in.

A link has 256 random bits, of which only the SHA-256 is stored. Showing its page changes nothing, because mail scanners open
links; the page's button uses it up.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import orjson
from redis.asyncio import Redis

from newswire.keys import Keyspace

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class LinkPurpose(StrEnum):
    """What a link is for; it is worthless for every other purpose."""

    INVITATION = "invitation"
    RESET_PASSWORD = "reset-password"  # noqa: S105 (the name of a purpose)
    SIGN_IN = "sign-in"


LIFETIMES = {
    LinkPurpose.INVITATION: timedelta(days=7),
    LinkPurpose.RESET_PASSWORD: timedelta(hours=1),
    LinkPurpose.SIGN_IN: timedelta(minutes=15),
}


@dataclass(frozen=True, slots=True)
class OneTimeLink:
    """What a link grants: to act once for a user."""

    purpose: LinkPurpose
    user_id: str
    revision: int | None = None
    """If set, the link ends when the user's record changes: a link to reset a password does not survive its reset."""


class OneTimeLinks:
    """Writes, shows and uses links."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._redis = redis
        self._keys = keys

    async def create(self, link: OneTimeLink, lifetime: timedelta | None = None) -> str:
        """Return the token of a new link."""
        token = secrets.token_urlsafe(32)
        content = orjson.dumps({"purpose": link.purpose, "user": link.user_id, "revision": link.revision})
        await self._redis.set(self._name(token), content, px=lifetime or LIFETIMES[link.purpose])
        return token

    async def peek(self, purpose: LinkPurpose, token: str) -> OneTimeLink | None:
        """Return an unused link of this purpose, and leave it unused; None if it is unknown, used or expired."""
        return _read(purpose, await self._redis.get(self._name(token))) if _TOKEN.fullmatch(token) else None

    async def use(self, purpose: LinkPurpose, token: str) -> OneTimeLink | None:
        """Use a link up and return it. Of several concurrent calls, one gets it and the others None."""
        if await self.peek(purpose, token) is None:  # a link sent to the wrong page stays unused
            return None
        return _read(purpose, await self._redis.getdel(self._name(token)))

    def _name(self, token: str) -> str:
        return self._keys.key("one-time-link", hashlib.sha256(token.encode()).hexdigest())


def _read(purpose: LinkPurpose, stored: bytes | None) -> OneTimeLink | None:
    if stored is None:
        return None
    content = orjson.loads(stored)
    if content["purpose"] != purpose:
        return None
    return OneTimeLink(purpose, content["user"], content["revision"])
