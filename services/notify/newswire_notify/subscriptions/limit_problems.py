"""The problem documents of an account's limits."""

from yarl import URL

from newswire.http.problems import ProblemError, problem
from newswire_notify.subscriptions.account_limits import AccountLimitError, AccountLimits, ExceededLimit


def limit_problem(error: AccountLimitError, limits: AccountLimits, url: str) -> ProblemError:
    """Say which limit of the account is reached, what counts, and what to do."""
    match error.limit:
        case ExceededLimit.SUBSCRIPTIONS:
            detail = f"this account has {limits.subscriptions} subscriptions, as many as it may have; delete one first"
            return problem(409, "too-many-subscriptions", detail, title="Too many subscriptions")
        case ExceededLimit.BYTES:
            detail = (
                "the filters, labels, addresses and headers of all subscriptions of this account would take more than the"
                f" {limits.total_bytes} bytes that they may (each value of a filter counts 64 more); shorten some, delete a"
                " subscription, or ask the operator to raise NEWSWIRE_SUBSCRIPTION_BYTES_PER_ACCOUNT"
            )
            return problem(409, "subscriptions-too-large", detail, title="Subscriptions too large")
        case ExceededLimit.URLS_PER_HOST:
            detail = (
                f"the subscriptions of this account deliver to {limits.urls_per_host} different addresses of the host"
                f" {URL(url).raw_host}, as many as they may; use one of these, delete a subscription, or ask the operator to"
                " raise NEWSWIRE_WEBHOOK_URLS_PER_HOST"
            )
            return problem(409, "too-many-urls-of-host", detail, title="Too many addresses of one host")
