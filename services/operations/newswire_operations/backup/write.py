"""Writes a backup while the installation works."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from newswire.storage.backup_file import ArchiveWriter, read_archive
from newswire.storage.document_archive import DocumentArchive
from newswire_ingest.backup.backup import ArticleBackup
from newswire_ingest.backup.images import ImageSource, read_images
from newswire_ingest.media.repository import MediaRepository
from newswire_notify.newsletters.backup import READ_LAST, REBUILT, read_last
from newswire_notify.subscriptions.backup import TRANSIENT, deliveries, unfinished
from newswire_operations.backup.audit_log import read_audit_log
from newswire_operations.backup.redis_records import read_all_except, read_keys
from newswire_operations.stores import Stores

PAGE_SIZE = 500
NOTIFY_GROUP = "notify"
_EXCLUDED = frozenset(
    "article articles audit external stream checkpoint dead-letters rate index reindex unindexed-retractions"
    " last-erasure disk-erasure session sessions one-time-link passkey-challenge sign-in-attempt sign-in-attempts"
    " sign-in-failures user-mails password-mails"
    " archive:lease archive:owner archive:pass archive:writing"
    " import imports labels:category labels:topic labels:forms labels:spelled labels:of labels:spellings".split()
)
"""Keys that are read in another way, rebuilt by a restore, or short-lived."""
Advance = Callable[[], None]
ShowProgress = Callable[[str, int], AbstractContextManager[Advance]]
"""Opens a progress bar with a title and a total; the result is called once per record."""


async def write_backup(
    stores: Stores,
    draft: Path,
    target: Path,
    show_progress: ShowProgress,
    images: ImageSource | None = None,
    old_texts: DocumentArchive | None = None,
) -> int:
    """Read everything into a draft, then write the target without what was replaced or erased meanwhile.

    ``images``: where the images are whose bytes are to be in the backup; None to leave them out. ``old_texts``: the same of the
    texts of old versions; without it, the backup names them.

    Returns the number of records in the target. Removing the draft is up to the caller.
    """
    articles = ArticleBackup(stores.redis, stores.keys, NOTIFY_GROUP, archive=old_texts)
    total = await stores.redis.zcard(stores.keys.articles)
    with ArchiveWriter(draft) as archive, show_progress("reading", total) as advance:
        await _read(stores, articles, archive, advance)
        if images is not None:
            async for image in read_images(MediaRepository(stores.redis, stores.keys), images):
                archive.write(image)
    header, records = read_archive(draft)
    with ArchiveWriter(target, header) as archive:
        for record in records:
            if articles.keeps(record):
                archive.write(record)
    return archive.records


async def _read(stores: Stores, articles: ArticleBackup, archive: ArchiveWriter, advance: Advance) -> None:
    async for record in articles.articles():
        archive.write(record)
        advance()
    for which, (redis, keys) in stores.by_name.items():
        # A restored installation has in Redis what a backup takes from the archive.
        excluded = _EXCLUDED if articles.archive is None else _EXCLUDED | {"archive:totals"}
        async for record in read_all_except(redis, keys, excluded | TRANSIENT | REBUILT | frozenset(READ_LAST)):
            archive.write(record | {"store": which})
    async for record in read_audit_log(stores.redis, stores.keys):
        archive.write(record)
    async for record in articles.entries():
        archive.write(record)
    await _read_deliveries(stores, articles, archive)


async def _read_deliveries(stores: Stores, articles: ArticleBackup, archive: ArchiveWriter) -> None:
    redis, keys = stores.deliveries, stores.keys.deliveries
    # The recipients of an article that changed during the backup are read a second time.
    recipients = [keys.key("article_recipients", article) for article in sorted(articles.last_reading)]
    for start in range(0, len(recipients), PAGE_SIZE):
        for record in await read_keys(redis, keys, recipients[start : start + PAGE_SIZE]):
            archive.write(record | {"store": "deliveries"})
    for record in await read_keys(redis, keys, await unfinished(redis, stores.keys)):
        archive.write(record | {"store": "deliveries"})
    async for record in deliveries(redis, stores.keys):
        archive.write(record)
    async for names in read_last(redis, stores.keys):
        for record in await read_keys(redis, keys, names):
            archive.write(record | {"store": "deliveries"})
