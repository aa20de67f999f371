"""The record of a user in Redis, and the functions on it."""

from datetime import datetime
from typing import Any

import orjson
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.redis_functions import FLAT_FIELDS, FunctionLibrary, LuaSource
from newswire.timestamps import from_epoch_ms
from newswire.users.models import Memberships, User
from newswire.users.roles import Role

LUA = LuaSource("newswire.users", "users", (FLAT_FIELDS,))


def user_functions(redis: "Redis", keys: Keyspace) -> FunctionLibrary:
    """Return the atomic steps of users, sessions and one-time links."""
    return FunctionLibrary.packaged(redis, keys.namespace, LUA)


def write_memberships(memberships: Memberships) -> str:
    """Return memberships as they are stored: JSON, in a fixed order."""
    return orjson.dumps({account: sorted(memberships[account]) for account in sorted(memberships)}).decode()


def read_user(fields: dict[bytes, bytes]) -> User:
    """Return the user of a record. Roles of a newer release are ignored."""
    known = set(Role)
    memberships: dict[str, list[str]] = orjson.loads(fields[b"memberships"])
    disabled, signed_in = fields.get(b"disabled_at"), fields.get(b"last_sign_in")
    return User(
        id=fields[b"id"].decode(),
        email=fields[b"email"].decode(),
        name=fields[b"name"].decode(),
        memberships={
            account: frozenset(Role(role) for role in roles if role in known) for account, roles in memberships.items()
        },
        created_at=datetime.fromisoformat(fields[b"created_at"].decode()),
        revision=int(fields[b"revision"]),
        disabled_at=datetime.fromisoformat(disabled.decode()) if disabled else None,
        last_sign_in_at=from_epoch_ms(int(signed_in)) if signed_in else None,
        has_password=bool(fields.get(b"password")),
    )


def user_document(user: User) -> dict[str, Any]:
    """Return a user as clients see it: everything except the hash of the password."""
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "memberships": {account: sorted(roles) for account, roles in sorted(user.memberships.items())},
        "created_at": user.created_at,
        "disabled_at": user.disabled_at,
        "last_sign_in_at": user.last_sign_in_at,
        "has_password": user.has_password,
    }
