"""Imports articles: reads them, uploads them in chunks, and reports the results."""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

import httpx

from newswire_cli.importing.fetching import fetch
from newswire_cli.importing.summary import ImportSummary, print_summary
from newswire_cli.importing.uploader import Effect, Uploader, UploadResult, UploadStoppedError
from newswire_cli.terminal.console import fail
from newswire_cli.terminal.json_output import print_json
from newswire_cli.terminal.progress import Progress
from newswire_ingest.importing.format_names import FormatName
from newswire_ingest.importing.models import FailedItem, SkippedItem, SourceArticle, SourceItem
from newswire_ingest.importing.reader import ImportReader

CHUNK_ARTICLES, CHUNK_BYTES = 200, 2_000_000
"""The maximum of articles, and of bytes, in one request."""
MAX_CONCURRENT_CHUNKS = 3
"""One chunk is read on this machine while others are published by the server."""
_RESUME = "Run the same command again to continue: articles that exist already are left unchanged."


def import_all(
    client: httpx.Client,
    paths: Sequence[str],
    format_: FormatName | None,
    *,
    silent: bool,
    expired: bool = False,
    as_json: bool = False,
) -> int:
    """Import everything; return the exit code of the command."""
    reading, summary, started = (
        ImportReader(paths, format_, datetime.now(UTC), expired, fetch),
        ImportSummary(),
        time.monotonic(),
    )
    stopped = ""
    with Progress("importing", reading.size()) as progress:
        try:
            _upload_all(reading, client, silent, summary, progress)
        except UploadStoppedError as error:
            stopped = f"{error}. {_RESUME}"
        except KeyboardInterrupt:
            stopped = f"interrupted. {_RESUME}"
    seconds = time.monotonic() - started
    if as_json:
        print_json(summary.record(seconds))
    else:
        print_summary(summary, seconds)
    if stopped:
        fail(stopped)
    return 1 if summary.failed else 0


def _upload_all(
    reading: ImportReader, client: httpx.Client, silent: bool, summary: ImportSummary, progress: Progress
) -> None:
    stopping = threading.Event()
    uploader = Uploader(client, silent=silent, sleep=stopping.wait, report_outage=progress.print)
    pending: deque[tuple[list[SourceArticle], Future[list[UploadResult]]]] = deque()
    with ThreadPoolExecutor(MAX_CONCURRENT_CHUNKS) as pool:
        try:
            for chunk in _chunks(reading.found(), summary, progress):
                pending.append((chunk, pool.submit(uploader.send, [article.draft for article in chunk])))
                while len(pending) >= MAX_CONCURRENT_CHUNKS:
                    _finish(*pending.popleft(), summary, progress)
                progress.update(reading.read)
            while pending:
                _finish(*pending.popleft(), summary, progress)
        except BaseException:
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _chunks(found: Iterator[SourceItem], summary: ImportSummary, progress: Progress) -> Iterator[list[SourceArticle]]:
    chunk: list[SourceArticle] = []
    size = 0
    for each in found:
        match each:
            case SkippedItem():
                summary.skipped[each.reason] += 1
            case FailedItem():
                summary.failed += 1
                progress.print(_located(each.file, each.line, each.reason))
            case SourceArticle():
                summary.add_notes(each)
                chunk.append(each)
                size += len(each.draft["body"])
                if len(chunk) >= CHUNK_ARTICLES or size >= CHUNK_BYTES:
                    yield chunk
                    chunk, size = [], 0
    if chunk:
        yield chunk


def _located(file: str, line: int | None, reason: str) -> str:
    return f"{file}:{line}: {reason}" if line else f"{file}: {reason}"


def _finish(
    chunk: list[SourceArticle], results: "Future[list[UploadResult]]", summary: ImportSummary, progress: Progress
) -> None:
    for article, result in zip(chunk, results.result(), strict=True):
        summary.count(result)
        if result.effect is Effect.FAILED:
            progress.print(_located(article.file, article.line, result.reason))
