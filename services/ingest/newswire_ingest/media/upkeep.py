"""Background work on images: makes variants, deletes what was removed, and removes what has been unused for long.

What is to be done is in Redis, so a process that is killed loses nothing: its work is due again after a while.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.concurrency.backoff import pause
from newswire.concurrency.offload import OffloadError
from newswire.keys import Keyspace
from newswire.object_storage.storage import ObjectStorage, StorageError
from newswire.observability import audit
from newswire.observability.audit import SYSTEM, Act
from newswire_ingest.media.errors import InvalidImageError
from newswire_ingest.media.repository import MediaRepository
from newswire_ingest.media.variants import VariantMaker

log = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
RETRY_SECONDS = 5.0
EXPIRY_INTERVAL_SECONDS = 600.0
VARIANTS_LEASE_MS = 120_000
REMOVAL_LEASE_MS = 60_000
REMOVALS = 20
EXPIRIES = 500


class MediaUpkeep:
    """The loops of one process; those of several share the work."""

    def __init__(
        self,
        records: MediaRepository,
        storage: ObjectStorage,
        variants: VariantMaker,
        unused_after: timedelta,
        clock: Callable[[], datetime],
        redis: "Redis",
        keys: Keyspace,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._records = records
        self._storage = storage
        self._variants = variants
        self._unused_after = unused_after
        self._clock = clock

    async def keep_making_variants(self, stopping: asyncio.Event) -> None:
        """Make variants until stopping is set."""
        await _repeat(self.make_variants, stopping)

    async def keep_removing(self, stopping: asyncio.Event) -> None:
        """Delete what was removed until stopping is set."""
        await _repeat(self.remove, stopping)

    async def keep_expiring(self, stopping: asyncio.Event) -> None:
        """Remove what has been unused for long until stopping is set."""
        await _repeat(self.expire, stopping, EXPIRY_INTERVAL_SECONDS)

    async def make_variants(self) -> bool:
        """Make the variants of one image; return whether there was one."""
        for name in await self._records.claim("variants", self._clock(), VARIANTS_LEASE_MS, 1):
            file = await self._records.file(name)
            try:
                if file is not None:
                    await self._variants.make_all(file)
            except InvalidImageError as error:
                log.error("no variants can be made of an image", extra={"file": name, "reason": str(error)})
                await self._records.skip_variants(name)
            return True
        return False

    async def remove(self) -> bool:
        """Delete folders that are due from the storage; return whether there were any."""
        due = await self._records.claim("removals", self._clock(), REMOVAL_LEASE_MS, REMOVALS)
        for stored in due:
            await self._storage.delete_folder(f"{stored[:2]}/{stored}")
            await self._records.removed(stored)
        return bool(due)

    async def expire(self) -> bool:
        """Remove images that have been unused for long; return whether there may be more."""
        if not self._unused_after:
            return False
        now = self._clock()
        gone = await self._records.expire(now - self._unused_after, now, EXPIRIES)
        for file, account in gone:
            entry = {"account": account, "reason": "unused"}
            await audit.record(self._redis, self._keys, SYSTEM, Act.MEDIA_DELETED, "media", file, **entry)
        if gone:
            log.info("unused images were removed", extra={"images": len(gone)})
        return len(gone) == EXPIRIES


async def _repeat(step: Callable[[], Awaitable[bool]], stopping: asyncio.Event, idle: float = IDLE_SECONDS) -> None:
    while not stopping.is_set():
        try:
            wait = 0.0 if await step() else idle
        except (RedisError, OSError, StorageError, OffloadError) as error:
            log.warning("work on images failed; will retry", extra={"reason": str(error)})
            wait = RETRY_SECONDS
        if wait and await pause(stopping, wait):
            return
