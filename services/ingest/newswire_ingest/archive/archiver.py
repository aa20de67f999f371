"""Moves documents of old versions to the archive, and deletes there what was retracted.

A document is written to the archive first; then one atomic function puts a pointer in its place, if the version still stands. A
process that is killed in between leaves an object under the path that the next attempt uses.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from redis.exceptions import RedisError

from newswire.concurrency.backoff import pause
from newswire.object_storage.storage import ObjectStorage, StorageError
from newswire.observability import metrics
from newswire.storage.article_records import compressed, unpacked_size
from newswire.storage.document_archive import Pointer, article_folder
from newswire_ingest.archive.models import OldVersions
from newswire_ingest.archive.ownership import adopt_archive, check_owner, own_archive
from newswire_ingest.archive.repository import ArchiveRepository

log = logging.getLogger(__name__)

PASS_INTERVAL = timedelta(days=1)
IDLE_SECONDS = 5.0
RETRY_SECONDS = 30.0
SCAN_PAGE_SIZE = 500
DOCUMENTS_PAGE_SIZE = 50
"""Articles whose documents are in memory at a time."""
CONCURRENT_WRITES = 16
WRITE_SECONDS = 60.0
PAGE_PAUSE_SECONDS = 0.02
"""Between two pages of a search in a service, which has other work."""
ERASURES = 50
CONCURRENT_ERASURES = 8


class ArchiveBusyError(Exception):
    """Another process searches for old versions now."""


class Archiver:
    """The archive of an installation. Any number of processes share the work."""

    def __init__(self, records: ArchiveRepository, storage: ObjectStorage | None, after_days: int) -> None:
        self._records = records
        self._storage = storage
        self._after = timedelta(days=after_days)
        self._owner = secrets.token_hex(8)
        self._warned = False

    @property
    def checks(self) -> Mapping[str, Callable[[], Awaitable[str | None]]]:
        """The checks of `/status`."""
        return {"archive": self.check} if self._storage is not None else {}

    async def keep_archiving(self, stopping: asyncio.Event) -> None:
        """Archive old versions once a day until stopping is set."""
        while not stopping.is_set() and self._storage is not None:
            wait = IDLE_SECONDS
            try:
                state = await self._records.state()
                now = await self._records.now_ms()
                if (
                    state.last_pass.since is not None
                    or state.last_pass.ended + PASS_INTERVAL / timedelta(milliseconds=1) <= now
                ):
                    await self.run(lambda *_: None, stopping, PAGE_PAUSE_SECONDS)
            except ArchiveBusyError:
                pass
            except (RedisError, OSError, StorageError) as error:
                log.warning("old versions cannot be archived; will retry", extra={"reason": str(error)})
                wait = RETRY_SECONDS
            await pause(stopping, wait)
        await stopping.wait()

    async def keep_erasing(self, stopping: asyncio.Event) -> None:
        """Delete retracted articles from the archive until stopping is set, and record the metrics of the archive."""
        while not stopping.is_set():
            wait = IDLE_SECONDS
            try:
                try:
                    while not stopping.is_set() and await self.erase():
                        pass
                finally:  # how many wait matters most while none can be deleted
                    await self._record()
            except (RedisError, OSError, StorageError) as error:
                log.warning(
                    "retracted texts cannot be deleted from the archive; will retry", extra={"reason": str(error)}
                )
                wait = RETRY_SECONDS
            await pause(stopping, wait)

    async def _record(self) -> None:
        state = await self._records.state()
        metrics.archived_documents.set(state.documents)
        metrics.archived_bytes.set(state.bytes)
        metrics.archive_erasures.set(state.erasures)
        metrics.archive_erasure_age.set(await self._records.erasure_age_ms() / 1000 if state.erasures else 0)

    async def run(
        self, report_progress: Callable[[int, int], None], stopping: asyncio.Event, pause_seconds: float = 0.0
    ) -> int:
        """Archive all old versions, or continue where a search was interrupted; return how many documents were moved.

        ``report_progress`` is called with the number of articles that were looked at, and that of documents moved.

        Raises:
            ArchiveBusyError: another process does so.
            StorageError: the folder or the bucket cannot be used.
        """
        before = datetime.now(UTC) - self._after
        if not await self._records.lease_pass(self._owner):
            raise ArchiveBusyError("another process searches for old versions now")
        seen = moved = 0
        complete = True
        try:
            since = (await self._records.state()).last_pass.since
            async for ids, created in self._records.pages(SCAN_PAGE_SIZE, since):
                count, postponed = await self.archive(ids, before)
                complete = complete and not postponed
                moved += count
                seen += len(ids)
                report_progress(seen, moved)
                if created > before.timestamp() * 1000:  # later articles have no old versions
                    break
                if complete:  # else the next search looks at this page again
                    await self._records.save_position(created)
                if await pause(stopping, pause_seconds) or not await self._records.lease_pass(self._owner):
                    return moved
            if complete:
                await self._records.end_pass()
        finally:
            await self._records.end_lease(self._owner)
        if moved:
            log.info("old versions were archived", extra={"documents": moved})
        return moved

    async def archive(self, ids: Sequence[str], before: datetime) -> tuple[int, int]:
        """Archive the versions of these articles that were published before a time.

        Returns how many documents were moved, and how many articles were left because another process archives them, or was
        killed while it did.
        """
        candidates = list((await self._records.unarchived(ids)).items())
        moved = postponed = 0
        for at in range(0, len(candidates), DOCUMENTS_PAGE_SIZE):
            found = await self._records.old_versions(dict(candidates[at : at + DOCUMENTS_PAGE_SIZE]), before)
            if found:
                await own_archive(self._records, self._object_storage)
                begun, busy = await self._records.begin(found)
                postponed += busy
                moved += await self._records.swap(await self._write_all(begun))
                self._warn_of_versions()
        return moved, postponed

    async def erase(self) -> bool:
        """Delete articles whose erasure is due; return whether there were any."""
        if self._storage is None:
            return False
        due = await self._records.claim_erasures(ERASURES)
        written = bool(due) and await check_owner(self._records, self._storage)
        storage, slots = self._storage, asyncio.Semaphore(CONCURRENT_ERASURES)

        async def delete(article: str) -> None:
            async with slots:
                if written:
                    await storage.delete_folder(article_folder(article))
                await self._records.erased(article)

        # One that fails, such as an object that is locked, must not hold up the others.
        for outcome in await asyncio.gather(*map(delete, due), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        return bool(due)

    async def adopt(self) -> None:
        """Make the archive that of this installation: see `adopt_archive`."""
        await adopt_archive(self._records, self._object_storage)

    async def check(self) -> str | None:
        """Return why the archive cannot be used: a check of `/status`, and of `newswire doctor`."""
        if self._storage is None:
            return None
        try:
            if problem := await self._storage.check():
                return problem
            await check_owner(self._records, self._storage)
        except StorageError as error:
            return str(error)
        return None

    def _warn_of_versions(self) -> None:
        if self._object_storage.keeps_versions and not self._warned:
            self._warned = True
            log.warning("the bucket of the archive has versioning: it keeps texts that are retracted")

    async def _write_all(self, articles: Sequence[OldVersions]) -> list[tuple[OldVersions, list[Pointer]]]:
        slots = asyncio.Semaphore(CONCURRENT_WRITES)

        async def write(article: str, number: int, document: bytes) -> Pointer:
            packed = compressed(document)
            pointer = Pointer.to(packed, unpacked_size(packed))
            async with slots, asyncio.timeout(WRITE_SECONDS):
                await self._object_storage.write(pointer.path(article, number), packed)
            return pointer

        async def write_versions(found: OldVersions) -> tuple[OldVersions, list[Pointer]]:
            written = [await write(found.article, version.number, version.document) for version in found.versions]
            return found, written

        return await asyncio.gather(*map(write_versions, articles))

    @property
    def _object_storage(self) -> ObjectStorage:
        if self._storage is None:
            raise StorageError("NEWSWIRE_ARCHIVE_URL is not set")
        return self._storage
