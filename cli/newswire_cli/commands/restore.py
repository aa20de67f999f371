"""`newswire restore`: restores a backup into an empty installation."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from newswire_cli.client.redis import DataDir, data_folder, names_redis, with_stores
from newswire_cli.commands.backup import STANDARD_STREAM, File, private_folder, show_progress
from newswire_cli.terminal.console import fail, say
from newswire_operations.stores import Stores


def restore(file: File, data_dir: DataDir = None) -> None:
    """Restore a backup (or standard input: -) into an empty installation: a fresh server or a new data folder."""
    if str(file) != STANDARD_STREAM:
        if not file.exists():
            fail(f"there is no file {file}", code=2)
        _restore(file, file.name, data_dir)
        return
    if sys.stdin.isatty():
        fail("name a file, or use a pipe: age -d … FILE | newswire restore -")
    with private_folder() as folder:
        received = folder / "standard-input"
        with os.fdopen(os.open(received, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        _restore(received, "standard input", data_dir)


def _restore(file: Path, label: str, data_dir: Path | None) -> None:
    from newswire.storage.backup_file import BackupUnreadableError
    from newswire_operations.backup.restore import inspect_backup

    try:
        contents = inspect_backup(file)
    except (BackupUnreadableError, OSError) as error:
        fail(str(error))

    async def work(stores: Stores) -> tuple[int, int]:
        from newswire.observability.audit import COMMAND_LINE, Act, record
        from newswire_ingest.media.composition import media_storage
        from newswire_ingest.settings import IngestSettings
        from newswire_notify.newsletters.backup import attach_subscribers
        from newswire_notify.subscriptions.backup import attach_subscriptions
        from newswire_operations.backup.restore import delete_everything, is_empty, restore_backup

        images = media_storage(IngestSettings(data_dir=data_folder(data_dir).resolve()))
        if not await is_empty(stores):
            fail(
                f"{stores.keys.namespace} is not empty: restore into a fresh server, or under another NEWSWIRE_NAMESPACE"
            )
        try:
            with show_progress("restoring", contents.records) as advance:
                await restore_backup(stores, file, advance, images)
            details = {"records": contents.records, "articles": contents.articles}
            await record(stores.redis, stores.keys, COMMAND_LINE, Act.BACKUP_RESTORED, "backup", label, **details)
            subscriptions = await attach_subscriptions(stores.deliveries, stores.keys)
            return subscriptions, await attach_subscribers(stores.deliveries, stores.keys)
        except BaseException:
            await delete_everything(stores)
            raise

    with ExitStack() as stack:
        if data_dir is not None or not names_redis():
            stack.enter_context(_own_server(data_dir))
        subscriptions, readers = with_stores(data_dir, work, writes=True)
    say(
        f"{contents.articles} articles and {subscriptions} subscriptions are restored, {contents.images} images, and"
        f" {readers} newsletter subscribers;"
        " the search service indexes the articles when it starts"
    )


@contextmanager
def _own_server(data_dir: Path | None) -> Iterator[None]:
    """Run the embedded server of a data folder that no `newswire run` uses."""
    from newswire_cli.local.data_dir import DataFolderInUseError, lock_data_folder
    from newswire_cli.local.valkey import ValkeyError, embedded_valkey

    folder = data_folder(data_dir)
    os.umask(0o077)  # as in `newswire run`
    try:
        with lock_data_folder(folder), embedded_valkey(folder.resolve()):
            yield
    except DataFolderInUseError:
        fail(f"`newswire run` is running on {folder}; restore into another folder")
    except ValkeyError as error:
        fail(str(error))
