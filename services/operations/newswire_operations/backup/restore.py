"""Restores a backup into an empty installation."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from newswire.object_storage.storage import ObjectStorage
from newswire.settings import Settings
from newswire.storage.backup_file import Record, read_archive
from newswire_ingest.backup.images import restore_image
from newswire_ingest.backup.restore import restore_articles, restore_entries, restore_old_events, restore_position
from newswire_notify.subscriptions.backup import current_record, restore_deliveries
from newswire_operations.backup.audit_log import restore_audit_log
from newswire_operations.backup.redis_records import restore_keys
from newswire_operations.backup.write import Advance
from newswire_operations.stores import Stores

PAGE_SIZE = 500
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BackupContents:
    """The contents of a backup, in numbers."""

    records: int
    articles: int
    images: int = 0
    """Images whose bytes it has."""


def inspect_backup(file: Path) -> BackupContents:
    """Read a whole backup without restoring anything.

    Raises:
        newswire.storage.backup_file.BackupUnreadableError: it is no backup, or corrupted.
        OSError: the file cannot be read.
    """
    records = articles = images = 0
    for record in read_archive(file)[1]:
        records += 1
        articles += record["record"] == "article"
        images += record["record"] == "image"
    return BackupContents(records, articles, images)


async def is_empty(stores: Stores) -> bool:
    """Return whether the namespace has no keys, in either store."""
    for redis, keys in stores.by_name.values():
        async for _ in redis.scan_iter(keys.key("*"), count=PAGE_SIZE):
            return False
    return True


async def delete_everything(stores: Stores) -> None:
    """Delete every key of the namespace: what a failed restore has written into an empty installation."""
    for redis, keys in stores.by_name.values():
        names = [name async for name in redis.scan_iter(keys.key("*"), count=PAGE_SIZE)]
        for page in _pages(names):
            await redis.unlink(*page)


async def restore_backup(stores: Stores, file: Path, advance: Advance, images: ObjectStorage | None = None) -> None:
    """Write the contents of a backup; ``advance`` is called once per record, and ``images`` takes the bytes of images, if any."""

    def records(*kinds: str) -> Iterator[Record]:
        return (record for record in read_archive(file)[1] if record["record"] in kinds)

    def counted(found: Iterable[Record]) -> Iterator[Record]:
        for record in found:
            advance()
            yield record

    for image in counted(records("image")):
        if images is not None:
            await restore_image(images, image)
    restored = []
    for page in _pages(counted(records("article"))):
        restored += await restore_articles(stores.redis, stores.keys, page)
    for page in _pages(counted(records("key"))):
        await restore_keys(stores, list(map(current_record, page)))
    for page in _pages(counted(records("audit"))):
        await restore_audit_log(stores.redis, stores.keys, page)
    await restore_old_events(stores.redis, stores.keys, restored, records("entry"), Settings().site)
    for page in _pages(counted(records("entry"))):
        await restore_entries(stores.redis, stores.keys, page)
    for position in counted(records("position")):
        await restore_position(stores.redis, stores.keys, position)
    for page in _pages(counted(records("delivery"))):
        await restore_deliveries(stores.deliveries, stores.keys, page)


def _pages(items: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(items)
    while page := list(islice(remaining, PAGE_SIZE)):
        yield page
