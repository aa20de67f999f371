"""The limits of receiving domains: rates in any window, connections, a slower pace after refusals, and a warm-up."""

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_notify.newsletters.issues import ClaimedMail, IssueKind, MailResult, MailState
from newswire_notify.newsletters.mail_queue import MailQueue
from newswire_notify.newsletters.models import Choices, Newsletter, NewsletterDraft, Sender, SubscriberState
from newswire_notify.newsletters.outcome import Outcome, Reply, Stage, outcome_of
from newswire_notify.newsletters.receiving_domains import (
    DomainRate,
    SendingLimits,
    WarmUp,
    domain_change,
    read_rates,
    read_warm_up,
)
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.schedule import Cadence
from newswire_notify.newsletters.subscribers import Subscribers
from newswire_notify.settings import NotifySettings
from tests.notify.conftest import Clock, Desk
from tests.notify.newsletters.conftest import opened_house
from tests.notify.newsletters.mail_server import MailServer

LEASE = 120.0
UNLIMITED = DomainRate(0, 1)


class Sending:
    """A queue with mails to given addresses, and no mail server."""

    def __init__(self, redis: "Redis", keys: Keyspace, clock: Clock) -> None:
        self.newsletters = Newsletters(redis, keys, clock)
        self.clock = clock
        self.issues = 0

    def queue(self, **limits: Any) -> MailQueue:
        """Return the queue as another process sees it."""
        return MailQueue(self.newsletters, limits=SendingLimits(**limits))

    async def newsletter(self) -> Newsletter:
        sender = Sender(name="Harbour Post", address="news@harbour.example")
        return await self.newsletters.add(
            "Harbour Post", NewsletterDraft(slug="ferries", name="Ferries", description="x", sender=sender)
        )

    async def plan(self, newsletter: Newsletter, *addresses: str, kind: IssueKind = IssueKind.ALERT) -> None:
        queue, subscribers = self.queue(), Subscribers(self.newsletters)
        self.issues += 1
        for address in addresses:
            found = await subscribers.add(
                newsletter, address, Choices(Cadence.INSTANT, "UTC"), {}, state=SubscriberState.ACTIVE
            )
            await queue.plan_single(f"{kind}.{self.issues}", newsletter.id, kind, found.id)


@pytest.fixture
def sending(redis: Redis, keys: Keyspace, clock: Clock) -> Sending:
    return Sending(redis, keys, clock)


def ended(mail: ClaimedMail, state: MailState = MailState.ACCEPTED) -> MailResult:
    return MailResult(mail, state)


def most_in_a_window(times: list[float], seconds: float) -> int:
    return max(sum(1 for other in times if each <= other < each + seconds) for each in times)


@pytest.mark.parametrize("seed", range(3))
async def test_a_rate_holds_in_any_window_for_two_processes_and_across_restarts(sending: Sending, seed: int) -> None:
    """Mails arrive some time after they were claimed, in another order, and processes come and go."""
    dice = random.Random(seed)
    newsletter = await sending.newsletter()
    await sending.plan(newsletter, *(f"r{number}@busy.example" for number in range(40)))
    rates = {"busy.example": DomainRate(7, 60), "*": UNLIMITED}
    in_flight: list[tuple[float, ClaimedMail]] = []
    arrived: list[float] = []
    started = sending.clock.now
    while len(arrived) < 40:
        queue = sending.queue(rates=rates)  # a process that knows nothing of the others
        name = dice.choice(("a", "b"))
        claimed = await queue.claim(name, LEASE, dice.randint(1, 20))
        in_flight += [(sending.clock.now + dice.random() * 3, mail) for mail in claimed.mails]
        sending.clock.now += dice.random() * 2
        for at, mail in sorted(in_flight, key=lambda each: each[0]):
            if at <= sending.clock.now:
                arrived.append(at)
                await queue.settle([ended(mail)])
        in_flight = [each for each in in_flight if each[0] > sending.clock.now]
        assert sending.clock.now < started + 3600
    assert most_in_a_window(arrived, 60) <= 7
    assert sending.clock.now - started < 40 / 7 * 60 + 60, "it is not much slower than the rate either"


async def test_a_killed_process_keeps_its_share_of_the_rate_until_its_lease_ends(sending: Sending) -> None:
    newsletter = await sending.newsletter()
    await sending.plan(newsletter, *(f"r{number}@busy.example" for number in range(6)))
    queue = sending.queue(rates={"*": DomainRate(3, 60)})
    assert len((await queue.claim("killed", LEASE, 20)).mails) == 3
    sending.clock.now += LEASE - 1
    assert (await queue.claim("next", LEASE, 20)).mails == []
    sending.clock.now += 62
    assert len((await queue.claim("next", LEASE, 20)).mails) == 3


async def test_what_was_not_sent_does_not_count(sending: Sending) -> None:
    newsletter = await sending.newsletter()
    await sending.plan(newsletter, *(f"r{number}@busy.example" for number in range(4)))
    limits: dict[str, Any] = {
        "rates": {"*": DomainRate(2, 60)},
        "warm_up": WarmUp(datetime.fromtimestamp(sending.clock.now, UTC).date(), 3),
    }
    queue = sending.queue(**limits)
    first, second = (await queue.claim("a", LEASE, 20)).mails
    await queue.settle([ended(first, MailState.CANCELLED), MailResult(second, MailState.PLANNED)])
    assert len((await queue.claim("a", LEASE, 20)).mails) == 2


async def test_a_domain_at_its_limit_holds_up_no_other(sending: Sending) -> None:
    newsletter = await sending.newsletter()
    await sending.plan(newsletter, *(f"r{number}@busy.example" for number in range(300)), "a@quiet.example")
    queue = sending.queue(rates={"busy.example": DomainRate(5, 60), "*": UNLIMITED})
    claimed = await queue.claim("a", LEASE, 20)
    assert Counter(mail.domain for mail in claimed.mails) == {"busy.example": 5, "quiet.example": 1}


async def test_a_domain_gets_a_number_of_connections(sending: Sending) -> None:
    newsletter = await sending.newsletter()
    await sending.plan(newsletter, *(f"r{number}@busy.example" for number in range(9)))
    queue = sending.queue(connections_per_domain=2)
    first = (await queue.claim("a", LEASE, 2)).mails
    assert len((await queue.claim("b", LEASE, 2)).mails) == 2
    third = await queue.claim("c", LEASE, 2)
    assert third.mails == []
    assert third.wait is not None
    assert third.wait < 1
    sending.clock.now += 1
    assert len((await queue.claim("a", LEASE, 1)).mails) == 1, "a connection that it has may take more"
    await queue.settle([ended(mail) for mail in first], released=[("a", "busy.example")])
    sending.clock.now += 1
    assert len((await queue.claim("c", LEASE, 2)).mails) == 2
    sending.clock.now += LEASE + 1
    assert len((await queue.claim("d", LEASE, 2)).mails) == 2, "connections of killed processes end with their lease"


async def test_a_warm_up_limits_the_mails_of_a_day_but_no_confirmations(sending: Sending) -> None:
    sending.clock.now = datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp()
    newsletter = await sending.newsletter()
    await sending.plan(newsletter, *(f"r{number}@a{number}.example" for number in range(12)))
    limits: dict[str, Any] = {"warm_up": WarmUp(date(2026, 12, 1), 3)}
    sent: list[ClaimedMail] = []
    for _ in range(3):
        claimed = await sending.queue(**limits).claim("a", LEASE, 2)
        sent += claimed.mails
        await sending.queue(**limits).settle([ended(mail) for mail in claimed.mails])
    assert len(sent) == 3
    assert claimed.wait == 12 * 3600
    await sending.plan(newsletter, "new@b.example", kind=IssueKind.CONFIRMATION)
    [confirmation] = (await sending.queue(**limits).claim("a", LEASE, 20)).mails
    assert confirmation.domain == "b.example"
    sending.clock.now += 86_400
    assert len((await sending.queue(**limits).claim("a", LEASE, 20)).mails) == 6


async def test_mails_that_an_earlier_version_queued_are_sent(sending: Sending) -> None:
    newsletter = await sending.newsletter()
    await sending.plan(newsletter, "a@one.example", "b@two.example")
    redis, keys = sending.newsletters.redis, sending.newsletters.keys
    for domain in ("one.example", "two.example"):
        [(member, score)] = await redis.zrange(keys.key("newsletter_due", "1", domain), 0, -1, withscores=True)
        await redis.delete(keys.key("newsletter_due", "1", domain))
        await redis.zadd(keys.key("newsletter_queue", "1"), {member: score})
    await redis.delete(keys.key("newsletter_domains_due", "1"))
    claimed = await sending.queue().claim("a", LEASE, 20)
    assert {mail.domain for mail in claimed.mails} == {"one.example", "two.example"}
    assert await redis.exists(keys.key("newsletter_queue", "1")) == 0


async def test_a_domain_that_refuses_the_sender_is_slowed_down_and_its_readers_are_not_blamed(
    redis: Redis, keys: Keyspace, clock: Clock, desk: Desk, mail: MailServer
) -> None:
    before = REGISTRY.get_sample_value("newswire_mail_sender_refused_total") or 0
    async with opened_house(redis, keys, clock, desk, mail) as house:
        newsletter = await house.create()
        readers = [await house.reader(newsletter, f"r{number}@strict.example") for number in range(6)]
        await house.reader(newsletter, "other@kind.example")
        for number in range(6):
            mail.recipient_replies[f"r{number}@strict.example"] = ["550 5.7.1 listed", "550 5.7.1 listed"]
        await desk.publish("a1")
        assert [each.recipient for each in await house.send()] == ["other@kind.example"]
        left = sum(len(replies) for replies in mail.recipient_replies.values())
        assert left >= 10, "of those claimed together, one may be announced already; the others wait"
        await house.send()
        assert sum(len(replies) for replies in mail.recipient_replies.values()) == left
    async with opened_house(redis, keys, clock, desk, mail) as restarted:
        pauses = []
        while sum(len(replies) for replies in mail.recipient_replies.values()) > 5:
            since, count = clock.now, sum(len(replies) for replies in mail.recipient_replies.values())
            while sum(len(replies) for replies in mail.recipient_replies.values()) == count:
                clock.now += 1
                await restarted.send()
            assert sum(len(replies) for replies in mail.recipient_replies.values()) == count - 1, "one at a time"
            pauses.append(clock.now - since)
        assert pauses[-1] > 30
        assert [await restarted.state(reader) for reader in readers] == ["active"] * 6
        mail.recipient_replies.clear()
        clock.now += 5 * 3600
        await restarted.send()
        clock.now += 5 * 3600
        await restarted.send()
        assert len({each.recipient for each in mail.got if each.recipient.endswith("strict.example")}) == 6
        assert await redis.hlen(restarted.parts.newsletters.keys.key("newsletter_slowed")) == 0
    assert (REGISTRY.get_sample_value("newswire_mail_sender_refused_total") or 0) > before


@pytest.mark.parametrize(
    ("level", "code", "text", "expected"),
    [
        (0, 550, "5.7.1 listed", (1, 1)),
        (3, 550, "5.7.26 not authenticated", (4, 64)),
        (7, 550, "5.7.1 listed", (8, 14_400)),
        (8, 550, "5.7.1 listed", (8, 14_400)),
        (0, 421, "4.7.28 too many mails", (1, 1)),
        (3, 421, "4.7.28 too many mails", (3, 16)),
        (5, 421, "4.7.0 later", (5, 256)),
        (2, 250, "2.0.0 taken", (0, 0)),
        (0, 250, "2.0.0 taken", None),
        (2, 550, "5.1.1 no such user", None),
        (2, 451, "4.3.0 later", None),
    ],
)
def test_the_pace_of_a_domain_follows_from_its_replies(
    level: int, code: int, text: str, expected: tuple[int, float] | None
) -> None:
    stage = Stage.CONTENT if code == 250 else Stage.RECIPIENT
    reply = Reply(stage, code, text)
    found = domain_change("a.example", level, outcome_of(reply), reply)
    assert (found and (found.new_level, found.pause.total_seconds())) == expected


async def test_replies_to_mails_that_were_sent_together_count_once(sending: Sending) -> None:
    newsletter = await sending.newsletter()
    await sending.plan(newsletter, *(f"r{number}@strict.example" for number in range(4)))
    queue = sending.queue()
    mails = (await queue.claim("a", LEASE, 3)).mails
    reply = Reply(Stage.RECIPIENT, 550, "5.7.1 listed")
    for mail in mails:
        change = domain_change(mail.domain, mail.domain_level, Outcome.SENDER_FAULT, reply)
        assert change is not None
        retry = MailResult(
            mail, MailState.DEFERRED, datetime.fromtimestamp(sending.clock.now, UTC) + timedelta(hours=1)
        )
        await queue.settle([retry], [change], [("a", mail.domain)])
    assert (await queue.claim("a", LEASE, 3)).slowed_domains == 1
    sending.clock.now += 1.1
    [probe] = (await queue.claim("a", LEASE, 3)).mails
    assert probe.domain_level == 1


@pytest.mark.parametrize(
    "rates", ["gmail.com", "gmail.com=20", "gmail.com=20/day", "=5/s", "a b=5/s", "x.example=-1/s"]
)
def test_rates_that_cannot_be_read_are_refused(rates: str) -> None:
    with pytest.raises(ValueError, match="is not a rate"):
        NotifySettings(mail_rates=rates)


def test_rates_and_warm_up_are_read() -> None:
    rates = read_rates("GMail.com=20/s, *=0/s,b.example=100/h")
    assert rates == {"gmail.com": DomainRate(20, 1), "*": DomainRate(0, 1), "b.example": DomainRate(100, 3600)}
    assert read_rates("")["*"] == DomainRate(3000, 60)
    plan = read_warm_up("2026-12-01:500")
    assert plan is not None
    days = [date(2026, 11, 30), date(2026, 12, 1), date(2026, 12, 2), date(2026, 12, 8), date(2026, 12, 15)]
    assert [plan.limit(day) for day in days] == [500, 500, 1000, 64_000, None]
    for wrong in ("500", "2026-12-01", "2026-12-01:0", "2026-13-01:5"):
        with pytest.raises(ValueError, match=r"DATE:COUNT|month"):
            NotifySettings(mail_warm_up=wrong)


async def test_limits_hold_for_mails_that_are_really_sent(
    redis: Redis, keys: Keyspace, clock: Clock, desk: Desk, mail: MailServer
) -> None:
    counts = []
    async with opened_house(redis, keys, clock, desk, mail, mail_rates="*=2/min") as house:
        newsletter = await house.create()
        for number in range(5):
            await house.reader(newsletter, f"r{number}@busy.example")
        await desk.publish("a1")
        for _ in range(3):
            counts.append(len(await house.send()))
            clock.now += 60.1
    assert counts == [2, 2, 1]
