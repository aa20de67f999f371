"""Publishes scheduled articles when they are due. Every process of ingest does so; the atomic function publishes each only once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from redis.exceptions import RedisError

from newswire.concurrency.backoff import pause
from newswire.observability import metrics
from newswire_ingest.articles.repository import ArticleStore

log = logging.getLogger(__name__)

DUE_BATCH_SIZE = 50
MAX_SLEEP_SECONDS = 0.5
"""Maximum delay before an article is noticed that another process scheduled, or after a clock was set, in seconds."""


async def keep_publishing(
    store: ArticleStore, clock: Callable[[], Awaitable[datetime]], stopping: asyncio.Event
) -> None:
    """Publish due articles until stopping is set. An outage delays articles but loses none: overdue ones are published in order."""
    while True:
        try:
            sleep = await publish_due(store, clock)
        except (RedisError, OSError) as error:
            log.warning("could not publish scheduled articles; will retry", extra={"reason": str(error)})
            sleep = MAX_SLEEP_SECONDS
        if await pause(stopping, sleep):
            return


async def publish_due(store: ArticleStore, clock: Callable[[], Awaitable[datetime]]) -> float:
    """Publish everything that is due, in order, and return the seconds until the next check."""
    while True:
        now = await clock()
        out, coming = await store.publish_due(now, DUE_BATCH_SIZE)
        for article in out:
            metrics.article_events.labels("published").inc()
            metrics.scheduled_publication_delay.observe(max(now.timestamp() - article.due, 0.0))
        if len(out) < DUE_BATCH_SIZE and (coming is None or coming > now.timestamp()):
            return MAX_SLEEP_SECONDS if coming is None else min(coming - now.timestamp(), MAX_SLEEP_SECONDS)
