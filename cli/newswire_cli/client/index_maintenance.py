"""Rebuilding and verifying the search index on behalf of `newswire reindex` and `newswire verify`."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from newswire.storage.document_archive import RETRY_PAUSES_OF_COMMANDS, open_archive
from newswire_cli.client.index import (
    NO_PROGRESS_SECONDS,
    POLL_INTERVAL_SECONDS,
    OpenedIndex,
    open_for_command,
    with_index,
)
from newswire_cli.terminal.console import fail, say
from newswire_cli.terminal.json_output import print_json
from newswire_cli.terminal.progress import Progress
from newswire_operations.stores import Stores
from newswire_search.maintenance.reindex_state import mark_complete, read_progress, request_reindex
from newswire_search.maintenance.reindexing import abandon, reindex
from newswire_search.maintenance.verification import Comparison, Difference, VerificationReport, verify


def build_new_index(data_dir: Path | None) -> None:
    """Build a new index and activate it, or continue an interrupted one."""

    async def work(stores: Stores, opened: OpenedIndex) -> None:
        if opened.read_only:
            await _request_reindexing(stores)
        else:
            with _PhaseProgress() as progress:
                archive = open_archive(opened.settings, RETRY_PAUSES_OF_COMMANDS)
                result = await reindex(stores.redis, stores.keys, opened.admin, progress.update, archive=archive)
            for article in sorted(result.rejected):
                say(f"the index rejects {article}; `newswire verify` will report it as missing")
        total = await stores.redis.zcard(stores.keys.articles)
        async with open_for_command(opened.settings, read_only=opened.read_only) as current:
            say(f"{await current.admin.in_use()} is in use, made from {total:,} articles on record")
            for name in await current.admin.unused():
                say(f"{name} is kept; `newswire reindex --drop-old` deletes it")

    with_index(data_dir, work)


def abandon_new_index(data_dir: Path | None) -> None:
    """Delete a new index that is not finished."""

    async def work(stores: Stores, opened: OpenedIndex) -> None:
        if opened.read_only:
            fail("the process that has the index open is building it; stop that process first")
        name = await abandon(stores.redis, stores.keys, opened.admin)
        say(f"{name} is deleted; the index in use is unchanged" if name else "no new index was being built")

    with_index(data_dir, work)


def drop_old_indexes(data_dir: Path | None) -> None:
    """Delete the indexes that are not in use."""

    async def work(stores: Stores, opened: OpenedIndex) -> None:
        if await read_progress(stores.redis, stores.keys) is not None:
            fail("a new index is being built: `newswire reindex` finishes it, `newswire reindex --abandon` deletes it")
        if problem := await opened.admin.mismatch():
            fail(problem)
        names = await opened.admin.unused()
        for name in names:
            await opened.admin.drop(name)
            say(f"{name} is deleted")
        if not names:
            say("there is no old index")

    with_index(data_dir, work)


def verify_index(data_dir: Path | None, *, repair: bool, as_json: bool) -> bool:
    """Compare the index with the records and print the differences; return whether they agree now."""

    async def work(stores: Stores, opened: OpenedIndex) -> VerificationReport:
        archive = open_archive(opened.settings, RETRY_PAUSES_OF_COMMANDS)
        comparison = Comparison(stores.redis, stores.keys, opened.admin, archive)

        async def request_repair(ids: Sequence[str]) -> None:
            await stores.redis.sadd(stores.keys.index_repair_queue, *ids)
            await _until_empty(stores, stores.keys.index_repair_queue)

        identity = await opened.admin.identity()
        total = await stores.redis.zcard(stores.keys.articles)
        repair_function = request_repair if opened.read_only else comparison.repair
        with Progress("comparing", total) as progress:
            report = await verify(comparison, progress.update, repair_function if repair else None)
        if not report.remaining and identity is not None and identity == await opened.admin.identity():
            await mark_complete(stores.redis, stores.keys, identity)
        return report

    report = with_index(data_dir, work)
    if as_json:
        print_json(_report_record(report))
    else:
        _print_report(report, repair=repair)
    return report.remaining == 0


def _report_record(report: VerificationReport) -> dict[str, object]:
    return {
        "compared": report.compared,
        "found": {str(kind): count for kind, count in sorted(report.found.items())},
        "repaired": report.repaired,
        "remaining": report.remaining,
        "differences": [_difference_record(difference) for difference in report.listed],
    }


def _difference_record(difference: Difference) -> dict[str, str]:
    return {"id": difference.id, "kind": str(difference.kind), "description": str(difference)}


def _print_report(report: VerificationReport, *, repair: bool) -> None:
    for difference in report.listed:
        say(str(difference))
    if report.remaining > len(report.listed):
        say(f"… and {report.remaining - len(report.listed):,} more")
    kinds = ", ".join(f"{count:,} {wrong}" for wrong, count in sorted(report.found.items()))
    repaired = f"; {report.repaired:,} repaired" if repair and report.found else ""
    say(f"{report.compared:,} articles on record: {kinds or 'the index agrees'}{repaired}")


async def _request_reindexing(stores: Stores) -> None:
    """Ask the process that has the index open to build the new one, and show its progress."""
    await request_reindex(stores.redis, stores.keys)
    changed, last = time.monotonic(), None
    with _PhaseProgress() as bar:
        while (progress := await read_progress(stores.redis, stores.keys)) is not None:
            if progress.error:
                fail(f"{progress.error}; the process retries while it runs")
            if progress.target:
                bar.update(progress.phase, progress.done, progress.total)
            if progress != last:
                changed, last = time.monotonic(), progress
            working = await stores.redis.exists(f"{stores.keys.reindex}:lock")
            if not working and time.monotonic() - changed > NO_PROGRESS_SECONDS:
                fail("the process that has the index open does not start the work")
            await asyncio.sleep(POLL_INTERVAL_SECONDS)


async def _until_empty(stores: Stores, key: str) -> None:
    """Wait until another process has emptied a set of pending work."""
    changed, remaining = time.monotonic(), -1
    while size := await stores.redis.scard(key):
        if size != remaining:
            changed, remaining = time.monotonic(), size
        if time.monotonic() - changed > NO_PROGRESS_SECONDS:
            fail("the process that has the index open does not repair it")
        await asyncio.sleep(POLL_INTERVAL_SECONDS)


class _PhaseProgress:
    """A progress bar for each phase of building an index."""

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

    def update(self, phase: str, done: int, total: int) -> None:
        """Set how much of a phase is done."""
        if phase != self._phase:
            self.__exit__(None, None, None)
            self._phase, self._bar = phase, Progress(phase, total)
        if self._bar is not None:
            self._bar.update(done)
