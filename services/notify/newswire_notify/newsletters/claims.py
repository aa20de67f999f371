"""Claims mails for all connections of a process: one call for those that wait, and one timer."""

import asyncio
import logging
from collections.abc import Sequence

from redis.exceptions import RedisError

from newswire.concurrency.backoff import delay_after, pause, wait_for_any
from newswire.observability import metrics
from newswire_notify.newsletters.issues import ClaimedMail
from newswire_notify.newsletters.mail_queue import ClaimedMails, MailQueue

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.5


class Claims:
    """The claims of one process."""

    def __init__(self, queue: MailQueue, lease: float) -> None:
        """``lease``: seconds after which another process may take a claimed mail."""
        self._queue = queue
        self._lease = lease
        self._waiting: dict[str, tuple[int, asyncio.Future[Sequence[ClaimedMail]]]] = {}
        self._asked = asyncio.Event()
        self._ended = False

    async def take(self, connection: str, limit: int) -> Sequence[ClaimedMail]:
        """Wait for up to ``limit`` mails for a connection; return none once the process stops."""
        if self._ended:
            return ()
        claimed: asyncio.Future[Sequence[ClaimedMail]] = asyncio.get_running_loop().create_future()
        self._waiting[connection] = (limit, claimed)
        self._asked.set()
        try:
            return await claimed
        finally:
            self._waiting.pop(connection, None)

    async def run(self, stopping: asyncio.Event) -> None:
        """Claim for the connections that wait until stopping is set."""
        failures = 0
        try:
            while not stopping.is_set():
                self._asked.clear()
                self._queue.wakeup.clear()  # before the claim, so that what is planned meanwhile is not missed
                try:
                    wait = await self._claim()
                    failures = 0
                except (RedisError, OSError) as error:
                    log.warning("cannot claim mails", extra={"reason": str(error)})
                    failures += 1
                    await pause(stopping, delay_after(failures))
                    continue
                if not self._asked.is_set() and not self._queue.wakeup.is_set():
                    await wait_for_any(stopping, self._queue.wakeup, self._asked, seconds=wait)
        finally:
            self._ended = True
            for _, claimed in self._waiting.values():
                if not claimed.done():
                    claimed.set_result(())

    async def _claim(self) -> float | None:
        """Claim for the connections that wait; return the seconds until there may be more for them."""
        if not self._waiting:
            return None
        # The one that sent last comes first: its connection to the mail server is open.
        found = await self._queue.claim_for(
            {name: limit for name, (limit, _) in reversed(self._waiting.items())}, self._lease
        )
        metrics.mail_domains_slowed.set(found.slowed_domains)
        self._hand_out(found)
        return IDLE_SECONDS if found.wait is None else min(found.wait, IDLE_SECONDS)

    def _hand_out(self, found: ClaimedMails) -> None:
        for name, mails in found.by_connection.items():
            _, claimed = self._waiting.pop(name, (0, None))
            if claimed is not None and not claimed.done():  # else it was cancelled, and the lease of its mails ends
                claimed.set_result(mails)
