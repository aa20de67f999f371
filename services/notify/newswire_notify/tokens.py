"""Tokens that let a browser's `EventSource` read the live stream, since it can send no headers.

A token is signed, not stored: it names the key it was made with and the filter it is bound to, and is worth no more than that
key is at the time it is used.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass

import orjson
from redis.asyncio import Redis

from newswire.accounts import Caller, caller_of
from newswire.filters import Filter
from newswire.keyspace import Keyspace

PREFIX = "nwt_"
LONGEST_LIFE = 600
"""Seconds."""
LONGEST = 4000
"""Characters: an address that holds one still passes through every proxy."""
_SIGNED = 32


class TooLong(ValueError):
    """The filter makes a token that no address can hold."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who holds a token, what it may be given, and until when, in seconds since the epoch."""

    caller: Caller
    filter: Filter
    ends: float


class StreamTokens:
    """Makes and reads tokens; all replicas share the secret they are signed with."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._redis = redis
        self._keys = keys
        self._name = keys.key("stream-token-secret")

    async def make(self, caller: Caller, filter_: Filter, seconds: int) -> tuple[str, float]:
        """Return a new token, and when it ends.

        Raises:
            TooLong: its filter is too large.
        """
        ends = int(time.time()) + seconds
        narrow = filter_.model_dump(mode="json", exclude_defaults=True)
        content = orjson.dumps({"key": caller.key_id, "filter": narrow, "ends": ends})
        await self._redis.set(self._name, secrets.token_hex(32), nx=True)
        secret = await self._redis.get(self._name)
        token = PREFIX + base64.urlsafe_b64encode(_signature(secret, content) + content).decode().rstrip("=")
        if len(token) > LONGEST:
            raise TooLong
        return token, float(ends)

    async def read(self, token: str) -> Bearer | None:
        """Return who holds a token, or None where it is not sound, its time is over, or its key opens nothing any more."""
        if not token.startswith(PREFIX) or len(token) > LONGEST:
            return None
        encoded = token.removeprefix(PREFIX)
        try:
            signed = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        except (binascii.Error, ValueError):
            return None
        signature, content = signed[:_SIGNED], signed[_SIGNED:]
        secret = await self._redis.get(self._name)
        if secret is None or not hmac.compare_digest(signature, _signature(secret, content)):
            return None
        said = orjson.loads(content)
        if said["ends"] <= time.time():
            return None
        caller = await caller_of(self._redis, self._keys, said["key"])
        return None if caller is None else Bearer(caller, Filter.model_validate(said["filter"]), said["ends"])


def _signature(secret: bytes, content: bytes) -> bytes:
    return hmac.digest(secret, b"stream token " + content, hashlib.sha256)
