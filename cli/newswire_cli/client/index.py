"""Connections of commands to the search index together with Redis.

A command works on Elasticsearch itself, whatever else is running. An embedded index belongs to the process that has it open: the
command asks that process to do the work. If no process has it open, the command opens the index, and starts the embedded Valkey
if no `newswire run` uses the data folder.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from newswire.messaging.messages import DependencyUnavailableError
from newswire.settings import SettingsError
from newswire_cli.client.redis import data_folder, names_redis, with_stores
from newswire_cli.local.data_dir import DataFolderInUseError, lock_data_folder
from newswire_cli.local.valkey import ValkeyError, embedded_valkey
from newswire_cli.terminal.console import fail, settings_problem
from newswire_operations.stores import Stores
from newswire_search.app import index_admin_for, open_index
from newswire_search.index.admin import IndexAdmin
from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.index.models import IndexInUseError
from newswire_search.maintenance.reindex_state import ReindexInProgressError
from newswire_search.maintenance.reindexing import IndexVerificationError
from newswire_search.settings import SearchSettings

T = TypeVar("T")

POLL_INTERVAL_SECONDS = 0.3
NO_PROGRESS_SECONDS = 20.0
"""After so long without progress, no process is doing the work that the command asked for."""


@dataclass(frozen=True, slots=True)
class OpenedIndex:
    """An index that a command has opened; ``read_only`` if another process has it open."""

    settings: SearchSettings
    admin: IndexAdmin
    read_only: bool = False


def with_index(data_dir: Path | None, work: Callable[[Stores, OpenedIndex], Awaitable[T]]) -> T:
    """Call a function with open stores and index and return its result, or end the command with one line about the error."""
    try:
        if data_dir is None and names_redis():
            return _with_both(None, SearchSettings(), work)
        folder = data_folder(data_dir).resolve()
        settings = SearchSettings(index="embedded", data_dir=folder)
    except (ValidationError, SettingsError) as error:
        fail(settings_problem(error))
    if not folder.is_dir():
        fail(f"there is no folder {folder}; name another one by --data-dir, or a server by NEWSWIRE_REDIS_URL")
    try:
        with lock_data_folder(folder), embedded_valkey(folder):
            return _with_both(folder, settings, work)
    except DataFolderInUseError:  # a `newswire run` uses it, and its embedded Valkey can be reached
        return _with_both(folder, settings, work)
    except ValkeyError as error:
        fail(str(error))


def _with_both(folder: Path | None, settings: SearchSettings, work: Callable[[Stores, OpenedIndex], Awaitable[T]]) -> T:
    async def with_opened(stores: Stores) -> T:
        try:
            async with open_for_command(settings) as index:
                return await work(stores, index)
        except ReindexInProgressError:
            fail("another `newswire reindex` is running")
        except IndexVerificationError as error:
            fail(f"the new index is not activated: {error}")
        except DependencyUnavailableError as error:
            fail(str(error))

    return with_stores(folder, with_opened)


@asynccontextmanager
async def open_for_command(settings: SearchSettings, *, read_only: bool = False) -> AsyncIterator[OpenedIndex]:
    """Open the index; read-only if asked for, or if another process has it open."""
    if not read_only:
        try:
            index = await open_index(settings)
        except IndexInUseError:
            read_only = True
    if read_only:
        index = await asyncio.to_thread(EmbeddedIndex, settings.data_dir / "index", read_only=True)
    try:
        yield OpenedIndex(settings, index_admin_for(index), read_only)
    finally:
        await index.close()
