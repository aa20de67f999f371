"""Why an attempt failed, as a name of texts: `why_<name>` says what happened, and `fix_<name>` what to do."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from newswire_notify.deliveries.models import Attempt
from newswire_notify.webhooks.sending import HIDDEN_FAILURE


class Reason(StrEnum):
    """Why an attempt failed."""

    ADDRESS = "address"
    DNS = "dns"
    TLS = "tls"
    CONNECT = "connect"
    CONNECT_TIMEOUT = "connect_timeout"
    RESPONSE_TIMEOUT = "response_timeout"
    INVALID_RESPONSE = "invalid_response"
    HIDDEN = "hidden"
    REDIRECT = "redirect"
    CREDENTIALS = "credentials"
    NO_ROUTE = "no_route"
    GONE = "gone"
    TOO_LARGE = "too_large"
    REJECTED = "rejected"
    TOO_MANY = "too_many"
    UNAVAILABLE = "unavailable"
    SERVER_ERROR = "server_error"


_BY_STATUS = {
    401: Reason.CREDENTIALS,
    403: Reason.CREDENTIALS,
    404: Reason.NO_ROUTE,
    405: Reason.NO_ROUTE,
    410: Reason.GONE,
    413: Reason.TOO_LARGE,
    429: Reason.TOO_MANY,
    503: Reason.UNAVAILABLE,
}
_BY_STAGE = (
    ("refused-address:", Reason.ADDRESS),
    ("dns:", Reason.DNS),
    ("connect: TLS", Reason.TLS),
    ("connect:", Reason.CONNECT),
    ("timeout: no connection", Reason.CONNECT_TIMEOUT),
    ("timeout:", Reason.RESPONSE_TIMEOUT),
    (HIDDEN_FAILURE, Reason.HIDDEN),
)
"""The beginnings of the errors that `newswire_notify.webhooks.sending.failed_stage` returns; the first that fits counts."""


def reason_of(attempt: Attempt | Mapping[str, Any]) -> Reason | None:
    """Return why an attempt failed; None if it did not."""
    status, error = (
        (attempt.status, attempt.error) if isinstance(attempt, Attempt) else (attempt["status"], attempt["error"])
    )
    if status is not None:
        return _of_status(status)
    return next(
        (reason for beginning, reason in _BY_STAGE if (error or "").startswith(beginning)), Reason.INVALID_RESPONSE
    )


def _of_status(status: int) -> Reason | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return Reason.REDIRECT
    return _BY_STATUS.get(status, Reason.REJECTED if status < 500 else Reason.SERVER_ERROR)
