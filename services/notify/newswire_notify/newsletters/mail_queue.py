"""The queue of mails: plans them once (`mail_plans.lua`), and hands each out under a lease (`mail_claims.lua`)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from newswire.timestamps import epoch_ms, from_epoch_ms
from newswire_notify.newsletters.issues import (
    PRIORITIES,
    REPORTED,
    ClaimedMail,
    DueGroup,
    Issue,
    IssueKind,
    MailResult,
    MailState,
    ReaderFeedback,
)
from newswire_notify.newsletters.message import message_id
from newswire_notify.newsletters.receiving_domains import DomainChange, SendingLimits
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.schedule import MAX_LATENESS, MIN_INTERVAL

CHUNK = 500
"""Subscribers for whom mails are planned in one step: some ms in which Redis does nothing else."""
MAX_ISSUES_SHOWN = 100


@dataclass(frozen=True, slots=True)
class ClaimedMails:
    """What a claim returned. ``wait``: seconds until more may be due; None: nothing waits."""

    by_connection: Mapping[str, Sequence[ClaimedMail]]
    """The mails of each connection that got some."""
    wait: float | None
    slowed_domains: int
    """How many domains get less mail at the moment, since they refused the sender."""

    @property
    def mails(self) -> list[ClaimedMail]:
        """The mails of all connections."""
        return [mail for mails in self.by_connection.values() for mail in mails]


class MailQueue:
    """The queue of one namespace."""

    def __init__(
        self, newsletters: Newsletters, *, jitter_seconds: float = 0.0, limits: SendingLimits | None = None
    ) -> None:
        self._newsletters = newsletters
        self._limits = limits or SendingLimits()
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

    async def open_due(self, groups: Sequence[DueGroup]) -> None:
        """Open the digests of groups, and note when each group is due next; nothing where another process has done it."""
        await self._newsletters.call("open_due_groups", groups=[self._due_group(each) for each in groups])
        self.opened.set()

    def _due_group(self, group: DueGroup) -> dict[str, object]:
        issue: dict[str, object] = {}
        if group.digest is not None:
            issue = {
                "id": group.digest.id,
                "newsletter": group.newsletter,
                "kind": str(IssueKind.DIGEST),
                "audience": group.audience,
                "priority": PRIORITIES[IssueKind.DIGEST],
                "now": self._now_ms,
                "due": epoch_ms(group.digest.due_at),
                "fields": {"local_date": group.digest.local_date.isoformat()},
            }
        after = epoch_ms(group.following) if group.following else 0
        return {"member": group.audience, "before": group.scheduled, "after": after, "issue": issue}

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
        """Plan the next mails of the most urgent issues; return whether there may be more."""
        planned, more = await self._newsletters.call(
            "expand_issues",
            limit=limit,
            now=self._now_ms,
            min_interval=_ms(MIN_INTERVAL),
            max_lateness=_ms(MAX_LATENESS),
            jitter=self._jitter_ms,
        )
        if planned:
            self.wakeup.set()
        return bool(more)

    async def claim(self, connection: str, lease: float, limit: int) -> ClaimedMails:
        """Claim up to ``limit`` due mails for ``lease`` seconds, as many as the limits of their domains allow now.

        ``connection``: a name of the connection over which they are sent.
        """
        return await self.claim_for({connection: limit}, lease)

    async def claim_for(self, limits: Mapping[str, int], lease: float) -> ClaimedMails:
        """Claim due mails for several connections in one step; ``limits``: how many each connection takes at most, by its name."""
        now = self._newsletters.clock()
        claimed, wait, slowed = await self._newsletters.call(
            "claim_mails",
            connections=[{"name": name, "limit": limit} for name, limit in limits.items()],
            now=int(now * 1000),
            lease=int(lease * 1000),
            **self._limits.arguments(datetime.fromtimestamp(now, UTC)),
        )
        by_connection = {
            name: [_claimed(each) for each in mails] for name, mails in zip(limits, claimed, strict=False) if mails
        }
        return ClaimedMails(by_connection, wait / 1000 if wait >= 0 else None, slowed)

    async def settle(
        self,
        results: Sequence[MailResult],
        changes: Sequence[DomainChange] = (),
        released: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Record results of attempts, and changes of domains: one step, one wait for the disk.

        ``released``: the connections, each with a domain that it has no claimed mails to any more.
        """
        await self._newsletters.call(
            "settle_mails",
            results=[_result(each) for each in results],
            changes=[_change(each) for each in changes],
            released=[{"connection": name, "domain": domain} for name, domain in released],
            now=self._now_ms,
        )

    async def waiting(self) -> int:
        """Return how many mails wait or are being sent."""
        found = 0
        for priority in sorted(set(map(str, PRIORITIES.values()))):
            domains = await self._redis.zrange(self._keys.key("newsletter_domains_due", priority), 0, -1)
            async with self._redis.pipeline(transaction=False) as pipe:
                for domain in domains:
                    pipe.zcard(self._keys.key("newsletter_due", priority, domain.decode()))
                found += sum(await pipe.execute())
        return found

    async def count(self, issue_id: str, what: ReaderFeedback) -> None:
        """Count for an issue what a reader did after its mail; nothing where the issue has expired."""
        await self._newsletters.call("count_for_issue", issue=issue_id, name=str(what))

    async def take_progress(self, limit: int) -> list[list[bytes]]:
        """Return alerts whose mails have changed since the last call: id, newsletter, article, and the counts in `REPORTED`."""
        taken: list[list[bytes]] = await self._newsletters.call("take_mail_progress", limit=limit, fields=REPORTED)
        return taken

    async def note_bounce(self, issue_id: str, subscriber: str) -> None:
        """Note that an accepted mail came back later; noting it again changes nothing."""
        await self._newsletters.call("bounce_mail", issue=issue_id, subscriber=subscriber)

    async def issue_of_mail(self, newsletter: str, subscriber: str, message: str) -> Issue | None:
        """Return the issue of a mail with a Message-ID, or else the last one whose mail to the subscriber was taken."""
        last = None
        for issue in await self.issues_of(newsletter):
            if message and message_id(issue.id, subscriber, "").rstrip(">") == f"{message.partition('@')[0]}@":
                return issue
            if last is None and await self.state_of(issue.id, subscriber) in (MailState.ACCEPTED, MailState.BOUNCED):
                last = issue
        return last

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


def _ms(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)


def _result(result: MailResult) -> dict[str, object]:
    return {
        "issue": result.mail.issue,
        "subscriber": result.mail.subscriber,
        "attempt": result.mail.attempt,
        "state": str(result.state),
        "due": epoch_ms(result.retry_at) if result.retry_at else 0,
        "domain": result.mail.domain,
        "day": result.mail.day,
    }


def _change(change: DomainChange) -> dict[str, object]:
    return {
        "domain": change.domain,
        "level": change.level,
        "new_level": change.new_level,
        "pause": int(change.pause.total_seconds() * 1000),
    }


def _claimed(fields: Sequence[Any]) -> ClaimedMail:
    issue, subscriber, attempt, first, after, last, repeated, domain, level, day = fields
    return ClaimedMail(
        issue=issue.decode(),
        subscriber=subscriber.decode(),
        attempt=int(attempt),
        first_attempt_at=from_epoch_ms(int(first)),
        after_seq=int(after),
        last_seq=int(last),
        in_doubt=bool(repeated),
        domain=domain.decode(),
        domain_level=int(level),
        day=day.decode(),
    )
