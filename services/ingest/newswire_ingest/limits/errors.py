"""Why a publishing request is not admitted."""

from collections.abc import Sequence

from newswire.rate_limits import RatePolicy, Standing

RETRY_WHEN_FULL_SECONDS = 30


class StoreFullError(Exception):
    """Redis has no memory left for articles."""

    retry_after_seconds = RETRY_WHEN_FULL_SECONDS

    def __init__(self) -> None:
        super().__init__("the store is full; nothing was stored, repeat the request later")


class RateExceededError(Exception):
    """The key sends requests faster than it may. ``seconds``: until it may send the next one."""

    def __init__(self, policy: RatePolicy, seconds: int, standings: Sequence[Standing]) -> None:
        super().__init__(
            f"this key may send {policy.quota} publishing requests in {policy.window} s; try again in {seconds} s"
        )
        self.policy = policy
        self.seconds = seconds
        self.standings = standings


class QuotaExceededError(Exception):
    """The account has published as many new articles as it may in a day. ``seconds``: until it may publish more."""

    def __init__(self, policy: RatePolicy, seconds: int, resets_at: str) -> None:
        super().__init__(
            f"this account has published its daily quota of {policy.quota} new articles; the quota is reset at {resets_at}"
        )
        self.policy = policy
        self.seconds = seconds
        self.resets_at = resets_at
