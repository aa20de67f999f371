"""Limits on reading: a rate and a number of concurrent requests, by address, or by key if one is sent.

They apply to one process (see ``docs/decisions``). The cost of a request in units depends on its work and on the size of the
response. A few requests are processed at a time, and clients take turns.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Annotated

from fastapi import Depends, Request
from starlette.requests import ClientDisconnect

from newswire.auth.authentication import reader
from newswire.auth.credentials import Caller
from newswire.concurrency.fair_slots import FairSlots
from newswire.concurrency.fair_threads import current_client
from newswire.http.client_address import client_of
from newswire.http.middleware import RELEASES, add_headers
from newswire.http.problems import problem, unavailable
from newswire.http.rate_limits import limit_headers, rate_limited
from newswire.observability import metrics
from newswire.rate_limits import RatePolicy, SpendResult, TokenBuckets
from newswire.settings import Settings

BYTES_PER_UNIT = 64 * 1024
"""Response bytes per additional unit, charged afterwards."""
MAX_WAIT_SECONDS = 30.0
"""How long a request waits for its turn."""
RETRY_AFTER_SECONDS = 1
"""Seconds after which a client with too many concurrent requests may try again."""


class Cost(IntEnum):
    """The cost of a request, in units."""

    RECORD = 1
    """One article, or completions."""
    LISTING = 2
    """Articles without a query: related ones, labels, a description of the API."""
    SEARCH = 4
    """A query, a feed, a sitemap, a page of events."""


class ReadLimits:
    """The read limits of this process."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rates = {
            "address": _buckets("read", settings.read_rate),
            "key": _buckets("read", settings.read_rate_per_key),
        }
        self._max_concurrent = {"address": settings.read_concurrency, "key": settings.read_concurrency_per_key}
        self._concurrent: Counter[str] = Counter()
        self._slots = FairSlots(settings.read_slots)

    def charge(self, caller: Caller | None, client: str, cost: int) -> dict[str, str]:
        """Charge a cost to a caller, and return the rate limit headers.

        Raises:
            ProblemError: the key or the address exceeds its rate (429).
        """
        what, name = _client_of(caller, client)
        buckets = self._rates[what]
        if buckets is None:
            return {}
        spent = buckets.spend(name, cost, self._clock())
        headers = limit_headers([(buckets.policy, spent.left, spent.seconds)])
        if not spent.allowed:
            metrics.reads_rejected.labels("rate", what).inc()
            raise _too_fast(buckets.policy, what, cost, spent, headers)
        return headers

    async def begin(self, caller: Caller | None, client: str) -> tuple[Callable[[int], None], bool]:
        """Count a request as concurrent, and wait for a slot.

        Return the callback for the end of the request, which takes the bytes of the response, and whether the request had to wait.

        Raises:
            ProblemError: the key or the address has too many concurrent requests (429), or no slot became free (503).
        """
        what, name = _client_of(caller, client)
        maximum = self._max_concurrent[what]
        if maximum and self._concurrent[name] >= maximum:
            metrics.reads_rejected.labels("concurrency", what).inc()
            policy = RatePolicy("read-concurrency", maximum, 0)
            raise problem(
                429,
                "too-many-requests",
                f"this {what} has {maximum} concurrent requests, the maximum; wait for their responses",
                headers={
                    "Retry-After": str(RETRY_AFTER_SECONDS),
                    **limit_headers([(policy, 0, RETRY_AFTER_SECONDS)]),
                },
                extra={"violated-policies": [policy.name]},
            )
        self._concurrent[name] += 1
        try:
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                waited = await self._slots.acquire(name)
        except BaseException as error:
            self._release(name)
            if isinstance(error, TimeoutError):
                metrics.reads_rejected.labels("turn", what).inc()
                raise unavailable("the server is overloaded; try again in a moment") from None
            raise

        def end(sent: int) -> None:
            self._slots.release()
            self._release(name)
            if (buckets := self._rates[what]) is not None and sent >= BYTES_PER_UNIT:
                buckets.charge_debt(name, sent // BYTES_PER_UNIT, self._clock())

        return end, waited

    def _release(self, name: str) -> None:
        self._concurrent[name] -= 1
        if not self._concurrent[name]:
            del self._concurrent[name]


def charged(cost: Cost) -> Callable[..., Awaitable[None]]:
    """Return the dependency of a read route: it authenticates as `reader` does, and charges the cost of the request."""

    async def charge(request: Request, caller: Annotated[Caller | None, Depends(reader)]) -> None:
        await charge_request(request, caller, cost)

    return charge


def charged_without_key(cost: Cost) -> Callable[[Request], Awaitable[None]]:
    """Return the dependency of a route that everyone may read: it charges the cost of the request to the client's address."""

    async def charge(request: Request) -> None:
        await charge_request(request, None, cost)

    return charge


async def charge_request(request: Request, caller: Caller | None, cost: Cost, *, lasting: bool = False) -> None:
    """Charge the cost of a request. A lasting one, such as a live stream, does not count as concurrent.

    Raises:
        ProblemError: the cost exceeds the rate (429), or no slot became free (503).
        ClientDisconnect: the client disconnected while it waited.
    """
    limits: ReadLimits = request.app.state.read_limits
    client = client_of(request.scope)
    headers = limits.charge(caller, client, cost)
    add_headers(request.scope, headers)
    if caller is None:  # otherwise the account was recorded when the key was checked
        current_client.set(f"address {client}")
    if not lasting:
        end, waited = await limits.begin(caller, client)
        request.scope[RELEASES].append(end)
        if waited and await request.is_disconnected():
            raise ClientDisconnect


def _buckets(name: str, rate: float) -> TokenBuckets | None:
    return TokenBuckets(RatePolicy.of_rate(name, rate)) if rate else None


def _client_of(caller: Caller | None, client: str) -> tuple[str, str]:
    return ("address", f"address {client}") if caller is None else ("key", f"key {caller.key_id}")


def _too_fast(policy: RatePolicy, what: str, cost: int, spent: SpendResult, headers: dict[str, str]) -> Exception:
    units = "unit" if cost == 1 else "units"
    detail = (
        f"this {what} may read {policy.quota} units in {policy.window} s, and this request costs {cost} {units};"
        f" try again in {spent.seconds} s"
    )
    return rate_limited(policy, detail, max(spent.seconds, 1), headers)
