"""Erases discarded drafts once they can no longer be recovered."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from redis.exceptions import RedisError

from newswire.concurrency.backoff import pause
from newswire.observability import audit
from newswire.observability.audit import SYSTEM, Act
from newswire_ingest.drafts.repository import DraftStore

log = logging.getLogger(__name__)
SECONDS_BETWEEN_RUNS = 3600.0
_RETRY_SECONDS = 60.0
_PAGE = 100


async def erase_expired(store: DraftStore, retention: timedelta, now: datetime) -> int:
    """Erase the drafts that were discarded longer ago than the retention; return how many."""
    erased = 0
    while ids := await store.discarded_before(now - retention, _PAGE):
        for draft_id in ids:
            found = await store.read(draft_id)
            if found is not None and found[0].discarded_at is not None:
                entry = audit.new_entry(SYSTEM, Act.DRAFT_ERASED, "draft", draft_id, account=found[0].account)
                erased += await store.erase(found[0], entry)
        if len(ids) < _PAGE:
            break
    return erased


async def keep_erasing(
    store: DraftStore, retention: timedelta, clock: Callable[[], datetime], stopping: asyncio.Event
) -> None:
    """Erase every hour until stopping is set."""
    wait = 0.0
    while not await pause(stopping, wait):
        wait = SECONDS_BETWEEN_RUNS
        try:
            await erase_expired(store, retention, clock())
        except (RedisError, OSError) as error:
            log.warning("discarded drafts were not erased", extra={"reason": str(error)})
            wait = _RETRY_SECONDS
