"""Supervision of the embedded Valkey: it is started again whenever it ends while Newswire runs."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from newswire.http.application import Service, ServiceFactory
from newswire_cli.valkey import EmbeddedValkey, keep_small

log = logging.getLogger(__name__)

SECONDS_BETWEEN_CHECKS = 0.2
SECONDS_BETWEEN_LOG_CHECKS = 60.0
FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.2, 30.0
STEADY_SECONDS = 3.0
"""After so long the person at the terminal reads that the server is back: on a full disk it comes and goes."""
STABLE_SECONDS = 60.0
"""A server that ran for so long is restarted at once when it ends."""


class ValkeySupervisor:
    """Watches one embedded server. ``say`` prints a line for the person at the terminal."""

    def __init__(self, valkey: EmbeddedValkey, say: Callable[[str], None]) -> None:
        self._valkey = valkey
        self._say = say
        self._reason: str | None = None
        self._said = False
        self._failures = 0
        self._stopping = asyncio.Event()

    async def check(self) -> str | None:
        """Return why the server does not serve, or None where it does: a readiness check."""
        return self._reason

    async def run(self, stopping: asyncio.Event) -> None:
        """Restart the server, with growing pauses, whenever it has ended, until stopping is set."""
        self._stopping = stopping
        started = time.monotonic()
        next_log_check = 0.0
        while not stopping.is_set():
            if ended := self._valkey.ended():
                if time.monotonic() - started > STABLE_SECONDS:
                    self._failures = 0
                self._tell(ended)
                await self._restart()
                started = time.monotonic()
                continue
            if self._said and self._reason is None and time.monotonic() - started > STEADY_SECONDS:
                self._say("The embedded Valkey runs again.")
                self._said = False
            if time.monotonic() >= next_log_check:
                await asyncio.to_thread(keep_small, self._valkey.log)
                next_log_check = time.monotonic() + SECONDS_BETWEEN_LOG_CHECKS
            await self._pause(SECONDS_BETWEEN_CHECKS)

    def _tell(self, ended: str) -> None:
        if not self._said:
            self._said = True
            self._say(f"{ended[0].upper()}{ended[1:]}. Newswire restarts it and accepts nothing until it answers.")
        if self._reason != ended:
            log.error("the embedded Valkey ended", extra={"reason": ended, "log": str(self._valkey.log)})
        self._reason = ended

    async def _restart(self) -> None:
        longest = min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** min(self._failures, 10))
        await self._pause(random.uniform(longest / 2, longest))
        if self._stopping.is_set():
            return
        self._failures += 1
        try:
            self._valkey.start()
        except OSError as error:  # no space for its log, no process to be had
            self._tell(f"the embedded Valkey cannot be started: {error.strerror or error}")
            return
        while not self._stopping.is_set() and not self._valkey.ended():
            if await asyncio.to_thread(self._valkey.answers):
                self._reason = None
                log.warning("the embedded Valkey runs again", extra={"restarts": self._failures})
                return
            await self._pause(SECONDS_BETWEEN_CHECKS)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def supervision(valkey: EmbeddedValkey, say: Callable[[str], None]) -> ServiceFactory:
    """Return the factory of a service that only supervises the embedded server."""

    @asynccontextmanager
    async def service() -> AsyncIterator[Service]:
        supervisor = ValkeySupervisor(valkey, say)
        yield Service(name="run", loops={"valkey": supervisor.run}, checks={"valkey": supervisor.check})

    return service
