"""The problem document of every domain error of notify."""

from yarl import URL

from newswire.http.problem_handlers import ProblemMakers
from newswire.http.problems import ProblemError, invalid, not_found, problem, unauthorised, unavailable
from newswire.http.rate_limits import limit_headers, rate_limited
from newswire_notify.deliveries.owner_replays import ReplayRunningError
from newswire_notify.deliveries.service import NotReplayableError
from newswire_notify.streaming.connection_limiter import ConnectionsExhaustedError, TooManyConnectionsError
from newswire_notify.subscriptions.account_limits import AccountLimitError, AccountLimits, ExceededLimit
from newswire_notify.subscriptions.errors import (
    AccountSuspendedError,
    SubscriptionBusyError,
    SubscriptionConflictError,
    SubscriptionEndedError,
    SubscriptionNotFoundError,
)
from newswire_notify.subscriptions.write_limit import WriteRateExceededError
from newswire_notify.webhooks.service import TooManySecretsError
from newswire_notify.webhooks.ssrf_guard import FIELD as ENDPOINT_FIELD
from newswire_notify.webhooks.ssrf_guard import EndpointRefusedError
from newswire_notify.webhooks.verification import NotVerifiedError, TooManyHandshakesError


def problem_makers(limits: AccountLimits) -> ProblemMakers:
    """Return the problem document of each domain error. ``limits``: those of every account."""

    def exceeded(error: AccountLimitError) -> ProblemError:
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
                    f" {URL(error.url).raw_host}, the limit; use one of these, delete a subscription, or ask the operator to"
                    " raise NEWSWIRE_WEBHOOK_URLS_PER_HOST"
                )
                return problem(409, "too-many-urls-of-host", detail, title="Too many URLs of one host")

    return {
        AccountLimitError: exceeded,
        AccountSuspendedError: lambda _: unauthorised("the API key is revoked or expired"),
        SubscriptionNotFoundError: lambda _: not_found("subscription"),
        SubscriptionEndedError: _ended,
        SubscriptionConflictError: _not_changed,
        NotReplayableError: _not_replayed,
        ReplayRunningError: _replay_running,
        TooManySecretsError: _too_many_secrets,
        WriteRateExceededError: _write_rate_exceeded,
        SubscriptionBusyError: lambda error: unavailable(str(error)),
        EndpointRefusedError: lambda error: invalid(error.field, error.problem, error.fix),
        NotVerifiedError: _not_verified,
        TooManyHandshakesError: lambda error: unavailable(str(error)),
        TooManyConnectionsError: _too_many_connections,
        ConnectionsExhaustedError: lambda error: unavailable(str(error), retry_after=error.retry_after_seconds),
    }


def _ended(error: SubscriptionEndedError) -> ProblemError:
    return problem(410, "ended-by-operator", str(error), title="Ended by an operator")


def _not_changed(error: SubscriptionConflictError) -> ProblemError:
    return problem(409, "not-changed", f"the subscription cannot be changed: {error}", title="Not changed")


def _not_replayed(error: NotReplayableError) -> ProblemError:
    return problem(409, "not-replayed", f"the delivery cannot be sent again: {error}", title="Not sent again")


def _replay_running(_: ReplayRunningError) -> ProblemError:
    detail = "an earlier replay is running; read its progress, and send the request again once it is done"
    return problem(409, "replay-running", detail, title="Replay running")


def _too_many_secrets(_: TooManySecretsError) -> ProblemError:
    detail = (
        "this secret was rotated too often recently; wait until former secrets have expired, or send an overlap of 0"
    )
    return problem(409, "too-many-secrets", detail, title="Too many secrets")


def _write_rate_exceeded(error: WriteRateExceededError) -> ProblemError:
    return rate_limited(error.policy, str(error), error.seconds, limit_headers([error.standing]))


def _not_verified(error: NotVerifiedError) -> ProblemError:
    fix = f"answer OPTIONS there with 200 and the header WebHook-Allowed-Origin: {error.origin}"
    return invalid(ENDPOINT_FIELD, f"did not consent to receive webhooks: {error}", fix)


def _too_many_connections(error: TooManyConnectionsError) -> ProblemError:
    headers = {"Retry-After": str(error.retry_after_seconds)}
    return problem(429, "too-many-streams", str(error), title="Too many live streams", headers=headers)
