"""Acts that happen once: a form that is sent twice, by a double click or a reload, has one effect, and both see its result.

Every form that creates something carries a random value. Its first use is stored; a second one waits for the result of the first.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta

from redis.asyncio import Redis

from newswire.http.problems import problem
from newswire.keys import Keyspace

FIELD = "act"
LIFETIME = timedelta(days=1)
SECRET_LIFETIME = timedelta(minutes=5)
MAX_WAIT_SECONDS = 20.0
_MAX_CHARS = 64


class Acts:
    """Remembers which forms were sent. ``whose``: the token of the session, so that no other session can claim an act."""

    def __init__(self, records: "Redis", keys: Keyspace) -> None:
        self._redis = records
        self._keys = keys

    @staticmethod
    def new() -> str:
        """Return the value of a new form."""
        return secrets.token_urlsafe(16)

    async def once(self, whose: str, act: str, do: Callable[[], Awaitable[str]]) -> str:
        """Act, and return the path of the result; only that path for a form that was sent before. A failed act may be repeated.

        Raises:
            newswire.http.problems.ProblemError: 409 if the first request has not ended in time, or the form has no value.
        """
        if not 0 < len(act) <= _MAX_CHARS:
            raise _unknown()
        name = self._keys.key("portal-act", _digest(whose, act))
        if not await self._redis.set(name, b"", nx=True, px=LIFETIME):
            return await self._result(name)
        try:
            path = await do()
        except BaseException:
            await self._redis.delete(name)
            raise
        await self._redis.set(name, path, px=LIFETIME)
        return path

    async def _result(self, name: str) -> str:
        """Wait for the result of the first request."""
        try:
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                while (path := await self._redis.get(name)) == b"":
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise _unknown() from None
        if path is None:
            raise _unknown()  # the first one failed; its page says why
        return str(path.decode())

    async def show_secret(self, whose: str, subscription: str) -> None:
        """Let a session see the secret of a subscription for a few minutes."""
        await self._redis.set(self._keys.key("portal-secret", _digest(whose, subscription)), b"1", px=SECRET_LIFETIME)

    async def may_see_secret(self, whose: str, subscription: str) -> bool:
        """Return whether a session has just created the secret of a subscription."""
        return bool(await self._redis.exists(self._keys.key("portal-secret", _digest(whose, subscription))))


def _unknown() -> Exception:
    detail = "this form was sent before, and what came of it is not known; look at the list before you send it again"
    return problem(409, "not-changed", detail, title="Sent before")


def _digest(whose: str, what: str) -> str:
    return hashlib.sha256(f"{whose}\n{what}".encode()).hexdigest()
