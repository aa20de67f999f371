"""Whether a process can answer requests (``/readyz``), and whether it is wholly well (``/status``).

The two differ on purpose. A dependency that fails, fails for all replicas at once: if each of them reported that it is not ready, a
balancer would have none left, although search answers without Redis, and the others explain with a problem document what is
unavailable and when to try again. So a process becomes ready when its start is complete, and stays so until it stops.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import Gauge
from redis.exceptions import RedisError

from newswire.concurrency.backoff import pause
from newswire.observability import metrics
from newswire.storage.redis_errors import reason

CHECK_SECONDS = 3.0
SCRAPE_SECONDS = 1.0
"""How long a response with metrics waits for the checks: a scrape must succeed while a dependency hangs."""
START_INTERVAL_SECONDS = 0.2

Check = Callable[[], Awaitable[str | None]]
Results = dict[str, str | None]
"""The result of each check by its name: None, or the reason for its failure."""


class Health:
    """The checks and loops of one process."""

    def __init__(self, checks: Mapping[str, Check], start_checks: Mapping[str, Check], leaving: asyncio.Event) -> None:
        self.loops: Results = {}
        """The background loops: None while one runs, else why it does not."""
        self._leaving = leaving
        self._check = _shared_run(checks)
        self._check_start = _shared_run(start_checks)
        self._started: Results | None = None
        self._recording: asyncio.Task[None] | None = None

    async def readiness(self) -> Results:
        """Return the checks of the start, which are not repeated once all have passed, and whether the process is stopping."""
        results = self._started
        if results is None:
            results = await self._check_start()
            if not any(results.values()):
                self._started = results
        return results | self._stopping()

    async def wait_until_started(self, stopping: asyncio.Event) -> None:
        """Repeat the checks of the start until all have passed, so that readiness does not depend on who asks for it, and when."""
        while self._started is None and not stopping.is_set():
            await self.readiness()
            await pause(stopping, START_INTERVAL_SECONDS)

    async def status(self) -> Results:
        """Return all checks."""
        return await self._check() | self._stopping()

    async def record(self) -> None:
        """Record loops and checks as metrics. Checks that take longer than `SCRAPE_SECONDS` are recorded when they end."""
        _set_gauge(metrics.loop_up, self.loops)
        if self._recording is None or self._recording.done():
            self._recording = asyncio.create_task(self._record_checks())
        await asyncio.wait({self._recording}, timeout=SCRAPE_SECONDS)

    async def _record_checks(self) -> None:
        _set_gauge(metrics.check_up, await self._check())

    def _stopping(self) -> Results:
        return {"process": "is stopping"} if self._leaving.is_set() else {}


def _set_gauge(gauge: Gauge, results: Results) -> None:
    for name, failure in results.items():
        service, _, own = name.rpartition(": ")
        gauge.labels(service or "newswire", own).set(failure is None)


def _shared_run(checks: Mapping[str, Check]) -> Callable[[], Awaitable[Results]]:
    """Return a function that runs all checks concurrently. Concurrent calls share one run: many requests cost as much as one."""
    running: asyncio.Task[Results] | None = None

    async def run_all() -> Results:
        return dict(zip(checks, await asyncio.gather(*map(_run_check, checks.values())), strict=True))

    async def shared() -> Results:
        nonlocal running
        if running is None or running.done():
            running = asyncio.create_task(run_all())
        return await asyncio.shield(running)  # a client that disconnects must not cancel the others' checks

    return shared


async def _run_check(check: Check) -> str | None:
    try:
        return await asyncio.wait_for(check(), CHECK_SECONDS)
    except TimeoutError:
        return f"did not answer within {CHECK_SECONDS:.0f} s"
    except RedisError as error:
        return reason(error)[:300]
    except Exception as error:  # noqa: BLE001 (any error is the result of the check)
        return repr(error)[:300]
