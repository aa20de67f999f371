"""Tokens for a browser's `EventSource`, which cannot send headers, to read the live stream.

A token is signed, not stored: it names the key that made it and its filter, and grants no more than that key does when it is used.
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
"""Characters: a URL with a token must pass through every proxy."""


class TokenTooLongError(ValueError):
    """The filter is too large for a token in a URL."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """The holder of a token, its filter, and its end in seconds since the epoch."""

    caller: Caller
    filter: Filter
    ends: float


class StreamTokens:
    """Creates and reads tokens."""

    def __init__(self, redis: "Redis", keys: Keyspace, signed: SignedTokens) -> None:
        self._redis = redis
        self._keys = keys
        self._signed = signed

    async def make(self, caller: Caller, filter_: Filter, seconds: int) -> tuple[str, float]:
        """Return a new token and its end.

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
        """Return the holder of a token, or None where it is invalid or expired, or its key is revoked."""
        if not token.startswith(PREFIX) or len(token) > MAX_TOKEN_LENGTH:
            return None
        try:
            content = orjson.loads(await self._signed.read(Purpose.STREAM_TOKEN, token.removeprefix(PREFIX)))
        except InvalidTokenError:
            return None
        if content["ends"] <= self._signed.now():
            return None
        caller = await find_caller(self._redis, self._keys, content["key"])
        return None if caller is None else Bearer(caller, Filter.model_validate(content["filter"]), content["ends"])
