"""One attempt to deliver: a signed POST, and what came of it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from newswire_notify import guard
from newswire_notify.queue import Attempt, Job
from newswire_notify.signing import signature

ANSWER_KEPT = 4096
ANSWER_SECONDS = 2.0
"""How long the beginning of an answer's body is waited for; by then its status has said all that counts."""


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


def open_session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    """Make the session that webhooks are sent by: no cookies, no proxies, and no answer whose head is larger than a few KiB."""
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        read_bufsize=4 * ANSWER_KEPT,
        max_line_size=4096,
        max_field_size=8190,
        max_headers=100,
    )


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
            "Content-Type": "application/cloudevents+json",
            "User-Agent": "Newswire-Webhooks/1",
            "webhook-id": job.id,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": signature(job.secret, job.id, int(now), body),
        }
        if traceparent:
            headers["traceparent"] = traceparent
        began = time.perf_counter()

        def ended(status: int | None, error: str | None = None, answer: str = "") -> Attempt:
            return Attempt(now, job.attempt, status, (time.perf_counter() - began) * 1000, error, answer)

        try:
            async with self._session.post(
                job.url, data=body, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as answer:
                text = await _first_bytes(answer)
                return Sent(ended(answer.status, _advice(answer.status), text), _retry_after(answer, now))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return Sent(ended(None, _stage(error)))


async def _first_bytes(answer: aiohttp.ClientResponse) -> str:
    """Read the beginning of an answer. A longer, slower or broken one costs its connection, and changes nothing else."""
    read = b""
    ended = False
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while len(read) <= ANSWER_KEPT and not ended:
                chunk = await answer.content.read(ANSWER_KEPT + 1 - len(read))
                read, ended = read + chunk, not chunk
    except (aiohttp.ClientError, OSError, TimeoutError):
        pass  # the attempt ended with the status; what was said besides is kept as far as it came
    if not ended:
        answer.close()
    return read[:ANSWER_KEPT].decode("utf-8", "replace").replace("\x00", "\ufffd")


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


def _stage(error: BaseException) -> str:
    """Name the stage at which a delivery failed, so that its owner knows where to look."""
    refusal = guard.refusal(error)
    if refusal is not None:
        return f"refused-address: the endpoint {refusal}"
    if isinstance(error, TimeoutError):
        waiting_for = "connection" if isinstance(error, aiohttp.ConnectionTimeoutError) else "answer"
        return f"timeout: no {waiting_for} in time"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dns: the name does not resolve ({error.os_error.strerror or 'no address'})"
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
