"""Sends claimed mails over one connection.

Each mail is settled before the content of the next one goes out. So if the process is killed, at most one mail for each connection
is in doubt: it may have been accepted without a reply. It is sent again when its lease ends, under the same Message-ID. No mail is
skipped.
"""

import asyncio
import logging
import random
import secrets
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from redis.exceptions import RedisError

from newswire_notify.newsletters.attempts import Attempts
from newswire_notify.newsletters.issues import ClaimedMail, MailResult, MailState
from newswire_notify.newsletters.mail_batches import MadeMails, MailBatches
from newswire_notify.newsletters.mail_composer import NotSent, OutgoingMail
from newswire_notify.newsletters.settlements import Settlements
from newswire_notify.newsletters.transport import Transport

log = logging.getLogger(__name__)

CLAIM_BATCH = 50
FRESH_SECONDS = 1.0
"""Mails that were made longer ago are made again before they are announced: readers unsubscribe, and articles are retracted."""
FIRST_PART, MAX_PART = 5, CLAIM_BATCH
"""Mails that a connection makes at first; more where they are sent before they are old, fewer where they are not."""
RETRY = timedelta(seconds=5)
"""After mails could not be made."""
FAST_SECONDS = 0.25
"""If a mail server takes longer than this for a mail, the next envelope is not pipelined: it would wait too long."""


class _Ready(NamedTuple):
    """A mail that can be sent, and when it was made."""

    mail: ClaimedMail
    made: OutgoingMail
    at: float


class MailConnection:
    """Sends claimed mails, while the next ones are made."""

    def __init__(
        self,
        transport: Transport,
        batches: MailBatches,
        attempts: Attempts,
        settlements: Settlements,
        stopping: asyncio.Event,
        seconds: float,
    ) -> None:
        """``seconds``: how long after the claim a mail may be begun; the others are given back."""
        self.name = secrets.token_hex(6)
        self.transport = transport
        self._batches = batches
        self._attempts = attempts
        self._settlements = settlements
        self._stopping = stopping
        self._seconds = seconds
        self._clock = asyncio.get_running_loop().time
        self._waiting: deque[ClaimedMail] = deque()
        self._making: tuple[Sequence[ClaimedMail], asyncio.Task[tuple[float, MadeMails]]] | None = None
        self._ready: deque[_Ready] = deque()
        self._slowed: set[str] = set()
        self._aside: list[ClaimedMail] = []
        self._begin_until = 0.0
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

    async def _send(self, current: _Ready) -> tuple[_Ready | None, bool]:
        """Send a mail; return the next one, and whether the mail server could be used."""
        following = self._next_ready() if self._fast else None
        began = self._clock()
        reply = await self.transport.send(current.made, following.made if following else None)
        self._fast = self._clock() - began < FAST_SECONDS
        attempt = await self._attempts.result(current.mail, reply)
        await self._settlements.settle([attempt.result], attempt.changes, self._stopping)
        if any(change.new_level for change in attempt.changes):
            self._put_aside(current.mail.domain)
        if following is not None and (not attempt.available or self._clock() - following.at > 2 * FRESH_SECONDS):
            await self.transport.drop()
            self._ready.appendleft(following)
            following = None
        if following is None and attempt.available:
            following = await self._next()
        return following, attempt.available

    def _put_aside(self, domain: str) -> None:
        """Send no more mails to a domain that is slowed down now; the next one may be announced already, and goes out."""
        self._slowed.add(domain)
        self._aside += [mail for mail in self._waiting if mail.domain == domain]
        self._aside += [ready.mail for ready in self._ready if ready.mail.domain == domain]
        self._waiting = deque(mail for mail in self._waiting if mail.domain != domain)
        self._ready = deque(ready for ready in self._ready if ready.mail.domain != domain)

    async def _next(self) -> _Ready | None:
        """Return the next mail, made a moment ago; None where none may be begun any more."""
        while (found := self._next_ready()) is None:
            if self._making is None and not self._make_ahead():
                return None
            await self._take_made()
        return found

    def _next_ready(self) -> _Ready | None:
        """Return the next mail if it is made, and let further ones be made meanwhile."""
        if self._ready and self._clock() - self._ready[0].at > FRESH_SECONDS:
            self._part = max(1, len(self._ready) // 2)
            self._waiting.extendleft(ready.mail for ready in reversed(self._ready))
            self._ready.clear()
        if not self._ready:
            return None
        found = self._ready.popleft()
        if self._making is None and len(self._ready) < self._part:
            self._make_ahead()
        return found

    def _make_ahead(self) -> bool:
        """Begin to make further mails; return whether there are any that may be begun."""
        if not self._waiting or self._stopping.is_set() or self._clock() > self._begin_until:
            return False
        mails = [self._waiting.popleft() for _ in range(min(self._part, len(self._waiting)))]
        self._part = min(2 * self._part, MAX_PART)
        self._making = mails, asyncio.create_task(self._make(mails))
        return True

    async def _make(self, mails: Sequence[ClaimedMail]) -> tuple[float, MadeMails]:
        try:
            made = await self._batches.make_all(mails)
        except (RedisError, OSError) as error:
            log.warning("cannot make mails", extra={"reason": str(error)})
            made = [NotSent(MailState.PLANNED, str(error), RETRY) for _ in mails]
        return self._clock(), made

    async def _take_made(self) -> None:
        """Wait for the mails that are being made; settle those that are not to be sent."""
        if self._making is None:
            return
        mails, making = self._making
        at, made = await making
        self._making = None
        others = []
        for mail, found in zip(mails, made, strict=True):
            if isinstance(found, NotSent):
                others.append(self._attempts.not_sent(mail, found))
            elif mail.domain in self._slowed:
                self._aside.append(mail)
            else:
                self._ready.append(_Ready(mail, found, at))
        if others:
            await self._settlements.settle(others, (), self._stopping)

    async def _give_back(self, domains: set[str], *, available: bool) -> None:
        """Give back what was not sent, and end what counts as a connection to the domains."""
        left = [*self._aside, *self._waiting, *(ready.mail for ready in self._ready)]
        if self._making is not None:
            mails, making = self._making
            left += mails
            making.cancel()
            await asyncio.wait([making])
            self._making = None
        self._aside = []
        self._slowed.clear()
        self._waiting.clear()
        self._ready.clear()
        later = timedelta(0) if available else timedelta(seconds=random.uniform(5, 15))
        results = [MailResult(mail, MailState.PLANNED, self._attempts.now + later) for mail in left]
        await self._settlements.settle(results, (), self._stopping, released=[(self.name, each) for each in domains])
