"""Maintains the index of a running search service: readiness, reindexing and repairs.

An index on Elasticsearch is replaced and repaired by commands. An embedded one can only be replaced and repaired by the process
that has it open: on request, and automatically if the index lacks articles that are on record.
"""

import asyncio
import logging

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.concurrency.backoff import pause
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.messaging.messages import DependencyUnavailableError
from newswire.storage.document_archive import NO_ARCHIVE, DocumentArchive, DocumentUnavailableError
from newswire_search.index.admin import IndexAdmin
from newswire_search.index.mapping import MAPPING_NUMBER
from newswire_search.index.port import ArticleIndex
from newswire_search.maintenance.reindex_state import (
    ReindexInProgressError,
    ReindexProgress,
    missing_articles_reason,
    read_progress,
    request_reindex,
)
from newswire_search.maintenance.reindexing import IndexVerificationError, ReindexStoppedError, reindex
from newswire_search.maintenance.verification import Comparison

log = logging.getLogger(__name__)

CHECK_INTERVAL_SECONDS = 1.0
RETRY_INTERVAL_SECONDS = 5.0
REPAIR_BATCH_SIZE = 500


class IndexMaintainer:
    """Maintains the index of one process. ``owns_index``: no other process can replace or repair it."""

    def __init__(
        self,
        redis: "Redis",
        keys: Keyspace,
        group: str,
        admin: IndexAdmin,
        *,
        owns_index: bool,
        archive: DocumentArchive = NO_ARCHIVE,
    ) -> None:
        self._archive = archive
        self._redis = redis
        self._keys = keys
        self._group = group
        self._admin = admin
        self._owns_index = owns_index

    async def check(self, index: ArticleIndex) -> str | None:
        """Return why the index cannot be used or lacks articles, or None: a check of `/status`."""
        try:
            reason = await index.check() or await missing_articles_reason(
                self._redis, self._keys, self._group, self._admin
            )
            if reason is None or not self._owns_index:
                return reason
            progress = await read_progress(self._redis, self._keys)
        except (DependencyUnavailableError, RedisError, OSError) as error:
            return str(error)
        return _rebuilding(progress) if progress else reason

    async def consume(self, broker: EventBroker, stopping: asyncio.Event) -> None:
        """Run the consumer once the index can be used; until then, replicas that can use theirs handle the events."""
        while not stopping.is_set():
            try:
                reason = await self._admin.mismatch()
            except DependencyUnavailableError:
                reason = None  # it may be usable; the consumer waits for it
            if reason is None:
                await broker.consume(stopping)
                return
            log.warning("indexing waits for a usable index", extra={"reason": reason})
            await pause(stopping, CHECK_INTERVAL_SECONDS)

    async def run(self, stopping: asyncio.Event) -> None:
        """Do the requested work until ``stopping`` is set."""
        checked = False
        while not stopping.is_set():
            try:
                if not checked:
                    await self._check_completeness()
                    checked = True
                progress = await read_progress(self._redis, self._keys)
                if progress is not None and self._is_responsible_for(progress):
                    await self._reindex(stopping)
                if self._owns_index:
                    await self._repair()
            except ReindexStoppedError:
                return
            except (DependencyUnavailableError, IndexVerificationError, RedisError, OSError) as error:
                log.warning("index maintenance failed and is retried", extra={"reason": str(error)})
                await pause(stopping, RETRY_INTERVAL_SECONDS)
            await pause(stopping, CHECK_INTERVAL_SECONDS)

    async def _check_completeness(self) -> None:
        reason = await missing_articles_reason(self._redis, self._keys, self._group, self._admin)
        if reason and self._owns_index:
            log.warning("the index lacks articles that are on record and is rebuilt")
            await request_reindex(self._redis, self._keys)
        elif reason:
            log.error(reason)

    def _is_responsible_for(self, progress: ReindexProgress) -> bool:
        """Return whether this process runs a reindex: any process continues one that was killed while writes were paused."""
        if self._owns_index:
            return True
        return progress.phase == "swapping" and f"-{MAPPING_NUMBER}-" in (progress.target or "")

    async def _reindex(self, stopping: asyncio.Event) -> None:
        try:
            result = await reindex(
                self._redis,
                self._keys,
                self._admin,
                lambda *_: None,
                stopping=stopping,
                wait_seconds=0,
                archive=self._archive,
            )
        except ReindexInProgressError:
            return
        except (IndexVerificationError, DependencyUnavailableError, DocumentUnavailableError) as error:
            await self._redis.hset(self._keys.reindex, "error", str(error))
            raise
        log.info("the index was rebuilt", extra={"index": result.name, "rejected": len(result.rejected)})

    async def _repair(self) -> None:
        comparison = Comparison(self._redis, self._keys, self._admin, self._archive)
        while ids := await self._redis.srandmember(self._keys.index_repair_queue, REPAIR_BATCH_SIZE):
            await comparison.repair([article_id.decode() for article_id in ids])
            await self._redis.srem(self._keys.index_repair_queue, *ids)


def _rebuilding(progress: ReindexProgress) -> str:
    why = f", {progress.error}" if progress.error else ""
    return f"the index is being rebuilt: {progress.done} of {progress.total} articles{why}"
