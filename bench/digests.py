"""Plans and composes the digests of a day. ``REDIS_URL FIRST_HOUR``: prints processor time by phase, and memory."""

import os
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import orjson
from redis.asyncio import Redis

from bench.servers import KEYS
from newswire.auth.signed_tokens import SignedTokens
from newswire.http.application import run
from newswire.storage.redis_client import open_redis
from newswire_notify.newsletters.digests import Digests
from newswire_notify.newsletters.issues import ClaimedMail, MailResult, MailState
from newswire_notify.newsletters.items import Items
from newswire_notify.newsletters.links import Links
from newswire_notify.newsletters.mail_composer import MailComposer, NotSent
from newswire_notify.newsletters.mail_connection import CLAIM_BATCH
from newswire_notify.newsletters.mail_maker import MailMaker
from newswire_notify.newsletters.mail_queue import MailQueue
from newswire_notify.newsletters.receiving_domains import DomainRate, SendingLimits
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.site_list import SiteList
from newswire_notify.newsletters.subscribers import Subscribers

LEASE_SECONDS = 600.0
HOURS = 25
"""Digests at the last hour of a day are due half an hour later in some zones."""


class Day:
    """The parts of newsletters under a clock that the measurement moves."""

    def __init__(self, redis: "Redis", first_hour: datetime) -> None:
        self.now = first_hour.timestamp()
        newsletters = Newsletters(redis, KEYS, lambda: self.now)
        subscribers = Subscribers(newsletters)
        self.queue = MailQueue(newsletters, limits=SendingLimits({"*": DomainRate(0, 1)}))
        self.digests = Digests(newsletters, subscribers, self.queue, SiteList(newsletters, redis, KEYS))
        signed = SignedTokens(redis, KEYS)
        links = Links("https://news.example", signed, signed)
        items, composer = Items(newsletters, redis, KEYS), MailComposer(links, signer=None)
        self.maker = MailMaker(newsletters, subscribers, items, links, composer)
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.composed = self.largest = 0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the processor time of a phase."""
        began = time.process_time()
        yield
        self.spent[name] += time.process_time() - began

    async def plan(self) -> None:
        """Open the digests that are due, and plan all of their mails."""
        with self.phase("planning"):
            while await self.digests.step():
                pass
            while await self.queue.expand_next():
                pass

    async def send(self) -> None:
        """Claim, compose and settle what is planned, without sending it."""
        while claimed := await self._claim():
            with self.phase("composing"):
                made = await self.maker.make_all(claimed)
            unmade = [each for each in made if isinstance(each, NotSent)]
            if unmade:
                raise RuntimeError(f"a digest was not composed: {unmade[0]}")
            self.composed += len(made)
            self.largest = max(self.largest, *(len(each.data) for each in made if not isinstance(each, NotSent)))
            with self.phase("settling"):
                await self.queue.settle([MailResult(mail, MailState.ACCEPTED) for mail in claimed])

    async def _claim(self) -> list[ClaimedMail]:
        with self.phase("claiming"):
            return list((await self.queue.claim("bench", LEASE_SECONDS, CLAIM_BATCH)).mails)


async def measure(url: str, first_hour: str) -> None:
    """Go through a day by the hour: plan, then claim, compose and settle all digests."""
    async with open_redis(url) as redis:
        day = Day(redis, datetime.fromisoformat(first_hour))
        store: defaultdict[str, float] = defaultdict(float)
        for _ in range(HOURS):
            for name, work in (("store_planning", day.plan), ("store_sending", day.send)):
                began = await _store_seconds(redis)
                await work()
                store[name] += await _store_seconds(redis) - began
            day.now += timedelta(hours=1).total_seconds()
    found = {
        "composed": day.composed,
        "bytes_each": day.largest,
        **day.spent,
        **store,
        "memory_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    os.write(1, orjson.dumps(found))


async def _store_seconds(redis: "Redis") -> float:
    """Return the processor time that the server has used."""
    about = await redis.info("cpu")
    return float(about["used_cpu_user"]) + float(about["used_cpu_sys"])


if __name__ == "__main__":
    run(measure(*sys.argv[1:3]))
