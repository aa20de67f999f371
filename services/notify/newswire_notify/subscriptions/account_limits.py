"""Limits for the subscriptions of one account. Redis checks them in the step that writes (`usage.lua`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from newswire_notify.settings import NotifySettings

LimitArguments = Mapping[str, int]
"""Limits by their names; one that is absent does not apply."""


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """The limits of each account."""

    subscriptions: int = 1000
    total_bytes: int = 8 * 1024 * 1024
    """Bytes of the stored filters, labels, URLs and headers of all subscriptions. Each filter value counts 64 more, for the memory
    that it needs in a matcher."""
    urls_per_host: int = 100
    """Distinct URLs of one host that webhooks go to."""

    @classmethod
    def from_settings(cls, settings: NotifySettings) -> "AccountLimits":
        """Return the limits of the settings."""
        return cls(
            settings.subscriptions_per_account,
            settings.subscription_bytes_per_account,
            settings.webhook_urls_per_host,
        )

    def new_subscription(self) -> LimitArguments:
        """Return the limits as the Redis function `subscribe` reads them."""
        return {"subscriptions": self.subscriptions, "bytes": self.total_bytes, "urls_per_host": self.urls_per_host}

    def changed_subscription(self, changes: int) -> LimitArguments:
        """Return the limits as the Redis function `update` reads them.

        ``changes``: how often the filter of a subscription may change.
        """
        return {"changes": changes, "bytes": self.total_bytes, "urls_per_host": self.urls_per_host}


NO_LIMITS: LimitArguments = {}
"""For the Redis function `update`: changes by the service itself are not limited."""


class ExceededLimit(StrEnum):
    """A limit of an account, as the Redis functions name it."""

    SUBSCRIPTIONS = "SUBSCRIPTIONS"
    BYTES = "BYTES"
    URLS_PER_HOST = "URLS"


class AccountLimitError(Exception):
    """The account would exceed one of its limits with a subscription that delivers to this URL."""

    def __init__(self, limit: ExceededLimit, url: str) -> None:
        super().__init__(f"the account would exceed its limit of {limit.name.lower().replace('_', ' ')}")
        self.limit = limit
        self.url = url


def check_limits(answer: object, url: str) -> None:
    """Raise `AccountLimitError` where the reply of a Redis function names a limit. ``url``: of the subscription."""
    if isinstance(answer, bytes) and (name := answer.decode()) in set(ExceededLimit):
        raise AccountLimitError(ExceededLimit(name), url)
