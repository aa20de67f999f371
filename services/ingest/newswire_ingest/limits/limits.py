"""Publishing limits: a request rate per API key or user, a daily quota of new articles per account, and the memory of Redis.

`newswire_ingest.limits.dependencies` shows clients their limits in headers.
"""

import math
from datetime import UTC, datetime, time, timedelta

from newswire.auth.credentials import Caller
from newswire.keys import Keyspace
from newswire.rate_limits import RatePolicy, Standing
from newswire.storage.memory_guard import MemoryGuard
from newswire_ingest.articles.command_batcher import CommandBatcher
from newswire_ingest.articles.write_context import NO_QUOTA, Quota
from newswire_ingest.limits.errors import QuotaExceededError, RateExceededError, StoreFullError


class Limits:
    """The publishing limits from the settings, and from the account if it has its own; 0 is no limit."""

    def __init__(
        self,
        command_batcher: CommandBatcher,
        keys: Keyspace,
        memory_guard: MemoryGuard,
        publish_rate: float,
        daily_quota: int,
    ) -> None:
        self._command_batcher = command_batcher
        self._keys = keys
        self._memory_guard = memory_guard
        self._publish_rate = publish_rate
        self._daily_quota = daily_quota

    def quota(self, caller: Caller, now: datetime) -> Quota:
        """Return the daily quota of the caller's account."""
        maximum = self._daily_quota_of(caller)
        return Quota(self._counter(caller, now), maximum) if maximum else NO_QUOTA

    def _rate_of(self, caller: Caller) -> float:
        return self._publish_rate if caller.publish_rate is None else caller.publish_rate

    def _daily_quota_of(self, caller: Caller) -> int:
        return self._daily_quota if caller.daily_quota is None else caller.daily_quota

    def _bucket(self, caller: Caller) -> str:
        return self._keys.key("rate", caller.key_id or caller.user_id or caller.account)

    def _counter(self, caller: Caller, now: datetime) -> str:
        return self._keys.key("quota", caller.account, now.date().isoformat())

    def check_memory(self) -> None:
        """Check that the store has memory for more text.

        Raises:
            StoreFullError: the store is full.
        """
        if self._memory_guard.full is not None:
            raise StoreFullError

    def apply_to(self, caller: Caller) -> bool:
        """Return whether the caller's requests are limited, by a rate or by a quota."""
        return bool(self._rate_of(caller) or self._daily_quota_of(caller))

    async def admit(self, caller: Caller, now: datetime) -> list[Standing]:
        """Count one request, or one line of a batch, against the limits of the key.

        Return what is left of each limit, nothing without a limit. Whether the store has memory is `check_memory`.

        Raises:
            RateExceededError: the key sends too fast.
        """
        rate = self._rate_of(caller)
        quota = self._daily_quota_of(caller)
        if not rate and not quota:
            return []
        policy = RatePolicy.of_rate("publish", rate) if rate else None
        allowed, left, milliseconds, counted = await self._command_batcher.call(
            "spend",
            [self._bucket(caller), self._counter(caller, now)],
            {
                "now": int(now.timestamp() * 1000),
                "requests": policy.quota if policy else 0,
                "window": policy.window * 1000 if policy else 0,
            },
        )
        seconds = math.ceil(milliseconds / 1000)
        standings = [(policy, left, seconds)] if policy else []
        if quota:
            standings.append((_daily(quota), quota - counted, seconds_until_midnight(now)))
        if policy and not allowed:
            raise RateExceededError(policy, seconds, standings)
        return standings

    async def remaining_today(self, caller: Caller, now: datetime) -> int | None:
        """Return how many new articles the account may still publish today; None without a quota."""
        quota = self._daily_quota_of(caller)
        if not quota:
            return None
        keys = [self._bucket(caller), self._counter(caller, now)]
        arguments = {"now": int(now.timestamp() * 1000), "requests": 0, "window": 0}
        *_, counted = await self._command_batcher.call("spend", keys, arguments)
        return max(quota - int(counted), 0)

    def over_quota(self, caller: Caller, now: datetime) -> QuotaExceededError:
        """Return the error for a used-up daily quota."""
        quota = self._daily_quota_of(caller)
        resets = _tomorrow(now).isoformat().replace("+00:00", "Z")
        return QuotaExceededError(_daily(quota), seconds_until_midnight(now), resets)


def seconds_until_midnight(now: datetime) -> int:
    """Return the number of seconds until midnight, UTC."""
    return math.ceil((_tomorrow(now) - now).total_seconds())


def _daily(quota: int) -> RatePolicy:
    return RatePolicy("daily", quota, 86_400)


def _tomorrow(now: datetime) -> datetime:
    return datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
