"""What a running search does for its index besides writing and reading it.

Elasticsearch's index is replaced and repaired from outside. The embedded one only by the process that has it open, when it is
asked to; it does so unasked where the index lacks articles that are on record.
"""

import asyncio
import logging

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.concurrency.backoff import pause
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.messaging.messages import DependencyUnavailableError
from newswire_search.index.admin import IndexAdmin
from newswire_search.index.mapping import MAPPING_NUMBER
from newswire_search.index.port import ArticleIndex
from newswire_search.maintenance.reindexing import (
    IndexVerificationError,
    ReindexInProgressError,
    ReindexProgress,
    ReindexStoppedError,
    missing_articles_reason,
    read_progress,
    reindex,
    request_reindex,
)
from newswire_search.maintenance.verification import Comparison

log = logging.getLogger(__name__)

CHECK_INTERVAL_SECONDS = 1.0
RETRY_INTERVAL_SECONDS = 5.0
REPAIR_BATCH_SIZE = 500


class IndexMaintainer:
    """Keeps the index of one process. ``owns_index``: no other process can replace or repair it."""

    def __init__(self, redis: "Redis", keys: Keyspace, group: str, admin: IndexAdmin, *, owns_index: bool) -> None:
        self._redis = redis
        self._keys = keys
        self._group = group
        self._admin = admin
        self._owns_index = owns_index

    async def check(self, index: ArticleIndex) -> str | None:
        """Tell why the index cannot be used, or lacks articles, or None where all is well: a readiness check."""
        try:
            trouble = await index.check() or await missing_articles_reason(
                self._redis, self._keys, self._group, self._admin
            )
            if trouble is None or not self._owns_index:
                return trouble
            progress = await read_progress(self._redis, self._keys)
        except (DependencyUnavailableError, RedisError, OSError) as error:
            return str(error)
        return _filling(progress) if progress else trouble

    async def consume(self, broker: EventBroker, stopping: asyncio.Event) -> None:
        """Run the consumer from when the index can be used: until then others, who can, are to take what comes."""
        while not stopping.is_set():
            try:
                trouble = await self._admin.mismatch()
            except DependencyUnavailableError:
                trouble = None  # for all that is known it can; the consumer waits for it
            if trouble is None:
                await broker.consume(stopping)
                return
            log.warning("nothing is indexed", extra={"reason": trouble})
            await pause(stopping, CHECK_INTERVAL_SECONDS)

    async def run(self, stopping: asyncio.Event) -> None:
        """Do what is asked, until stopping is set."""
        looked = False
        while not stopping.is_set():
            try:
                if not looked:
                    await self._look()
                    looked = True
                progress = await read_progress(self._redis, self._keys)
                if progress is not None and self._is_ours(progress):
                    await self._reindex(stopping)
                if self._owns_index:
                    await self._repair()
            except ReindexStoppedError:
                return
            except (DependencyUnavailableError, IndexVerificationError, RedisError, OSError) as error:
                log.warning("the admin of the index is put off", extra={"reason": str(error)})
                await pause(stopping, RETRY_INTERVAL_SECONDS)
            await pause(stopping, CHECK_INTERVAL_SECONDS)

    async def _look(self) -> None:
        trouble = await missing_articles_reason(self._redis, self._keys, self._group, self._admin)
        if trouble and self._owns_index:
            log.warning("the index lacks articles that are on record and is filled anew")
            await request_reindex(self._redis, self._keys)
        elif trouble:
            log.error(trouble)

    def _is_ours(self, progress: ReindexProgress) -> bool:
        """Tell whether this process is to take a reindexing up: any may where one was killed that holds up all writing."""
        if self._owns_index:
            return True
        return progress.phase == "swapping" and f"-{MAPPING_NUMBER}-" in (progress.target or "")

    async def _reindex(self, stopping: asyncio.Event) -> None:
        try:
            result = await reindex(
                self._redis, self._keys, self._admin, lambda *_: None, stopping=stopping, wait_seconds=0
            )
        except ReindexInProgressError:
            return
        except (IndexVerificationError, DependencyUnavailableError) as error:
            await self._redis.hset(self._keys.reindex, "error", str(error))
            raise
        log.info("the index was made anew", extra={"index": result.name, "rejected": len(result.rejected)})

    async def _repair(self) -> None:
        comparison = Comparison(self._redis, self._keys, self._admin)
        while ids := await self._redis.srandmember(self._keys.index_repair_queue, REPAIR_BATCH_SIZE):
            await comparison.repair([article_id.decode() for article_id in ids])
            await self._redis.srem(self._keys.index_repair_queue, *ids)


def _filling(progress: ReindexProgress) -> str:
    why = f", {progress.error}" if progress.error else ""
    return f"the index is filled anew: {progress.done} of {progress.total} articles{why}"
