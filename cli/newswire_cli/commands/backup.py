"""`newswire backup`: writes everything that an installation stores into one file, while it runs."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from newswire_cli.client.redis import DataDir, data_folder, with_stores
from newswire_cli.terminal.console import fail, say
from newswire_operations.stores import Stores

STANDARD_STREAM = "-"
"""Given instead of a file: standard output or standard input."""
File = Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False)]


def backup(
    file: File,
    data_dir: DataDir = None,
    with_media: Annotated[
        bool | None,
        typer.Option(
            "--with-media/--without-media",
            help="Whether it has the images too.",
            show_default="with those of a folder, without those of a bucket",
        ),
    ] = None,
    with_archive: Annotated[
        bool, typer.Option("--with-archive", help="Also read the texts that were moved to the archive.")
    ] = False,
) -> None:
    """Write a backup of everything into a new file, or to standard output (-), while Newswire works."""
    if str(file) == STANDARD_STREAM:
        _to_standard_output(data_dir, with_media, with_archive)
        return
    if file.exists():
        fail(f"{file} exists already; name a new file")
    count = _write(file, file.name, data_dir, with_media, with_archive, lambda unfinished: unfinished.rename(file))
    say(f"{count} records are in {file}, {file.stat().st_size / 1e6:.1f} MB")


def _to_standard_output(data_dir: Path | None, with_media: bool | None, with_archive: bool) -> None:
    """Write the backup to standard output, for a program that encrypts or transfers it."""
    if sys.stdout.isatty():
        fail("a backup is not text for a terminal; name a file, or use a pipe: newswire backup - | age -r … > FILE")

    def copy(unfinished: Path) -> None:
        with unfinished.open("rb") as written:
            shutil.copyfileobj(written, sys.stdout.buffer)
        sys.stdout.buffer.flush()

    with private_folder() as folder:
        count = _write(folder / "backup", "standard output", data_dir, with_media, with_archive, copy)
    print(f"{count} records are written", file=sys.stderr)


@contextmanager
def private_folder() -> Iterator[Path]:
    """Create a temporary folder that only its owner can read, for a backup in a pipe, and remove it at the end."""
    try:
        with tempfile.TemporaryDirectory(prefix="newswire-backup-") as folder:
            yield Path(folder)
    except OSError as error:
        fail(f"cannot write in the temporary folder, which TMPDIR names: {error.strerror or error}")


def _write(
    file: Path,
    label: str,
    data_dir: Path | None,
    with_media: bool | None,
    with_archive: bool,
    publish: Callable[[Path], object],
) -> int:
    """Write temporary files next to a file, pass the finished one to ``publish``, and return the number of records."""
    draft, unfinished = (file.with_name(f"{file.name}.{part}") for part in ("reading", "unfinished"))

    async def work(stores: Stores) -> int:
        from newswire.object_storage.storage import StorageError
        from newswire.observability.audit import COMMAND_LINE, Act, record
        from newswire.storage.document_archive import RETRY_PAUSES_OF_COMMANDS, DocumentUnavailableError, open_archive
        from newswire_ingest.backup.images import ImageSource
        from newswire_ingest.media.composition import media_storage
        from newswire_ingest.settings import IngestSettings
        from newswire_operations.backup.write import write_backup

        settings = IngestSettings(data_dir=data_folder(data_dir).resolve())
        wanted = settings.media_s3_bucket is None if with_media is None else with_media
        images = ImageSource(media_storage(settings)) if wanted else None
        try:
            archive = open_archive(settings, RETRY_PAUSES_OF_COMMANDS) if with_archive else None
            count = await write_backup(stores, draft, unfinished, show_progress, images, archive)
            publish(unfinished)
        except DocumentUnavailableError as error:
            fail(f"an article cannot be read: {error}; without --with-archive, the texts stay in the archive")
        except StorageError as error:
            fail(f"the images cannot be read: {error}; --without-media leaves them out")
        except OSError as error:
            fail(f"cannot write {label}: {error.strerror or error}")
        if images is not None and images.missing:
            missing = f"{len(images.missing)} images are missing in the folder or bucket, and in the backup"
            print(f"{missing}: `newswire media check` names them", file=sys.stderr)
        await record(stores.redis, stores.keys, COMMAND_LINE, Act.BACKUP_MADE, "backup", label, records=count)
        return count

    try:
        return with_stores(data_dir, work, writes=True)
    finally:
        for path in (draft, unfinished):
            path.unlink(missing_ok=True)


@contextmanager
def show_progress(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar; the result adds one record."""
    from newswire_cli.terminal.progress import Progress

    with Progress(title, total) as progress:
        yield progress.advance
