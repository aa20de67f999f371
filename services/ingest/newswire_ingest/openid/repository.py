"""Which user is which person of a provider: a link of issuer and subject, never of an address."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

import orjson
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.timestamps import epoch_ms, from_epoch_ms
from newswire.users.models import LastCredentialError, UsableCredentials, User
from newswire.users.records import user_functions
from newswire_ingest.openid.errors import OtherIdentityError, UnknownPersonError


@dataclass(frozen=True, slots=True)
class Identity:
    """A person of a provider, linked to a user."""

    issuer: str
    subject: str
    linked_at: datetime


class Identities:
    """The links of all users; a user has one for each issuer."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._redis = redis
        self._keys = keys
        self._functions = user_functions(redis, keys)

    async def find_user(self, issuer: str, subject: str) -> str | None:
        """Return the id of the user who is this person, or None."""
        found: bytes | None = await self._redis.hget(self._all, _digest(issuer, subject))
        return found.decode() if found else None

    async def list(self, user_id: str) -> list[Identity]:
        """Return the links of a user, by issuer."""
        found: dict[bytes, bytes] = await self._redis.hgetall(self._of(user_id))
        return [
            Identity(issuer.decode(), content["subject"], from_epoch_ms(content["linked"]))
            for issuer, content in sorted((name, orjson.loads(stored)) for name, stored in found.items())
        ]

    async def link(self, user: User, issuer: str, subject: str, now: datetime) -> bool:
        """Link a person to a user; return whether they were not linked yet.

        Raises:
            OtherIdentityError: the user is linked to another person of this issuer, or the person to another user.
            UnknownPersonError: the user was deleted.
        """
        digest = _digest(issuer, subject)
        stored = orjson.dumps({"subject": subject, "linked": epoch_ms(now), "digest": digest}).decode()
        names = [self._user(user.id), self._all, self._of(user.id)]
        arguments = {"id": user.id, "digest": digest, "issuer": issuer, "identity": stored}
        status = await self._functions.call("link_identity", names, arguments)
        match status:
            case b"TAKEN":
                raise OtherIdentityError("the user or the person is linked already")
            case b"MISSING":
                raise UnknownPersonError("the user was deleted")
        return bool(status == b"OK")

    async def unlink(self, user_id: str, issuer: str, usable: UsableCredentials) -> bool:
        """Remove the link of a user; return whether there was one.

        Raises:
            LastCredentialError: without it, the user could not sign in.
        """
        names = [self._user(user_id), self._all, self._of(user_id), self._keys.key("passkeys", "of", user_id)]
        status = await self._functions.call("unlink_identity", names, {"issuer": issuer, "usable": usable.stored()})
        if status == b"LAST":
            raise LastCredentialError
        return bool(status == b"OK")

    @property
    def _all(self) -> str:
        return self._keys.key("identities")

    def _of(self, user_id: str) -> str:
        return self._keys.key("identities", "of", user_id)

    def _user(self, user_id: str) -> str:
        return self._keys.key("user", user_id)


def _digest(issuer: str, subject: str) -> str:
    return hashlib.sha256(orjson.dumps([issuer, subject])).hexdigest()
