"""Limits on failed sign-ins, counted in Redis for all processes.

Guessing one password is limited by address of the user and network together: failures from other networks do not lock
the user out. Guessing many users' passwords is limited by network, and an attack from many networks by address.
"""

import hashlib
import hmac
import logging
from dataclasses import dataclass

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.observability import metrics
from newswire.text.folding import fold
from newswire.users.records import user_functions

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """How many failures are accepted within a time."""

    failures: int
    seconds: int


PER_USER_AND_NETWORK = FailureLimit(10, 15 * 60)
PER_NETWORK = FailureLimit(50, 15 * 60)
PER_USER = FailureLimit(200, 60 * 60)
_FAILURES = "sign-in-failures"


class TooManyFailuresError(Exception):
    """Too many sign-ins failed. ``seconds``: when the next attempt is accepted."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many sign-ins failed; try again in {seconds} s")
        self.seconds = seconds


class SignInLimits:
    """Counts failures, and rejects attempts beyond the limits before a password is verified."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._redis = redis
        self._keys = keys
        self._functions = user_functions(redis, keys)

    async def check(self, email: str | None, network: str) -> None:
        """Check whether an attempt is accepted. ``email``: None where none was typed; then only the network counts.

        Raises:
            TooManyFailuresError: it is not; nothing about the user was looked at.
        """
        counters = self._counters(email, network)
        async with self._redis.pipeline(transaction=False) as pipe:
            for name, _ in counters:
                pipe.get(name)
                pipe.ttl(name)
            found = await pipe.execute()
        waits = [
            max(int(seconds), 1)
            for count, seconds, (_, limit) in zip(found[::2], found[1::2], counters, strict=True)
            if count is not None and int(count) >= limit.failures
        ]
        if waits:
            metrics.authentication_failures.labels("slowed_down").inc()
            raise TooManyFailuresError(max(waits))

    async def failed(self, email: str | None, network: str) -> None:
        """Count a failure, log it, and report a limit that it reached."""
        metrics.authentication_failures.labels("refused").inc()
        counters = self._counters(email, network)
        arguments = {"seconds": [limit.seconds for _, limit in counters]}
        counts = await self._functions.call("count_failures", [name for name, _ in counters], arguments)
        log.warning("sign-in failed", extra={"network": network, "failures_of_network": int(counts[0])})
        if any(int(count) == limit.failures for count, (_, limit) in zip(counts, counters, strict=True)):
            log.warning("too many failed sign-ins: further ones are rejected", extra={"network": network})

    async def succeeded(self, email: str, network: str) -> None:
        """Forget the failures of this user from this network."""
        await self._redis.delete(self._name(f"{_hashed(email)} {network}"))

    def _counters(self, email: str | None, network: str) -> list[tuple[str, FailureLimit]]:
        """Return the names of the counters of an attempt, that of the network first, each with its limit."""
        of_network = [(self._name(f"network {network}"), PER_NETWORK)]
        if email is None:
            return of_network
        user = _hashed(email)
        of_user = (self._name(f"{user} {network}"), PER_USER_AND_NETWORK), (self._keys.key(_FAILURES, user), PER_USER)
        return [*of_network, *of_user]

    def _name(self, counted: str) -> str:
        return self._keys.key(_FAILURES, _hashed(counted))


async def count_attempts(redis: "Redis", keys: Keyspace, network: str, limit: FailureLimit) -> int:
    """Count a sign-in that was begun from a network; return 0, or beyond the limit in how many seconds to try again."""
    name = keys.key("sign-in-attempts", _hashed(f"network {network}"))
    (count,) = await user_functions(redis, keys).call("count_failures", [name], {"seconds": [limit.seconds]})
    return max(int(await redis.ttl(name)), 1) if int(count) > limit.failures else 0


PASSWORD_MAILS_PER_ADDRESS = FailureLimit(3, 60 * 60)
PASSWORD_MAILS_PER_NETWORK = FailureLimit(20, 60 * 60)


class PasswordMailLimits:
    """Limits how many mails with a link for a new password can be asked for."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._keys = keys
        self._redis = redis
        self._functions = user_functions(redis, keys)

    async def allow(self, email: str, network: str) -> bool:
        """Count a request; return whether a mail may go to this address.

        Raises:
            TooManyFailuresError: too many were asked for from this network.
        """
        names = [self._keys.key("password-mails", _hashed(name)) for name in (email, f"network {network}")]
        limits = (PASSWORD_MAILS_PER_ADDRESS, PASSWORD_MAILS_PER_NETWORK)
        counts = await self._functions.call("count_failures", names, {"seconds": [each.seconds for each in limits]})
        of_address, of_network = map(int, counts)
        if of_network > PASSWORD_MAILS_PER_NETWORK.failures:
            raise TooManyFailuresError(max(int(await self._redis.ttl(names[1])), 1))
        return of_address <= PASSWORD_MAILS_PER_ADDRESS.failures


def _hashed(text: str) -> str:
    """Return a short name for a counter: addresses of people are not key names."""
    return hmac.digest(b"sign-in failures", fold(text).encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:32]
