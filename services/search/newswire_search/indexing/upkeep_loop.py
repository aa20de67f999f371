"""What a running search does for its index besides writing and reading it.

Elasticsearch's index is replaced and mended from outside. The embedded one only by the process that has it open, when it is
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
from newswire_search.index.mapping import MAPPING_NUMBER
from newswire_search.index.port import ArticleIndex
from newswire_search.index.upkeep import Upkeep
from newswire_search.maintenance.reindexing import (
    Progress,
    Stopped,
    UnderWay,
    Unfit,
    ask_for_reindexing,
    missing_articles,
    read_progress,
    reindex,
)
from newswire_search.maintenance.verifying import Comparison

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_AFTER_TROUBLE = 5.0
MENDED_AT_ONCE = 500


class Keeper:
    """Keeps the index of one process. ``owns_index``: no other process can replace or mend it."""

    def __init__(self, redis: "Redis", keys: Keyspace, group: str, upkeep: Upkeep, *, owns_index: bool) -> None:
        self._redis = redis
        self._keys = keys
        self._group = group
        self._upkeep = upkeep
        self._owns_index = owns_index

    async def check(self, index: ArticleIndex) -> str | None:
        """Tell why the index cannot be used, or lacks articles, or None where all is well: a readiness check."""
        try:
            trouble = await index.check() or await missing_articles(self._redis, self._keys, self._group, self._upkeep)
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
                trouble = await self._upkeep.mismatch()
            except DependencyUnavailableError:
                trouble = None  # for all that is known it can; the consumer waits for it
            if trouble is None:
                await broker.consume(stopping)
                return
            log.warning("nothing is indexed", extra={"reason": trouble})
            await pause(stopping, SECONDS_BETWEEN_LOOKS)

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
                    await self._mend()
            except Stopped:
                return
            except (DependencyUnavailableError, Unfit, RedisError, OSError) as error:
                log.warning("the upkeep of the index is put off", extra={"reason": str(error)})
                await pause(stopping, SECONDS_AFTER_TROUBLE)
            await pause(stopping, SECONDS_BETWEEN_LOOKS)

    async def _look(self) -> None:
        trouble = await missing_articles(self._redis, self._keys, self._group, self._upkeep)
        if trouble and self._owns_index:
            log.warning("the index lacks articles that are on record and is filled anew")
            await ask_for_reindexing(self._redis, self._keys)
        elif trouble:
            log.error(trouble)

    def _is_ours(self, progress: Progress) -> bool:
        """Tell whether this process is to take a reindexing up: any may where one was killed that holds up all writing."""
        if self._owns_index:
            return True
        return progress.phase == "swapping" and f"-{MAPPING_NUMBER}-" in (progress.target or "")

    async def _reindex(self, stopping: asyncio.Event) -> None:
        try:
            outcome = await reindex(
                self._redis, self._keys, self._upkeep, lambda *_: None, stopping=stopping, patience=0
            )
        except UnderWay:
            return
        except (Unfit, DependencyUnavailableError) as error:
            await self._redis.hset(self._keys.reindex, "trouble", str(error))
            raise
        log.info("the index was made anew", extra={"index": outcome.name, "refused": len(outcome.refused)})

    async def _mend(self) -> None:
        comparison = Comparison(self._redis, self._keys, self._upkeep)
        while ids := await self._redis.srandmember(self._keys.to_be_mended, MENDED_AT_ONCE):
            await comparison.mend([article_id.decode() for article_id in ids])
            await self._redis.srem(self._keys.to_be_mended, *ids)


def _filling(progress: Progress) -> str:
    why = f", {progress.trouble}" if progress.trouble else ""
    return f"the index is filled anew: {progress.done} of {progress.total} articles{why}"
