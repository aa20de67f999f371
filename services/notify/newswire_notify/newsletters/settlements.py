"""Records the results of mails: those of all connections that wait at a time in one step, with one wait for the disk."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from newswire.concurrency.backoff import delay_after, pause
from newswire_notify.newsletters.issues import MailResult
from newswire_notify.newsletters.mail_queue import MailQueue
from newswire_notify.newsletters.receiving_domains import DomainChange

log = logging.getLogger(__name__)

ATTEMPTS_WHILE_STOPPING = 5
TOGETHER_SECONDS = 0.001
"""Results of several connections that come within this time are recorded together: a call takes longer than making a mail."""


class StoppedError(Exception):
    """The process stops, and results could not be recorded."""


@dataclass(slots=True)
class _Batch:
    done: "asyncio.Future[None]"
    results: list[MailResult] = field(default_factory=list)
    changes: list[DomainChange] = field(default_factory=list)
    released: list[tuple[str, str]] = field(default_factory=list)


class Settlements:
    """The results of one process. While a step is on its way, further results wait for the next one."""

    def __init__(self, queue: MailQueue) -> None:
        self._queue = queue
        self._waiting: _Batch | None = None
        self._running: asyncio.Task[None] | None = None
        self._sending = 0

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Count a connection that has mails to send."""
        self._sending += 1
        try:
            yield
        finally:
            self._sending -= 1

    async def settle(
        self,
        results: Sequence[MailResult],
        changes: Sequence[DomainChange],
        stopping: asyncio.Event,
        *,
        released: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Record results; return when they are durable. While Redis cannot be used, wait.

        Raises:
            StoppedError: stopping is set, and Redis still cannot be used.
        """
        if self._waiting is None:
            self._waiting = _Batch(asyncio.get_running_loop().create_future())
        batch = self._waiting
        batch.results += results
        batch.changes += changes
        batch.released += released
        if self._running is None:
            self._running = asyncio.create_task(self._run(stopping))
        await asyncio.shield(batch.done)

    async def _run(self, stopping: asyncio.Event) -> None:
        try:
            while self._waiting is not None:
                if self._sending > 1:
                    await asyncio.sleep(TOGETHER_SECONDS)
                batch, self._waiting = self._waiting, None
                try:
                    await self._record(batch, stopping)
                except StoppedError as error:
                    batch.done.set_exception(error)
                except BaseException as error:
                    batch.done.set_exception(error)
                    raise
                else:
                    batch.done.set_result(None)
        finally:
            self._running = None

    async def _record(self, batch: _Batch, stopping: asyncio.Event) -> None:
        failures = 0
        while True:
            try:
                await self._queue.settle(batch.results, batch.changes, batch.released)
            except (RedisError, OSError) as error:
                failures += 1
                log.warning("cannot record results of mails", extra={"reason": str(error)})
                if stopping.is_set() and failures >= ATTEMPTS_WHILE_STOPPING:
                    raise StoppedError(str(error)) from error
                if await pause(stopping, delay_after(failures)):
                    await asyncio.sleep(delay_after(failures, maximum=1.0))
            else:
                return
