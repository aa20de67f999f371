"""Stores the passkeys of users: one hash per user, a field for each passkey."""

import base64
from dataclasses import replace
from datetime import datetime

import orjson
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.timestamps import epoch_ms, from_epoch_ms
from newswire.users.models import LastCredentialError, UsableCredentials
from newswire.users.records import user_functions
from newswire_ingest.passkeys.models import (
    MAX_PASSKEYS,
    Passkey,
    PasskeyRefusedError,
    PasskeyTakenError,
    TooManyPasskeysError,
)


class Passkeys:
    """The passkeys of all users."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._redis = redis
        self._keys = keys
        self._functions = user_functions(redis, keys)

    async def list(self, user_id: str) -> list[Passkey]:
        """Return the passkeys of a user, oldest first."""
        found: dict[bytes, bytes] = await self._redis.hgetall(self._of(user_id))
        return sorted(
            (_read(each.decode(), stored) for each, stored in found.items()), key=lambda each: each.created_at
        )

    async def find(self, user_id: str, passkey_id: str) -> Passkey | None:
        """Return a passkey of a user, or None."""
        stored: bytes | None = await self._redis.hget(self._of(user_id), passkey_id)
        return _read(passkey_id, stored) if stored else None

    async def add(self, user_id: str, passkey: Passkey) -> None:
        """Add a passkey.

        Raises:
            PasskeyTakenError: the user has it already.
            TooManyPasskeysError: the user has as many as are possible.
            PasskeyRefusedError: there is no such user.
        """
        arguments = {"id": passkey.id, "passkey": _stored(passkey), "max": MAX_PASSKEYS}
        match await self._functions.call("add_passkey", [self._user(user_id), self._of(user_id)], arguments):
            case b"TAKEN":
                raise PasskeyTakenError
            case b"FULL":
                raise TooManyPasskeysError
            case b"MISSING":
                raise PasskeyRefusedError("the user was deleted")

    async def used(self, user_id: str, passkey: Passkey, sign_count: int, now: datetime) -> bool:
        """Record a use with a new counter; return whether the passkey was still as it was read."""
        after = replace(passkey, sign_count=sign_count, last_used_at=now)
        arguments = {"id": passkey.id, "before": _stored(passkey), "after": _stored(after)}
        return bool(await self._functions.call("replace_passkey", [self._of(user_id)], arguments))

    async def remove(self, user_id: str, passkey_id: str, usable: UsableCredentials) -> bool:
        """Remove a passkey; return whether there was one.

        Raises:
            LastCredentialError: the user has no other way to sign in.
        """
        names = [self._user(user_id), self._of(user_id), self._keys.key("identities", "of", user_id)]
        status = await self._functions.call("remove_passkey", names, {"id": passkey_id, "usable": usable.stored()})
        if status == b"LAST":
            raise LastCredentialError
        return bool(status == b"OK")

    def _user(self, user_id: str) -> str:
        return self._keys.key("user", user_id)

    def _of(self, user_id: str) -> str:
        return self._keys.key("passkeys", "of", user_id)


def _stored(passkey: Passkey) -> str:
    content = {
        "name": passkey.name,
        "public_key": base64.b64encode(passkey.public_key).decode(),
        "sign_count": passkey.sign_count,
        "created": epoch_ms(passkey.created_at),
        "used": epoch_ms(passkey.last_used_at) if passkey.last_used_at else None,
        "synced": passkey.synced,
        "transports": passkey.transports,
    }
    return orjson.dumps(content).decode()


def _read(passkey_id: str, stored: bytes) -> Passkey:
    content = orjson.loads(stored)
    return Passkey(
        passkey_id,
        content["name"],
        base64.b64decode(content["public_key"]),
        content["sign_count"],
        from_epoch_ms(content["created"]),
        from_epoch_ms(content["used"]) if content["used"] else None,
        content["synced"],
        tuple(content["transports"]),
    )
