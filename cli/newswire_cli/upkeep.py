"""`newswire reindex` and `newswire verify`: a new index from the records, and whether the index says what they say.

On Elasticsearch the command does the work itself, whatever else is running. An embedded index belongs to the process that has
it open: that one is asked to do it. Where none has, the command opens it, and where no `newswire run` works on the folder, the
store as well.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from pydantic import ValidationError

from newswire.messaging.messages import DependencyUnavailableError
from newswire_cli.console import fail, say, settings_problem
from newswire_cli.datadir import InUse, only_process_on
from newswire_cli.progress import Progress
from newswire_cli.store import Store, folder_of, with_store
from newswire_cli.valkey import ValkeyFailed, embedded_valkey
from newswire_search.app import index_admin_for, open_index
from newswire_search.index.admin import IndexAdmin
from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.index.port import IndexInUseError
from newswire_search.maintenance.reindexing import (
    IndexVerificationError,
    ReindexInProgressError,
    abandon,
    read_progress,
    reindex,
    request_reindex,
)
from newswire_search.maintenance.verification import Comparison, VerificationReport, verify
from newswire_search.settings import SearchSettings

T = TypeVar("T")

SECONDS_BETWEEN_LOOKS = 0.3
UNHEARD_SECONDS = 20.0
"""After so long without a sign, nobody takes up what is asked."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An index as this command has it; only to be read where another process has it open."""

    settings: SearchSettings
    upkeep: IndexAdmin
    read_only: bool = False


def make_new_index(data_dir: Path | None) -> None:
    """Make a new index and put it in place, or take up what was broken off."""

    async def work(store: Store, opened: Opened) -> None:
        if opened.read_only:
            await _ask_for_it(store)
        else:
            with _Phases() as phases:
                result = await reindex(store.redis, store.keys, opened.upkeep, phases.at)
            for article in sorted(result.rejected):
                say(f"the index can never take {article}; `newswire verify` will call it missing")
        total = await store.redis.zcard(store.keys.articles)
        async with _opened(opened.settings, read_only=opened.read_only) as now:
            say(f"{await now.upkeep.in_use()} is in use, made from {total:,} articles on record")
            for name in await now.upkeep.unused():
                say(f"{name} is kept; `newswire reindex --drop-old` makes room")

    _with_index(data_dir, work)


def give_up(data_dir: Path | None) -> None:
    """Give up a new index that was begun and not ended."""

    async def work(store: Store, opened: Opened) -> None:
        if opened.read_only:
            fail("the process that has the index open is at it; stop that process first")
        name = await abandon(store.redis, store.keys, opened.upkeep)
        say(f"{name} is gone; the index in use is as it was" if name else "nothing was under way")

    _with_index(data_dir, work)


def drop_old(data_dir: Path | None) -> None:
    """Delete the indexes that are not in use."""

    async def work(store: Store, opened: Opened) -> None:
        if await read_progress(store.redis, store.keys) is not None:
            fail("a new index is being made: `newswire reindex` ends that, `newswire reindex --abandon` gives it up")
        if trouble := await opened.upkeep.mismatch():
            fail(trouble)
        names = await opened.upkeep.unused()
        for name in names:
            await opened.upkeep.drop(name)
            say(f"{name} is gone")
        if not names:
            say("there is no old index")

    _with_index(data_dir, work)


def compare(data_dir: Path | None, *, mend: bool) -> bool:
    """Compare the index with the records and say what differs; return whether all is well now."""

    async def work(store: Store, opened: Opened) -> VerificationReport:
        comparison = Comparison(store.redis, store.keys, opened.upkeep)

        async def ask(ids: Sequence[str]) -> None:
            await store.redis.sadd(store.keys.index_repair_queue, *ids)
            await _until_gone(store, store.keys.index_repair_queue)

        total = await store.redis.zcard(store.keys.articles)
        with Progress("comparing", total) as progress:
            return await verify(
                comparison, progress.at, (ask if opened.read_only else comparison.repair) if mend else None
            )

    report = _with_index(data_dir, work)
    for difference in report.shown:
        say(str(difference))
    if report.left > len(report.shown):
        say(f"… and {report.left - len(report.shown):,} more")
    kinds = ", ".join(f"{count:,} {wrong}" for wrong, count in sorted(report.found.items()))
    mended = f"; {report.repaired:,} mended" if mend and report.found else ""
    say(f"{report.compared:,} articles on record: {kinds or 'the index says the same'}{mended}")
    return report.left == 0


async def _ask_for_it(store: Store) -> None:
    """Have the process that has the index open make the new one, and watch."""
    await request_reindex(store.redis, store.keys)
    heard, last = time.monotonic(), None
    with _Phases() as phases:
        while (progress := await read_progress(store.redis, store.keys)) is not None:
            if progress.error:
                fail(f"{progress.error}; it is tried again while that process runs")
            if progress.target:
                phases.at(progress.phase, progress.done, progress.total)
            if progress != last:
                heard, last = time.monotonic(), progress
            working = await store.redis.exists(f"{store.keys.reindex}:lock")
            if not working and time.monotonic() - heard > UNHEARD_SECONDS:
                fail("the process that has the index open does not take it up")
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)


async def _until_gone(store: Store, key: str) -> None:
    """Wait until another process has dealt with a set of things to do."""
    heard, left = time.monotonic(), -1
    while size := await store.redis.scard(key):
        if size != left:
            heard, left = time.monotonic(), size
        if time.monotonic() - heard > UNHEARD_SECONDS:
            fail("the process that has the index open does not mend it")
        await asyncio.sleep(SECONDS_BETWEEN_LOOKS)


def _with_index(data_dir: Path | None, work: Callable[[Store, Opened], Awaitable[T]]) -> T:
    """Do some work on the store and its index, or end the command with one line that says why it cannot be done."""
    try:
        if data_dir is None and os.environ.get("NEWSWIRE_REDIS_URL"):
            return _with_both(None, SearchSettings(), work)
        folder = folder_of(data_dir).resolve()
        settings = SearchSettings(index="embedded", data_dir=folder)
    except ValidationError as error:
        fail(settings_problem(error))
    if not folder.is_dir():
        fail(f"there is no folder {folder}; name another one by --data-dir, or a server by NEWSWIRE_REDIS_URL")
    try:
        with only_process_on(folder), embedded_valkey(folder):
            return _with_both(folder, settings, work)
    except InUse:  # a `newswire run` works there, and its store answers
        return _with_both(folder, settings, work)
    except ValkeyFailed as error:
        fail(str(error))


def _with_both(folder: Path | None, settings: SearchSettings, work: Callable[[Store, Opened], Awaitable[T]]) -> T:
    async def opened(store: Store) -> T:
        try:
            async with _opened(settings) as index:
                return await work(store, index)
        except ReindexInProgressError:
            fail("another `newswire reindex` is at work")
        except IndexVerificationError as error:
            fail(f"the new index is not put in place: {error}")
        except DependencyUnavailableError as error:
            fail(str(error))

    return with_store(folder, opened)


@asynccontextmanager
async def _opened(settings: SearchSettings, *, read_only: bool = False) -> AsyncIterator[Opened]:
    if not read_only:
        try:
            index = await open_index(settings)
        except IndexInUseError:
            read_only = True
    if read_only:
        index = await asyncio.to_thread(EmbeddedIndex, settings.data_dir / "index", read_only=True)
    try:
        yield Opened(settings, index_admin_for(index), read_only)
    finally:
        await index.close()


class _Phases:
    """A bar for each phase of making an index."""

    def __init__(self) -> None:
        self._phase = ""
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)

    def at(self, phase: str, done: int, total: int) -> None:
        """Say how much of a phase is done."""
        if phase != self._phase:
            self.__exit__(None, None, None)
            self._phase, self._bar = phase, Progress(phase, total)
        if self._bar is not None:
            self._bar.at(done)
