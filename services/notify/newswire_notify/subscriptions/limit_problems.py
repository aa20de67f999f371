"""Problem documents for account limits."""

from yarl import URL

from newswire.http.problems import ProblemError, problem
from newswire_notify.subscriptions.account_limits import AccountLimitError, AccountLimits, ExceededLimit


def limit_problem(error: AccountLimitError, limits: AccountLimits, url: str) -> ProblemError:
    """Return the problem that names the limit, what counts towards it, and the remedy."""
    match error.limit:
        case ExceededLimit.SUBSCRIPTIONS:
            detail = f"this account has {limits.subscriptions} subscriptions, its limit; delete one first"
            return problem(409, "too-many-subscriptions", detail, title="Too many subscriptions")
        case ExceededLimit.BYTES:
            detail = (
                "the filters, labels, URLs and headers of all subscriptions of this account would exceed the limit of"
                f" {limits.total_bytes} bytes (each filter value counts 64 more); shorten some, delete a"
                " subscription, or ask the operator to raise NEWSWIRE_SUBSCRIPTION_BYTES_PER_ACCOUNT"
            )
            return problem(409, "subscriptions-too-large", detail, title="Subscriptions too large")
        case ExceededLimit.URLS_PER_HOST:
            detail = (
                f"the subscriptions of this account deliver to {limits.urls_per_host} distinct URLs of the host"
                f" {URL(url).raw_host}, the limit; use one of these, delete a subscription, or ask the operator to"
                " raise NEWSWIRE_WEBHOOK_URLS_PER_HOST"
            )
            return problem(409, "too-many-urls-of-host", detail, title="Too many URLs of one host")
