"""What an attempt means: for the mail, its reader, and the domain that received it."""

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from prometheus_client import Counter
from redis.exceptions import RedisError

from newswire.observability import metrics
from newswire_notify.newsletters.bounces import BOUNCE_DAYS, Bounces
from newswire_notify.newsletters.issues import ClaimedMail, MailResult, MailState
from newswire_notify.newsletters.mail_composer import NotSent
from newswire_notify.newsletters.outcome import Outcome, Reply, Stage, is_given_up, outcome_of, retry_delay
from newswire_notify.newsletters.receiving_domains import DomainChange, domain_change
from newswire_notify.newsletters.subscribers import Subscribers

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of an attempt. ``available``: whether the mail server could be used."""

    result: MailResult
    changes: Sequence[DomainChange] = ()
    available: bool = True


class Attempts:
    """Judges the attempts of one process."""

    def __init__(self, subscribers: Subscribers, bounces: Bounces) -> None:
        self._subscribers = subscribers
        self._bounces = bounces
        self.unavailable: str | None = None
        """Why the mail server cannot be used."""

    @property
    def now(self) -> datetime:
        """The current time."""
        return self._subscribers.now

    def not_sent(self, mail: ClaimedMail, found: NotSent) -> MailResult:
        """Return the result of a mail that is not sent, or not now."""
        if found.state is MailState.FAILED:
            log.error("a mail cannot be sent", extra={"issue": mail.issue, "reason": found.reason})
        if found.state is MailState.PLANNED:
            return self._waiting(mail, found.delay, MailState.PLANNED, found.reason)
        return self._ended(mail, found.state, found.reason)

    async def result(self, mail: ClaimedMail, reply: Reply) -> Attempt:
        """Return the result of an attempt that ended with a reply."""
        outcome = outcome_of(reply)
        if outcome is Outcome.UNAVAILABLE:
            self._note_unavailable(f"the mail server cannot be used ({reply.stage}): {_described(reply)}")
            delay = timedelta(seconds=random.uniform(5, 15))
            return Attempt(self._waiting(mail, delay, MailState.PLANNED, _described(reply)), available=False)
        self._note_unavailable(None)
        change = domain_change(mail.domain, mail.domain_level, outcome, reply)
        self._report(mail, outcome, reply, change)
        return Attempt(await self._judged(mail, outcome, reply), [change] if change else ())

    async def _judged(self, mail: ClaimedMail, outcome: Outcome, reply: Reply) -> MailResult:
        if outcome is Outcome.ACCEPTED:
            return self._ended(mail, MailState.ACCEPTED, "")
        given_up = is_given_up(mail.first_attempt_at, self.now)
        bounced = Outcome.SOFT_BOUNCED if given_up and outcome is Outcome.LATER else outcome
        if bounced in BOUNCE_DAYS:
            try:
                await self._bounces.record(mail.subscriber, BOUNCE_DAYS[bounced], _described(reply))
            except (RedisError, OSError) as error:  # the reply will be the same at the next attempt
                log.warning("cannot record a bounce", extra={"issue": mail.issue, "reason": str(error)})
                return self._waiting(mail, retry_delay(mail.attempt), MailState.DEFERRED, _described(reply))
        if outcome in BOUNCE_DAYS:
            return self._ended(mail, MailState.BOUNCED, _described(reply))
        if given_up:
            return self._ended(mail, MailState.FAILED, _described(reply))
        return self._waiting(mail, retry_delay(mail.attempt), MailState.DEFERRED, _described(reply))

    def _report(self, mail: ClaimedMail, outcome: Outcome, reply: Reply, change: DomainChange | None) -> None:
        extra = {"issue": mail.issue, "domain": mail.domain, "reply": _described(reply)}
        if outcome is Outcome.SENDER_FAULT:
            log.error("the receiver refuses the sender", extra=extra)
            metrics.mail_sender_refused.inc()
        if change is not None and change.new_level:
            log.warning("mails to a domain are slowed down", extra=extra | {"pause": change.pause.total_seconds()})
        elif change is not None:
            log.info("mails to a domain are sent as before again", extra=extra)

    def _note_unavailable(self, reason: str | None) -> None:
        if (reason is None) != (self.unavailable is None):
            if reason:
                log.warning("mails wait", extra={"reason": reason})
            else:
                log.info("mails are sent again")
            metrics.mail_server_up.set(0 if reason else 1)
        self.unavailable = reason

    def _ended(self, mail: ClaimedMail, state: MailState, reason: str) -> MailResult:
        _counter(state).inc()
        return MailResult(mail, state, None, reason)

    def _waiting(self, mail: ClaimedMail, delay: timedelta, state: MailState, reason: str) -> MailResult:
        if state is MailState.DEFERRED:
            _counter(state).inc()
        return MailResult(mail, state, self.now + delay, reason)


@cache
def _counter(state: MailState) -> Counter:
    """Return the counter of mails that came into a state."""
    return metrics.mails.labels(str(state))


def _described(reply: Reply) -> str:
    text = " ".join(reply.text.split())[:300]
    if reply.code == 0 and reply.stage in (Stage.CONNECT, Stage.LOGIN):
        return text
    return f"{reply.code or 'no reply'} {text}"
