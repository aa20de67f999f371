"""Rate limits: policies, and token buckets in the memory of one process."""

import math
from collections import OrderedDict
from dataclasses import dataclass

WINDOW = 10.0
"""Seconds over which a rate is averaged: after a pause, this much of it may be used at once."""
MAX_BUCKETS = 50_000


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """A quota of units per window in seconds, with its name. ``window`` 0: a concurrency limit."""

    name: str
    quota: int
    window: int

    @classmethod
    def of_rate(cls, name: str, rate: float) -> "RatePolicy":
        """Return the policy of a rate in units per second."""
        window = math.ceil(max(WINDOW, 1 / rate))
        return cls(name, max(1, round(rate * window)), window)


Standing = tuple[RatePolicy, int, int]
"""A policy with how many units are left, and in how many seconds there will be more."""


@dataclass(frozen=True, slots=True)
class SpendResult:
    """The result of spending: whether there was enough, what is left, and the seconds until there is enough, or all."""

    allowed: bool
    left: int
    seconds: int


class TokenBuckets:
    """Token buckets of one process by the generic cell rate algorithm: for each, the time at which it will be full again is stored.

    Full buckets are not stored. If there are very many, those not used for longest are dropped, which fills them.
    """

    def __init__(self, policy: RatePolicy) -> None:
        self.policy = policy
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def spend(self, name: str, cost: int, now: float) -> SpendResult:
        """Take units from a bucket if it has enough. ``now`` is the time of any monotonic clock, in seconds."""
        full_at = max(self._full_at.get(name, now), now)
        window, each = self.policy.window, self.policy.window / self.policy.quota
        after = full_at + cost * each
        if after - now > window + 1e-9:
            left = (window - (full_at - now)) / each
            return SpendResult(False, math.floor(left + 1e-6), math.ceil(after - now - window))
        self._full_at[name] = after
        self._full_at.move_to_end(name)
        if len(self._full_at) > MAX_BUCKETS:
            self._full_at.popitem(last=False)
        return SpendResult(True, math.floor((window - (after - now)) / each + 1e-6), math.ceil(after - now))

    def charge_debt(self, name: str, cost: int, now: float) -> None:
        """Take units whose number is known only afterwards; the debt is at most the size of the bucket."""
        full_at = max(self._full_at.get(name, now), now) + cost * self.policy.window / self.policy.quota
        self._full_at[name] = min(full_at, now + 2 * self.policy.window)
        self._full_at.move_to_end(name)

    def has(self, name: str, cost: int, now: float) -> bool:
        """Return whether a bucket has enough units, and take none."""
        full_at = max(self._full_at.get(name, now), now)
        return full_at + cost * self.policy.window / self.policy.quota - now <= self.policy.window + 1e-9
