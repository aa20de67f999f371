"""What workers do between a claim and the reply: late unsubscriptions hold, and results are recorded together, and not lost."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from newswire.keys import Keyspace
from newswire_notify.newsletters.issues import MailResult
from newswire_notify.newsletters.mail_queue import MailQueue
from newswire_notify.newsletters.receiving_domains import DomainChange
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.settlements import Settlements, StoppedError
from tests.notify.conftest import Clock, Desk, until
from tests.notify.newsletters.conftest import House, opened_house
from tests.notify.newsletters.mail_server import MailServer
from tests.servers.smtp_sink import Answer, SmtpSink, Step, listen

SLOW_SECONDS = 2.5
"""Longer than a mail may wait after it was made."""


class Recorder(MailQueue):
    """A queue that records which results are settled together. Its first calls fail, a given number of times."""

    def __init__(self, newsletters: Newsletters, failures: int = 0) -> None:
        super().__init__(newsletters)
        self.failures = failures
        self.recorded: list[int] = []

    async def settle(
        self,
        results: Sequence[MailResult],
        changes: Sequence[DomainChange] = (),
        released: Sequence[tuple[str, str]] = (),
    ) -> None:
        if self.failures:
            self.failures -= 1
            raise RedisConnectionError("it restarts")
        await super().settle(results, changes, released)
        self.recorded.append(len(released))


async def test_who_unsubscribes_while_the_mail_server_is_slow_gets_no_mail(
    redis: Redis, keys: Keyspace, clock: Clock, desk: Desk
) -> None:
    unsubscribed = asyncio.Event()
    slow = [Answer("250 2.0.0 taken", held=unsubscribed)]
    sink = SmtpSink(lambda step, _recipient: slow.pop() if slow and step is Step.END else None)
    async with (
        listen(sink) as url,
        opened_house(redis, keys, clock, desk, MailServer(url=url)) as house,
    ):
        newsletter = await house.create()
        readers = [await house.reader(newsletter, f"r{number}@example.org") for number in range(4)]
        await desk.publish("a1")
        while await house.parts.queue.expand_next():
            pass
        sending = asyncio.create_task(house.parts.workers.send_due())
        await until(lambda: not slow)
        for reader in readers:
            await house.parts.signup.unsubscribe(reader.id)
        await asyncio.sleep(SLOW_SECONDS)
        unsubscribed.set()
        await sending
        assert len(sink.taken) == 1
        [issue] = await house.parts.queue.issues_of(newsletter.id)
        assert (issue.counts["accepted"], issue.counts["cancelled"]) == (1, 3)


async def test_results_of_several_connections_are_recorded_together(house: House) -> None:
    queue = Recorder(house.parts.newsletters)
    settlements = Settlements(queue)
    stopping = asyncio.Event()
    with ExitStack() as sending:
        for _ in range(10):
            sending.enter_context(settlements.sending())
        await asyncio.gather(
            *(settlements.settle([], (), stopping, released=[("c", str(number))]) for number in range(10))
        )
    assert queue.recorded == [10]


async def test_results_are_recorded_once_redis_can_be_used_again(house: House) -> None:
    queue = Recorder(house.parts.newsletters, failures=3)
    await Settlements(queue).settle([], (), asyncio.Event(), released=[("c", "a.example")])
    assert queue.recorded == [1]


async def test_a_process_that_stops_does_not_wait_for_redis_for_ever(house: House) -> None:
    queue = Recorder(house.parts.newsletters, failures=100)
    stopping = asyncio.Event()
    stopping.set()
    with pytest.raises(StoppedError, match="it restarts"):
        await Settlements(queue).settle([], (), stopping)


async def test_a_worker_sends_what_is_planned_later(house: House) -> None:
    newsletter = await house.create()
    stopping = asyncio.Event()
    working = asyncio.create_task(house.parts.workers.run(stopping))
    await house.reader(newsletter, "reader@example.org")
    await house.desk.publish("a1")
    while await house.parts.queue.expand_next():
        pass
    await until(lambda: len(house.mail.got) == 1)
    stopping.set()
    await asyncio.wait_for(working, 60)
    assert await house.parts.queue.waiting() == 0
