"""Publishing limits: a request rate per API key, a daily quota of new articles per account, and the memory of Redis.

Clients see their limits in the headers of `newswire.http.rate_limits`.
"""

import math
from datetime import UTC, datetime, time, timedelta

from fastapi import Request

from newswire.auth.authentication import authorised
from newswire.auth.credentials import Caller, Scope
from newswire.http.middleware import HEADERS
from newswire.http.problems import ProblemError, problem, unavailable
from newswire.http.rate_limits import RatePolicy, limit_headers
from newswire.keys import Keyspace
from newswire.storage.memory_guard import MemoryGuard
from newswire.timestamps import utc_now
from newswire_ingest.articles.command_batcher import CommandBatcher
from newswire_ingest.articles.write_context import NO_QUOTA, Quota

RETRY_WHEN_FULL = 30
_HTTP = tuple[bytes, bytes]


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

    def _daily_quota_of(self, caller: Caller) -> int:
        return self._daily_quota if caller.daily_quota is None else caller.daily_quota

    def _counter(self, caller: Caller, now: datetime) -> str:
        return self._keys.key("quota", caller.account, now.date().isoformat())

    async def admit(self, caller: Caller, now: datetime, *, frees_memory: bool = False) -> list[_HTTP]:
        """Count one request, or one line of a batch, against the limits of the key.

        Return the rate limit headers, none without a limit. A request that ``frees_memory`` is accepted by a full store.

        Raises:
            ProblemError: the store is full (503), or the rate is exceeded (429).
        """
        if self._memory_guard.full is not None and not frees_memory:
            raise unavailable(
                "the store is full; nothing was stored, repeat the request later",
                retry_after=RETRY_WHEN_FULL,
            )
        rate = self._publish_rate if caller.publish_rate is None else caller.publish_rate
        quota = self._daily_quota_of(caller)
        if not rate and not quota:
            return []
        policy = RatePolicy.of_rate("publish", rate) if rate else None
        allowed, left, milliseconds, counted = await self._command_batcher.call(
            "spend",
            [self._keys.key("rate", caller.key_id), self._counter(caller, now)],
            [
                int(now.timestamp() * 1000),
                policy.quota if policy else 0,
                policy.window * 1000 if policy else 0,
            ],
        )
        seconds = math.ceil(milliseconds / 1000)
        standings = [(policy, left, seconds)] if policy else []
        if quota:
            standings.append((_daily(quota), quota - counted, seconds_until_midnight(now)))
        headers = limit_headers(standings)
        if policy and not allowed:
            raise problem(
                429,
                "rate-limited",
                f"this key may send {policy.quota} publishing requests in {policy.window} s; try again in {seconds} s",
                headers=headers | {"Retry-After": str(seconds)},
                extra={"violated-policies": [policy.name]},
            )
        return [(name.encode(), value.encode()) for name, value in headers.items()]

    async def remaining_today(self, caller: Caller, now: datetime) -> int | None:
        """Return how many new articles the account may still publish today; None without a quota."""
        quota = self._daily_quota_of(caller)
        if not quota:
            return None
        keys = [self._keys.key("rate", caller.key_id), self._counter(caller, now)]
        *_, counted = await self._command_batcher.call("spend", keys, [int(now.timestamp() * 1000), 0, 0])
        return max(quota - int(counted), 0)

    def over_quota(self, caller: Caller, now: datetime) -> ProblemError:
        """Return the problem for a used-up daily quota (429)."""
        quota = self._daily_quota_of(caller)
        resets = _tomorrow(now).isoformat().replace("+00:00", "Z")
        return problem(
            429,
            "quota-exceeded",
            f"this account has published its daily quota of {quota} new articles; the quota is reset at {resets}",
            title="Daily quota used up",
            headers={"Retry-After": str(seconds_until_midnight(now))},
            extra={"violated-policies": [_daily(quota).name], "resets_at": resets},
        )


_publisher = authorised(Scope.PUBLISH, rechecked=True)


async def publishing(request: Request) -> Caller:
    """Admit publishers within their limits: the dependency of every route that changes articles.

    A retraction is accepted by a full store, since it frees memory.
    """
    caller = await _publisher(request)  # called directly: resolving it as a dependency costs more than the call
    limits: Limits = request.app.state.limits
    request.scope[HEADERS] += await limits.admit(caller, utc_now(), frees_memory=request.method == "DELETE")
    return caller


publishing.required_scopes = (Scope.PUBLISH,)  # type: ignore[attr-defined]


def seconds_until_midnight(now: datetime) -> int:
    """Return the number of seconds until midnight, UTC."""
    return math.ceil((_tomorrow(now) - now).total_seconds())


def _daily(quota: int) -> RatePolicy:
    return RatePolicy("daily", quota, 86_400)


def _tomorrow(now: datetime) -> datetime:
    return datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
