"""Stores users: creates, finds, lists, changes and deletes them."""

from collections.abc import Sequence
from datetime import datetime

from redis.asyncio import Redis
from ulid import ULID

from newswire.keys import INGEST_SCHEMA, Keyspace
from newswire.text.folding import fold
from newswire.users.models import (
    EmailTakenError,
    LastCredentialError,
    Memberships,
    UsableCredentials,
    User,
    UserChangedError,
)
from newswire.users.records import read_user, user_functions, write_memberships

PAGE = 500
"""Users per round trip when all are read."""


class Users:
    """The users of an installation. E-mail addresses that differ in case alone are equal."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._redis = redis
        self._keys = keys
        self._functions = user_functions(redis, keys)

    async def create(self, email: str, name: str, memberships: Memberships, now: datetime) -> User:
        """Create a user with a checked address.

        Raises:
            EmailTakenError: another user has this address.
        """
        user_id = f"usr_{str(ULID()).lower()}"
        fields = {
            "schema": str(INGEST_SCHEMA),
            "id": user_id,
            "email": email,
            "name": name,
            "memberships": write_memberships(memberships),
            "created_at": now.isoformat(),
            "revision": "1",
        }
        names = [self._record(user_id), self._all, self._emails, *(self._of(account) for account in memberships)]
        created = await self._functions.call(
            "create_user", names, {"id": user_id, "email": fold(email), "fields": fields}
        )
        if not created:
            raise EmailTakenError(email)
        return read_user({name.encode(): value.encode() for name, value in fields.items()})

    async def find(self, user_id: str) -> User | None:
        """Return a user, or None if there is none with this id."""
        fields: dict[bytes, bytes] = await self._redis.hgetall(self._record(user_id))
        return read_user(fields) if fields else None

    async def find_by_email(self, email: str) -> User | None:
        """Return the user with an e-mail address, or None."""
        user_id: bytes | None = await self._redis.hget(self._emails, fold(email))
        return await self.find(user_id.decode()) if user_id else None

    async def list(self, *, account: str | None = None, after: str = "", limit: int | None = None) -> list[User]:
        """Return users by id (oldest first); optionally of one account, and after one id."""
        index = self._all if account is None else self._of(account)
        found = await self._redis.zrangebylex(
            index, f"({after}" if after else "-", "+", 0, -1 if limit is None else limit
        )
        async with self._redis.pipeline(transaction=False) as pipe:
            for user_id in found:
                pipe.hgetall(self._record(user_id.decode()))
            records = await pipe.execute()
        return [read_user(record) for record in records if record]

    async def password_hash(self, user_id: str) -> str | None:
        """Return the hash of a user's password, or None if the user has none."""
        stored: bytes | None = await self._redis.hget(self._record(user_id), "password")
        return stored.decode() if stored else None

    async def set_password_hash(self, user: User, stored: str) -> None:
        """Set the hash of a user's password.

        Raises:
            UserChangedError: the user was changed or deleted at the same time.
        """
        await self._update(user, {"password": stored})

    async def remove_password_hash(self, user_id: str, usable: UsableCredentials) -> bool:
        """Remove a user's password; return whether there was one.

        Raises:
            LastCredentialError: without it, the user could not sign in.
        """
        names = [
            self._record(user_id),
            self._keys.key("passkeys", "of", user_id),
            self._keys.key("identities", "of", user_id),
        ]
        status = await self._functions.call("remove_password", names, {"usable": usable.stored()})
        if status == b"LAST":
            raise LastCredentialError
        return bool(status == b"OK")

    async def disable(self, user: User, now: datetime) -> None:
        """Disable a user: its sessions are rejected at once.

        Raises:
            UserChangedError: the user was changed or deleted at the same time.
        """
        await self._update(user, {"disabled_at": now.isoformat()})

    async def enable(self, user: User) -> None:
        """Enable a disabled user.

        Raises:
            UserChangedError: the user was changed or deleted at the same time.
        """
        await self._update(user, {"disabled_at": ""})

    async def change(self, user: User, *, email: str, name: str, memberships: Memberships) -> User:
        """Replace address, name and memberships of a user; return the user as it is now.

        Raises:
            EmailTakenError: another user has this address.
            UserChangedError: the user was changed or deleted at the same time.
        """
        fields = {"email": email, "name": name, "memberships": write_memberships(memberships)}
        await self._update(
            user,
            fields,
            new_email=email,
            joined=sorted(memberships.keys() - user.memberships.keys()),
            left=sorted(user.memberships.keys() - memberships.keys()),
        )
        found = await self.find(user.id)
        if found is None:
            raise UserChangedError(user.id)
        return found

    async def delete(self, user: User) -> bool:
        """Delete a user with its sessions, passkeys and links to providers; return whether it existed."""
        names = [
            self._record(user.id),
            self._all,
            self._emails,
            self._keys.key("sessions", "of", user.id),
            self._keys.key("passkeys", "of", user.id),
            self._keys.key("identities", "of", user.id),
            self._keys.key("identities"),
        ]
        arguments = {
            "id": user.id,
            "email": fold(user.email),
            "account_prefix": self._of(""),
            "session_prefix": self._keys.key("session", ""),
            "accounts": sorted(user.memberships),
        }
        return bool(await self._functions.call("delete_user", names, arguments))

    async def _update(
        self,
        user: User,
        fields: dict[str, str],
        *,
        new_email: str | None = None,
        joined: Sequence[str] = (),
        left: Sequence[str] = (),
    ) -> None:
        arguments = {
            "id": user.id,
            "revision": str(user.revision),
            "fields": fields,
            "email": fold(user.email),
            "new_email": fold(new_email or user.email),
            "account_prefix": self._of(""),
            "joined": joined,
            "left": left,
        }
        status = await self._functions.call("update_user", [self._record(user.id), self._emails], arguments)
        if status == b"TAKEN":
            raise EmailTakenError(new_email)
        if status != b"OK":
            raise UserChangedError(user.id)

    @property
    def _all(self) -> str:
        return self._keys.key("users")

    @property
    def _emails(self) -> str:
        return self._keys.key("user-emails")

    def _of(self, account: str) -> str:
        return self._keys.key("users", "of", account)

    def _record(self, user_id: str) -> str:
        return self._keys.key("user", user_id)
