"""One attempt to deliver: a signed POST, and what came of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from newswire_notify import guard
from newswire_notify.queue import Attempt, Endpoint, Job
from newswire_notify.signing import signature

ANSWER_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Sent:
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
    """Sends webhooks over one pool of connections."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        clock: Callable[[], float] = time.time,
        *,
        timeout: float = 15.0,
        connect: float = 5.0,
    ) -> None:
        self._session = session
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout, connect=connect)

    async def send(self, job: Job, body: bytes, traceparent: str | None) -> Sent:
        """Post one body to one endpoint, signed for it. Never raises for anything the endpoint does."""
        now = self._clock()
        headers = {
            **job.endpoint.headers,
            "Content-Type": "application/cloudevents+json",
            "User-Agent": "Newswire-Webhooks/1",
            "webhook-id": job.id,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": signatures(job.endpoint, job.id, int(now), body),
        }
        if traceparent:
            headers["traceparent"] = traceparent
        began = time.perf_counter()

        def ended(status: int | None, error: str | None = None, answer: str = "") -> Attempt:
            return Attempt(now, job.attempt, status, (time.perf_counter() - began) * 1000, error, answer)

        try:
            async with self._session.post(
                job.endpoint.url, data=body, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as answer:
                text = await _first_bytes(answer)
                stage = None if 200 <= answer.status < 300 else f"http: answered {answer.status}"
                return Sent(ended(answer.status, stage, text), _retry_after(answer, now))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return Sent(ended(None, _stage(error)))


def signatures(endpoint: Endpoint, message_id: str, now: int, body: bytes) -> str:
    """Sign by an endpoint's secret, and by each former one that still holds, so that receivers can change over in their time."""
    holding = [endpoint.secret, *(secret for secret, until in endpoint.previous if now < until)]
    return " ".join(signature(secret, message_id, now, body) for secret in holding)


async def _first_bytes(answer: aiohttp.ClientResponse) -> str:
    """Read the beginning of an answer; a longer one costs its connection, not our memory."""
    read = b""
    while len(read) <= ANSWER_KEPT:
        chunk = await answer.content.read(ANSWER_KEPT + 1 - len(read))
        if not chunk:
            break
        read += chunk
    if len(read) > ANSWER_KEPT:
        answer.close()
    return read[:ANSWER_KEPT].decode("utf-8", "replace").replace("\x00", "\ufffd")


def _stage(error: BaseException) -> str:
    """Name the stage at which a delivery failed, so that its owner knows where to look."""
    if guard.refused(error):
        return "refused-address: the endpoint is not on the public internet"
    if isinstance(error, TimeoutError):
        waiting_for = "connection" if isinstance(error, aiohttp.ConnectionTimeoutError) else "answer"
        return f"timeout: no {waiting_for} in time"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "dns: the name does not resolve"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return "connect: TLS failed"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"connect: {error.os_error.strerror or 'failed'}"
    if isinstance(error, aiohttp.InvalidURL):
        return "connect: the address cannot be used"
    if isinstance(error, aiohttp.ClientError):
        return f"http: {type(error).__name__}"
    return f"connect: {type(error).__name__}"


def _retry_after(answer: aiohttp.ClientResponse, now: float) -> float | None:
    value = answer.headers.get("Retry-After", "").strip()
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
