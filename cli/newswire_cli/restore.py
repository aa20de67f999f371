"""`newswire restore`: an empty installation gets all that a backup holds."""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from newswire_cli.backup import STANDARD_STREAM, Advance, private_folder, progress
from newswire_cli.console import fail, say
from newswire_cli.store import Store, folder_of, with_store

if TYPE_CHECKING:
    from newswire.storage.backup_file import Record

PAGE = 500
T = TypeVar("T")


def restore(file: Path, data_dir: Path | None) -> None:
    """Put all that a file, or standard input, holds into an empty installation."""
    if str(file) != STANDARD_STREAM:
        _restore(file, file.name, data_dir)
        return
    if sys.stdin.isatty():
        fail("name a file, or send a backup here: age -d … FILE | newswire restore -")
    with private_folder() as folder:
        received = folder / "standard-input"
        with os.fdopen(os.open(received, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        _restore(received, "standard input", data_dir)


def _restore(file: Path, called: str, data_dir: Path | None) -> None:
    from newswire.storage.backup_file import BackupUnreadableError

    try:
        totals = _examine(file)
    except (BackupUnreadableError, OSError) as error:
        fail(str(error))

    async def work(store: Store) -> int:
        from newswire.observability.audit import COMMAND_LINE, Act, record
        from newswire_notify.subscriptions.backup import attach_subscriptions

        if await _anything(store):
            fail(
                f"{store.keys.namespace} is not empty: restore into a fresh server, or under another NEWSWIRE_NAMESPACE"
            )
        try:
            with progress("restoring", totals["records"]) as advance:
                await _restore_all(store, file, advance)
            details = {"records": totals["records"], "articles": totals["articles"]}
            await record(store.redis, store.keys, COMMAND_LINE, Act.BACKUP_RESTORED, "backup", called, **details)
            return await attach_subscriptions(store.deliveries, store.keys)
        except BaseException:
            await _empty(store)
            raise

    with ExitStack() as stack:
        if data_dir is not None or not os.environ.get("NEWSWIRE_REDIS_URL"):
            stack.enter_context(_own_server(data_dir))
        subscriptions = with_store(data_dir, work)
    say(
        f"{totals['articles']} articles and {subscriptions} subscriptions are there; search indexes them when it is started"
    )


def _examine(file: Path) -> dict[str, int]:
    """Read a whole backup without doing anything; return how many records and articles it holds."""
    from newswire.storage.backup_file import read_archive

    totals = {"records": 0, "articles": 0}
    _, records = read_archive(file)
    for record in records:
        totals["records"] += 1
        totals["articles"] += record["record"] == "article"
    return totals


async def _restore_all(store: Store, file: Path, advance: Advance) -> None:
    from newswire.settings import Settings
    from newswire.storage.backup_file import read_archive
    from newswire_cli.audit_records import restore_audit
    from newswire_cli.plain_records import put_back
    from newswire_ingest.backup.restore import (
        restore_articles,
        restore_entries,
        restore_old_events,
        restore_position,
    )
    from newswire_notify.subscriptions.backup import restore_deliveries

    def records(*kinds: str) -> Iterator["Record"]:
        return (record for record in read_archive(file)[1] if record["record"] in kinds)

    def counted(found: Iterable["Record"]) -> Iterator["Record"]:
        for record in found:
            advance()
            yield record

    standings = []
    for page in _pages(counted(records("article"))):
        standings += await restore_articles(store.redis, store.keys, page)
    for page in _pages(counted(records("key"))):
        await put_back(store, page)
    for page in _pages(counted(records("audit"))):
        await restore_audit(store.redis, store.keys, page)
    await restore_old_events(store.redis, store.keys, standings, records("entry"), Settings().site)
    for page in _pages(counted(records("entry"))):
        await restore_entries(store.redis, store.keys, page)
    for position in counted(records("position")):
        await restore_position(store.redis, store.keys, position)
    for page in _pages(counted(records("delivery"))):
        await restore_deliveries(store.deliveries, store.keys, page)


async def _anything(store: Store) -> bool:
    for redis, keys in store.places.values():
        async for _ in redis.scan_iter(keys.key("*"), count=PAGE):
            return True
    return False


async def _empty(store: Store) -> None:
    """Take away what a restore that failed has written: the namespace was empty before."""
    for redis, keys in store.places.values():
        names = [name async for name in redis.scan_iter(keys.key("*"), count=PAGE)]
        for page in _pages(names):
            await redis.unlink(*page)


@contextmanager
def _own_server(data_dir: Path | None) -> Iterator[None]:
    """Run the embedded server of a data folder on which no `newswire run` works."""
    from newswire_cli.datadir import InUse, only_process_on
    from newswire_cli.valkey import ValkeyFailed, embedded_valkey

    folder = folder_of(data_dir)
    os.umask(0o077)  # as `newswire run` has it
    try:
        with only_process_on(folder), embedded_valkey(folder.resolve()):
            yield
    except InUse:
        fail(f"`newswire run` works on {folder}; restore into a folder of its own")
    except ValkeyFailed as error:
        fail(str(error))


def _pages(items: Iterable[T]) -> Iterator[list[T]]:
    left = iter(items)
    while page := list(islice(left, PAGE)):
        yield page
