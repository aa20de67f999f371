"""One delivery attempt: a signed POST and its result."""

import logging
import math
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import NamedTuple

from newswire.concurrency.shared_timeout import SharedTimeout
from newswire.observability import metrics, tracing
from newswire_notify.deliveries.models import Attempt, ClaimedDelivery, Endpoint
from newswire_notify.webhooks.attempt_span import attempt_span
from newswire_notify.webhooks.http_client import (
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

    async def _send(self, delivery: ClaimedDelivery, body: bytes, traceparent: str | None) -> SendResult:
        now = self._clock()
        headers = {
            **delivery.endpoint.headers,
            "Content-Type": "application/cloudevents+json",
            "User-Agent": USER_AGENT,
            "webhook-id": delivery.id,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": signatures(delivery.endpoint, delivery.id, int(now), body),
        }
        if delivery.endpoint.verified_origin:  # required after a handshake by CloudEvents' HTTP webhooks, section 4.1.1
            headers["Origin"] = delivery.endpoint.verified_origin
        if traceparent:
            headers["traceparent"] = traceparent
        began = time.perf_counter()
        sent = await self._attempt(delivery, headers, body, now)
        _duration(_result(sent.attempt)).observe(time.perf_counter() - began)
        return sent

    async def _attempt(
        self, delivery: ClaimedDelivery, headers: Mapping[str, str], body: bytes, now: float
    ) -> SendResult:
        began = time.perf_counter()

        def ended(status: int | None, error: str | None = None, answer: str = "") -> Attempt:
            return Attempt(now, delivery.attempt, status, (time.perf_counter() - began) * 1000, error, answer)

        try:
            answer = await self._limited.limit(self._http_client.post(delivery.endpoint.url, headers, body))
        except (OSError, TimeoutError, InvalidResponseError, ValueError) as error:
            return SendResult(self._failed(delivery, error, ended(None, failed_stage(error))))
        if self._http_client.hides(delivery.endpoint.url):
            coarse = ended(answer.status, _advice(answer.status))
            coarse = coarse._replace(latency_ms=math.ceil(coarse.latency_ms / LATENCY_STEP_MS) * LATENCY_STEP_MS)
            return SendResult(coarse, _retry_after(answer, now))
        text = answer.body.decode("utf-8", "replace").replace("\x00", "\ufffd")
        return SendResult(ended(answer.status, _advice(answer.status), text), _retry_after(answer, now))

    def _failed(self, delivery: ClaimedDelivery, error: Exception, attempt: Attempt) -> Attempt:
        """Return what subscribers may see of an attempt without a response; for a private address only that there was none.

        Details would turn webhooks into a port scanner of the operator's network.
        """
        always_shown = isinstance(error, AddressRefusedError | NameResolutionError)
        if always_shown or not self._http_client.hides(delivery.endpoint.url):
            return attempt
        log.info("no response from a private address", extra={"delivery": delivery.id, "reason": attempt.error})
        return attempt._replace(error=HIDDEN_FAILURE, latency_ms=0.0)


def signatures(endpoint: Endpoint, message_id: str, now: int, body: bytes) -> str:
    """Sign with an endpoint's secret and each former one that is still valid, so that receivers can migrate."""
    holding = [endpoint.secret, *(secret for secret, until in endpoint.previous if now < until)]
    return " ".join(signature(secret, message_id, now, body) for secret in holding)


_duration = lru_cache(maxsize=64)(metrics.webhook_attempts.labels)
"""The histogram of a result: looking it up takes as long as observing."""


def _result(attempt: Attempt) -> str:
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
