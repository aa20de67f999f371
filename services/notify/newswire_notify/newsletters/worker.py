"""Sends the mails of the queue, over several connections (`mail_connection`)."""

import asyncio
import logging
from collections.abc import Callable

from newswire.concurrency.backoff import delay_after, pause
from newswire_notify.newsletters.attempts import Attempts
from newswire_notify.newsletters.claims import Claims
from newswire_notify.newsletters.mail_batches import MailBatches
from newswire_notify.newsletters.mail_connection import CLAIM_BATCH, MailConnection
from newswire_notify.newsletters.mail_maker import MailMaker
from newswire_notify.newsletters.mail_queue import MailQueue
from newswire_notify.newsletters.settlements import Settlements, StoppedError
from newswire_notify.newsletters.transport import Transport

log = logging.getLogger(__name__)

FIRST_BATCH = 5
"""Mails that a connection claims at first, and `CLAIM_BATCH` at most. It claims more where they are sent within `BATCH_SECONDS`,
and fewer where they are not, so that a slow mail server gets the mails of an issue over all connections."""
BATCH_SECONDS = 0.5
MAX_UNAVAILABLE_SECONDS = 60.0
"""How long workers pause, at most, between two attempts to reach the mail server."""


class MailWorkers:
    """The workers of one process."""

    def __init__(
        self,
        queue: MailQueue,
        maker: MailMaker,
        attempts: Attempts,
        transport: Callable[[], Transport],
        *,
        connections: int,
        lease: float,
        batch: int = CLAIM_BATCH,
    ) -> None:
        """``lease``: seconds after which another worker may take a claimed mail; more than twice as long as an attempt."""
        self._queue = queue
        self._batches = MailBatches(maker.make_all)
        self._attempts = attempts
        self._transport = transport
        self._connections = connections
        self._lease = lease
        self._batch = batch
        self._settlements = Settlements(queue)

    async def check(self) -> str | None:
        """Return why mails cannot be sent at the moment, or None: a check of `/status`."""
        return self._attempts.unavailable

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until stopping is set."""
        claims = Claims(self._queue, self._lease)
        async with asyncio.TaskGroup() as workers:
            workers.create_task(claims.run(stopping))
            for _ in range(self._connections):
                workers.create_task(self._work(claims, stopping))

    async def send_due(self) -> int:
        """Send everything that is due over one connection, and return how many mails were dealt with: for commands and tests."""
        connection = self._connection(asyncio.Event())
        count = 0
        try:
            while claimed := (await self._queue.claim(connection.name, self._lease, self._batch)).mails:
                count += len(claimed)
                if not await connection.send_all(claimed):
                    break
            return count
        finally:
            await connection.transport.close()

    def _connection(self, stopping: asyncio.Event) -> MailConnection:
        return MailConnection(
            self._transport(), self._batches, self._attempts, self._settlements, stopping, self._lease / 2
        )

    async def _work(self, claims: Claims, stopping: asyncio.Event) -> None:
        connection = self._connection(stopping)
        failures, limit = 0, min(FIRST_BATCH, self._batch)
        clock = asyncio.get_running_loop().time
        try:
            while claimed := await claims.take(connection.name, limit):
                began = clock()
                if await connection.send_all(claimed):
                    failures = 0
                    limit = min(2 * limit, self._batch) if clock() - began < BATCH_SECONDS else max(1, limit // 2)
                else:
                    failures += 1
                    await pause(stopping, delay_after(failures, first=1.0, maximum=MAX_UNAVAILABLE_SECONDS))
        except StoppedError as error:
            log.warning("results of mails could not be recorded; they are in doubt", extra={"reason": str(error)})
        finally:
            await connection.transport.close()
