"""`newswire backup`: all that an installation keeps, in one file, while it works."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from newswire_cli.console import fail, say
from newswire_cli.store import Store, with_store

if TYPE_CHECKING:
    from newswire.storage.backup_file import ArchiveWriter
    from newswire_ingest.backup.backup import ArticleBackup

PAGE = 500
STANDARD_STREAM = "-"
"""Instead of a file: standard output or input."""
GROUP_OF_NOTIFY = "notify"
_READ_OTHERWISE = frozenset(
    "article articles audit external stream checkpoint dead-letters rate index reindex unindexed-retractions"
    " last-erasure disk-erasure"
    " labels:category labels:topic labels:forms labels:spelled labels:of labels:spellings".split()
)
"""Records that are read in another way, made anew, or of the moment."""
Advance = Callable[[], None]


def back_up(file: Path, data_dir: Path | None) -> None:
    """Write all that is kept into a new file, or end the command with one line that says why not."""
    if str(file) == STANDARD_STREAM:
        _to_standard_output(data_dir)
        return
    if file.exists():
        fail(f"{file} exists already; name a new file")
    count = _make(file, file.name, data_dir, lambda unfinished: unfinished.rename(file))
    say(f"{count} records are in {file}, {file.stat().st_size / 1e6:.1f} MB")


def _to_standard_output(data_dir: Path | None) -> None:
    """Write the backup to standard output, for a program that encrypts it or takes it away."""
    if sys.stdout.isatty():
        fail("a backup is no text for a terminal; name a file, or send it on: newswire backup - | age -r … > FILE")

    def copy(unfinished: Path) -> None:
        with unfinished.open("rb") as written:
            shutil.copyfileobj(written, sys.stdout.buffer)
        sys.stdout.buffer.flush()

    with private_folder() as folder:
        count = _make(folder / "backup", "standard output", data_dir, copy)
    print(f"{count} records are written", file=sys.stderr)


@contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder for what passes through a pipe, where TMPDIR says, readable only by its owner, and remove it at the end."""
    try:
        with tempfile.TemporaryDirectory(prefix="newswire-backup-") as folder:
            yield Path(folder)
    except OSError as error:
        fail(f"cannot write in the temporary folder, which TMPDIR names: {error.strerror or error}")


def _make(file: Path, called: str, data_dir: Path | None, hand_over: Callable[[Path], object]) -> int:
    """Write drafts beside a file, hand the whole one over, and return how many records it has."""
    reading, unfinished = (file.with_name(f"{file.name}.{part}") for part in ("reading", "unfinished"))

    async def work(store: Store) -> int:
        from newswire.observability.audit import COMMAND_LINE, Act, record

        try:
            count = await _write(store, reading, unfinished)
            hand_over(unfinished)
        except OSError as error:
            fail(f"cannot write {called}: {error.strerror or error}")
        await record(store.redis, store.keys, COMMAND_LINE, Act.BACKUP_MADE, "backup", called, records=count)
        return count

    try:
        return with_store(data_dir, work)
    finally:
        for draft in (reading, unfinished):
            draft.unlink(missing_ok=True)


async def _write(store: Store, reading: Path, unfinished: Path) -> int:
    """Read everything, then leave out what was replaced or erased while it was read."""
    from newswire.storage.backup_file import ArchiveWriter, read_archive
    from newswire_ingest.backup.backup import ArticleBackup

    articles = ArticleBackup(store.redis, store.keys, GROUP_OF_NOTIFY)
    total = await store.redis.zcard(store.keys.articles)
    with ArchiveWriter(reading) as draft, progress("reading", total) as advance:
        await _read(store, articles, draft, advance)
    header, records = read_archive(reading)
    with ArchiveWriter(unfinished, header) as archive:
        for record in records:
            if articles.keeps(record):
                archive.write(record)
    return archive.records


async def _read(store: Store, articles: "ArticleBackup", archive: "ArchiveWriter", advance: Advance) -> None:
    from newswire_cli.audit_records import audit_records
    from newswire_cli.plain_records import all_but, named
    from newswire_notify.subscriptions.backup import TRANSIENT, deliveries, unfinished

    async for record in articles.articles():
        archive.write(record)
        advance()
    for which, (redis, keys) in store.places.items():
        async for record in all_but(redis, keys, _READ_OTHERWISE | TRANSIENT):
            archive.write(record | {"store": which})
    async for record in audit_records(store.redis, store.keys):
        archive.write(record)
    async for record in articles.entries():
        archive.write(record)
    # Who was told of an article is read once more where the stream has moved on since.
    told = [store.keys.deliveries.key("told", article) for article in sorted(articles.last_reading)]
    for at in range(0, len(told), PAGE):
        for record in await named(store.deliveries, store.keys.deliveries, told[at : at + PAGE]):
            archive.write(record | {"store": "deliveries"})
    for record in await named(store.deliveries, store.keys.deliveries, await unfinished(store.deliveries, store.keys)):
        archive.write(record | {"store": "deliveries"})
    async for record in deliveries(store.deliveries, store.keys):
        archive.write(record)


@contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """Show how far it is, on the terminal of those who have one."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
