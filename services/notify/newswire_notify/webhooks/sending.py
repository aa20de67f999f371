"""One attempt to deliver: a signed POST, and what came of it."""

import asyncio
import logging
import math
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from newswire_notify.deliveries.queue import Attempt, Endpoint, Job
from newswire_notify.webhooks.connections import Answer, Connections, NotConnected, Unreadable
from newswire_notify.webhooks.guard import AddressRefused, NotResolved
from newswire_notify.webhooks.signing import signature

log = logging.getLogger(__name__)

HIDDEN = "no answer: the endpoint gave no answer to a webhook; of private addresses no more is shown"
USER_AGENT = "Newswire-Webhooks/1"
COARSE_MS = 100
"""To how many ms the time is rounded up that a private address took to answer."""


class Sent(NamedTuple):
    """What an endpoint did with a webhook."""

    attempt: Attempt
    retry_after: float | None = None

    @property
    def accepted(self) -> bool:
        """Whether the endpoint took it."""
        return self.attempt.status is not None and 200 <= self.attempt.status < 300

    @property
    def gone(self) -> bool:
        """Whether the endpoint never wants to be called again."""
        return self.attempt.status == 410


class Sender:
    """Sends webhooks. ``timeout``: seconds for one attempt in all."""

    def __init__(
        self, connections: Connections, clock: Callable[[], float] = time.time, *, timeout: float = 15.0
    ) -> None:
        self._connections = connections
        self._clock = clock
        self.timeout = timeout

    def hides(self, url: str) -> bool:
        """Return whether subscribers must not see how an endpoint answered: it is, or may be, at a private address."""
        return self._connections.hides(url)

    async def send(self, job: Job, body: bytes, traceparent: str | None) -> Sent:
        """Post one body to one endpoint, signed for it. Never raises for anything the endpoint does."""
        now = self._clock()
        headers = {
            **job.endpoint.headers,
            "Content-Type": "application/cloudevents+json",
            "User-Agent": USER_AGENT,
            "webhook-id": job.id,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": signatures(job.endpoint, job.id, int(now), body),
        }
        if job.endpoint.verified_origin:  # as section 4.1.1 of CloudEvents' HTTP webhooks asks after a handshake
            headers["Origin"] = job.endpoint.verified_origin
        if traceparent:
            headers["traceparent"] = traceparent
        began = time.perf_counter()

        def ended(status: int | None, error: str | None = None, answer: str = "") -> Attempt:
            return Attempt(now, job.attempt, status, (time.perf_counter() - began) * 1000, error, answer)

        try:
            async with asyncio.timeout(self.timeout):
                answer = await self._connections.post(job.endpoint.url, headers, body)
        except (OSError, TimeoutError, Unreadable, ValueError) as error:
            return Sent(self._failed(job, error, ended(None, failed_stage(error))))
        if self._connections.hides(job.endpoint.url):
            coarse = ended(answer.status, _advice(answer.status))
            coarse = coarse._replace(latency_ms=math.ceil(coarse.latency_ms / COARSE_MS) * COARSE_MS)
            return Sent(coarse, _retry_after(answer, now))
        text = answer.body.decode("utf-8", "replace").replace("\x00", "\ufffd")
        return Sent(ended(answer.status, _advice(answer.status), text), _retry_after(answer, now))

    def _failed(self, job: Job, error: Exception, attempt: Attempt) -> Attempt:
        """Return what subscribers may see of an attempt without an answer: of a private address only that there was none.

        Which port is closed, filtered or speaks another protocol would make webhooks a port scanner of the operator's network.
        """
        told_anyway = isinstance(error, AddressRefused | NotResolved)
        if told_anyway or not self._connections.hides(job.endpoint.url):
            return attempt
        log.info("no answer from a private address", extra={"delivery": job.id, "reason": attempt.error})
        return attempt._replace(error=HIDDEN, latency_ms=0.0)


def signatures(endpoint: Endpoint, message_id: str, now: int, body: bytes) -> str:
    """Sign by an endpoint's secret, and by each former one that still holds, so that receivers can change over in their time."""
    holding = [endpoint.secret, *(secret for secret, until in endpoint.previous if now < until)]
    return " ".join(signature(secret, message_id, now, body) for secret in holding)


def _advice(status: int) -> str | None:
    """Say what a status means to the one who looks after the endpoint, or None where it means success."""
    if 200 <= status < 300:
        return None
    said = f"http: answered {status}"
    if 300 <= status < 400:
        return f"{said}; redirects are not followed: give the subscription the address it leads to"
    if status == 413:
        return f"{said}: the article is too long for it; choose content: summary, or let it take more"
    return said


def failed_stage(error: BaseException) -> str:
    """Name the stage at which a delivery failed, so that its owner knows where to look."""
    match error:
        case AddressRefused():
            return f"refused-address: the endpoint {error}"
        case NotConnected():
            return "timeout: no connection in time"
        case TimeoutError():
            return "timeout: no answer in time"
        case NotResolved():
            return f"dns: the name does not resolve ({error})"
        case ssl.SSLError():
            return "connect: TLS failed"
        case Unreadable():
            return f"http: {error}"
        case OSError():
            return f"connect: {error.strerror or error or 'failed'}"
        case _:
            return "connect: the address or a header cannot be used"


def _retry_after(answer: Answer, now: float) -> float | None:
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
