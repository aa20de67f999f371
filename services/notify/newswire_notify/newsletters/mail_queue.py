"""The queue of mails: plans them once, and hands each out under a lease (`mails.lua`)."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import orjson

from newswire.timestamps import epoch_ms, from_epoch_ms
from newswire_notify.newsletters.issues import PRIORITIES, ClaimedMail, Issue, IssueKind, MailResult
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.schedule import MIN_INTERVAL

CHUNK = 200
"""Subscribers for whom mails are planned in one step."""
MAX_ISSUES_SHOWN = 100


class MailQueue:
    """The queue of one namespace."""

    def __init__(self, newsletters: Newsletters, *, jitter_seconds: float = 0.0) -> None:
        self._newsletters = newsletters
        self._redis = newsletters.redis
        self._keys = newsletters.keys
        self._jitter_ms = int(jitter_seconds * 1000)
        self.wakeup = asyncio.Event()
        """Set when mails may be due."""
        self.opened = asyncio.Event()
        """Set when an issue was opened."""

    @property
    def _now_ms(self) -> int:
        return int(self._newsletters.clock() * 1000)

    async def open_alert(
        self, issue_id: str, newsletter: str, audience: str, article: str, topics: Sequence[str]
    ) -> None:
        """Open the issue of one article; opening it again changes nothing."""
        fields = {"article": article, "topics": orjson.dumps(list(topics)).decode()}
        await self._open(issue_id, newsletter, IssueKind.ALERT, audience=audience, fields=fields)

    async def open_digest(self, issue_id: str, newsletter: str, audience: str, due: datetime, local_date: str) -> None:
        """Open the digest of a delivery group; opening it again changes nothing."""
        fields = {"local_date": local_date}
        await self._open(issue_id, newsletter, IssueKind.DIGEST, audience=audience, fields=fields, due=due)

    async def _open(
        self,
        issue_id: str,
        newsletter: str,
        kind: IssueKind,
        *,
        audience: str = "",
        fields: dict[str, str] | None = None,
        due: datetime | None = None,
    ) -> None:
        await self._newsletters.call(
            "open_issue",
            id=issue_id,
            newsletter=newsletter,
            kind=str(kind),
            audience=audience,
            priority=PRIORITIES[kind],
            now=self._now_ms,
            due=epoch_ms(due) if due else self._now_ms,
            fields=fields or {},
        )
        self.opened.set()

    async def plan_single(self, issue_id: str, newsletter: str, kind: IssueKind, subscriber: str) -> bool:
        """Plan one mail about a sign-up; return whether it is new."""
        await self._open(issue_id, newsletter, kind)
        planned = await self._newsletters.call("plan_mail", issue=issue_id, subscriber=subscriber, due=self._now_ms)
        self.wakeup.set()
        return bool(planned)

    async def expand_next(self, limit: int = CHUNK) -> bool:
        """Plan the next mails of the most urgent issue; return whether there was one."""
        found = await self._redis.zrange(self._keys.key("newsletter_expanding"), 0, 0)
        if not found:
            return False
        await self._newsletters.call(
            "expand_issue",
            issue=found[0].decode(),
            limit=limit,
            now=self._now_ms,
            min_interval=int(MIN_INTERVAL.total_seconds() * 1000),
            jitter=self._jitter_ms,
        )
        self.wakeup.set()
        return True

    async def settle_and_claim(self, results: Sequence[MailResult], lease: float, limit: int) -> list[ClaimedMail]:
        """Record results, then claim up to ``limit`` due mails for ``lease`` seconds: one step, one wait for the disk."""
        answer = await self._newsletters.call(
            "settle_and_claim_mails",
            results=[_result(each) for each in results],
            now=self._now_ms,
            lease=int(lease * 1000),
            limit=limit,
        )
        return [_claimed(each) for each in answer]

    async def waiting(self) -> int:
        """Return how many mails wait or are being sent."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for priority in sorted(set(PRIORITIES.values())):
                pipe.zcard(self._keys.key("newsletter_queue", str(priority)))
            return sum(await pipe.execute())

    async def issue(self, issue_id: str) -> Issue | None:
        """Return an issue, or None where it has expired."""
        fields: dict[bytes, bytes] = await self._redis.hgetall(self._keys.key("newsletter_issue", issue_id))
        return Issue.read(fields) if fields else None

    async def issues_of(self, newsletter: str, limit: int = MAX_ISSUES_SHOWN) -> list[Issue]:
        """Return the last issues of a newsletter, newest first."""
        ids = await self._redis.zrevrange(self._keys.key("newsletter_issues", newsletter), 0, limit - 1)
        async with self._redis.pipeline(transaction=False) as pipe:
            for issue_id in ids:
                pipe.hgetall(self._keys.key("newsletter_issue", issue_id.decode()))
            records = await pipe.execute()
        return [Issue.read(fields) for fields in records if fields]

    async def state_of(self, issue_id: str, subscriber: str) -> str | None:
        """Return the state of a mail, or None where it was not planned."""
        stored = await self._redis.hget(self._keys.key("newsletter_issue_mails", issue_id), subscriber)
        return None if stored is None else stored.decode().partition("|")[0]


def _result(result: MailResult) -> dict[str, object]:
    return {
        "issue": result.mail.issue,
        "subscriber": result.mail.subscriber,
        "attempt": result.mail.attempt,
        "state": str(result.state),
        "due": epoch_ms(result.retry_at) if result.retry_at else 0,
    }


def _claimed(fields: Sequence[bytes | int]) -> ClaimedMail:
    issue, subscriber, attempt, first, after, last, repeated = fields
    return ClaimedMail(
        issue=bytes(issue).decode() if isinstance(issue, bytes) else str(issue),
        subscriber=subscriber.decode() if isinstance(subscriber, bytes) else str(subscriber),
        attempt=int(attempt),
        first_attempt_at=from_epoch_ms(int(first)),
        after_seq=int(after),
        last_seq=int(last),
        in_doubt=bool(repeated),
    )
