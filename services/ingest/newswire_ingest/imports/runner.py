"""Works on imports in the background: reads files, compares articles, and publishes them, chunk by chunk.

What is done is in Redis after each chunk. A process that is killed loses its claim after a while, and another one goes on: it
repeats at most a chunk, which changes nothing twice, because articles are recognised by their external ids.
"""

import asyncio
import logging
import secrets
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from redis.exceptions import RedisError

from newswire.auth.credentials import Caller
from newswire.concurrency.backoff import pause
from newswire.concurrency.offload import OffloadError
from newswire.object_storage.storage import StorageError
from newswire.users.models import User
from newswire.users.roles import Permission
from newswire_ingest.imports.models import Import, ImportState, Row
from newswire_ingest.imports.publishing import BarredError, ItemPublisher, PublishLaterError
from newswire_ingest.imports.reading import UnreadableImportError, chunk_path, read_into, source_path
from newswire_ingest.imports.repository import progress_fields
from newswire_ingest.imports.service import ImportService

log = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
RETRY_SECONDS = 5.0
LEASE: Final = timedelta(seconds=60)
LATER = timedelta(seconds=15)
"""How long an import waits for a limit, or for memory."""
MAX_FAILED_CHUNKS = 1000
EXPIRY_INTERVAL_SECONDS = 3600.0
_EXPIRED_PAGE = 100

FindUser = Callable[[str], Awaitable[User | None]]


class ImportRunner:
    """The loops of one process; those of several share the work."""

    def __init__(
        self,
        service: ImportService,
        publisher: ItemPublisher,
        find_user: FindUser,
        retention: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._service = service
        self._records = service.records
        self._files = service.files
        self._publisher = publisher
        self._find_user = find_user
        self._retention = retention
        self._clock = clock

    async def keep_running(self, stopping: asyncio.Event) -> None:
        """Work until stopping is set."""
        while not stopping.is_set():
            try:
                wait = 0.0 if await self.step() else IDLE_SECONDS
            except (RedisError, OSError, StorageError, OffloadError) as error:
                log.warning("work on imports failed; will retry", extra={"reason": str(error)})
                wait = RETRY_SECONDS
            await pause(stopping, wait)

    async def keep_expiring(self, stopping: asyncio.Event) -> None:
        """Remove old imports until stopping is set."""
        wait = 0.0
        while not await pause(stopping, wait):
            wait = EXPIRY_INTERVAL_SECONDS
            try:
                await self.expire()
            except (RedisError, OSError, StorageError) as error:
                log.warning("old imports were not removed", extra={"reason": str(error)})
                wait = RETRY_SECONDS

    async def expire(self) -> None:
        """Remove the records and files of imports that are older than the retention; the articles stay."""
        for found in await self._records.created_before(self._clock() - self._retention, _EXPIRED_PAGE):
            await self._files.delete(found.id)
            await self._records.remove(found)

    async def step(self) -> bool:
        """Do the next step of an import that is due; return whether there was one."""
        token = secrets.token_hex(8)
        found = await self._records.claim(self._clock(), LEASE, token)
        if found is None:
            return False
        try:
            if found.state is ImportState.READING:
                await self._keep_claimed(found, token, self._read(found, token))
            else:
                await self._keep_claimed(found, token, self._chunk(found, token))
        except UnreadableImportError as error:
            await self._end(found, token, ImportState.FAILED, str(error))
        except BarredError:
            reason = f"{found.user_name} may not publish in this account any more"
            await self._end(found, token, ImportState.FAILED, reason)
        except PublishLaterError as error:
            await self._records.save(found.id, token, {"reason": str(error)}, self._clock() + LATER)
        return True

    async def _keep_claimed(self, found: Import, token: str, work: Awaitable[None]) -> None:
        """Do work that takes longer than a claim."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(LEASE.total_seconds() / 3)
                await self._records.save(found.id, token, {}, self._clock() + LEASE)

        renewing = asyncio.create_task(renew())
        try:
            await work
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _read(self, found: Import, token: str) -> None:
        """Read the uploaded file, and store its items in chunks."""
        content = await self._files.read_source(found.id)
        if content is None:
            raise UnreadableImportError("the file is gone; upload it again")
        with tempfile.TemporaryDirectory(prefix="newswire-import-") as name:
            folder = Path(name)
            await asyncio.to_thread(source_path(folder, found.file_name).write_bytes, content)
            sizes = await read_into(folder, found.file_name, self._clock(), expired=found.expired)
            for number in range(len(sizes)):
                lines = await asyncio.to_thread(chunk_path(folder, number).read_bytes)
                await self._files.write_chunk(found.id, number, lines)
        read = replace(found, state=ImportState.COMPARING, chunks=len(sizes), items=sum(sizes))
        if not sizes:
            raise UnreadableImportError("the file has no articles")
        await self._records.save(found.id, token, progress_fields(read), self._clock())

    async def _chunk(self, found: Import, token: str) -> None:
        """Compare or publish the next chunk."""
        publishes = found.state is ImportState.RUNNING
        user, caller = await self._find_user(found.user), await self._service.caller(found)
        if user is None or caller is None or Permission.IMPORT not in user.permissions(found.account):
            raise BarredError
        rows = await (self._publish(found, token, caller) if publishes else self._compare(found, caller))
        after = _advanced(found, rows)
        if after.cursor < after.chunks:
            await self._records.save(found.id, token, progress_fields(after), self._clock())
        elif publishes:
            await self._end(after, token, ImportState.DONE, "")
        else:
            ready = progress_fields(replace(after, state=ImportState.READY))
            await self._records.save(found.id, token, ready, None)

    async def _compare(self, found: Import, caller: Caller) -> list[Row]:
        items = await self._files.read_chunk(found.id, found.cursor)
        rows = await self._publisher.publish(items, caller, silent=found.silent, dry_run=True)
        await self._files.write_results(found.id, "compared", found.cursor, rows)
        return rows

    async def _publish(self, found: Import, token: str, caller: Caller) -> list[Row]:
        """Publish a chunk. What an interrupted attempt published is not unchanged, but what the comparison found."""
        if known := await self._files.read_results(found.id, "published", found.cursor):
            return known
        is_repeat = found.begun > found.cursor
        if not is_repeat:
            await self._records.save(found.id, token, {"begun": found.cursor + 1}, self._clock() + LEASE)
        items = await self._files.read_chunk(found.id, found.cursor)
        rows = await self._publisher.publish(items, caller, silent=found.silent, dry_run=False)
        compared = await self._files.read_results(found.id, "compared", found.cursor) if is_repeat else []
        if len(compared) == len(rows):
            rows = [_done_before(row, planned) for row, planned in zip(rows, compared, strict=True)]
        await self._files.write_results(found.id, "published", found.cursor, rows)
        return rows

    async def _end(self, found: Import, token: str, state: ImportState, reason: str) -> None:
        ended = replace(found, state=state, reason=reason)
        if await self._records.save(found.id, token, progress_fields(ended), None) and found.started:
            await self._service.record_end(ended)


def _done_before(row: Row, planned: Row) -> Row:
    """Return what became of an item in two attempts."""
    if row["what"] != "unchanged" or planned["what"] not in ("created", "updated"):
        return row
    return row | {name: planned[name] for name in ("what", "changed") if name in planned}


def _advanced(found: Import, rows: list[Row]) -> Import:
    counts = Counter(found.counts) + Counter(row["what"] for row in rows)
    failed = found.failed_chunks
    if any(row["what"] == "failed" for row in rows) and len(failed) < MAX_FAILED_CHUNKS:
        failed = (*failed, found.cursor)
    return replace(
        found,
        cursor=found.cursor + 1,
        done=found.done + len(rows),
        counts=dict(counts),
        failed_chunks=failed,
        reason="",
    )
