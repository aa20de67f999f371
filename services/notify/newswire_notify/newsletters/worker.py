"""Sends the mails of the queue, over several connections.

A connection claims some mails at a time, and settles each before the content of the next one goes out. So if the process is
killed, at most one mail for each connection is in doubt: it may have been accepted without a reply. It is sent again when its
lease ends, under the same Message-ID. No mail is skipped.
"""

import asyncio
import logging
import random
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta

from redis.exceptions import RedisError

from newswire.concurrency.backoff import delay_after, pause, wait_for_any
from newswire.observability import metrics
from newswire_notify.newsletters.attempts import Attempts
from newswire_notify.newsletters.issues import ClaimedMail, MailResult, MailState
from newswire_notify.newsletters.mail_composer import NotSent, OutgoingMail
from newswire_notify.newsletters.mail_maker import MailMaker
from newswire_notify.newsletters.mail_queue import MailQueue
from newswire_notify.newsletters.settlements import Settlements, StoppedError
from newswire_notify.newsletters.transport import Transport

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.5
FIRST_BATCH, CLAIM_BATCH = 5, 50
"""Mails that a connection claims at a time: at first, and at most. It claims more where they are sent within `BATCH_SECONDS`, and
fewer where they are not, so that a slow mail server gets the mails of an issue over all connections."""
BATCH_SECONDS = 0.5
MAX_UNAVAILABLE_SECONDS = 60.0
"""How long workers pause, at most, between two attempts to reach the mail server."""
FRESH_SECONDS = 1.0
"""Mails that were made longer ago are made again before they are announced: readers unsubscribe, and articles are retracted."""
FIRST_PART, MAX_PART = 5, CLAIM_BATCH
"""Mails that a connection makes at first; more where they are sent before they are old, fewer where they are not."""
RETRY = timedelta(seconds=5)
"""After mails could not be made."""
FAST_SECONDS = 0.25
"""A mail server that takes longer for a mail is not told of the next one beforehand, which would grow old."""


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
        self._maker = maker
        self._attempts = attempts
        self._transport = transport
        self._connections = connections
        self._lease = lease
        self._batch = batch
        self._settlements = Settlements(queue)

    async def check(self) -> str | None:
        """Return why mails cannot be sent at the moment, or None: a readiness check."""
        return self._attempts.unavailable

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until stopping is set."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._connections):
                workers.create_task(self._work(stopping))

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

    def _connection(self, stopping: asyncio.Event) -> "_Connection":
        return _Connection(self._transport(), self._maker, self._attempts, self._settlements, stopping, self._lease / 2)

    async def _work(self, stopping: asyncio.Event) -> None:
        connection = self._connection(stopping)
        failures, limit = 0, min(FIRST_BATCH, self._batch)
        clock = asyncio.get_running_loop().time
        try:
            while not stopping.is_set():
                try:
                    self._queue.wakeup.clear()  # before the claim, so that what is planned meanwhile is not missed
                    claimed = await self._queue.claim(connection.name, self._lease, limit)
                except (RedisError, OSError) as error:
                    log.warning("cannot claim mails", extra={"reason": str(error)})
                    failures += 1
                    await pause(stopping, delay_after(failures))
                    continue
                metrics.mail_domains_slowed.set(claimed.slowed_domains)
                began = clock()
                if not claimed.mails:
                    seconds = IDLE_SECONDS if claimed.wait is None else min(claimed.wait, IDLE_SECONDS)
                    await wait_for_any(stopping, self._queue.wakeup, seconds=seconds)
                elif await connection.send_all(claimed.mails):
                    failures = 0
                    limit = min(2 * limit, self._batch) if clock() - began < BATCH_SECONDS else max(1, limit // 2)
                else:
                    failures += 1
                    await pause(stopping, delay_after(failures, first=1.0, maximum=MAX_UNAVAILABLE_SECONDS))
        except StoppedError as error:
            log.warning("results of mails could not be recorded; they are in doubt", extra={"reason": str(error)})
        finally:
            await connection.transport.close()


class _Connection:
    """Sends claimed mails over one connection."""

    def __init__(
        self,
        transport: Transport,
        maker: MailMaker,
        attempts: Attempts,
        settlements: Settlements,
        stopping: asyncio.Event,
        seconds: float,
    ) -> None:
        """``seconds``: how long after the claim a mail may be begun; the others are given back."""
        self.name = secrets.token_hex(6)
        self.transport = transport
        self._maker = maker
        self._attempts = attempts
        self._settlements = settlements
        self._stopping = stopping
        self._seconds = seconds
        self._clock = asyncio.get_running_loop().time
        self._waiting: deque[ClaimedMail] = deque()
        self._ready: deque[tuple[ClaimedMail, OutgoingMail]] = deque()
        self._aside: list[ClaimedMail] = []
        self._made_at = self._begin_until = 0.0
        self._part = FIRST_PART
        self._fast = True
        """Whether the mail server took the last mail at once."""

    async def send_all(self, claimed: Sequence[ClaimedMail]) -> bool:
        """Send mails, and settle all of them; return whether the mail server could be used."""
        self._waiting.extend(claimed)
        self._begin_until = self._clock() + self._seconds
        available = True
        with self._settlements.sending():
            try:
                current = await self._next()
                while current is not None and available:
                    current, available = await self._send(current)
            finally:
                await self._give_back({mail.domain for mail in claimed}, available=available)
        return available

    async def _send(
        self, current: tuple[ClaimedMail, OutgoingMail]
    ) -> tuple[tuple[ClaimedMail, OutgoingMail] | None, bool]:
        """Send a mail; return the next one, and whether the mail server could be used."""
        mail, made = current
        following = await self._next()
        announced = following[1] if following and self._fast else None
        began = self._clock()
        reply = await self.transport.send(made, announced)
        self._fast = self._clock() - began < FAST_SECONDS
        attempt = await self._attempts.result(mail, reply)
        await self._settlements.settle([attempt.result], attempt.changes, self._stopping)
        if any(change.new_level for change in attempt.changes):
            self._put_aside(mail.domain)
        if following is not None and (not attempt.available or self._clock() - self._made_at > 2 * FRESH_SECONDS):
            if announced is not None:
                await self.transport.drop()
            self._ready.appendleft(following)
            following = await self._next() if attempt.available else None
        return following, attempt.available

    def _put_aside(self, domain: str) -> None:
        """Send no more mails to a domain that is slowed down now; the next one may be announced already, and goes out."""
        self._aside += [mail for mail in self._waiting if mail.domain == domain]
        self._aside += [mail for mail, _ in self._ready if mail.domain == domain]
        self._waiting = deque(mail for mail in self._waiting if mail.domain != domain)
        self._ready = deque(each for each in self._ready if each[0].domain != domain)

    async def _next(self) -> tuple[ClaimedMail, OutgoingMail] | None:
        """Return the next mail, made a moment ago; None where none may be begun any more."""
        if self._ready and self._clock() - self._made_at > FRESH_SECONDS:
            self._part = max(1, len(self._ready) // 2)
            self._waiting.extendleft(mail for mail, _ in reversed(self._ready))
            self._ready.clear()
        while not self._ready and self._waiting:
            if self._stopping.is_set() or self._clock() > self._begin_until:
                return None
            await self._make()
        return self._ready.popleft() if self._ready else None

    async def _make(self) -> None:
        mails = [self._waiting.popleft() for _ in range(min(self._part, len(self._waiting)))]
        self._part = min(2 * self._part, MAX_PART)
        try:
            made = await self._maker.make_all(mails)
        except (RedisError, OSError) as error:
            log.warning("cannot make mails", extra={"reason": str(error)})
            made = [NotSent(MailState.PLANNED, str(error), RETRY)] * len(mails)
        self._made_at = self._clock()
        others = []
        for mail, found in zip(mails, made, strict=True):
            if isinstance(found, OutgoingMail):
                self._ready.append((mail, found))
            else:
                others.append(self._attempts.not_sent(mail, found))
        if others:
            await self._settlements.settle(others, (), self._stopping)

    async def _give_back(self, domains: set[str], *, available: bool) -> None:
        """Give back what was not sent, and end what counts as a connection to the domains."""
        left = [*self._aside, *self._waiting, *(mail for mail, _ in self._ready)]
        self._aside = []
        self._waiting.clear()
        self._ready.clear()
        later = timedelta(0) if available else timedelta(seconds=random.uniform(5, 15))
        results = [MailResult(mail, MailState.PLANNED, self._attempts.now + later) for mail in left]
        await self._settlements.settle(results, (), self._stopping, released=[(self.name, each) for each in domains])
