"""Opens and plans the digests that are due, a few readers at a time: a process for tests to kill.

``REDIS_URL NAMESPACE SECONDS``: the time that it takes for now. It writes a dot after each step.
"""

import os
import sys

from newswire.http.application import run
from newswire.keys import Keyspace
from newswire.storage.redis_client import open_redis
from newswire_notify.newsletters.digests import Digests
from newswire_notify.newsletters.mail_queue import MailQueue
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.site_list import SiteList
from newswire_notify.newsletters.subscribers import Subscribers

STEP = 3


async def plan(url: str, namespace: str, now: str) -> None:
    """Plan until nothing is left to plan."""
    keys = Keyspace(namespace)
    async with open_redis(url) as redis:
        newsletters = Newsletters(redis, keys, lambda: float(now))
        queue = MailQueue(newsletters)
        digests = Digests(newsletters, Subscribers(newsletters), queue, SiteList(newsletters, redis, keys))
        while await digests.step():
            pass
        while await queue.expand_next(STEP):
            os.write(1, b".")


if __name__ == "__main__":
    run(plan(*sys.argv[1:4]))
