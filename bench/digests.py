"""Plans and composes the digests of one newsletter. ``REDIS_URL NEWSLETTER GROUP``: prints processor time and memory."""

import os
import resource
import sys
import time

import orjson
from redis.asyncio import Redis

from bench.servers import KEYS
from newswire.auth.signed_tokens import SignedTokens
from newswire.http.application import run
from newswire.storage.redis_client import open_redis
from newswire.timestamps import utc_now
from newswire_notify.newsletters.issues import ClaimedMail, MailResult, MailState
from newswire_notify.newsletters.items import Items
from newswire_notify.newsletters.links import Links
from newswire_notify.newsletters.mail_composer import MailComposer, OutgoingMail
from newswire_notify.newsletters.mail_maker import MailMaker
from newswire_notify.newsletters.mail_queue import MailQueue
from newswire_notify.newsletters.receiving_domains import DomainRate, SendingLimits
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.subscribers import Subscribers
from newswire_notify.newsletters.worker import CLAIM_BATCH

LEASE_SECONDS = 600.0


async def measure(url: str, newsletter: str, group: str) -> None:
    """Plan, then claim, compose and settle all digests."""
    async with open_redis(url) as redis:
        newsletters = Newsletters(redis, KEYS)
        queue = MailQueue(newsletters, limits=SendingLimits({"*": DomainRate(0, 1)}))
        signed = SignedTokens(redis, KEYS)
        links = Links("https://news.example", signed, signed)
        maker = MailMaker(
            newsletters,
            Subscribers(newsletters),
            queue,
            Items(newsletters, redis, KEYS),
            links,
            MailComposer(links, signer=None),
        )
        await queue.open_digest("digest.1", newsletter, f"{newsletter}|{group}", utc_now(), "2026-11-26")
        before, store = time.process_time(), await _store_seconds(redis)
        while await queue.expand_next():
            pass
        planning, store_planning = time.process_time() - before, await _store_seconds(redis) - store
        composed, size, before, store = 0, 0, time.process_time(), await _store_seconds(redis)
        claimed: list[ClaimedMail] = []
        while claimed := list((await queue.claim("bench", LEASE_SECONDS, CLAIM_BATCH)).mails):
            made = await maker.make_all(claimed)
            if not all(isinstance(each, OutgoingMail) for each in made):
                raise RuntimeError(f"a digest was not composed: {made}")
            composed += len(made)
            size = max(size, *(len(each.data) for each in made if isinstance(each, OutgoingMail)))
            await queue.settle([MailResult(mail, MailState.ACCEPTED) for mail in claimed])
        composing, store_composing = time.process_time() - before, await _store_seconds(redis) - store
    found = {
        "composed": composed,
        "bytes_each": size,
        "planning": planning,
        "composing": composing,
        "store_planning": store_planning,
        "store_composing": store_composing,
        "memory_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    os.write(1, orjson.dumps(found))


async def _store_seconds(redis: "Redis") -> float:
    """Return the processor time that the server has used."""
    about = await redis.info("cpu")
    return float(about["used_cpu_user"]) + float(about["used_cpu_sys"])


if __name__ == "__main__":
    run(measure(*sys.argv[1:4]))
