"""One delivery attempt: a signed POST and its result."""

import logging
import math
import ssl
import time
from asyncio import Future
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from functools import lru_cache, partial
from typing import NamedTuple

from newswire.concurrency.shared_timeout import SharedTimeout
from newswire.observability import metrics, tracing
from newswire_notify.deliveries.models import Attempt, ClaimedDelivery, Endpoint
from newswire_notify.webhooks.attempt_span import attempt_span
from newswire_notify.webhooks.http_client import (
    ConnectionLostError,
    ConnectTimeoutError,
    EndpointResponse,
    InvalidResponseError,
    WebhookHttpClient,
)
from newswire_notify.webhooks.signing import signature
from newswire_notify.webhooks.ssrf_guard import AddressRefusedError, NameResolutionError

log = logging.getLogger(__name__)

HIDDEN_FAILURE = "no response: the endpoint did not respond; more is not shown for private addresses"
USER_AGENT = "Newswire-Webhooks/1"
STAGES = ("refused-address", "timeout", "dns", "connect", "http")
"""The stages at which an attempt without a response fails, as `failed_stage` names them."""
# Each series begins at 0: `rate` does not count the first failure of a series that begins with it.
for _each in ("2xx", "3xx", "4xx", "5xx", *STAGES, "hidden"):
    metrics.webhook_attempts.labels(_each)
REPEAT_SECONDS = 5.0
"""If an endpoint closes a connection that had been idle within this time, the request is repeated at once over another one.
Later it is a failure like others: both attempts together must not outlast the lease."""
LATENCY_STEP_MS = 100
"""Response times of private addresses are rounded up to multiples of this."""


class SendResult(NamedTuple):
    """The result of an attempt."""

    attempt: Attempt
    retry_after: float | None = None

    @property
    def accepted(self) -> bool:
        """Whether the endpoint accepted the webhook."""
        return self.attempt.status is not None and 200 <= self.attempt.status < 300

    @property
    def gone(self) -> bool:
        """Whether the endpoint responded with 410 Gone."""
        return self.attempt.status == 410


class Unsent(Enum):
    """Why an attempt that was begun over an open connection has no result."""

    CANCELLED = "cancelled"
    NOT_CONNECTED = "the endpoint had closed the connection: it is to be sent over another one"


class Sender:
    """Sends webhooks. ``timeout``: total seconds for one attempt."""

    def __init__(
        self, http_client: WebhookHttpClient, clock: Callable[[], float] = time.time, *, timeout: float = 15.0
    ) -> None:
        self._http_client = http_client
        self._clock = clock
        self.timeout = timeout
        self._limited = SharedTimeout(timeout)

    def hides(self, url: str) -> bool:
        """Return whether responses of an endpoint are hidden from subscribers: it is, or may be, at a private address."""
        return self._http_client.hides(url)

    async def send(self, delivery: ClaimedDelivery, body: bytes, traceparent: str | None) -> SendResult:
        """POST a signed body to an endpoint. Does not raise for anything that the endpoint does."""
        cause = tracing.sampled_context(traceparent)
        if cause is None:
            return await self._send(delivery, body, traceparent)
        with attempt_span(delivery, cause, traceparent) as recorded:
            sent = await self._send(delivery, body, recorded.traceparent)
            recorded.note(sent.attempt)
        return sent

    def begin(
        self,
        delivery: ClaimedDelivery,
        body: bytes,
        traceparent: str | None,
        ended: Callable[[SendResult | Unsent], None],
    ) -> "Future[EndpointResponse] | None":
        """POST over a connection that is open, as `send` does, but without a task: most attempts need none.

        ``ended`` gets the result. Cancelling what is returned cancels the attempt. None: there is no connection, or the attempt is
        recorded as a span, and nothing was sent.
        """
        now, began = self._clock(), time.perf_counter()
        try:
            if not self._http_client.is_connected(delivery.endpoint.url) or tracing.sampled_context(traceparent):
                return None
            answered = self._http_client.begin_post(
                delivery.endpoint.url,
                _headers(delivery, body, traceparent, int(now)),
                body,
                partial(self._end, delivery, now, began, ended),
            )
        except ValueError:  # a URL or a header, as `send` finds out
            return None
        if answered is not None:
            self._limited.watch(answered)
        return answered

    def _end(
        self,
        delivery: ClaimedDelivery,
        now: float,
        began: float,
        ended: Callable[[SendResult | Unsent], None],
        answered: "Future[EndpointResponse]",
    ) -> None:
        self._limited.forget(answered)
        if answered.cancelled():
            ended(Unsent.CANCELLED)
            return
        error = answered.exception()
        if isinstance(error, ConnectionLostError) and time.perf_counter() - began < REPEAT_SECONDS:
            ended(Unsent.NOT_CONNECTED)
            return
        sent = self._result(delivery, now, began, answered.result() if error is None else error)
        _duration(_result_class(sent.attempt)).observe(time.perf_counter() - began)
        ended(sent)

    async def _send(self, delivery: ClaimedDelivery, body: bytes, traceparent: str | None) -> SendResult:
        now = self._clock()
        headers = _headers(delivery, body, traceparent, int(now))
        began = time.perf_counter()
        answer: EndpointResponse | Exception
        try:
            answer = await self._limited.limit(self._http_client.post(delivery.endpoint.url, headers, body))
        except (OSError, TimeoutError, InvalidResponseError, ValueError) as error:
            answer = error
        sent = self._result(delivery, now, began, answer)
        _duration(_result_class(sent.attempt)).observe(time.perf_counter() - began)
        return sent

    def _result(
        self, delivery: ClaimedDelivery, now: float, began: float, answer: EndpointResponse | BaseException
    ) -> SendResult:
        """Return what came of an attempt: of the response, or of the error in its place."""
        latency_ms = (time.perf_counter() - began) * 1000
        if isinstance(answer, BaseException):
            failed = Attempt(now, delivery.attempt, None, latency_ms, failed_stage(answer))
            return SendResult(self._failed(delivery, answer, failed))
        text = ""
        if self._http_client.hides(delivery.endpoint.url):
            latency_ms = math.ceil(latency_ms / LATENCY_STEP_MS) * LATENCY_STEP_MS
        elif answer.body:
            text = answer.body.decode("utf-8", "replace").replace("\x00", "\ufffd")
        attempt = Attempt(now, delivery.attempt, answer.status, latency_ms, _advice(answer.status), text)
        return SendResult(attempt, _retry_after(answer, now) if answer.retry_after else None)

    def _failed(self, delivery: ClaimedDelivery, error: BaseException, attempt: Attempt) -> Attempt:
        """Return what subscribers may see of an attempt without a response; for a private address only that there was none.

        Details would turn webhooks into a port scanner of the operator's network.
        """
        always_shown = isinstance(error, AddressRefusedError | NameResolutionError)
        if always_shown or not self._http_client.hides(delivery.endpoint.url):
            return attempt
        log.info("no response from a private address", extra={"delivery": delivery.id, "reason": attempt.error})
        return attempt._replace(error=HIDDEN_FAILURE, latency_ms=0.0)


def _headers(delivery: ClaimedDelivery, body: bytes, traceparent: str | None, now: int) -> dict[str, str]:
    headers = {
        **delivery.endpoint.headers,
        "Content-Type": "application/cloudevents+json",
        "User-Agent": USER_AGENT,
        "webhook-id": delivery.id,
        "webhook-timestamp": str(now),
        "webhook-signature": signatures(delivery.endpoint, delivery.id, now, body),
    }
    if delivery.endpoint.verified_origin:  # required after a handshake by CloudEvents' HTTP webhooks, section 4.1.1
        headers["Origin"] = delivery.endpoint.verified_origin
    if traceparent:
        headers["traceparent"] = traceparent
    return headers


def signatures(endpoint: Endpoint, message_id: str, now: int, body: bytes) -> str:
    """Sign with an endpoint's secret and each former one that is still valid, so that receivers can migrate."""
    holding = [endpoint.secret, *(secret for secret, until in endpoint.previous if now < until)]
    return " ".join(signature(secret, message_id, now, body) for secret in holding)


_duration = lru_cache(maxsize=64)(metrics.webhook_attempts.labels)
"""The histogram of a result: looking it up takes as long as observing."""


def _result_class(attempt: Attempt) -> str:
    """Return the class of the status, or the stage that failed: few values, whatever endpoints answer."""
    if attempt.status is not None:
        return f"{attempt.status // 100}xx"
    stage = (attempt.error or "").partition(":")[0]
    return stage if stage in STAGES else "hidden"


def _advice(status: int) -> str | None:
    """Return what a status means to the owner of the endpoint, or None for success."""
    if 200 <= status < 300:
        return None
    status_text = f"http: status {status}"
    if 300 <= status < 400:
        return f"{status_text}; redirects are not followed: change the subscription's url to their target"
    if status == 413:
        return f"{status_text}: the article is too large for it; choose content: summary, or raise its limit"
    return status_text


def failed_stage(error: BaseException) -> str:
    """Return the stage at which an attempt failed, for the owner of the endpoint."""
    match error:
        case AddressRefusedError():
            return f"refused-address: the endpoint {error}"
        case ConnectTimeoutError():
            return "timeout: no connection in time"
        case TimeoutError():
            return "timeout: no response in time"
        case NameResolutionError():
            return f"dns: the name does not resolve ({error})"
        case ssl.SSLError():
            return "connect: TLS failed"
        case InvalidResponseError():
            return f"http: {error}"
        case OSError():
            return f"connect: {error.strerror or error or 'failed'}"
        case _:
            return "connect: the URL or a header is invalid"


def _retry_after(answer: EndpointResponse, now: float) -> float | None:
    value = answer.retry_after.strip()
    if answer.status not in (429, 503) or not value:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return (
        max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now)
        if isinstance(moment, datetime)
        else None
    )
