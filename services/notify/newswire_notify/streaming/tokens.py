"""Tokens that let a browser's `EventSource` read the live stream, since it can send no headers.

A token is signed, not stored: it names the key it was made with and the filter it is bound to, and is worth no more than that
key is at the time it is used.
"""

from dataclasses import dataclass

import orjson
from redis.asyncio import Redis

from newswire.auth.credentials import Caller, find_caller
from newswire.auth.signed_tokens import InvalidTokenError, Purpose, SignedTokens
from newswire.filters import Filter
from newswire.keys import Keyspace

PREFIX = "nwt_"
MAX_LIFETIME_SECONDS = 600
"""Seconds."""
MAX_TOKEN_LENGTH = 4000
"""Characters: an address that holds one still passes through every proxy."""


class TokenTooLongError(ValueError):
    """The filter makes a token that no address can hold."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who holds a token, what it may be given, and until when, in seconds since the epoch."""

    caller: Caller
    filter: Filter
    ends: float


class StreamTokens:
    """Makes and reads tokens."""

    def __init__(self, redis: "Redis", keys: Keyspace, signed: SignedTokens) -> None:
        self._redis = redis
        self._keys = keys
        self._signed = signed

    async def make(self, caller: Caller, filter_: Filter, seconds: int) -> tuple[str, float]:
        """Return a new token, and when it ends.

        Raises:
            TokenTooLongError: its filter is too large.
        """
        ends = int(self._signed.now()) + seconds
        narrow = filter_.model_dump(mode="json", exclude_defaults=True)
        content = orjson.dumps({"key": caller.key_id, "filter": narrow, "ends": ends})
        token = PREFIX + await self._signed.write(Purpose.STREAM_TOKEN, content, lifetime=seconds)
        if len(token) > MAX_TOKEN_LENGTH:
            raise TokenTooLongError
        return token, float(ends)

    async def read(self, token: str) -> Bearer | None:
        """Return who holds a token, or None where it is not sound, its time is over, or its key opens nothing any more."""
        if not token.startswith(PREFIX) or len(token) > MAX_TOKEN_LENGTH:
            return None
        try:
            said = orjson.loads(await self._signed.read(Purpose.STREAM_TOKEN, token.removeprefix(PREFIX)))
        except InvalidTokenError:
            return None
        if said["ends"] <= self._signed.now():
            return None
        caller = await find_caller(self._redis, self._keys, said["key"])
        return None if caller is None else Bearer(caller, Filter.model_validate(said["filter"]), said["ends"])
