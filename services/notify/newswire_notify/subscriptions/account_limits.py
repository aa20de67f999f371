"""How much the subscriptions of one account may take. Redis checks it in the step that writes (`usage.lua`)."""

from dataclasses import dataclass
from enum import StrEnum

import orjson

from newswire_notify.settings import NotifySettings


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """The limits of each account."""

    subscriptions: int = 1000
    total_bytes: int = 8 * 1024 * 1024
    """Bytes of the filters, labels, addresses and headers of all subscriptions together, as they are stored; each value of a
    filter counts 64 more, for what it takes in the memory of a matcher."""
    urls_per_host: int = 100
    """Different addresses of one host that webhooks go to."""

    @classmethod
    def from_settings(cls, settings: NotifySettings) -> "AccountLimits":
        """Take the limits that the settings name."""
        return cls(
            settings.subscriptions_per_account,
            settings.subscription_bytes_per_account,
            settings.webhook_urls_per_host,
        )

    def new_subscription(self) -> bytes:
        """Return them as the function `subscribe` reads them."""
        return orjson.dumps(
            {"subscriptions": self.subscriptions, "bytes": self.total_bytes, "urls_per_host": self.urls_per_host}
        )

    def changed_subscription(self, changes: int) -> bytes:
        """Return them as the function `alter` reads them; ``changes``: how often the filter of a subscription may change."""
        return orjson.dumps({"changes": changes, "bytes": self.total_bytes, "urls_per_host": self.urls_per_host})


NO_LIMITS = b"{}"
"""For the function `alter`: what the service itself changes is never refused."""


class ExceededLimit(StrEnum):
    """A limit of an account, as the functions name it."""

    SUBSCRIPTIONS = "SUBSCRIPTIONS"
    BYTES = "BYTES"
    URLS_PER_HOST = "URLS"


class AccountLimitError(Exception):
    """The account would exceed one of its limits by this."""

    def __init__(self, limit: ExceededLimit) -> None:
        super().__init__(f"the account would exceed its limit of {limit.name.lower().replace('_', ' ')}")
        self.limit = limit


def check_limits(answer: object) -> None:
    """Raise `AccountLimitError` where the answer of a function names a limit."""
    if isinstance(answer, bytes) and (name := answer.decode()) in set(ExceededLimit):
        raise AccountLimitError(ExceededLimit(name))
