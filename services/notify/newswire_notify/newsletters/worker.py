"""Sends the mails of the queue. Each worker has one connection, and settles a mail before it claims the next one.

So if the process is killed, at most one mail for each connection is in doubt: it may have been accepted without a reply. It is sent
again when its lease ends, under the same Message-ID. No mail is skipped.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import timedelta

from redis.exceptions import RedisError

from newswire.concurrency.backoff import delay_after, pause, wait_for_any
from newswire.observability import metrics
from newswire_notify.newsletters.bounces import BOUNCE_DAYS, Bounces
from newswire_notify.newsletters.issues import ClaimedMail, Issue, MailResult, MailState
from newswire_notify.newsletters.mail_maker import HOLD, MailMaker, NotSent, OutgoingMail
from newswire_notify.newsletters.mail_queue import MailQueue
from newswire_notify.newsletters.message import UnsendableMailError
from newswire_notify.newsletters.outcome import Outcome, Reply, is_given_up, outcome_of, retry_delay
from newswire_notify.newsletters.subscribers import Subscribers
from newswire_notify.newsletters.transport import Transport

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.5
MAX_UNAVAILABLE_SECONDS = 60.0
"""How long workers pause, at most, between two attempts to reach the mail server."""


class MailWorkers:
    """The workers of one process."""

    def __init__(
        self,
        queue: MailQueue,
        maker: MailMaker,
        subscribers: Subscribers,
        bounces: Bounces,
        transport: Callable[[], Transport],
        *,
        connections: int,
        lease: float,
    ) -> None:
        """``lease``: seconds after which another worker may take a claimed mail; longer than any attempt."""
        self._queue = queue
        self._maker = maker
        self._subscribers = subscribers
        self._bounces = bounces
        self._transport = transport
        self._connections = connections
        self._lease = lease
        self._unavailable: str | None = None
        self._issues: dict[str, Issue] = {}
        metrics.mail_server_up.set(1)

    async def check(self) -> str | None:
        """Return why mails cannot be sent at the moment, or None: a readiness check."""
        return self._unavailable

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until stopping is set."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._connections):
                workers.create_task(self._work(stopping))

    async def send_due(self) -> int:
        """Send everything that is due over one connection, and return how many mails were dealt with: for commands and tests."""
        transport = self._transport()
        count, results = 0, list[MailResult]()
        try:
            while claimed := await self._queue.settle_and_claim(results, self._lease, 1):
                results = [await self._attempt(transport, claimed[0])]
                count += 1
                if self._unavailable:
                    await self._queue.settle_and_claim(results, self._lease, 0)
                    return count
            return count
        finally:
            await transport.close()

    async def _work(self, stopping: asyncio.Event) -> None:
        transport, failures = self._transport(), 0
        results: list[MailResult] = []
        try:
            while not stopping.is_set() or results:
                try:
                    self._queue.wakeup.clear()  # before the claim, so that what is planned meanwhile is not missed
                    claimed = await self._queue.settle_and_claim(results, self._lease, 0 if stopping.is_set() else 1)
                except (RedisError, OSError) as error:
                    log.warning("cannot claim mails", extra={"reason": str(error)})
                    failures += 1
                    if await pause(stopping, delay_after(failures)):
                        return
                    continue
                results = [await self._attempt(transport, each) for each in claimed]
                if results and self._unavailable:
                    failures += 1
                    await self._queue.settle_and_claim(results, self._lease, 0)
                    results = []
                    await pause(stopping, delay_after(failures, first=1.0, maximum=MAX_UNAVAILABLE_SECONDS))
                elif claimed:
                    failures = 0
                else:
                    await wait_for_any(stopping, self._queue.wakeup, seconds=IDLE_SECONDS)
        finally:
            await transport.close()

    async def _attempt(self, transport: Transport, mail: ClaimedMail) -> MailResult:
        try:
            made = await self._maker.make(mail, await self._issue(mail.issue))
        except UnsendableMailError as error:
            log.error("a mail cannot be sent", extra={"issue": mail.issue, "reason": str(error)})
            return self._ended(mail, MailState.FAILED, str(error))
        except (RedisError, OSError) as error:
            log.warning("cannot make a mail", extra={"issue": mail.issue, "reason": str(error)})
            return self._waiting(mail, timedelta(seconds=5), MailState.PLANNED, str(error))
        if isinstance(made, NotSent):
            if made.state is MailState.PLANNED:
                return self._waiting(mail, HOLD, MailState.PLANNED, made.reason)
            return self._ended(mail, made.state, made.reason)
        return await self._send(transport, mail, made)

    async def _send(self, transport: Transport, mail: ClaimedMail, made: OutgoingMail) -> MailResult:
        reply = await transport.send(made)
        outcome = outcome_of(reply)
        if outcome is Outcome.UNAVAILABLE:
            self._note_unavailable(f"the mail server cannot be used ({reply.stage}): {_described(reply)}")
            return self._waiting(mail, timedelta(seconds=random.uniform(5, 15)), MailState.PLANNED, _described(reply))
        self._note_unavailable(None)
        if outcome is Outcome.ACCEPTED:
            return self._ended(mail, MailState.ACCEPTED, "")
        if outcome in BOUNCE_DAYS:
            await self._bounces.record(mail.subscriber, BOUNCE_DAYS[outcome], _described(reply))
            return self._ended(mail, MailState.BOUNCED, _described(reply))
        if outcome is Outcome.SENDER_FAULT:
            log.error("the receiver refuses the sender", extra={"issue": mail.issue, "reply": _described(reply)})
            metrics.mail_sender_refused.inc()
        if is_given_up(mail.first_attempt_at, self._subscribers.now):
            if outcome is Outcome.LATER:
                await self._bounces.record(mail.subscriber, BOUNCE_DAYS[Outcome.SOFT_BOUNCED], _described(reply))
            return self._ended(mail, MailState.FAILED, _described(reply))
        return self._waiting(mail, retry_delay(mail.attempt), MailState.DEFERRED, _described(reply))

    async def _issue(self, issue_id: str) -> Issue | None:
        """Return an issue; what mails need of it never changes."""
        if issue_id not in self._issues:
            found = await self._queue.issue(issue_id)
            if found is None:
                return None
            if len(self._issues) > 256:
                self._issues.clear()
            self._issues[issue_id] = found
        return self._issues[issue_id]

    def _note_unavailable(self, reason: str | None) -> None:
        if (reason is None) != (self._unavailable is None):
            if reason:
                log.warning("mails wait", extra={"reason": reason})
            else:
                log.info("mails are sent again")
        self._unavailable = reason
        metrics.mail_server_up.set(0 if reason else 1)

    def _ended(self, mail: ClaimedMail, state: MailState, reason: str) -> MailResult:
        metrics.mails.labels(str(state)).inc()
        return MailResult(mail, state, None, reason)

    def _waiting(self, mail: ClaimedMail, delay: timedelta, state: MailState, reason: str) -> MailResult:
        if state is MailState.DEFERRED:
            metrics.mails.labels(str(state)).inc()
        return MailResult(mail, state, self._subscribers.now + delay, reason)


def _described(reply: Reply) -> str:
    return f"{reply.code or 'no reply'} {' '.join(reply.text.split())[:300]}"
