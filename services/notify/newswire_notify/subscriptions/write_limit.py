"""The rate at which an account may create and change subscriptions, in this process."""

import time
from collections.abc import Callable

from newswire.rate_limits import RatePolicy, Standing, TokenBuckets


class WriteRateExceededError(Exception):
    """The account changes subscriptions faster than it may. ``standing``: with the seconds until it may go on."""

    def __init__(self, standing: Standing) -> None:
        self.policy, _, self.seconds = standing
        self.standing = standing
        super().__init__(
            f"this account may change subscriptions {self.policy.quota} times in {self.policy.window} s;"
            f" try again in {self.seconds} s"
        )


class WriteLimit:
    """Counts the changes of every account. ``rate``: changes per second, averaged over ten seconds; 0 is no limit."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._buckets = TokenBuckets(RatePolicy.of_rate("subscriptions", rate)) if rate else None
        self._clock = clock

    def spend(self, account: str) -> Standing | None:
        """Count one change, and return what is left; None without a limit.

        Raises:
            WriteRateExceededError: nothing was left.
        """
        if self._buckets is None:
            return None
        spent = self._buckets.spend(account, 1, self._clock())
        standing = (self._buckets.policy, spent.left, max(spent.seconds, 0 if spent.allowed else 1))
        if not spent.allowed:
            raise WriteRateExceededError(standing)
        return standing
