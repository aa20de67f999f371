"""`newswire archive`: move the texts of old versions out of Redis now, show the archive in numbers, and check what is in it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from newswire_cli.client.redis import DataDir, data_folder, with_stores
from newswire_cli.terminal.console import fail, say
from newswire_cli.terminal.json_output import Json, print_json
from newswire_operations.stores import Stores

if TYPE_CHECKING:
    from newswire_ingest.archive.models import ArchiveState
    from newswire_ingest.settings import IngestSettings

app = typer.Typer(help="Keep the texts of old versions in a folder or a bucket.", no_args_is_help=True)
CHECK_PAGE_SIZE = 500


@app.command()
def run(data_dir: DataDir = None) -> None:
    """Move texts that are older than NEWSWIRE_ARCHIVE_AFTER_DAYS to the archive now, instead of within a day."""

    async def work(stores: Stores) -> int:
        import asyncio

        from newswire.object_storage.storage import StorageError
        from newswire_cli.terminal.progress import Progress
        from newswire_ingest.archive.archiver import ArchiveBusyError
        from newswire_ingest.archive.composition import archiver

        own = archiver(stores.redis, stores.keys, _settings(data_dir))
        try:
            with Progress("archiving", await stores.redis.zcard(stores.keys.articles)) as progress:
                return await own.run(lambda seen, _: progress.update(seen), asyncio.Event())
        except (ArchiveBusyError, StorageError) as error:
            fail(str(error))

    say(f"{with_stores(data_dir, work):,} texts were moved to the archive")


@app.command()
def status(json: Json = False, data_dir: DataDir = None) -> None:
    """Show how many texts are in the archive, and how many retracted articles are still to be deleted there."""

    async def work(stores: Stores) -> "ArchiveState":
        from newswire_ingest.archive.repository import ArchiveRepository

        return await ArchiveRepository(stores.redis, stores.keys).state()

    found = with_stores(data_dir, work)
    ended = datetime.fromtimestamp(found.last_pass.ended / 1000, UTC).isoformat(timespec="seconds")
    searched = ended if found.last_pass.ended else None
    if json:
        numbers = {"documents": found.documents, "bytes": found.bytes, "erasures": found.erasures}
        print_json({**numbers, "searched_at": searched, "searching": found.last_pass.since is not None})
        return
    say(f"{found.documents:,} texts are in the archive, {found.bytes / 1e6:,.1f} MB")
    say(f"{found.erasures:,} retracted articles are to be deleted there")
    say(f"old texts were last searched for at {searched}" if searched else "old texts were not searched for yet")


@app.command()
def adopt(data_dir: DataDir = None) -> None:
    """Make the archive that of this installation: after a restore, where this one takes the place of another.

    The other one can write and delete nothing in it from then on.
    """

    async def work(stores: Stores) -> str:
        from newswire.object_storage.storage import StorageError
        from newswire.observability.audit import COMMAND_LINE, Act, record
        from newswire_ingest.archive.composition import archiver

        settings = _settings(data_dir)
        try:
            await archiver(stores.redis, stores.keys, settings).adopt()
        except StorageError as error:
            fail(str(error))
        address = str(settings.archive_url)
        await record(stores.redis, stores.keys, COMMAND_LINE, Act.ARCHIVE_ADOPTED, "archive", address)
        return address

    say(f"{with_stores(data_dir, work, writes=True)} belongs to this installation now")


@app.command()
def check(data_dir: DataDir = None) -> None:
    """Read every archived text, and compare its SHA-256: after a restore, for example.

    Ends with exit code 1 if one is missing or changed.
    """

    async def work(stores: Stores) -> tuple[int, list[str]]:
        from newswire.storage.document_archive import RETRY_PAUSES_OF_COMMANDS, open_archive
        from newswire_ingest.archive.repository import ArchiveRepository

        records = ArchiveRepository(stores.redis, stores.keys)
        archive = open_archive(_settings(data_dir), RETRY_PAUSES_OF_COMMANDS)
        checked = 0
        lost: list[str] = []
        async for ids, _ in records.pages(CHECK_PAGE_SIZE, None):
            found = await records.pointers(ids)
            versions = [(article, number) for article, number, _ in found]
            read = await archive.resolve_all(versions, [pointer for *_, pointer in found])
            checked += len(read)
            lost += [
                f"{article} version {number}"
                for (article, number), text in zip(versions, read, strict=True)
                if not text
            ]
        return checked, lost

    checked, lost = with_stores(data_dir, work)
    for each in lost:
        say(f"missing or changed  {each}")
    if lost:
        fail(
            f"of {checked:,} texts, {len(lost)} are missing or changed; restore them from a copy, or retract the articles"
        )
    say(f"{checked:,} texts are there and unchanged")


def _settings(data_dir: Path | None) -> "IngestSettings":
    from newswire_ingest.settings import IngestSettings

    settings = IngestSettings(data_dir=data_folder(data_dir).resolve())
    if settings.archive_url is None:
        fail("NEWSWIRE_ARCHIVE_URL is not set: there is no archive")
    return settings
