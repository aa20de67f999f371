"""Supervision of the embedded Valkey: it is restarted whenever it ends while Newswire runs."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from newswire.concurrency.backoff import delay_after
from newswire.http.application import Service, ServiceFactory
from newswire_cli.local.valkey import EmbeddedValkey, rotate_log

log = logging.getLogger(__name__)

SECONDS_BETWEEN_CHECKS = 0.2
SECONDS_BETWEEN_LOG_CHECKS = 60.0
FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.2, 30.0
RECOVERY_NOTICE_SECONDS = 3.0
"""The terminal reports a recovery after so long: on a full disk the server starts and ends repeatedly."""
STABLE_SECONDS = 60.0
"""A server that ran for so long is restarted without a backoff."""


class ValkeySupervisor:
    """Supervises one embedded server. ``say`` prints a line on the terminal."""

    def __init__(self, valkey: EmbeddedValkey, say: Callable[[str], None]) -> None:
        self._valkey = valkey
        self._say = say
        self._reason: str | None = None
        self._reported_down = False
        self._failures = 0
        self._stopping = asyncio.Event()

    async def check(self) -> str | None:
        """Readiness check: return why the server is down, or None."""
        return self._reason

    async def run(self, stopping: asyncio.Event) -> None:
        """Restart the server, with exponential backoff, whenever it has ended, until stopping is set."""
        self._stopping = stopping
        started = time.monotonic()
        next_log_check = 0.0
        while not stopping.is_set():
            if ended := self._valkey.ended():
                if time.monotonic() - started > STABLE_SECONDS:
                    self._failures = 0
                self._report(ended)
                await self._restart()
                started = time.monotonic()
                continue
            if self._reported_down and self._reason is None and time.monotonic() - started > RECOVERY_NOTICE_SECONDS:
                self._say("The embedded Valkey is running again.")
                self._reported_down = False
            if time.monotonic() >= next_log_check:
                await asyncio.to_thread(rotate_log, self._valkey.log)
                next_log_check = time.monotonic() + SECONDS_BETWEEN_LOG_CHECKS
            await self._wait(SECONDS_BETWEEN_CHECKS)

    def _report(self, ended: str) -> None:
        if not self._reported_down:
            self._reported_down = True
            self._say(f"{ended[0].upper()}{ended[1:]}. Newswire restarts it and accepts nothing until it is ready.")
        if self._reason != ended:
            log.error("the embedded Valkey ended", extra={"reason": ended, "log": str(self._valkey.log)})
        self._reason = ended

    async def _restart(self) -> None:
        await self._wait(delay_after(self._failures, FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS))
        if self._stopping.is_set():
            return
        self._failures += 1
        try:
            self._valkey.start()
        except OSError as error:  # no space for its log, or no process available
            self._report(f"the embedded Valkey cannot be started: {error.strerror or error}")
            return
        while not self._stopping.is_set() and not self._valkey.ended():
            if await asyncio.to_thread(self._valkey.answers):
                self._reason = None
                log.warning("the embedded Valkey is running again", extra={"restarts": self._failures})
                return
            await self._wait(SECONDS_BETWEEN_CHECKS)

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def supervision(valkey: EmbeddedValkey, say: Callable[[str], None]) -> ServiceFactory:
    """Return the factory of a service that only supervises the embedded server."""

    @asynccontextmanager
    async def service() -> AsyncIterator[Service]:
        supervisor = ValkeySupervisor(valkey, say)
        yield Service(name="run", loops={"valkey": supervisor.run}, checks={"valkey": supervisor.check})

    return service
