"""Mails of several connections are claimed and made together."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from newswire.auth.signed_tokens import SignedTokens
from newswire_notify.newsletters.claims import Claims
from newswire_notify.newsletters.issues import ClaimedMail, IssueKind, MailState
from newswire_notify.newsletters.items import ChosenItems, Item
from newswire_notify.newsletters.links import Links
from newswire_notify.newsletters.mail_batches import MAX_MAILS, MailBatches
from newswire_notify.newsletters.mail_composer import (
    PREFERENCES,
    UNSUBSCRIBE,
    Draft,
    MailComposer,
    NotSent,
    OutgoingMail,
)
from newswire_notify.newsletters.mail_queue import ClaimedMails, MailQueue
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.schedule import Cadence
from tests.notify.conftest import until
from tests.notify.newsletters.conftest import SITE, House

LEASE = 60.0


class CountingQueue(MailQueue):
    """A queue that records for which connections each call claims. Its first calls fail, a given number of times."""

    def __init__(self, newsletters: Newsletters, failures: int = 0) -> None:
        super().__init__(newsletters)
        self.failures = failures
        self.claims: list[list[str]] = []

    async def claim_for(self, limits: Mapping[str, int], lease: float) -> ClaimedMails:
        if self.failures:
            self.failures -= 1
            raise RedisConnectionError("it restarts")
        self.claims.append(list(limits))
        return await super().claim_for(limits, lease)


async def plan(house: House, count: int) -> None:
    newsletter = await house.create()
    for number in range(count):
        await house.reader(newsletter, f"r{number}@d{number}.example")
    await house.desk.publish("a1")
    while await house.parts.queue.expand_next():
        pass


async def test_connections_that_wait_share_a_claim(house: House) -> None:
    await plan(house, 5)
    queue, stopping = CountingQueue(house.parts.newsletters), asyncio.Event()
    claims = Claims(queue, LEASE)
    waiting = [asyncio.create_task(claims.take(name, 2)) for name in ("a", "b", "c", "d")]
    await asyncio.sleep(0)
    running = asyncio.create_task(claims.run(stopping))
    await until(lambda: sum(each.done() for each in waiting) == 3)
    assert queue.claims[0] == ["d", "c", "b", "a"], "the one that came last comes first"
    assert sorted(len(each.result()) for each in waiting if each.done()) == [1, 2, 2]
    assert len({mail.subscriber for each in waiting if each.done() for mail in each.result()}) == 5
    stopping.set()
    await running
    assert not await waiting[0]
    assert not await claims.take("e", 2), "it does not wait for a process that stops"


async def test_claims_go_on_once_redis_can_be_used_again_and_when_mails_are_planned(house: House) -> None:
    queue, stopping = CountingQueue(house.parts.newsletters, failures=2), asyncio.Event()
    claims = Claims(queue, LEASE)
    waiting = asyncio.create_task(claims.take("a", 2))
    running = asyncio.create_task(claims.run(stopping))
    await until(lambda: len(queue.claims) > 0)
    assert not waiting.done()
    await plan(house, 1)
    queue.wakeup.set()
    assert len(await asyncio.wait_for(waiting, 60)) == 1
    stopping.set()
    await running


async def test_a_connection_that_was_cancelled_gets_no_mails(house: House) -> None:
    await plan(house, 1)
    queue, stopping = CountingQueue(house.parts.newsletters), asyncio.Event()
    claims = Claims(queue, LEASE)
    cancelled, waiting = (asyncio.create_task(claims.take(name, 2)) for name in ("a", "b"))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    running = asyncio.create_task(claims.run(stopping))
    assert len(await asyncio.wait_for(waiting, 60)) == 1
    assert queue.claims[0] == ["b"]
    stopping.set()
    await running


def claimed(number: int) -> ClaimedMail:
    return ClaimedMail("i1", f"s{number}", 1, datetime(2026, 11, 26, tzinfo=UTC), 0, 0, False, "d.example")


def named(mail: ClaimedMail) -> OutgoingMail:
    return OutgoingMail("a@harbour.example", mail.subscriber, "<x>", b"")


async def test_mails_of_several_connections_are_made_together() -> None:
    sizes: list[int] = []
    held = asyncio.Event()

    async def make(mails: Sequence[ClaimedMail]) -> list[OutgoingMail | NotSent]:
        sizes.append(len(mails))
        await held.wait()
        return [named(mail) for mail in mails]

    batches = MailBatches(make)
    asked = [[claimed(10 * connection + at) for at in range(3)] for connection in range(40)]
    made = [asyncio.create_task(batches.make_all(mails)) for mails in asked]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    held.set()
    assert await asyncio.gather(*made) == [[named(mail) for mail in mails] for mails in asked]
    assert sum(sizes) == 120
    assert len(sizes) == 2
    assert max(sizes) <= MAX_MAILS


async def test_a_failure_concerns_the_mails_of_its_batch_alone() -> None:
    failing = [RedisConnectionError("it restarts")]

    async def make(mails: Sequence[ClaimedMail]) -> list[OutgoingMail | NotSent]:
        if failing:
            raise failing.pop()
        return [NotSent(MailState.EMPTY, "") for _ in mails]

    batches = MailBatches(make)
    with pytest.raises(RedisConnectionError):
        await batches.make_all([claimed(1)])
    assert await batches.make_all([claimed(1)]) == [NotSent(MailState.EMPTY, "")]


async def test_several_threads_make_the_same_mails_in_the_same_order(house: House) -> None:
    newsletter = await house.create()
    items = [Item(f"a{n}", 1, f"Ferry {n}", "https://x.example", "Text", "Ida", "en", "2026-11-26", "") for n in (1, 2)]
    links = {UNSUBSCRIBE: "https://x.example/u", PREFERENCES: "https://x.example/p"}
    address, date = "news@harbour.example", datetime(2026, 11, 26, tzinfo=UTC)

    def draft(number: int) -> Draft | NotSent:
        if number % 10 == 7:
            return NotSent(MailState.CANCELLED, str(number))
        chosen = ChosenItems((items[number % 2],))
        about = (newsletter, IssueKind.ALERT, Cadence.INSTANT, chosen, None)
        return Draft(*about, address, f"r{number}@example.org", f"<{number}@x>", links, date)

    drafts = [draft(number) for number in range(50)]
    tokens = SignedTokens(house.redis, house.keys)
    composers = [MailComposer(Links(SITE, tokens, tokens), None, threads=threads) for threads in (1, 3)]
    made = [await composer.compose_all(drafts) for composer in composers]
    assert made[0] == made[1]
    recipients = [mail.recipient if isinstance(mail, OutgoingMail) else mail.reason for mail in made[0]]
    assert recipients == [str(n) if n % 10 == 7 else f"r{n}@example.org" for n in range(50)]
