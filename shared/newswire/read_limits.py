"""How much may be read: a rate and a number of requests at a time, by address, or by key where one is sent.

They hold for one process; ``docs/decisions`` says why. A request costs units by what it makes the process do.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Annotated

from fastapi import Depends, Request

from newswire import telemetry
from newswire.accounts import Caller, reader
from newswire.client_address import client_of
from newswire.frame import HEADERS, RELEASES
from newswire.problems import problem
from newswire.rate_limits import RatePolicy, Spent, TokenBuckets, limit_headers
from newswire.settings import Settings

RETRY_WHEN_BUSY = 1
"""Seconds after which a client that has too many requests under way may try again."""


class Cost(IntEnum):
    """What a request costs, in units."""

    RECORD = 1
    """One article, or what is being typed."""
    LISTING = 2
    """Articles without a query: related ones, labels, a description of the API."""
    SEARCH = 4
    """A query, a feed, a sitemap, a page of events."""


class ReadLimits:
    """The limits of reading in this process."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rates = {
            "address": _buckets("read", settings.read_rate),
            "key": _buckets("read", settings.read_rate_per_key),
        }
        self._most_at_once = {"address": settings.read_concurrency, "key": settings.read_concurrency_per_key}
        self._under_way: Counter[str] = Counter()

    def charge(self, caller: Caller | None, client: str, cost: int) -> dict[str, str]:
        """Take a cost off what a caller may read, and return the headers that tell what is left.

        Raises:
            Problem: the key or the address has read as much as it may for now (429).
        """
        what, name = _whose(caller, client)
        buckets = self._rates[what]
        if buckets is None:
            return {}
        spent = buckets.spend(name, cost, self._clock())
        headers = limit_headers([(buckets.policy, spent.left, spent.seconds)])
        if not spent.allowed:
            telemetry.reads_refused.labels("rate", what).inc()
            raise _too_fast(buckets.policy, what, cost, spent, headers)
        return headers

    def begin(self, caller: Caller | None, client: str) -> Callable[[], None]:
        """Count a request as under way; call what is returned when it is over.

        Raises:
            Problem: the key or the address has as many under way as it may (429).
        """
        what, name = _whose(caller, client)
        most = self._most_at_once[what]
        if most and self._under_way[name] >= most:
            telemetry.reads_refused.labels("concurrency", what).inc()
            policy = RatePolicy("read-concurrency", most, 0)
            raise problem(
                429,
                "too-many-requests",
                f"this {what} has {most} requests under way, as many as it may have; wait for their answers",
                headers={
                    "Retry-After": str(RETRY_WHEN_BUSY),
                    **limit_headers([(policy, 0, RETRY_WHEN_BUSY)]),
                },
                extra={"violated-policies": [policy.name]},
            )
        self._under_way[name] += 1

        def end() -> None:
            self._under_way[name] -= 1
            if not self._under_way[name]:
                del self._under_way[name]

        return end


def charged(cost: Cost) -> Callable[..., Awaitable[None]]:
    """Make the dependency of a reading route: it checks who reads, as `reader` does, and takes off what the request costs."""

    async def charge(request: Request, caller: Annotated[Caller | None, Depends(reader)]) -> None:
        charge_request(request, caller, cost)

    return charge


def charge_request(request: Request, caller: Caller | None, cost: Cost, *, lasting: bool = False) -> None:
    """Take off what a request costs. A lasting one, such as a live stream, does not count as under way.

    Raises:
        Problem: that is more than is left (429).
    """
    limits: ReadLimits = request.app.state.read_limits
    client = client_of(request.scope)
    if not lasting:
        request.scope[RELEASES].append(limits.begin(caller, client))
    headers = limits.charge(caller, client, cost)
    request.scope[HEADERS] += [(name.encode(), value.encode()) for name, value in headers.items()]


def _buckets(name: str, rate: float) -> TokenBuckets | None:
    return TokenBuckets(RatePolicy.of_rate(name, rate)) if rate else None


def _whose(caller: Caller | None, client: str) -> tuple[str, str]:
    return ("address", f"address {client}") if caller is None else ("key", f"key {caller.key_id}")


def _too_fast(policy: RatePolicy, what: str, cost: int, spent: Spent, headers: dict[str, str]) -> Exception:
    units = "unit" if cost == 1 else "units"
    return problem(
        429,
        "rate-limited",
        f"this {what} may read {policy.quota} units in {policy.window} s, and this request costs {cost} {units};"
        f" try again in {spent.seconds} s",
        headers=headers | {"Retry-After": str(max(spent.seconds, 1))},
        extra={"violated-policies": [policy.name]},
    )
